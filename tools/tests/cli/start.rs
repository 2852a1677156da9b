//! A server's start tells the truth: what is wrong, at once; what is lacking; what it will do.

use std::net::TcpListener;
use std::process::Command;

use offramp_client::{Connection, RetryOptions};
use offramp_protocol::{InferOptions, Input, Kind, Reply};
use serde_json::Value;

use crate::running::{Running, value};
use crate::support::{Folder, copy_of, finish, golden, offramp, run, shipped};

const DRY: [&str; 4] = ["serve", "--listen", "127.0.0.1:0", "--dry-run"];

fn dry(model: &str, flags: &[&str]) -> Command {
    offramp(&[&DRY[..], &["--model", model, "--log-format", "json"], flags].concat())
}

/// The first event of that message.
fn event(log: &str, message: &str) -> Option<Value> {
    let mut events = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    events.find(|event| event["message"] == message)
}

#[test]
fn a_port_that_is_taken_is_told_before_the_model_is_loaded() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let model = shipped();
    let port = taken.port();
    for flags in [
        &["--listen", &taken.to_string()][..],
        &["--listen", &format!("localhost:{port}")],
        &["--listen", &format!(":{port}")],
        &["--listen", "127.0.0.1:0", "--http", &taken.to_string()],
    ] {
        // Where the name is of more than one address, another may be free.
        let serve = ["serve", "--dry-run", "--model", &model];
        let ran = run(&[&serve[..], flags].concat(), "").expect_code(2);
        assert!(
            ran.err.contains("error: cannot listen on ") && ran.err.contains(&port.to_string())
        );
        assert!(!ran.err.contains("warming up"), "{}", ran.err);
    }
}

#[test]
fn names_and_ports_alone_are_addresses() {
    for listen in ["localhost:0", ":0", "127.0.0.1:0"] {
        let model = shipped();
        let args = ["serve", "--model", &model, "--listen", listen, "--http", listen];
        let server = Running::from(offramp(&args));
        let port = server.address.rsplit_once(':').unwrap().1;
        for address in [format!("localhost:{port}"), format!(":{port}")] {
            let mut connection = Connection::open(&address, None).unwrap();
            assert_eq!(connection.ask(Kind::Ready).unwrap(), Reply::Done);
        }
        server.stop();
    }
    for listen in ["7070", "nowhere.invalid:7070", "127.0.0.1:http"] {
        let ran = run(&["serve", "--model", &shipped(), "--listen", listen], "").expect_code(2);
        assert!(ran.err.contains("expected 127.0.0.1:7070, localhost:7070"), "{}", ran.err);
    }
}

#[test]
fn a_tokenizer_that_is_damaged_is_an_error_and_a_missing_one_a_warning() {
    let folder = copy_of(&shipped());
    let (model, file) = (folder.path(""), folder.path("tokenizer.json"));
    let whole = std::fs::read(&file).unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\n".to_vec();
    for content in [pointer, whole[..whole.len() / 2].to_vec(), vec![], b"{}".to_vec()] {
        std::fs::write(&file, content).unwrap();
        for more in [&[][..], &["--exits", "off"]] {
            let ran = finish(dry(&model, more), "").expect_code(1);
            let last = ran.err.lines().last().unwrap();
            assert!(last.starts_with(&format!("error: {file}: ")), "{}", ran.err);
            assert!(!ran.err.contains("warming up"), "{}", ran.err);
        }
        let ran = run(&["serve", "--model", &model, "--listen", "127.0.0.1:0"], "").expect_code(1);
        assert!(ran.err.contains(&file), "{}", ran.err);
    }
    std::fs::remove_file(&file).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/nowhere/at-all", &file).unwrap();
        let ran = finish(dry(&model, &[]), "").expect_code(1);
        assert!(ran.err.contains(&file), "{}", ran.err);
        std::fs::remove_file(&file).unwrap();
    }
    let ran = finish(dry(&model, &[]), "").expect_code(0);
    let warning = event(&ran.err, "there is no tokenizer: texts will be refused, tokens are taken");
    let warning = warning.unwrap_or_else(|| panic!("{}", ran.err));
    assert_eq!((&warning["level"], &warning["file"]), (&"WARN".into(), &file.into()));
    assert_eq!(event(&ran.err, "what will be done").unwrap()["reads"], "tokens");
    let server = Running::from(offramp(&["serve", "--listen", "127.0.0.1:0", "--model", &model]));
    let mut client = offramp_client::Client::new(
        [server.address.clone()],
        RetryOptions { tries: 1, ..RetryOptions::default() },
    );
    let input = Input::Text("Where is Oslo?", None);
    let refused = client.classify(&input, InferOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("the model has none: send tokens"), "{refused}");
    server.stop();
}

