//! Lines in, answers out.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Folder, cases, finish, golden, offramp, run, shipped, with_tensor_of};

#[test]
fn logits_and_order_are_those_of_the_checkpoint() {
    for name in ["bert-cls", "roberta-cls", "distilbert-cls"] {
        let (input, expected) = cases(name);
        let args = ["classify", "--model", &golden(name), "--logits", "--batch", "3"];
        let answers = run(&args, &input).expect_code(0).lines();
        assert_eq!(answers.len(), expected.len());
        for (index, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
            assert_eq!(answer["id"], json!(index));
            assert_eq!(answer["exit"], json!("final"));
            assert_eq!(answer["depth"], json!(1.0));
            let logits = answer["logits"].as_array().unwrap();
            assert_eq!(logits.len(), expected.len());
            for (found, expected) in logits.iter().zip(expected) {
                let off = (found.as_f64().unwrap() - expected).abs();
                assert!(off <= 1e-4, "{name} {index}: {found} {expected}");
            }
        }
    }
}

#[test]
fn bad_lines_are_answered_in_their_place() {
    let input = r#"{"id": "first", "tokens": [1, 2, 3], "color": "ignored"}
{"id": "broken", "tokens": [1, 2
{"id": "unknown", "tokens": [1, 100]}

{"id": "empty", "tokens": []}
{"id": "long", "tokens": LONG}
{"id": "kinds", "tokens": [1, 2], "kinds": [0]}
{"id": "both", "tokens": [1], "text": "a"}
{"id": "neither"}
{"id": "type", "tokens": "1 2"}
{"id": {"nested": [1, null]}, "tokens": [4]}
{"tokens": [5]}
"#;
    let input = input.replace("LONG", &format!("{:?}", [1; 41]));
    let done = run(&["classify", "--model", &golden("bert-cls"), "--batch", "2"], &input);
    let done = done.expect_code(1);
    assert!(done.err.contains("error: 9 of 12 lines have no answer"), "{}", done.err);
    let lines = done.lines();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0]["id"], "first");
    assert!(lines[0]["label"].as_str().unwrap().starts_with("LABEL_"));
    let errors = [
        (1, Value::Null, "not JSON"),
        (2, json!("unknown"), "token 1 is 100, but the vocabulary has 100 entries"),
        (3, Value::Null, "the line is empty"),
        (4, json!("empty"), "no tokens"),
        (5, json!("long"), "41 tokens, at most 40 fit"),
        (6, json!("kinds"), "2 tokens but 1 kinds"),
        (7, json!("both"), "give one"),
        (8, json!("neither"), "neither"),
        (9, json!("type"), "invalid type"),
    ];
    for (index, id, error) in errors {
        assert_eq!(lines[index]["id"], id, "{}", lines[index]);
        assert_eq!(lines[index]["line"], json!(index + 1));
        assert!(lines[index]["error"].as_str().unwrap().contains(error), "{}", lines[index]);
    }
    assert_eq!(lines[10]["id"], json!({ "nested": [1, null] }));
    assert_eq!(lines[11]["id"], json!(12), "a line without an id goes by its number");
}

#[test]
fn text_and_json_may_be_mixed() {
    let input = "Who wrote Hamlet?\n{\"id\": \"b\", \"text\": \"How many feet are in a mile?\"}\n";
    let lines = run(&["classify", "--model", &shipped()], input).expect_code(0).lines();
    let found: Vec<_> = lines.iter().map(|line| (&line["id"], &line["label"])).collect();
    assert_eq!(found, [(&json!(1), &json!("HUM")), (&json!("b"), &json!("NUM"))]);
    assert!(lines.iter().all(|line| line.get("logits").is_none()));
}

#[test]
fn text_without_a_tokenizer_is_a_bad_line_that_says_so() {
    let done = run(&["classify", "--model", &golden("bert-cls")], "Who?\n").expect_code(1);
    let error = done.lines()[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("tokenizer.json") && error.contains("\"tokens\""), "{error}");
}

#[test]
fn a_row_beyond_tokens_max_is_a_bad_line() {
    let input = "{\"tokens\": [1, 2, 3, 4, 5]}\n{\"tokens\": [1, 2]}\n";
    let args = ["classify", "--model", &golden("bert-cls"), "--tokens-max", "4"];
    let lines = run(&args, input).expect_code(1).lines();
    assert!(lines[0]["error"].as_str().unwrap().contains("5 tokens, at most 4 fit"));
    assert_eq!(lines[1]["id"], json!(2));
}

