//! `offramp serve` as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use offramp_client::{Client, RetryOptions};

use crate::support::{offramp, shipped};

/// A server that runs, and ends with the test.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) address: String,
    /// Health and metrics, where that was asked for.
    pub(crate) http: String,
}

impl Running {
    /// Of the shipped model, on a free port.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let model = shipped();
        Self::from(offramp(
            &[&["serve", "--listen", "127.0.0.1:0", "--model", &model], flags].concat(),
        ))
    }

    pub(crate) fn from(mut command: Command) -> Self {
        let has_http = command.get_args().any(|arg| arg == "--http");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, log, address: String::new(), http: String::new() };
        let line = running.line_with(" listening ");
        running.address = line.rsplit_once("address=").unwrap().1.trim().to_owned();
        if has_http {
            let line = running.line_with(" health and metrics ");
            running.http = line.rsplit_once("http=").unwrap().1.trim().to_owned();
        }
        running
    }

    /// The next line that tells of `event`.
    pub(crate) fn line_with(&mut self, event: &str) -> String {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 {
            if line.contains(event) {
                return line;
            }
            line.clear();
        }
        panic!("it ended without a line with {event}");
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> String {
        get(&self.http, "/metrics").1
    }

    pub(crate) fn client(&self) -> Client {
        Client::new([self.address.clone()], RetryOptions::default())
    }

    /// A connection whose replies are not taken, so that the end of its server has to wait.
    pub(crate) fn hold(&self) -> TcpStream {
        let mut client = TcpStream::connect(&self.address).unwrap();
        client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let ping = [b"OFRP\x01\x02", &[0; 14][..], &(1_u32 << 19).to_le_bytes(), &[0; 1 << 19]];
        let ping = ping.concat();
        while client.write_all(&ping).is_ok() {}
        client
    }

    pub(crate) fn end(mut self, code: i32) {
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
    }

    pub(crate) fn stop(self) {
        self.signal("-TERM");
        self.end(0);
    }
}

/// Sends a signal.
pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Head and body of what is answered there.
pub(crate) fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// A metric's value, by its name and labels.
pub(crate) fn value(metrics: &str, name: &str) -> f64 {
    let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = values.next_back().unwrap_or_else(|| panic!("no {name} in {metrics}"));
    value.parse().unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
