//! The way into a server under every order in which threads may meet: whoever is let in is taken
//! out by the executor before it ends.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use loom::sync::{Arc, Mutex};
use loom::thread;

#[path = "../../../engine/serve/src/service/door.rs"]
mod door;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
}

use door::Door;

/// A server: its door and its queue.
struct Server {
    door: Door,
    queue: Mutex<Vec<usize>>,
}

impl Server {
    /// A session; whether its job was accepted.
    fn admit(&self, job: usize) -> bool {
        let is_in = self.door.enter().is_ok();
        if is_in {
            self.queue.lock().unwrap().push(job);
        }
        is_in
    }

    /// The executor, until `has_ended`; what it has run.
    fn run(&self, has_ended: impl Fn(&Door) -> bool) -> Vec<usize> {
        let mut ran = Vec::new();
        loop {
            let is_end = has_ended(&self.door);
            let taken = std::mem::take(&mut *self.queue.lock().unwrap());
            if taken.is_empty() && is_end {
                return ran;
            }
            self.door.leave(taken.len());
            ran.extend(taken);
            thread::yield_now();
        }
    }
}

/// Two sessions with room for `waiting_max`, a drain, and the executor.
fn model(waiting_max: usize, has_ended: impl Fn(&Door) -> bool + Copy + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let (door, queue) = (Door::new(waiting_max), Mutex::new(Vec::new()));
        let server = Arc::new(Server { door, queue });
        let sessions: Vec<_> = (0..2)
            .map(|job| {
                let server = server.clone();
                thread::spawn(move || server.admit(job))
            })
            .collect();
        let executor = thread::spawn({
            let server = server.clone();
            move || server.run(has_ended)
        });
        server.door.close();
        let accepted: Vec<bool> = sessions.into_iter().map(|s| s.join().unwrap()).collect();
        let ran = executor.join().unwrap();
        for (job, is_accepted) in accepted.into_iter().enumerate() {
            assert_eq!(ran.contains(&job), is_accepted, "job {job}");
        }
        assert_eq!(server.door.waiting(), 0);
    });
}

#[test]
fn whoever_is_let_in_is_run() {
    for waiting_max in [1, 2] {
        model(waiting_max, Door::is_over);
    }
}

#[test]
#[should_panic(expected = "job ")]
fn ending_as_soon_as_nobody_waits_loses_jobs() {
    model(2, |door| door.waiting() == 0);
}
