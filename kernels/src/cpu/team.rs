//! A fixed team of threads that share the tasks of one job at a time.
//!
//! ```text
//! caller = worker 0   publish ─ claim, claim, ... ─ close ─ wait for those inside ─► return
//! worker 1..n         spin, park ─ join if open ─ claim, claim, ... ─ leave
//! ```
//!
//! A job is open while the caller still claims tasks. A worker joins only an open job, and the
//! caller waits only for workers that joined: one that the operating system woke too late is not
//! waited for. So a team on a busy machine falls back to the caller's own speed.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle, park, yield_now};

use crossbeam_utils::CachePadded;

use crate::{Error, Result};

/// Rounds an idle worker spins before it parks: about 20 us, longer than the gap between two ops
/// of a pass.
const SPINS_MAX: u32 = 1_000;
/// Rounds the caller spins for the last worker before it gives its core away.
const WAIT_SPINS_MAX: u32 = 4_000;

/// Jobs with less work than this run on the caller alone: waking a worker costs more.
const FLOPS_MIN: f64 = 400_000.0;

// The gate: an epoch above, then whether the job is open, then how many workers are inside.
const OPEN: u64 = 1 << 16;
const EPOCH: u64 = 1 << 17;
const INSIDE: u64 = OPEN - 1;

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A job as the workers see it. The lifetime is erased: see [`Team::run`].
#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    tasks: usize,
}

/// What caller and workers share. What all of them write has a cache line of its own: claiming a
/// task must not slow down whoever looks at the gate.
struct Board {
    gate: CachePadded<AtomicU64>,
    next: CachePadded<AtomicUsize>,
    job: UnsafeCell<Option<Job>>,
    panicked: AtomicBool,
    stop: AtomicBool,
    asleep: Vec<CachePadded<AtomicBool>>,
}

// SAFETY: `job` is written by the caller only while the gate is closed and nobody is inside, and
// read by workers only between joining and leaving; the gate orders the two.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

/// A fixed team of threads. The caller is worker 0.
pub struct Team {
    board: Arc<Board>,
    threads: Vec<JoinHandle<()>>,
}

impl Team {
    /// Starts `threads - 1` threads, named `offramp-cpu-1` and up.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for no thread or more than a gate counts, [`Error::Device`] where the
    /// system refuses one.
    pub fn new(threads: usize) -> Result<Self> {
        if threads == 0 || threads as u64 > INSIDE {
            return Err(Error::mismatch("threads", format_args!("1 to {INSIDE}"), threads));
        }
        let board = Arc::new(Board {
            gate: CachePadded::default(),
            next: CachePadded::default(),
            job: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: (0..threads).map(|_| CachePadded::default()).collect(),
        });
        let mut team = Self { board, threads: Vec::with_capacity(threads - 1) };
        for worker in 1..threads {
            let board = Arc::clone(&team.board);
            let thread = Builder::new()
                .name(format!("offramp-cpu-{worker}"))
                .spawn(move || board.work(worker))
                .map_err(|error| failed(format!("cannot start worker {worker}: {error}")))?;
            team.threads.push(thread);
        }
        Ok(team)
    }

    /// Number of workers, the caller included.
    pub fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `task(index, worker)` once for every index below `tasks`, in no fixed order, and
    /// returns when all have returned. No two calls that run at once have the same `worker`.
    /// Small jobs, by `flops`, run on the caller. Nothing is allocated.
    ///
    /// # Errors
    /// [`Error::Device`] where a task panicked; the team stays usable.
    pub fn run(&mut self, tasks: usize, flops: f64, task: &Task<'_>) -> Result<()> {
        let alone = self.threads.is_empty() || tasks <= 1 || flops < FLOPS_MIN;
        let outcome = if alone {
            catch_unwind(AssertUnwindSafe(|| (0..tasks).for_each(|index| task(index, 0)))).is_ok()
        } else {
            self.run_together(tasks, task)
        };
        if outcome { Ok(()) } else { Err(failed("a task panicked".to_owned())) }
    }

    fn run_together(&mut self, tasks: usize, task: &Task<'_>) -> bool {
        let board = &*self.board;
        // SAFETY: only the lifetime changes. The pointer is used by workers inside the job, and
        // this function returns only after the last of them left; no worker joins after `close`.
        let task: &Task<'static> = unsafe { std::mem::transmute(task) };
        let job = Job { task, tasks };
        // SAFETY: the gate is closed and nobody is inside since the last job ended.
        unsafe { *board.job.get() = Some(job) };
        board.next.store(0, Ordering::Relaxed);
        board.open();
        self.wake(tasks - 1);
        let done = board.claim(job, 0);
        board.close();
        let panicked = board.panicked.swap(false, Ordering::Relaxed);
        done && !panicked
    }

