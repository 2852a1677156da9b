//! What inspect, bench, profile and evaluate tell.

use serde_json::{Value, json};

use crate::support::{Folder, golden, run, shipped, with_tensor_of};

#[test]
fn inspect_tells_the_model_and_its_plan() {
    let model = golden("bert-cls");
    let about = run(&["inspect", "--model", &model, "--json"], "").expect_code(0).json();
    assert_eq!(about["family"], "bert");
    assert_eq!(about["layers"], 2);
    assert_eq!(about["cost_row_tokens"], 40, "cut to what the model reads");
    assert_eq!(about["segments"].as_array().unwrap().len(), 2);
    assert_eq!(about["thresholds_missing"], "no ramps");
    assert!(about["device_reserved_bytes"].as_u64().unwrap() > 4 * 20_000);
    let plan = run(&["inspect", "--model", &model, "--plan"], "").expect_code(0).out;
    assert!(plan.starts_with("plan: 2 segments, 0 ramps"), "{plan}");
    assert!(plan.contains("attention"), "{plan}");
}

#[test]
fn bench_gives_a_cell_for_every_shape_and_names_units() {
    let model = golden("distilbert-cls");
    let args = ["bench", "--model", &model, "--rows", "1,4", "--tokens", "8,999", "--rounds", "2"];
    let cells = run(&[&args[..], &["--json"]].concat(), "").expect_code(0).json();
    let cells = cells.as_array().unwrap().clone();
    assert_eq!(cells.len(), 4);
    for cell in &cells {
        for key in ["rows_per_s", "pass_ms_p50", "row_ms_p95", "gflops", "peak_share"] {
            assert!(cell[key].as_f64().unwrap() > 0.0, "{key}: {cell}");
        }
        assert_eq!(cell["variant"], "full");
        assert_eq!(cell["rounds"], 2);
    }
    assert_eq!(cells[0]["row_tokens"], json!(8.0));
    let table = run(&args, "").expect_code(0).out;
    assert!(table.contains("| rows"), "{table}");
}

#[test]
fn bench_says_where_thresholds_meet_random_tokens() {
    let model = shipped();
    let bench = ["bench", "--model", &model, "--rows", "8", "--rounds", "1"];
    let cells = |more: &[&str]| {
        let told = run(&[&bench[..], more, &["--json"]].concat(), "").expect_code(0).json();
        let caveat = |cell: &Value| (cell["variant"].clone(), cell["caveat"].is_string());
        told.as_array().unwrap().iter().map(caveat).collect::<Vec<_>>()
    };
    let folder = Folder::new();
    let lengths = folder.write("lengths.txt", "3\n5\n");
    let marked = [(json!("full"), false), (json!("release"), true), (json!("compact"), true)];
    assert_eq!(cells(&["--tokens", "16"]), marked);
    assert_eq!(cells(&["--lengths-from", &lengths]), marked);
    assert!(cells(&["--ragged"]).iter().all(|(_, has_caveat)| !has_caveat));
    assert_eq!(cells(&["--exits", "off"]), [(json!("full"), false)]);
    let profile = cells(&["--variants", "full", "--profile-exits", "late"]);
    assert_eq!(profile, [(json!("full"), false), (json!("profile late"), false)]);
    let table = run(&[&bench[..], &["--tokens", "16"]].concat(), "").expect_code(0).out;
    assert!(table.contains("note: tokens are random and meet thresholds"), "{table}");
}

#[test]
fn evaluate_says_what_is_missing_for_exits() {
    let bert = golden("bert-cls");
    let folder = Folder::new();
    let input = folder.write("in.jsonl", "{\"tokens\": [1, 2]}\n");
    let none = run(&["evaluate", "--model", &bert, "--input", &input], "").expect_code(0);
    assert!(none.err.contains("no ramps, so every row runs to the end"), "{}", none.err);
    assert!(none.err.contains("offramp train-ramps --model"), "{}", none.err);
    let off = ["evaluate", "--model", &bert, "--input", &input, "--exits", "off"];
    assert_eq!(run(&off, "").expect_code(0).err, "");
    let ramps = format!("{}/ramps.safetensors", shipped());
    let copied = folder.path("ramps.safetensors");
    std::fs::copy(ramps, &copied).unwrap();
    let half = ["evaluate", "--model", &shipped(), "--ramps", &copied];
    let half = run(&half, "").expect_code(0);
    assert!(half.err.contains("ramps without thresholds"), "{}", half.err);
    assert!(half.err.contains("offramp fit-thresholds --model"), "{}", half.err);
}

