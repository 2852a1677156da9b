//! `offramp convert`: bare weights in, a model folder out.

use std::path::Path;

use serde_json::Value;

use crate::support::{Folder, golden_images, run};

/// The header of a safetensors file, less what is no tensor.
fn header(path: &str) -> serde_json::Map<String, Value> {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<String, Value> =
        serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.remove("__metadata__");
    header
}

/// The arguments that convert the golden network `name` as `architecture`, less `--out`.
fn call(name: &str, architecture: &str) -> Vec<String> {
    let weights = format!("{}/model.safetensors", golden_images(name));
    ["convert", "--weights", &weights, "--architecture", architecture].map(String::from).to_vec()
}

fn convert(call: &[String], more: &[&str]) -> crate::support::Run {
    let all: Vec<_> = call.iter().map(String::as_str).chain(more.iter().copied()).collect();
    run(&all, "")
}

const THIN: [&str; 4] = ["--depths", "1,2,1,1", "--widths", "4,4,8,8"];

#[test]
fn a_state_dict_becomes_a_model() {
    let folder = Folder::new();
    let (classes, out) = (folder.write("labels.txt", "a\nb\nc\nd\ne\n"), folder.path("made"));
    let flags = ["--classes-file", &classes, "--input-size", "3x33x29", "--crop-share", "1"];
    let more = [&THIN[..], &flags, &["--interpolation", "bicubic", "--out", &out]].concat();
    let done = convert(&call("resnet-bottleneck", "resnet50"), &more).expect_code(0);
    let expected = "resnet50 over 3x33x29, 5 classes, 5 segments\n";
    assert_eq!(done.out, format!("{out}: {expected}"));

    // The prefix and the counters are gone; the values are the same.
    let from = header(&format!("{}/model.safetensors", golden_images("resnet-bottleneck")));
    let made = header(&format!("{out}/model.safetensors"));
    let kept = from.keys().filter(|name| !name.ends_with("num_batches_tracked"));
    let kept: Vec<_> = kept.map(|name| name.strip_prefix("module.").unwrap()).collect();
    assert!(kept.len() < from.len());
    let mut names: Vec<_> = made.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, kept);
    let config = std::fs::read_to_string(format!("{out}/config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["label_names"], serde_json::json!(["a", "b", "c", "d", "e"]));
    assert_eq!(config["num_classes"], 5);
    let picture = &config["pretrained_cfg"];
    assert_eq!(picture["input_size"], serde_json::json!([3, 33, 29]));
    assert_eq!((&picture["crop_pct"], &picture["interpolation"]), (&1.0.into(), &"bicubic".into()));

    // What was made is converted once more, and stays as it is.
    let weights = format!("{out}/model.safetensors");
    let again = folder.path("again");
    let args = ["convert", "--weights", &weights, "--architecture", "resnet50", "--out", &again];
    run(&[&args[..], &THIN].concat(), "").expect_code(0);
    let bytes = |dir: &str| std::fs::read(format!("{dir}/model.safetensors")).unwrap();
    assert_eq!(bytes(&out), bytes(&again));
}

#[test]
fn halves_are_half_as_large() {
    let folder = Folder::new();
    let out = folder.path("made");
    let more = ["--depths", "1,1,2,2,2", "--widths", "4,8,8,12,16", "--hidden-width", "20"];
    let rest = ["--input-size", "1x256x224", "--f16", "--json", "--out", &out];
    let done = convert(&call("vgg-bn", "vgg11_bn"), &[&more[..], &rest].concat()).expect_code(0);
    assert_eq!(done.json()["input_size"], serde_json::json!([1, 256, 224]));
    let made = header(&format!("{out}/model.safetensors"));
    assert_eq!(made["features.0.weight"]["dtype"], "F16");
    assert_eq!(made["features.0.bias"]["dtype"], "F32");
    assert_eq!(made["features.1.running_var"]["dtype"], "F32");
}

#[test]
fn another_network_is_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let out = folder.path("made");
    let refused_with = |code: i32, architecture: &str, more: &[&str]| {
        let more = [more, &["--out", &out]].concat();
        let done = convert(&call("resnet-bottleneck", architecture), &more).expect_code(code);
        assert!(!Path::new(&out).exists(), "something was written");
        done.err
    };
    let refused = |architecture: &str, more: &[&str]| refused_with(1, architecture, more);
    // What a flag says is in no file yet.
    for (architecture, more, expected) in [
        ("resnet51", &[][..], "--architecture must be one of resnet18"),
        ("resnet50", &["--widths", "4,4"][..], "--widths must be as many stages as `depths`, 4"),
        ("resnet18", &["--hidden-width", "8"][..], "--hidden-width must be left out for this"),
        ("vgg16", &["--input-size", "3x8x8"][..], "--input-size must be large enough for vgg16"),
    ] {
        let error = refused_with(2, architecture, more);
        assert!(error.contains(expected) && !error.contains("config.json"), "{error}");
    }
    let error = refused("resnet50", &[]);
    assert!(error.contains("expected shape [64, 3, 7, 7], found shape [4, 3, 7, 7]"), "{error}");
    let error = refused("resnet50", &["--depths", "1,1,1,1", "--widths", "4,4,8,8"]);
    assert!(error.contains("expected no such tensor in a resnet50"), "{error}");
    let error = refused("vgg16", &[]);
    assert!(error.contains("no tensor `features.0.weight`"), "{error}");
    let classes = folder.write("labels.txt", "a\nb\n");
    let error = refused("resnet50", &[&THIN[..], &["--classes-file", &classes]].concat());
    assert!(error.contains("expected shape [2, 32], found shape [5, 32]"), "{error}");
    let classes = folder.write("blank.txt", "a\n\nb\n");
    let error = refused("resnet50", &["--classes-file", &classes]);
    assert!(error.ends_with("blank.txt:2: a class without a name\n"), "{error}");
}

#[test]
fn options_that_cannot_be_meant_end_with_2() {
    let folder = Folder::new();
    let taken = golden_images("resnet-cifar");
    let error = convert(&call("resnet-cifar", "resnet20"), &["--out", &taken]).expect_code(2).err;
    assert!(error.contains("config.json exists: --out is a folder without a model"), "{error}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("gone", folder.path("config.json")).unwrap();
        let out = folder.path("");
        let error = convert(&call("resnet-cifar", "resnet20"), &["--out", &out]).expect_code(2).err;
        assert!(error.contains("config.json exists: --out is a folder without a"), "{error}");
    }
    let (pickle, out) = (folder.write("net.pth", "x"), folder.path("made"));
    let args = ["convert", "--weights", &pickle, "--architecture", "resnet20", "--out", &out];
    let error = run(&args, "").expect_code(2).err;
    assert!(error.contains("net.pth: --weights is a safetensors file"), "{error}");
    let bad = [
        ["--input-size", "3x32"],
        ["--input-size", "3,32,32"],
        ["--input-size", "3x-1x3"],
        ["--mean", "0.5,nan"],
        ["--crop-share", "1.5"],
        ["--interpolation", "lanczos"],
    ];
    for flag in bad {
        let more = [&flag[..], &["--out", &out]].concat();
        convert(&call("resnet-cifar", "resnet20"), &more).expect_code(2);
    }
}
