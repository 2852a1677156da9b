//! `offramp load` against a server as a process.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::Running;
use crate::support::{Folder, copy_of, offramp, run, shipped, shipped_images};

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
    assert_eq!(flood["slo_ms"], 5.0, "what is of no use later is no goodput: {flood}");
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
    assert!(done.err.contains("--rate changes nothing with --scenario offline"), "{}", done.err);
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
    assert!(!search["probes"].as_array().unwrap().is_empty(), "{search}");
    // How high depends on the machine, and whether it is held at all: what is told was held by
    // the very run that is told.
    match search["confirmations"].as_array().unwrap().last() {
        Some(last) if last["is_held"] == true => {
            assert_eq!(last["rate_per_s"].as_f64().unwrap(), highest, "{search}");
            let within = last["share_in_time"].as_f64().unwrap();
            assert!(within >= 0.99 && result["is_valid"] == true, "{result}");
            assert_eq!(result["ok"], result["sent"], "{result}");
        }
        _ => assert!(highest == 0.0 && result["is_valid"] == false, "{result}"),
    }
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.matches("<svg").count() >= 6 && page.contains("<table>"), "{page}");
    assert!(page.contains("of which 99 % are answered within 2000 ms"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing else");
    server.stop();
}

#[test]
fn another_model_than_the_one_that_is_served_is_refused() {
    let server = Running::start(&[]);
    let images = shipped_images();
    let other = copy_of(&shipped());
    let config = std::fs::read_to_string(format!("{}/config.json", shipped())).unwrap();
    let other_labels = other.write("config.json", &config.replace("\"HUM\"", "\"PER\""));
    let other_labels = other_labels.trim_end_matches("/config.json");
    for (model, input) in [(&*images, "test-images-idx3-ubyte.gz"), (other_labels, "test.jsonl")] {
        let input = format!("{model}/{input}");
        let flags = ["load", "--model", model, "--input", &input, "--address", &server.address];
        let told = run(&flags, "").expect_code(2).err;
        assert!(told.contains(&format!("--model {model}: `labels` [")), "{told}");
        assert!(told.contains("serves \"trec-questions\""), "{told}");
    }
    server.stop();
}

/// A load that runs beside the test.
fn begin(address: &str, more: &[&str]) -> Child {
    let (model, input) = (shipped(), format!("{}/test.jsonl", shipped()));
    let flags = ["load", "--model", &model, "--input", &input, "--address", address, "--json"];
    let mut command = offramp(&[&flags[..], more].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What it told, its exit code and its last words.
fn end(load: Child) -> (Value, i32, String) {
    let output = load.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let result = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {told}"));
    (result, output.status.code().unwrap(), told)
}

fn failed(result: &Value, end: &str) -> u64 {
    result["failed"][end].as_u64().unwrap_or(0)
}

#[test]
fn results_are_kept_when_the_server_goes() {
    for (how, more) in [
        ("-KILL", &["--rate", "100", "--seconds", "3"][..]),
        ("-INT", &["--rate", "60", "--seconds", "3", "--agreement"]),
        ("-KILL", &["--scenario", "offline", "--seconds", "3"]),
        ("-TERM", &["--scenario", "multi-stream", "--seconds", "3"]),
    ] {
        let (server, folder) = (Running::start(&[]), Folder::new());
        let report = folder.path("load.html");
        let load = begin(&server.address, &[more, &["--report", &report]].concat());
        std::thread::sleep(Duration::from_millis(1500));
        server.signal(how);
        let (result, code, told) = end(load);
        assert_eq!(code, 1, "{how} {more:?}: {told}");
        assert!(result["ok"].as_u64().unwrap() > 0, "{how} {more:?}: {result}");
        let ends = result["failed"].as_object().unwrap();
        let counted: u64 = ends.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(result["ok"].as_u64().unwrap() + counted, result["sent"].as_u64().unwrap());
        if more.contains(&"--rate") {
            assert!(failed(&result, "unsent") > 20, "{how} {more:?}: {result}");
            let problem = result["problems"][0].as_str().unwrap();
            assert!(problem.starts_with("the server ended connections"), "{problem}");
            assert!(told.contains("error: invalid: the server ended connections"), "{told}");
        }
        let page = std::fs::read_to_string(report).unwrap();
        assert!(page.contains("class=\"bad\" role=\"alert\">INVALID: "), "{page}");
        assert!(page.matches("<svg").count() >= 6, "{page}");
    }
}

#[test]
fn a_server_that_comes_back_is_asked_again() {
    let server = Running::start(&[]);
    let address = server.address.clone();
    let load = begin(&address, &["--rate", "100", "--seconds", "6"]);
    std::thread::sleep(Duration::from_millis(1000));
    server.signal("-KILL");
    drop(server);
    let serve = ["serve", "--model", &shipped(), "--listen", &address];
    let again = Running::from(offramp(&serve));
    let (result, code, told) = end(load);
    assert_eq!(code, 1, "it was away: {told}");
    let (ok, unsent) = (result["ok"].as_u64().unwrap(), failed(&result, "unsent"));
    assert!(ok > 150 && unsent > 0 && result["stopped_s"].is_null(), "{result}");
    again.stop();
}

/// A way to `server` that passes on so many connections, and takes others without a word.
fn mute_after(server: &Running, connections: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap().to_string(), server.address.clone());
    beside(move || {
        let mut held = Vec::new();
        for (index, client) in listener.incoming().enumerate() {
            let client = client.unwrap();
            if index < connections {
                let behind = TcpStream::connect(&server).unwrap();
                pass_on(client.try_clone().unwrap(), behind.try_clone().unwrap());
                pass_on(behind, client);
            } else {
                held.push(client);
            }
        }
    });
    address
}

fn beside(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name("between".to_owned()).spawn(work).unwrap();
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    beside(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn a_server_that_hangs_costs_neither_the_results_nor_for_ever() {
    let server = Running::start(&[]);
    // Its model, its passes before, and the load.
    let address = mute_after(&server, 3);
    let began = Instant::now();
    let load = begin(&address, &["--rate", "50", "--seconds", "1", "--connections", "1"]);
    let (result, _, told) = end(load);
    assert!(result["ok"].as_u64().unwrap() > 0 && result["ok"] == result["sent"], "{told}");
    assert_eq!(result["pass_rows"].as_object().map(|passes| passes.len()), Some(0), "{result}");
    for (passed, what) in [(0, "its model"), (1, "its passes")] {
        let address = mute_after(&server, passed);
        let (model, input) = (shipped(), format!("{}/test.jsonl", shipped()));
        let flags = ["load", "--model", &model, "--input", &input, "--address", &address];
        let told = run(&flags, "").expect_code(1).err;
        let expected = format!("error: {address}: the server does not tell {what} within 5 s");
        assert!(told.contains(&expected), "{told}");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    server.stop();
}

#[test]
fn a_load_without_a_server_says_so() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (model, input) = (shipped(), format!("{}/test.jsonl", shipped()));
    let address = port.to_string();
    let flags = ["load", "--model", &model, "--input", &input, "--address", &address];
    for more in [&["--search"][..], &["--scenario", "offline"], &[]] {
        let done = run(&[&flags[..], more].concat(), "").expect_code(1);
        assert!(done.err.contains(&address) && done.err.contains("refused"), "{}", done.err);
    }
}
