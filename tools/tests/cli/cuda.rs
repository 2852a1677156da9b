//! CUDA devices as a user meets them, on a driver that interprets.

use serde_json::Value;

use crate::support::{Folder, Run, cases, finish, golden, golden_images, offramp, on_interpreter};

fn devices(settings: &[(&str, &str)]) -> Vec<Value> {
    let done = finish(on_interpreter(&["devices", "--json"], settings), "").expect_code(0);
    done.json().as_array().unwrap().clone()
}

fn classify(device: &[&str], settings: &[(&str, &str)]) -> Run {
    let (input, _) = cases("bert-cls");
    let model = golden("bert-cls");
    let args = [&["classify", "--model", &model, "--logits"], device].concat();
    finish(on_interpreter(&args, settings), &input)
}

#[test]
fn devices_are_listed() {
    let listed = devices(&[("OFFRAMP_SIM_DEVICES", "2")]);
    let names: Vec<_> = listed.iter().map(|device| device["device"].as_str().unwrap()).collect();
    assert_eq!(names, ["cuda:0", "cuda:1", "cpu"]);
    assert!(listed.iter().all(|device| device["usable"] == true));
    assert!(listed[0]["memory_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn an_unusable_device_says_why() {
    for (name, value, reason) in [
        ("OFFRAMP_SIM_DEVICES", "0", "no device"),
        ("OFFRAMP_SIM_DRIVER_VERSION", "11080", "supports CUDA 11.8"),
        ("OFFRAMP_CUDA_DRIVER", "/nowhere/libcuda.so", "/nowhere/libcuda.so"),
    ] {
        let listed = devices(&[(name, value)]);
        assert_eq!(listed[0]["usable"], false);
        let said = listed[0]["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{name}: {said}");
        let done = classify(&["--device", "cuda"], &[(name, value)]).expect_code(3);
        assert!(done.err.contains(reason), "{}", done.err);
        assert!(done.err.starts_with("error: ") && done.out.is_empty(), "{}", done.err);
    }
}

#[test]
fn without_a_driver_auto_is_the_cpu() {
    let (input, _) = cases("bert-cls");
    let model = golden("bert-cls");
    let args = ["classify", "--model", &model, "--device", "auto"];
    let mut command = offramp(&args);
    command.env("OFFRAMP_CUDA_DRIVER", "/nowhere/libcuda.so");
    assert_eq!(finish(command, &input).expect_code(0).lines().len(), cases("bert-cls").1.len());
}

#[test]
fn a_device_without_room_says_how_much_it_lacked() {
    let done = classify(&["--device", "cuda"], &[("OFFRAMP_SIM_MEMORY_MB", "0")]).expect_code(1);
    assert!(done.err.contains("out of memory"), "{}", done.err);
}

/// Wherever in a forward: no panic, no answer, one line.
#[test]
fn a_device_that_is_lost_ends_in_one_clear_error() {
    for launch in ["1", "7", "12"] {
        let done = classify(&["--device", "cuda"], &[("OFFRAMP_SIM_FAILING_LAUNCH", launch)]);
        let done = done.expect_code(3);
        let ours: Vec<_> = done.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(ours.len(), 1, "{}", done.err);
        assert!(ours[0].contains("the context is lost"), "{}", done.err);
    }
}

#[test]
fn auto_takes_the_gpu_and_answers_as_the_cpu_does() {
    let (_, expected) = cases("bert-cls");
    for device in [&["--device", "cuda"][..], &["--precision", "bf16"], &[]] {
        let done = classify(device, &[]).expect_code(0);
        let answers = done.lines();
        let says_so = done.err.starts_with("on cuda PTX interpreter ");
        assert_eq!(says_so, !device.contains(&"--device"), "auto says it: {}", done.err);
        assert_eq!(answers.len(), expected.len());
        for (answer, expected) in answers.iter().zip(&expected) {
            let largest = expected.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
            let logits = answer["logits"].as_array().unwrap();
            for (found, expected) in logits.iter().zip(expected) {
                let off = (found.as_f64().unwrap() - expected).abs();
                let relative = if device.contains(&"bf16") { 0.1 } else { 0.02 };
                assert!(off <= relative * largest, "{device:?}: {found} {expected}");
            }
        }
    }
}

/// Drivers that cannot record launches which begin early get none; answers are the same bits.
#[test]
fn an_older_driver_gives_the_same_answers() {
    let model = golden("bert-cls");
    let args = ["classify", "--model", &model, "--logits", "--batch", "1", "--device", "cuda"];
    // Often enough for graphs.
    let input = cases("bert-cls").0.lines().next().unwrap().to_owned() + "\n";
    let run = |version| {
        let command = on_interpreter(&args, &[("OFFRAMP_SIM_DRIVER_VERSION", version)]);
        let answers = finish(command, &input.repeat(8)).expect_code(0).lines();
        answers.into_iter().map(|answer| answer["logits"].clone()).collect::<Vec<_>>()
    };
    let answers = run("12020");
    assert_eq!(answers.len(), 8);
    assert_eq!(answers, run("12030"));
}

/// Full batches of images are answered when the next one is known: in order, each by its own
/// answer, with what was damaged between them.
#[test]
fn images_keep_their_order_over_many_batches() {
    let (folder, side) = (Folder::new(), 28);
    let mut random = fastrand::Rng::with_seed(9);
    for index in 0..11 {
        let pixels: Vec<u8> = (0..side * side).map(|_| random.u8(..)).collect();
        let path = folder.path(&format!("{index:02}.png"));
        image::save_buffer(&path, &pixels, side, side, image::ExtendedColorType::L8).unwrap();
    }
    std::fs::write(folder.path("04.png"), "no picture").unwrap();
    let (model, input) = (golden_images("resnet-cifar"), folder.path(""));
    let args = ["classify", "--model", &model, "--input", &input, "--logits", "--batch"];
    let alone = finish(offramp(&[&args[..], &["1"]].concat()), "").expect_code(1).lines();
    for batch in ["2", "3", "10", "32"] {
        let command = on_interpreter(&[&args[..], &[batch]].concat(), &[]);
        let lines = finish(command, "").expect_code(1).lines();
        assert_eq!(lines.len(), 11);
        for (line, expected) in lines.iter().zip(&alone) {
            assert_eq!(line["id"], expected["id"], "batches of {batch}");
            assert_eq!(line["error"], expected["error"]);
            let numbers = |line: &Value| line["logits"].as_array().cloned().unwrap_or_default();
            for (found, expected) in numbers(line).iter().zip(numbers(expected)) {
                let off = (found.as_f64().unwrap() - expected.as_f64().unwrap()).abs();
                assert!(off <= 0.05, "batches of {batch}: {found} for {expected}");
            }
        }
    }
}
