//! Labels, ids and lists as people write them.

use serde_json::json;

use crate::support::{Folder, golden_images, offramp, run, shipped};

/// Questions that the shipped model answers right, with their classes' names and numbers.
const QUESTIONS: [(&str, &str, usize); 4] = [
    ("Who wrote Hamlet ?", "HUM", 3),
    ("How many feet are in a mile ?", "NUM", 5),
    ("What city is the capital of Peru ?", "LOC", 4),
    ("What does NASA stand for ?", "ABBR", 0),
];

/// How a label is written that has this name and this number.
type Way = fn(&str, usize) -> String;

fn accuracy(labels: Way) -> (i32, String, String) {
    let line = |(text, name, number): &(&str, &str, usize)| {
        format!("{{\"text\": {:?}, \"label\": {}}}\n", text, labels(name, *number))
    };
    let folder = Folder::new();
    let input = folder.write("in.jsonl", &QUESTIONS.iter().map(line).collect::<String>());
    let args = ["evaluate", "--model", &shipped(), "--input", &input, "--exits", "off", "--json"];
    let done = run(&args, "");
    let accuracy = match done.code {
        0 => done.json()[0]["accuracy"].to_string(),
        _ => String::new(),
    };
    (done.code, accuracy, done.err)
}

#[test]
fn labels_by_name_and_by_number_count_alike() {
    let ways: [Way; 4] = [
        |name, _| format!("\"{name}\""),
        |_, number| number.to_string(),
        |_, number| format!("\"{number}\""),
        |_, number| format!("{number}.0"),
    ];
    for way in ways {
        let (code, accuracy, error) = accuracy(way);
        assert_eq!((code, accuracy.as_str()), (0, "1.0"), "{error}");
    }
}

#[test]
fn a_label_that_is_no_class_ends_the_evaluation_by_its_line() {
    let ways: [(Way, &str); 5] = [
        (
            |name, _| format!("{:?}", name.to_lowercase()),
            "\"hum\" is no class of this model (is `HUM`",
        ),
        (|_, number| (number + 3).to_string(), "in.jsonl:1: the label 6 is no class"),
        (|_, _| "-1".to_owned(), "the label -1 is no class"),
        (|_, _| "true".to_owned(), "neither a name nor a number"),
        (
            |name, number| if number == 0 { "7".to_owned() } else { format!("{name:?}") },
            "jsonl:4: ",
        ),
    ];
    for (way, expected) in ways {
        let (code, _, error) = accuracy(way);
        assert!(code == 1 && error.contains(expected), "{error}");
    }
    // Null is no label.
    assert_eq!(accuracy(|_, _| "null".to_owned()).1, "null");
}

#[test]
fn folders_that_are_no_classes_are_refused_when_labels_count() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("all/zebra")).unwrap();
    let path = folder.path("all/zebra/1.png");
    image::save_buffer(path, &[9; 784], 28, 28, image::ExtendedColorType::L8).unwrap();
    let (model, input) = (golden_images("resnet-cifar"), folder.path("all"));
    let args = ["evaluate", "--model", &model, "--input", &input];
    let error = run(&args, "").expect_code(1).err;
    assert!(
        error.contains("all:1: zebra/1.png: the label \"zebra\" is no class of this model"),
        "{error}"
    );
    run(&["classify", "--model", &model, "--input", &input], "").expect_code(0);
}

#[test]
fn ids_come_back_to_the_letter_in_answers_and_errors() {
    let ids = [
        "12345678901234567890123",
        "18446744073709551616",
        "-18446744073709551616",
        "1.0",
        "1e3",
        "1e999",
        "\"a\\u00e9\\/\"",
        "{\"b\": 1.50, \"a\": [null]}",
    ];
    for (rest, code) in [("\"text\": \"Who?\"", 0), ("\"text\": 5", 1), ("\"tokens\": []", 1)] {
        let lines: String = ids.iter().map(|id| format!("{{\"id\":{id}, {rest}}}\n")).collect();
        let done = run(&["classify", "--model", &shipped()], &lines).expect_code(code);
        for (line, id) in done.out.lines().zip(ids) {
            assert!(line.starts_with(&format!("{{\"id\":{id},")), "{line}");
        }
        assert_eq!(done.out.lines().count(), ids.len());
    }
}

