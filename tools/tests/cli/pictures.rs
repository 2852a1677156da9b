//! Pictures as people bring them: of any format, turned, damaged, in folders.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Folder, Run, golden, golden_images, run};

const MODEL: &str = "resnet-cifar";

fn picture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/pictures");
    fs::read(format!("{folder}/{name}")).unwrap()
}

/// A folder of files.
fn folder_of(files: &[(&str, &[u8])]) -> Folder {
    let folder = Folder::new();
    for (name, bytes) in files {
        let path = folder.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn classify(input: &str, more: &[&str]) -> Run {
    let model = golden_images(MODEL);
    let args = ["classify", "--model", &model, "--input", input, "--logits"];
    run(&[&args[..], more].concat(), "")
}

#[test]
fn damaged_pictures_fail_by_name_and_the_others_are_answered() {
    let (jpeg, png) = (picture("progressive.jpg"), picture("colours.png"));
    let (webp, gif) = (picture("lossy.webp"), picture("frame.gif"));
    let mut bad_sum = png.clone();
    bad_sum[90] ^= 1;
    let cut = |bytes: &[u8], share: f64| bytes[..(bytes.len() as f64 * share) as usize].to_vec();
    let folder = folder_of(&[
        ("0.jpg", &cut(&jpeg, 0.5)),
        ("1.jpg", &cut(&jpeg, 0.999)),
        ("2.png", &cut(&png, 0.9)),
        ("3.png", &bad_sum),
        ("4.webp", &cut(&webp, 0.75)),
        ("5.gif", &cut(&gif, 0.99)),
        ("6.bmp", &cut(&picture("colours.bmp"), 0.3)),
        ("7.jpeg", b"\0\0\0\x18ftypheic"),
        ("8.jpg", &jpeg),
        ("9.jpg", &png),
    ]);
    let done = classify(&folder.path(""), &[]).expect_code(1);
    let lines = done.lines();
    assert_eq!(lines.len(), 10);
    let expected = ["is cut", "is cut", "is cut", "the sum", "is cut", "is cut", "is cut", "HEIC"];
    for (line, expected) in lines.iter().zip(expected) {
        let (id, error) = (line["id"].as_str().unwrap(), line["error"].as_str().unwrap());
        assert!(error.contains(expected) && error.contains(id), "{line}");
    }
    assert!(lines[8..].iter().all(|line| line["label"].is_string()), "{lines:?}");
    let images = folder.path("");
    let out = folder.path("out/s");
    let args = ["stream", "--images", &images, "--frames", "9", "--out", &out];
    assert!(run(&args, "").expect_code(1).err.contains("0.jpg"));
}

#[test]
fn pictures_are_turned_as_they_say_unless_told_otherwise() {
    let names: Vec<_> = (1..=8).map(|way| format!("turned-{way}.jpg")).collect();
    let bytes: Vec<_> = names.iter().map(|name| picture(name)).collect();
    let files: Vec<_> = names.iter().zip(&bytes).map(|(n, b)| (n.as_str(), &b[..])).collect();
    let folder = folder_of(&files);
    let logits = |more: &[&str]| -> Vec<Value> {
        let lines = classify(&folder.path(""), more).expect_code(0).lines();
        lines.into_iter().map(|line| line["logits"].clone()).collect()
    };
    let (turned, stored) = (logits(&[]), logits(&["--ignore-orientation"]));
    assert!(stored.iter().all(|logits| *logits == turned[0]), "all are stored alike");
    assert!(turned[1..].iter().all(|logits| *logits != turned[0]), "{turned:?}");
}

#[test]
fn folders_say_what_they_skip_and_that_nothing_is_there() {
    let (jpeg, webp) = (picture("fine.jpg"), picture("alpha.webp"));
    let folder = folder_of(&[
        ("all/a/images/1.JPEG", &jpeg),
        ("all/a/images/boxes.txt", b"1 2 3"),
        ("all/b/2.jfif", &jpeg),
        ("all/3.WebP", &webp),
        ("all/4.heic", b""),
        ("all/.DS_Store", b""),
        ("none/5.tif", b""),
        ("empty/.hidden.png", b""),
    ]);
    let done = classify(&folder.path("all"), &[]).expect_code(0);
    let ids: Vec<_> = done.lines().iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, ["3.WebP", "a/images/1.JPEG", "b/2.jfif"]);
    assert!(done.err.contains("all: 2 files skipped: 1 .heic, 1 .txt\n"), "{}", done.err);
    let checks = [("none", "none: no pictures: expected"), ("empty", "no pictures")];
    for (name, expected) in checks {
        let error = classify(&folder.path(name), &[]).expect_code(1).err;
        assert!(error.contains(expected), "{error}");
    }
    assert!(classify(&folder.path("none"), &[]).err.contains("1 file skipped: 1 .tif"));
}

#[test]
fn content_decides_what_a_single_file_is() {
    let (png, pdf) = (picture("colours.png"), b"%PDF-1.7");
    let folder = folder_of(&[("0007", &png), ("b.gif", &png), ("c.tmp", pdf), ("d.jpg", pdf)]);
    for name in ["0007", "b.gif"] {
        assert_eq!(classify(&folder.path(name), &[]).expect_code(0).lines()[0]["id"], name);
    }
    let error = classify(&folder.path("c.tmp"), &[]).expect_code(1).err;
    assert!(error.contains("c.tmp: expected") && error.contains("a PDF document"), "{error}");
    let done = classify(&folder.path("d.jpg"), &[]).expect_code(1);
    assert!(done.lines()[0]["error"].as_str().unwrap().contains("found a PDF document"));
}

#[test]
fn the_limit_on_pixels_is_a_flag_and_belongs_to_pictures() {
    let folder = folder_of(&[("a.png", &picture("grey.png")), ("raw.u8", &[7; 900])]);
    let small = ["--pixels-max", "500"];
    let done = classify(&folder.path("a.png"), &small).expect_code(1);
    let error = done.lines()[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("a.png: expected at most 500 pixels, found 21 x 26"), "{error}");
    classify(&folder.path("a.png"), &["--pixels-max", "546"]).expect_code(0);
    let raw = ["--shape", "30x30x1", "--pixels-max", "500"];
    let error = classify(&folder.path("raw.u8"), &raw).expect_code(2).err;
    assert!(error.contains("--shape: expected at most 500 pixels"), "{error}");
    for flag in [&small[..], &["--ignore-orientation"]] {
        let model = golden("bert-cls");
        let done = run(&[&["classify", "--model", &model], flag].concat(), "").expect_code(2);
        assert!(done.err.contains(flag[0]) && done.err.contains("reads text"), "{}", done.err);
    }
}