    /// Wakes as many sleeping workers as there are tasks for.
    fn wake(&self, tasks: usize) {
        for (worker, thread) in (1..).zip(&self.threads).take(tasks) {
            if self.board.asleep[worker].swap(false, Ordering::SeqCst) {
                thread.thread().unpark();
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A worker catches its panics: nothing to learn from the result.
            let _ = thread.join();
        }
    }
}

impl Board {
    /// Opens the next epoch with nobody inside.
    fn open(&self) {
        let epoch = self.gate.load(Ordering::Relaxed) & !(OPEN | INSIDE);
        self.gate.store(epoch.wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
    }

    /// Lets nobody in any more, then waits until the last one has left.
    fn close(&self) {
        self.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while self.gate.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            if spins < WAIT_SPINS_MAX { std::hint::spin_loop() } else { yield_now() }
        }
    }

    /// Goes in, unless the job of `seen` is over.
    fn join(&self, mut seen: u64) -> bool {
        let epoch = seen / EPOCH;
        while seen & OPEN != 0 && seen / EPOCH == epoch {
            let entered = self.gate.compare_exchange_weak(
                seen,
                seen + 1,
                Ordering::Acquire,
                Ordering::Acquire,
            );
            match entered {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    fn leave(&self) {
        self.gate.fetch_sub(1, Ordering::Release);
    }

    /// Takes tasks until none is left; false if one panicked.
    fn claim(&self, job: Job, worker: usize) -> bool {
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= job.tasks {
                    break;
                }
                // SAFETY: the task outlives the job, see `Team::run_together`, and whoever
                // claims is the caller or a worker inside.
                unsafe { (*job.task)(index, worker) };
            }
        }));
        result.is_ok()
    }

    /// The life of a worker.
    fn work(&self, worker: usize) {
        let mut epoch = 0;
        while let Some(seen) = self.wait(worker, epoch) {
            epoch = seen / EPOCH;
            if !self.join(seen) {
                continue;
            }
            // SAFETY: inside an open job: it was written before the gate opened.
            let job = unsafe { *self.job.get() };
            let done = job.is_none_or(|job| self.claim(job, worker));
            if !done {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.leave();
        }
    }

    /// The gate once it shows an epoch after `epoch`; `None` when the team ends.
    fn wait(&self, worker: usize, epoch: u64) -> Option<u64> {
        let mut spins = 0;
        loop {
            let seen = self.gate.load(Ordering::SeqCst);
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if seen / EPOCH != epoch {
                return Some(seen);
            }
            spins += 1;
            if spins < SPINS_MAX {
                std::hint::spin_loop();
            } else {
                self.sleep(worker, epoch);
                spins = 0;
            }
        }
    }

    /// Parks unless something happened since; may wake for no reason.
    fn sleep(&self, worker: usize, epoch: u64) {
        self.asleep[worker].store(true, Ordering::SeqCst);
        let unchanged = self.gate.load(Ordering::SeqCst) / EPOCH == epoch;
        if unchanged && !self.stop.load(Ordering::SeqCst) {
            park();
        }
        self.asleep[worker].store(false, Ordering::SeqCst);
    }
}

fn failed(message: String) -> Error {
    Error::Device { device: "cpu".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIG: f64 = 1e12;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let mut team = Team::new(threads).unwrap();
            for tasks in [0, 1, 2, 7, 64] {
                let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                team.run(tasks, BIG, &|index, worker| {
                    assert!(worker < threads);
                    counts[index].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    /// Many short jobs with pauses that make workers park and wake, more threads than cores.
    #[test]
    fn jobs_never_mix() {
        let mut team = Team::new(6).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..4_000_u64 {
            let tasks = random.usize(0..12);
            let sum = AtomicU64::new(0);
            team.run(tasks, BIG, &|index, _| {
                sum.fetch_add(round * 100 + index as u64, Ordering::Relaxed);
            })
            .unwrap();
            let tasks = tasks as u64;
            let expected = round * 100 * tasks + tasks * tasks.saturating_sub(1) / 2;
            assert_eq!(sum.into_inner(), expected);
            if random.u8(..) == 0 {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    }

    #[test]
    fn a_panic_is_an_error_and_the_team_goes_on() {
        let mut team = Team::new(3).unwrap();
        for guilty in 0..8 {
            let outcome = team.run(8, BIG, &|index, _| assert_ne!(index, guilty));
            assert!(matches!(outcome, Err(Error::Device { .. })));
            team.run(8, BIG, &|_, _| {}).unwrap();
        }
    }

    #[test]
    fn workers_never_share_an_index() {
        let mut team = Team::new(4).unwrap();
        let busy: Vec<_> = (0..4).map(|_| AtomicBool::new(false)).collect();
        team.run(200, BIG, &|_, worker| {
            assert!(!busy[worker].swap(true, Ordering::SeqCst));
            yield_now();
            busy[worker].store(false, Ordering::SeqCst);
        })
        .unwrap();
    }

    #[test]
    fn no_threads_is_an_error() {
        assert!(Team::new(0).is_err());
    }
}