#[test]
fn empty_variables_count_as_unset() {
    let model = shipped();
    let twins = ["OFFRAMP_HTTP", "OFFRAMP_THREADS", "OFFRAMP_CONFIG", "OFFRAMP_ADAPT"];
    let more = ["OFFRAMP_JOURNAL", "OFFRAMP_BATCH", "OFFRAMP_LISTEN", "OFFRAMP_EXITS"];
    let set = |mut command: Command| {
        for twin in twins.into_iter().chain(more) {
            command.env(twin, "");
        }
        command
    };
    finish(set(dry(&model, &[])), "").expect_code(0);
    finish(set(offramp(&["classify", "--model", &model])), "Where is Oslo?\n").expect_code(0);
    finish(set(offramp(&["inspect", "--model", &model])), "").expect_code(0);
    let mut without = offramp(&["inspect"]);
    without.env("OFFRAMP_MODEL", "");
    let ran = finish(without, "").expect_code(2);
    assert!(ran.err.contains("--model <DIR>"), "{}", ran.err);
    // A file's flag is not hidden by an empty variable.
    let folder = Folder::new();
    let config = folder.write("serve.toml", "batch = 3\n");
    let ran = finish(set(dry(&model, &["--config", &config])), "").expect_code(0);
    assert_eq!(event(&ran.err, "warmed up").unwrap()["rows_max"], 3);
}