#[test]
fn what_other_keys_hold_does_not_matter() {
    let lines = "{\"id\": 1, \"text\": \"Who?\", \"weight\": NaN}\n\
                 {\"id\": 2, \"text\": \"NaN Infinity\", \"x\": [-Infinity, 1e999]}\n\
                 {\"id\": NaN, \"text\": \"Who?\"}\n";
    let answers = run(&["classify", "--model", &shipped()], lines).expect_code(0).lines();
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3)]);
    let twice = "{\"text\": \"Who?\", \"text\": \"What?\"}\n";
    let done = run(&["classify", "--model", &shipped()], twice).expect_code(1);
    assert!(done.out.contains("duplicate field `text`"), "{}", done.out);
}

#[test]
fn byte_order_marks_are_taken_off_and_utf_16_is_refused_by_name() {
    let folder = Folder::new();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let path = folder.path("in.jsonl");
    std::fs::write(&path, utf16("\u{feff}{\"text\": \"Who?\"}\r\n")).unwrap();
    let args = ["classify", "--model", &shipped(), "--input", &path];
    let error = run(&args, "").expect_code(1).err;
    assert!(error.contains("in.jsonl: expected UTF-8, found UTF-16"), "{error}");
    let marked = folder.write("marked.jsonl", "\u{feff}{\"id\": 5, \"text\": \"Who?\"}\r\n");
    let done = run(&["classify", "--model", &shipped(), "--input", &marked], "").expect_code(0);
    assert_eq!(done.lines()[0]["id"], 5);

    let weights = format!("{}/model.safetensors", golden_images("resnet-bottleneck"));
    let (classes, out) = (folder.path("classes.txt"), folder.path("made"));
    let widths = ["--depths", "1,2,1,1", "--widths", "4,4,8,8"];
    let more = ["--architecture", "resnet50", "--classes-file", &classes, "--out", &out];
    let args = [&["convert", "--weights", &weights][..], &widths, &more].concat();
    std::fs::write(&classes, utf16("a\nb\nc\nd\ne\n")).unwrap();
    let error = run(&args, "").expect_code(1).err;
    assert!(error.contains("classes.txt: expected UTF-8, found UTF-16"), "{error}");
    folder.write("classes.txt", "\u{feff}cat\r\nb\r\nc\r\nd\r\ne\r\n");
    run(&args, "").expect_code(0);
    let config = std::fs::read_to_string(format!("{out}/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["label_names"], json!(["cat", "b", "c", "d", "e"]));
}

#[test]
fn levels_of_0_to_255_are_refused() {
    let folder = Folder::new();
    let weights = format!("{}/model.safetensors", golden_images("resnet-bottleneck"));
    let out = folder.path("made");
    let cases = [
        ["--mean", "123.675,116.28,103.53", "divided by 255"],
        ["--mean", "0.5,-0.1,0.5", "must be from 0 to 1"],
        ["--mean", "1.01", "must be from 0 to 1"],
        ["--std", "58.395,57.12,57.375", "divided by 255"],
        ["--std", "0.2,0,0.2", "must be above 0"],
        ["--std", "-0.2", "--std"],
        ["--std", "inf", "must be from 0 to 1"],
    ];
    for [flag, value, expected] in cases {
        let value = format!("{flag}={value}");
        let convert = ["convert", "--weights", &weights, "--architecture", "resnet50"];
        let mut command = offramp(&[&convert[..], &["--out", &out, &value]].concat());
        let done = command.output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(2), "{value}");
        assert!(error.contains(flag) && error.contains(expected), "{error}");
    }
    assert!(!std::path::Path::new(&out).exists());
}
