//! `offramp load` against a server as a process.

use serde_json::Value;

use crate::running::Running;
use crate::support::{Folder, offramp, run, shipped};

/// A busy machine may send late, which the run calls invalid; its counts hold.
fn load(server: &Running, more: &[&str]) -> Value {
    let (model, input) = (shipped(), format!("{}/test.jsonl", shipped()));
    let flags =
        ["load", "--model", &model, "--input", &input, "--address", &server.address, "--json"];
    let output = offramp(&[&flags[..], more].concat()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

#[test]
fn a_load_counts_every_request_once() {
    let server = Running::start(&[]);
    let result = load(&server, &["--rate", "200", "--seconds", "2", "--agreement"]);
    assert_eq!(result["ok"], result["sent"], "{result}");
    assert!(result["agreement"]["agreement"].as_f64().unwrap() > 0.98, "{result}");
    assert!(result["accuracy"].as_f64().unwrap() > 0.8, "{result}");
    let flood = load(&server, &["--rate", "20000", "--seconds", "1", "--deadline-ms", "5"]);
    let failed = flood["failed"].as_object().unwrap();
    let ends = failed.values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(flood["ok"].as_u64().unwrap() + ends, flood["sent"].as_u64().unwrap(), "{flood}");
    let refusals = ["deadline_expired", "overloaded"];
    assert!(failed.keys().all(|end| refusals.contains(&end.as_str())), "{flood}");
    server.stop();
}

#[test]
fn every_scenario_is_answered_whole() {
    let server = Running::start(&[]);
    for scenario in ["single-stream", "multi-stream", "offline"] {
        let result = load(&server, &["--scenario", scenario, "--seconds", "0.5"]);
        assert_eq!(result["scenario"], scenario);
        assert!(
            result["sent"].as_u64().unwrap() >= 8 && result["ok"] == result["sent"],
            "{result}"
        );
        assert!(result["accuracy"].as_f64().unwrap() > 0.7, "{result}");
        let passes = result["pass_rows"].as_object().unwrap();
        let single = passes.keys().all(|rows| rows == "1");
        assert_eq!(single, scenario == "single-stream", "{result}");
    }
    let flags = ["load", "--model", &shipped(), "--input", "x", "--scenario", "offline"];
    let done = run(&[&flags[..], &["--rate", "5"]].concat(), "").expect_code(2);
    assert!(done.err.contains("--rate, --trace and --search belong to"), "{}", done.err);
    server.stop();
}

#[test]
fn the_highest_rate_is_searched_and_reported() {
    let (server, folder) = (Running::start(&[]), Folder::new());
    let report = folder.path("load.html");
    let how = ["--rate", "500", "--seconds", "0.2", "--slo-ms", "2000", "--arrivals", "diurnal"];
    let result = load(&server, &[&how[..], &["--search", "--report", &report]].concat());
    let search = &result["search"];
    let highest = search["highest_rate_per_s"].as_f64().unwrap();
    let probes = search["probes"].as_array().unwrap();
    let held = probes.iter().filter(|probe| probe["is_held"] == true);
    let best = held.map(|probe| probe["rate_per_s"].as_f64().unwrap()).fold(0.0, f64::max);
    // How high depends on the machine, and whether it is held at all.
    assert!(highest == best && !probes.is_empty(), "{search}");
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.matches("<svg").count() >= 6 && page.contains("highest rate"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing else");
    server.stop();
}
