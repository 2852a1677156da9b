//! The way into a service under every order in which threads may meet: whoever is let in is taken
//! out by the executor before it ends, and it ends though nobody wakes it but who comes and goes.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

#[path = "../../../engine/serve/src/service/door.rs"]
mod door;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
}

use door::Door;

/// What the executor is sent: jobs, and words that wake it.
#[derive(Default)]
struct Inbox {
    jobs: Vec<usize>,
    is_woken: bool,
}

/// A service: its door and its inbox.
struct Service {
    door: Door,
    inbox: Mutex<Inbox>,
    sent: Condvar,
}

impl Service {
    fn send(&self, job: Option<usize>) {
        let mut inbox = self.inbox.lock().unwrap();
        inbox.jobs.extend(job);
        inbox.is_woken = true;
        self.sent.notify_one();
    }

    /// A session; whether its job was accepted.
    fn admit(&self, job: usize) -> bool {
        let is_in = self.door.enter().is_ok();
        if is_in {
            self.send(Some(job));
        } else if self.door.is_over() {
            self.send(None);
        }
        is_in
    }

    fn close(&self) {
        self.door.close();
        self.send(None);
    }

    /// The executor, until `has_ended`; what it has run.
    fn run(&self, has_ended: impl Fn(&Door) -> bool) -> Vec<usize> {
        let mut ran = Vec::new();
        loop {
            let taken = self.take();
            let is_idle = taken.is_empty();
            self.door.leave(taken.len());
            ran.extend(taken);
            if is_idle && has_ended(&self.door) {
                return ran;
            }
            if is_idle {
                self.wait();
            }
        }
    }

    fn take(&self) -> Vec<usize> {
        let mut inbox = self.inbox.lock().unwrap();
        inbox.is_woken = false;
        std::mem::take(&mut inbox.jobs)
    }

    fn wait(&self) {
        let mut inbox = self.inbox.lock().unwrap();
        while !inbox.is_woken {
            inbox = self.sent.wait(inbox).unwrap();
        }
    }
}

/// Two sessions with room for `waiting_max`, a drain, and the executor.
fn model(waiting_max: usize, has_ended: impl Fn(&Door) -> bool + Copy + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let (inbox, sent) = (Mutex::default(), Condvar::new());
        let service = Arc::new(Service { door: Door::new(waiting_max), inbox, sent });
        let sessions: Vec<_> = (0..2)
            .map(|job| {
                let service = service.clone();
                thread::spawn(move || service.admit(job))
            })
            .collect();
        let executor = thread::spawn({
            let service = service.clone();
            move || service.run(has_ended)
        });
        service.close();
        let accepted: Vec<bool> = sessions.into_iter().map(|s| s.join().unwrap()).collect();
        let ran = executor.join().unwrap();
        for (job, is_accepted) in accepted.into_iter().enumerate() {
            assert_eq!(ran.contains(&job), is_accepted, "job {job}");
        }
        assert_eq!(service.door.waiting(), 0);
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