#[test]
fn inspect_counts_in_english() {
    let inspect = |more: &[&str]| {
        let model = golden("bert-cls");
        run(&[&["inspect", "--model", &model], more].concat(), "").expect_code(0).out
    };
    assert!(inspect(&[]).contains("costs of 1 row of 40 tokens"), "{}", inspect(&[]));
    let told = inspect(&["--rows", "2", "--tokens", "1", "--batch", "1"]);
    assert!(
        told.contains("costs of 2 rows of 1 token, ") && told.contains("for 1 row and"),
        "{told}"
    );
}

#[test]
fn bench_takes_lengths_from_a_file() {
    let folder = Folder::new();
    let model = golden("bert-cls");
    let lengths = folder.write("lengths.txt", "3\n5\n40\n");
    let args = ["bench", "--model", &model, "--rows", "2", "--rounds", "1", "--json"];
    let cells = run(&[&args[..], &["--lengths-from", &lengths]].concat(), "").expect_code(0);
    assert_eq!(cells.json()[0]["lengths"], "lengths");
    let wrong = folder.write("wrong.txt", "3\n41\n");
    let done = run(&[&args[..], &["--lengths-from", &wrong]].concat(), "").expect_code(1);
    assert!(done.err.contains(&format!("{wrong}:2: expected a number")), "{}", done.err);
}

#[test]
fn profile_saves_what_it_measured() {
    let folder = Folder::new();
    let (model, out) = (golden("bert-cls"), folder.path("profile.json"));
    let args = [
        "profile", "--model", &model, "--rows", "1,2", "--tokens", "4", "--rounds", "1", "--out",
        &out, "--json",
    ];
    let told = run(&args, "").expect_code(0).json();
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(told, saved);
    assert_eq!(saved["schema_version"], 1);
    assert_eq!(saved["shapes"].as_array().unwrap().len(), 2);
    assert_eq!(saved["shapes"][1]["segment_us"].as_array().unwrap().len(), 2);
}

#[test]
fn evaluate_counts_accuracy_where_there_are_labels() {
    let folder = Folder::new();
    let input = folder.write(
        "in.jsonl",
        "{\"text\": \"Who wrote Hamlet?\", \"label\": \"HUM\"}\n\
         {\"text\": \"Who?\", \"label\": \"NUM\"}\n",
    );
    let args = ["evaluate", "--model", &shipped(), "--exits", "off", "--input", &input, "--json"];
    let variants = run(&args, "").expect_code(0).json();
    assert_eq!(variants.as_array().unwrap().len(), 1, "without exits there is one way to run");
    assert_eq!(variants[0]["accuracy"], json!(0.5));
    assert_eq!(variants[0]["mean_depth"], json!(1.0));
}

#[test]
fn help_has_examples_and_the_twin_of_a_flag() {
    let help = run(&["classify", "--help"], "").expect_code(0).out;
    assert!(help.contains("Examples:") && help.contains("[env: OFFRAMP_MODEL="), "{help}");
    assert!(run(&["--version"], "").expect_code(0).out.starts_with("offramp "));
}

#[test]
fn inspect_tells_a_saved_profile_and_whose_it_is() {
    let (_folder, model) = with_tensor_of("bert-cls", "classifier.bias", 0.5);
    let measure = ["profile", "--model", &model, "--rows", "2", "--tokens", "4", "--rounds", "1"];
    run(&measure, "").expect_code(0);
    let told = || run(&["inspect", "--model", &model], "").expect_code(0).out;
    assert!(told().contains("ms for 2 rows of 4 tokens on cpu"), "{}", told());
    let (_other, changed) = with_tensor_of("bert-cls", "classifier.bias", 0.25);
    std::fs::copy(format!("{model}profile.json"), format!("{changed}profile.json")).unwrap();
    let told = run(&["inspect", "--model", &changed], "").expect_code(0).out;
    assert!(told.contains("of another model"), "{told}");
}
