//! `offramp serve` as a process.

use std::process::Command;
use std::time::Duration;

use offramp_client::{Client, Connection, RetryOptions};
use offramp_protocol::{Exit, Infer, InferOptions, Input, Kind, Reply, Status, Tokens, Verdict};

use crate::running::Running;
use crate::support::{Folder, golden, offramp, on_interpreter, run, shipped};

fn ask(client: &mut Client) -> Verdict {
    let input = Input::Text("Where is Oslo?", None);
    client.classify(&input, InferOptions::default()).unwrap()
}

#[test]
fn a_server_answers_and_ends_well_when_told() {
    let server = Running::start(&[]);
    assert_eq!(ask(&mut server.client()).label, 4);
    server.stop();
}

#[test]
fn of_three_servers_one_may_be_killed() {
    let servers: Vec<Running> = (0..3).map(|_| Running::start(&[])).collect();
    let options = RetryOptions { timeout: Duration::from_secs(20), ..RetryOptions::default() };
    let mut client = Client::new(servers.iter().map(|server| server.address.clone()), options);
    for question in 0..300 {
        if question == 100 {
            servers[0].signal("-KILL");
        }
        assert_eq!(ask(&mut client).label, 4);
    }
    for server in servers.into_iter().skip(1) {
        server.signal("-INT");
        server.end(0);
    }
}

#[test]
fn a_second_signal_does_not_wait_for_clients() {
    let mut server = Running::start(&[]);
    let _client = server.hold();
    server.signal("-TERM");
    server.line_with(" draining ");
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.child.try_wait().unwrap().is_none(), "it waits for the client");
    server.signal("-TERM");
    assert_eq!(server.child.wait().unwrap().code(), None, "it was aborted");
}

#[test]
fn hanging_up_loads_thresholds_again_and_bad_ones_change_nothing() {
    let folder = Folder::new();
    let file = folder.path("thresholds.json");
    let shipped = std::fs::read_to_string(format!("{}/thresholds.json", shipped())).unwrap();
    std::fs::write(&file, &shipped).unwrap();
    let mut server = Running::start(&["--thresholds", &file]);
    let mut client = server.client();
    assert_ne!(ask(&mut client).exit, Exit::Final);
    std::fs::write(&file, &shipped[..shipped.len() / 2]).unwrap();
    server.signal("-HUP");
    let line = server.line_with(" reload failed ");
    assert!(line.contains(&file) && line.contains("the old ones stay"), "{line}");
    assert_ne!(ask(&mut client).exit, Exit::Final);
    let mut closed: serde_json::Value = serde_json::from_str(&shipped).unwrap();
    for ramp in closed["thresholds"].as_array_mut().unwrap() {
        ramp["threshold"] = 2.into();
    }
    std::fs::write(&file, closed.to_string()).unwrap();
    server.signal("-HUP");
    server.line_with(" reloaded");
    assert_eq!(ask(&mut client).exit, Exit::Final);
    server.stop();
}

#[test]
fn a_lost_device_ends_it_with_a_code_of_its_own() {
    let model = golden("bert-cls");
    let args = ["serve", "--listen", "127.0.0.1:0", "--model", &model, "--batch", "2"];
    let server = Running::from(on_interpreter(&args, &[("OFFRAMP_SIM_FAILING_LAUNCH", "2000")]));
    let mut connection = Connection::open(&server.address, None).unwrap();
    let row = Tokens { ids: vec![5, 6, 7], kinds: vec![] };
    let infer = Infer { input: Input::Tokens(row), options: InferOptions::default() };
    let failure = (0..2000).find_map(|_| {
        connection.send(&infer).unwrap();
        match connection.receive().unwrap().1 {
            Reply::Failure(failure) => Some(failure),
            _ => None,
        }
    });
    assert_eq!(failure.unwrap().status, Status::DeviceFailed);
    server.end(3);
}

#[test]
fn flags_may_come_from_a_file() {
    let folder = Folder::new();
    let file = folder.path("serve.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let serve = |more: &[&str]| run(&[&["serve", "--config", &file], more].concat(), "");
    let model = shipped();
    write(&format!("model = {model:?}\nlisten = \"127.0.0.1:0\"\nbatch = 4\nadapt = true\n"));
    let log = ["--dry-run", "--log-format", "json"];
    for (more, rows_max) in [(&[][..], 4), (&["--batch", "2"], 2)] {
        let ran = serve(&[&log[..], more].concat()).expect_code(0);
        let told = |message: &str| {
            let events = ran.err.lines().map(|line| serde_json::from_str(line).expect(line));
            let found: Option<serde_json::Value> =
                events.into_iter().find(|event: &serde_json::Value| event["message"] == message);
            found.unwrap_or_else(|| panic!("{message}: {}", ran.err))
        };
        assert_eq!(told("warmed up")["rows_max"], rows_max);
        assert_eq!(told("adapted")["rows"], 0);
    }
    for (text, expected) in [
        ("batches = 4", "unknown key `batches`, expected one of model, listen"),
        ("batch = [4]", "`batch`: expected a text or a number, found array"),
        ("adapt = 1", "`adapt`: expected true or false, found integer"),
        ("batch = ", "serve.toml: "),
        ("batch = 0", "invalid value '0' for '--batch"),
    ] {
        write(text);
        let ran = serve(&["--model", &model]).expect_code(2);
        assert!(ran.err.contains(expected) && ran.err.contains("serve.toml"), "{}", ran.err);
    }
    let gone = run(&["serve", "--config", "/nowhere/serve.toml"], "").expect_code(1);
    assert!(gone.err.starts_with("error: /nowhere/serve.toml: cannot read"), "{}", gone.err);
}

#[test]
fn more_connections_than_a_shell_lets_it_open_by_default() {
    let mut command = Command::new("sh");
    let serve = offramp(&["serve", "--listen", "127.0.0.1:0", "--model", &shipped()]);
    command.args(["-c", "ulimit -Sn 64; exec \"$0\" \"$@\""]).arg(serve.get_program());
    command.args(serve.get_args()).env("OFFRAMP_THREADS", "1").env("OFFRAMP_DEVICE", "cpu");
    let server = Running::from(command);
    let patience = Some(Duration::from_secs(20));
    let open = |_| Connection::open(&server.address, patience).unwrap();
    let mut connections: Vec<Connection> = (0..100).map(open).collect();
    for connection in &mut connections {
        assert_eq!(connection.ask(Kind::Ready).unwrap(), Reply::Done);
    }
    server.stop();
}
