//! A reload is all or nothing: other ramps and thresholds of the very same model.

use std::path::Path;

use offramp_client::{Client, Connection};
use offramp_protocol::{InferOptions, Input, Kind, Verdict};

use crate::running::Running;
use crate::support::{Folder, copy_of, offramp, shipped};

fn ask(client: &mut Client) -> Verdict {
    let input = Input::Text("Where is Oslo?", None);
    let options = InferOptions { top: 6, ..InferOptions::default() };
    let verdict = client.classify(&input, options).unwrap();
    Verdict { queue_us: 0, compute_us: 0, ..verdict }
}

fn serve(folder: &Folder) -> Running {
    let model = folder.path("");
    let args = ["serve", "--listen", "127.0.0.1:0", "--allow-orders", "--model", &model];
    Running::from(offramp(&args))
}

/// A change to a file.
type Edit = fn(&mut Vec<u8>);

fn edit(file: &str, edit: Edit) {
    let mut bytes = std::fs::read(file).unwrap();
    edit(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_folder_that_holds_another_model_is_refused_by_the_names_of_its_files() {
    let folder = copy_of(&shipped());
    let mut server = serve(&folder);
    let mut client = server.client();
    let before = ask(&mut client);
    let last_byte: Edit = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    let space: Edit = |bytes: &mut Vec<u8>| bytes.push(b'\n');
    let half: Edit = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    let none: Edit = |bytes: &mut Vec<u8>| bytes.clear();
    let edits: [(&str, Edit); 6] = [
        ("model.safetensors", last_byte),
        ("model.safetensors", half),
        ("model.safetensors", none),
        ("tokenizer.json", space),
        ("tokenizer.json", half),
        ("config.json", space),
    ];
    for (name, change) in edits {
        let file = folder.path(name);
        let kept = std::fs::read(&file).unwrap();
        edit(&file, change);
        server.signal("-HUP");
        let line = server.line_with(" reload failed ");
        assert!(line.contains(&format!("{name} has changed")), "{line}");
        assert!(line.contains("restart to serve it"), "{line}");
        assert_eq!(ask(&mut client), before, "{name}");
        std::fs::write(&file, kept).unwrap();
    }
    std::fs::write(folder.path("tokenizer_config.json"), "{\"do_lower_case\": false}").unwrap();
    let mut connection = Connection::open(&server.address, None).unwrap();
    let refused = connection.ask(Kind::Reload).unwrap_err().to_string();
    assert!(refused.contains("tokenizer_config.json is new"), "{refused}");
    server.stop();
}

#[test]
fn files_that_have_come_or_gone_are_told_too() {
    let folder = copy_of(&shipped());
    let mut server = serve(&folder);
    let mut client = server.client();
    let before = ask(&mut client);
    for name in ["tokenizer.json", "model.safetensors", "config.json"] {
        let (file, aside) = (folder.path(name), folder.path("aside"));
        std::fs::rename(&file, &aside).unwrap();
        server.signal("-HUP");
        let line = server.line_with(" reload failed ");
        assert!(line.contains(name), "{line}");
        assert_eq!(ask(&mut client), before, "{name}");
        std::fs::rename(&aside, &file).unwrap();
    }
    server.signal("-HUP");
    server.line_with(" reloaded");
    let threshold_version = before.threshold_version;
    assert_eq!(Verdict { threshold_version, ..ask(&mut client) }, before);
    server.stop();
}

#[test]
fn versions_of_thresholds_never_go_back() {
    let folder = copy_of(&shipped());
    let mut server = serve(&folder);
    let mut client = server.client();
    let mut versions = vec![ask(&mut client).threshold_version];
    for _ in 0..2 {
        server.signal("-HUP");
        server.line_with(" reloaded");
        versions.push(ask(&mut client).threshold_version);
    }
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    server.stop();
}

#[test]
fn thresholds_without_ramps_and_ramps_without_thresholds_are_not_taken() {
    let folder = copy_of(&shipped());
    let mut server = serve(&folder);
    let mut client = server.client();
    let before = ask(&mut client);
    for (name, expected) in [
        ("thresholds.json", "ramps without thresholds"),
        ("ramps.safetensors", "thresholds without"),
    ] {
        let (file, aside) = (folder.path(name), folder.path("aside"));
        std::fs::rename(&file, &aside).unwrap();
        server.signal("-HUP");
        let line = server.line_with(" reload failed ");
        assert!(line.contains(expected), "{line}");
        assert_eq!(ask(&mut client), before, "{name}");
        std::fs::rename(&aside, &file).unwrap();
    }
    // Ramps of another model.
    let ramps = folder.path("ramps.safetensors");
    let other = Path::new(&shipped()).with_file_name("fashion-mnist").join("ramps.safetensors");
    std::fs::copy(other, &ramps).unwrap();
    server.signal("-HUP");
    assert!(server.line_with(" reload failed ").contains(&ramps));
    assert_eq!(ask(&mut client), before);
    server.stop();
}