#[test]
fn files_are_read_and_written() {
    let folder = Folder::new();
    let (lines, expected) = cases("bert-cls");
    let (input, output) = (folder.write("in.jsonl", &lines), folder.path("out.jsonl"));
    let model = golden("bert-cls");
    let args = ["classify", "--model", &model, "--input", &input, "--output", &output];
    assert_eq!(run(&args, "").expect_code(0).out, "");
    assert_eq!(std::fs::read_to_string(&output).unwrap().lines().count(), expected.len());

    let same = ["classify", "--model", &model, "--input", &input, "--output", &input];
    assert!(run(&same, "").expect_code(2).err.contains("both --input and --output"));
    let record =
        ["classify", "--model", &model, "--exits", "watch", "--input", &input, "--record", &input];
    assert!(run(&record, "").expect_code(2).err.contains("both --input and --record"));
    assert_eq!(std::fs::read_to_string(&input).unwrap(), lines, "the input is as it was");
}

#[test]
fn the_environment_stands_in_for_flags() {
    let mut command = offramp(&["classify"]);
    command.env("OFFRAMP_MODEL", golden("bert-cls")).env("OFFRAMP_LOGITS", "1");
    let lines = finish(command, "{\"tokens\": [1]}\n").expect_code(0).lines();
    assert_eq!(lines[0]["logits"].as_array().unwrap().len(), 6);
}

#[test]
fn answers_come_while_the_input_is_still_open() {
    let mut command = offramp(&["classify", "--model", &golden("bert-cls"), "--batch", "32"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for id in ["one", "two"] {
        writeln!(input, "{{\"id\": \"{id}\", \"tokens\": [1, 2]}}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.contains(id), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn many_bad_lines_in_a_row_keep_their_places() {
    let good = "{\"tokens\": [7]}\n";
    let input = format!("{good}{}{good}", "{\n".repeat(1000));
    let lines = run(&["classify", "--model", &golden("bert-cls"), "--batch", "4"], &input);
    let lines = lines.expect_code(1).lines();
    assert_eq!(lines.len(), 1002);
    assert_eq!((&lines[0]["id"], &lines[1001]["id"]), (&json!(1), &json!(1002)));
    assert!((1..=1000).all(|index| lines[index]["line"] == json!(index + 1)));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (lines, _) = cases("bert-cls");
    let folder = Folder::new();
    let input = folder.write("in.jsonl", &lines.repeat(200));
    let mut command = offramp(&["classify", "--model", &golden("bert-cls"), "--input", &input]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn logits_that_overflow_are_no_answer() {
    let (_folder, model) = with_tensor_of("bert-cls", "classifier.weight", 3e38);
    let input = "{\"id\": \"a\", \"tokens\": [1, 2, 3]}\n";
    let done = run(&["classify", "--model", &model], input).expect_code(1);
    let answer = &done.lines()[0];
    assert_eq!(answer["id"], json!("a"));
    assert!(answer["error"].as_str().unwrap().contains("not finite"), "{answer}");
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    let (_folder, model) = with_tensor_of("bert-cls", "classifier.bias", f32::NAN);
    let done = run(&["classify", "--model", &model], "").expect_code(1);
    for part in ["model.safetensors", "`classifier.bias`", "NaN"] {
        assert!(done.err.contains(part), "{}", done.err);
    }
}

#[test]
fn an_empty_text_is_answered_and_an_empty_line_is_not() {
    let input = "{\"text\":\"\"}\n{\"text\":\"\",\"text_pair\":\"b\"}\n{\"text\":\"\\u200b\"}\n\
                 \u{200b}\n{\"text\":\" \\n\"}\n \t\n";
    let done = run(&["classify", "--model", &shipped()], input).expect_code(1);
    let lines = done.lines();
    for line in &lines[..5] {
        assert!(line["label"].is_string(), "{line}");
    }
    assert_eq!(lines[5]["error"], "the line is empty");
    for field in ["label", "score"] {
        assert_eq!(lines[0][field], lines[2][field], "nothing is left of a zero-width space");
        assert_eq!(lines[0][field], lines[3][field]);
        assert_eq!(lines[0][field], lines[4][field]);
    }
}

#[test]
fn an_answer_says_where_its_text_was_cut() {
    let long = "Who wrote Hamlet? ".repeat(20);
    let input = format!(
        "{long}\n{{\"text\": \"Who?\"}}\n{{\"text\": \"Who?\", \"text_pair\": \"{long}\"}}\n\
         {{\"tokens\": [2, 100, 3]}}\n{{\"text\": \"{}\"}}\n",
        "\u{4e2d}".repeat(1 << 20)
    );
    let lines = run(&["classify", "--model", &shipped()], &input).expect_code(0).lines();
    let cut: Vec<_> = lines.iter().map(|line| line.get("truncated")).collect();
    assert_eq!(cut, [Some(&json!(true)), None, Some(&json!(true)), None, Some(&json!(true))]);
}
