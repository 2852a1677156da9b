//! The Python client, where there is a Python.

use std::process::Command;

use offramp_serve::ServeOptions;
use offramp_tests::root;

use crate::support::start;

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn the_python_client_speaks_the_protocol() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3");
        return;
    }
    let server = start(&ServeOptions::default());
    let output = Command::new("python3")
        .arg("-B")
        .arg(root().join("tools/python/test_offramp.py"))
        .arg(server.address().to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.drain().unwrap();
}
