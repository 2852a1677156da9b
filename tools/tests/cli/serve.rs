//! `offramp serve` as a process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use offramp::client::{Client, RetryOptions};
use offramp::serve::protocol::{InferOptions, Input};

use crate::support::shipped;

/// A server on a free port, and where it listens.
fn start() -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_offramp"))
        .args(["serve", "--listen", "127.0.0.1:0", "--threads", "1", "--model"])
        .arg(shipped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(child.stderr.as_mut().unwrap());
    lines.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
    (child, address.to_owned())
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_server_answers_and_ends_well_when_told() {
    let (mut child, address) = start();
    let mut client = Client::new([address], RetryOptions::default());
    let verdict = client.classify(&Input::Text("Where is Oslo?", None), InferOptions::default());
    assert_eq!(verdict.unwrap().label, 4);
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn of_three_servers_one_may_be_killed() {
    let mut servers: Vec<(Child, String)> = (0..3).map(|_| start()).collect();
    let options = RetryOptions { timeout: Duration::from_secs(20), ..RetryOptions::default() };
    let mut client = Client::new(servers.iter().map(|(_, address)| address.clone()), options);
    for question in 0..300 {
        if question == 100 {
            signal(&servers[0].0, "-KILL");
        }
        let input = Input::Text("Where is Oslo?", None);
        assert_eq!(client.classify(&input, InferOptions::default()).unwrap().label, 4);
    }
    for (child, _) in &mut servers[1..] {
        signal(child, "-INT");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    servers[0].0.wait().unwrap();
}

#[test]
fn a_load_counts_every_request_once() {
    let (mut child, address) = start();
    let (model, input) = (shipped(), format!("{}/test.jsonl", shipped()));
    let load = |more: &[&str]| {
        let flags = ["load", "--model", &model, "--input", &input, "--address", &address, "--json"];
        let output = Command::new(env!("CARGO_BIN_EXE_offramp"))
            .args([&flags[..], more].concat())
            .output()
            .unwrap();
        // A busy machine may send late, which the run calls invalid; its counts hold.
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let result = load(&["--rate", "200", "--seconds", "2", "--agreement"]);
    assert_eq!(result["ok"], result["sent"], "{result}");
    assert!(result["agreement"]["agreement"].as_f64().unwrap() > 0.98, "{result}");
    assert!(result["accuracy"].as_f64().unwrap() > 0.8, "{result}");
    let flood = load(&["--rate", "20000", "--seconds", "1", "--deadline-ms", "5"]);
    let failed = flood["failed"].as_object().unwrap();
    let ends = failed.values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(flood["ok"].as_u64().unwrap() + ends, flood["sent"].as_u64().unwrap(), "{flood}");
    let refusals = ["deadline_expired", "overloaded"];
    assert!(failed.keys().all(|end| refusals.contains(&end.as_str())), "{flood}");
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