#[test]
fn one_line_says_what_will_be_done() {
    let told = |model: &str, flags: &[&str]| {
        let ran = finish(dry(model, flags), "").expect_code(0);
        event(&ran.err, "what will be done").unwrap_or_else(|| panic!("{}", ran.err))
    };
    let (model, bare) = (shipped(), golden("bert-cls"));
    let fitted = told(&model, &[]);
    assert_eq!(fitted["exits"], "confidence, fitted for 99 % agreement");
    assert_eq!((&fitted["promise"], &fitted["audits"]), (&"none".into(), &"none".into()));
    assert_eq!(fitted["reads"], "texts and tokens");
    assert!(fitted["ramps"].as_str().unwrap().ends_with(" of 5 run"), "{fitted}");
    let audited = told(&model, &["--audit-rate", "0.1"]);
    assert_eq!(audited["audits"], "10 % of rows");
    let live = told(&model, &["--adapt", "--max-disagreement", "2%", "--confidence", "90%"]);
    assert!(live["exits"].as_str().unwrap().starts_with("adaptive, from "), "{live}");
    assert_eq!(live["promise"], "at most 2 % other answers, at 90 % confidence");
    assert_eq!(live["audits"], "20 % of rows");
    let off = told(&bare, &[]);
    assert!(off["exits"].as_str().unwrap().starts_with("off: every row runs to the end"), "{off}");
    assert_eq!(told(&model, &["--exits", "off"])["exits"], "off");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_no_file_that_was_left_out() {
    for name in ["tokenizer_config.json", "ramps.safetensors", "thresholds.json"] {
        let folder = copy_of(&shipped());
        let file = folder.path(name);
        let _ = std::fs::remove_file(&file);
        std::os::unix::fs::symlink("../blobs/gone", &file).unwrap();
        let ran = finish(dry(&folder.path(""), &[]), "").expect_code(1);
        let last = ran.err.lines().last().unwrap();
        assert!(last.starts_with(&format!("error: {file}: ")), "{}", ran.err);
        assert!(last.ends_with("it is a link that leads nowhere"), "{}", ran.err);
        // What is not asked for is not read, and does no harm.
        let code = i32::from(name == "tokenizer_config.json");
        finish(dry(&folder.path(""), &["--exits", "off"]), "").expect_code(code);
    }
}

#[test]
fn half_of_a_pair_is_a_warning() {
    for (gone, expected) in [
        ("thresholds.json", "ramps without thresholds"),
        ("ramps.safetensors", "thresholds without ramps.safetensors"),
    ] {
        let folder = copy_of(&shipped());
        std::fs::remove_file(folder.path(gone)).unwrap();
        let ran = finish(dry(&folder.path(""), &[]), "").expect_code(0);
        let warning = event(&ran.err, "no row will leave early").unwrap();
        let half = warning["half"].as_str().unwrap();
        assert!(half.contains(expected) && warning["level"] == "WARN", "{warning}");
        assert!(event(&ran.err, "what will be done").unwrap()["exits"].as_str().is_some());
    }
}

#[test]
fn flags_that_would_change_nothing_are_refused() {
    let model = shipped();
    let serve = ["serve", "--dry-run", "--listen", "127.0.0.1:0", "--model", &model];
    let classify = ["classify", "--model", &model];
    let both: [&[&str]; 10] = [
        &["--max-disagreement", "0.5%"],
        &["--confidence", "0.9"],
        &["--promise", "point"],
        &["--journal", "/nowhere/at-all"],
        &["--audit-rate", "0.1", "--after-exit", "release"],
        &["--audit-rate", "0.1", "--exits", "off"],
        &["--threshold", "0.9", "--exits", "watch"],
        &["--policy", "margin", "--exits", "off"],
        &["--confidence", "0.9", "--adapt", "--promise", "point"],
        &["--precision", "bf16", "--device", "cpu"],
    ];
    let own: [&[&str]; 2] = [&["--delay-us", "10"], &["--count-exits", "--exits", "off"]];
    let of_both = both.iter().flat_map(|flags| [(&serve[..], flags), (&classify[..], flags)]);
    for (verb, flags) in of_both.chain(own.iter().map(|flags| (&serve[..], flags))) {
        let ran = run(&[verb, *flags].concat(), "").expect_code(2);
        let expected = format!("error: {} changes nothing w", flags[0]);
        assert!(ran.err.starts_with(&expected), "{flags:?}: {}", ran.err);
    }
    let mut from_twin = offramp(&serve);
    from_twin.env("OFFRAMP_MAX_DISAGREEMENT", "1%").env("OFFRAMP_ADAPT", "off");
    let ran = finish(from_twin, "").expect_code(2);
    let twin = "--max-disagreement (OFFRAMP_MAX_DISAGREEMENT) changes nothing without --adapt";
    assert!(ran.err.contains(twin), "{}", ran.err);
    let folder = Folder::new();
    let config = folder.write("serve.toml", "journal = \"j\"\n");
    let ran = run(&[&serve[..], &["--config", &config]].concat(), "").expect_code(2);
    assert!(ran.err.contains("--journal changes nothing without --adapt"), "{}", ran.err);
    let bare = golden("bert-cls");
    for verb in [&["serve", "--dry-run", "--listen", "127.0.0.1:0"][..], &["classify"]] {
        let ran = run(&[verb, &["--audit-rate", "0.1", "--model", &bare]].concat(), "");
        let told = ran.expect_code(2).err;
        assert!(told.contains("--audit-rate needs a model with ramps"), "{told}");
    }
}

/// The metrics once so many rows are audited: an answer leaves before its pass is over.
fn audited(server: &Running, rows: f64) -> String {
    for _ in 0..1000 {
        let metrics = server.metrics();
        if value(&metrics, "offramp_audited_rows_total") == rows {
            return metrics;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("not {rows}: {}", server.metrics());
}

#[test]
fn what_is_promised_and_what_is_seen_of_it_are_metrics() {
    let ask_often = |server: &Running, times: usize| {
        let mut client = server.client();
        let input = Input::Text("Where is Oslo?", None);
        for _ in 0..times {
            client.classify(&input, InferOptions::default()).unwrap();
        }
    };
    let server = Running::start(&["--http", "127.0.0.1:0", "--adapt", "--audit-rate", "1"]);
    ask_often(&server, 40);
    let metrics = audited(&server, 40.0);
    for (name, expected) in [
        ("offramp_audited_rows_total", 40.0),
        ("offramp_audited_rows_differing_total", 0.0),
        ("offramp_disagreement_goal", 0.01),
        ("offramp_disagreement_confidence", 0.95),
        ("offramp_window_rows", 0.0),
        ("offramp_log_lines_dropped_total", 0.0),
        ("offramp_panics_total{part=\"executor\"}", 0.0),
    ] {
        assert_eq!(value(&metrics, name), expected, "{name}");
    }
    let sites =
        metrics.lines().filter(|line| line.starts_with("offramp_ramp_active{site=")).count();
    assert_eq!(sites, 5, "{metrics}");
    let active = value(&metrics, "offramp_ramps_active");
    assert!(active >= 1.0, "{metrics}");
    let build = format!("offramp_build_info{{device=\"{}", "");
    let version = format!("version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(metrics.lines().any(|line| line.starts_with(&build) && line.ends_with(&version)));
    #[cfg(target_os = "linux")]
    assert!(value(&metrics, "process_resident_memory_bytes") > 1e6);
    server.stop();

    // Exits that stay are audited too, where that is asked for; nothing is promised of them.
    for (flags, rows) in
        [(&["--audit-rate", "1"][..], 20.0), (&["--after-exit", "release"], 20.0), (&[], 0.0)]
    {
        let server = Running::start(&[&["--http", "127.0.0.1:0"], flags].concat());
        ask_often(&server, 20);
        let metrics = audited(&server, rows);
        assert!(!metrics.contains("offramp_disagreement_goal"), "{metrics}");
        server.stop();
    }
}
