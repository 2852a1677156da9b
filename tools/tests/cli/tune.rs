//! From a record to a table of searches, and exits that adapt while they answer.

use serde_json::Value;

use crate::support::{Folder, run, shipped};

/// The shipped questions three times over: proof takes a thousand rows.
fn questions(folder: &Folder) -> String {
    let text = std::fs::read_to_string(format!("{}/test.jsonl", shipped())).unwrap();
    folder.write("questions.jsonl", &text.repeat(3))
}

/// Those, recorded with every ramp watching.
fn record(folder: &Folder) -> String {
    let record = folder.path("day.record");
    let (model, input) = (shipped(), questions(folder));
    let args = ["classify", "--model", &model, "--input", &input, "--exits", "watch"];
    let ran = run(&[&args[..], &["--record", &record]].concat(), "").expect_code(0);
    assert!(ran.err.contains("recorded 2697 rows"), "{}", ran.err);
    assert!(ran.lines().iter().all(|answer| answer["exit"] == "final"));
    record
}

#[test]
fn recorded_rows_are_tuned_on_and_drawn() {
    let folder = Folder::new();
    let record = record(&folder);
    let (plot, journal) = (folder.path("plot.svg"), folder.path("journal.jsonl"));
    let args = ["tune", "--record", &record, "--json", "--plot", &plot, "--journal", &journal];
    let searches = run(&args, "").expect_code(0).json();
    let names: Vec<&str> =
        searches.as_array().unwrap().iter().filter_map(|row| row["search"].as_str()).collect();
    let all = ["no exits", "oracle", "as fitted", "tethered", "exact", "greedy", "uniform", "grid"];
    assert_eq!(names, all);
    let saving = |row: &Value| row["saving_share"].as_f64().unwrap();
    let work = |row: &Value| row["work_saving_share"].as_f64().unwrap();
    // Rows leave as they do in classify and serve: the others run on for fewer.
    assert!(work(&searches[2]) > 0.0 && searches[2]["proof_rows"].is_null(), "{}", searches[2]);
    for row in &searches.as_array().unwrap()[3..] {
        let proof = row["proof_rows"].as_u64().unwrap();
        assert!(proof > 0 && proof < 2697 && work(row) > 0.0, "{row}");
    }
    for row in &searches.as_array().unwrap()[2..] {
        assert!(saving(row) > 0.0 && saving(row) < saving(&searches[1]), "{row}");
        assert!(row["agreement"]["agreement"].as_f64().unwrap() >= 0.99, "{row}");
    }
    let lines = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(lines.lines().count() as u64, searches[3]["changes"].as_u64().unwrap());
    let drawing = std::fs::read_to_string(&plot).unwrap();
    assert!(drawing.starts_with("<svg") && drawing.contains("<polyline"), "{drawing}");
    let ramps = drawing.matches("<polyline").count() / 2;
    assert!(ramps > 2 && drawing.matches(">ramp ").count() == ramps, "every ramp has its name");
    let table = run(&["tune", "--record", &record, "--search", "exact,uniform"], "").expect_code(0);
    assert!(table.out.contains("oracle") && table.out.contains("exact"), "{}", table.out);
    assert!(
        table.out.contains("rows could not leave yet and only gathered proof"),
        "{}",
        table.out
    );
    assert!(!table.out.contains("-0.0"), "{}", table.out);
    let release = [&args[..6], &["--after-exit", "release"]].concat();
    let release = run(&release[..4], "").expect_code(0).json();
    assert_eq!(release[2]["agreement"], searches[2]["agreement"], "the same answers leave");
}

#[test]
fn what_cannot_be_tuned_on_is_named() {
    let folder = Folder::new();
    let none = folder.write("none.record", "not a record");
    let failed = run(&["tune", "--record", &none], "").expect_code(1);
    assert!(failed.err.contains("none.record") && failed.err.contains("not a record"));
    let record = folder.path("early.record");
    let args = ["classify", "--model", &shipped(), "--record", &record];
    run(&args, "Who wrote Hamlet?\nWho wrote Faust?\n").expect_code(0);
    let failed = run(&["tune", "--record", &record], "").expect_code(1);
    assert!(failed.err.contains("--exits watch"), "{}", failed.err);
    let off = [&args[..], &["--exits", "off"]].concat();
    assert!(run(&off, "").expect_code(2).err.contains("--exits watch"));
    run(&["tune", "--record", &record, "--max-disagreement", "120%"], "").expect_code(2);
}

#[test]
fn exits_adapt_while_they_answer() {
    let folder = Folder::new();
    let journal = folder.path("decisions.jsonl");
    let (model, input) = (shipped(), questions(&folder));
    let args = ["classify", "--model", &model, "--input", &input, "--exits", "watch", "--adapt"];
    let ran = run(&[&args[..], &["--journal", &journal]].concat(), "").expect_code(0);
    assert_eq!(ran.lines().len(), 2697);
    assert!(ran.err.contains("watched 2697 rows"), "{}", ran.err);
    assert!(ran.lines().iter().any(|answer| answer["exit"] != "final"), "nobody left");
    assert!(std::fs::read_to_string(journal).unwrap().lines().count() > 0);
    if std::path::Path::new("/dev/full").exists() {
        let ran = run(&[&args[..], &["--journal", "/dev/full"]].concat(), "").expect_code(1);
        assert_eq!(ran.lines().len(), 2697, "answers do not wait for the journal");
        assert!(ran.err.contains("/dev/full: No space left"), "{}", ran.err);
    }
}
