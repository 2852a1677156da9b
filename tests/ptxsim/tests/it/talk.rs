//! What blocks see of one another: nothing that nobody released and acquired.

use std::sync::Mutex;

use crate::common::{kernel, run_on};
use offramp_ptxsim::{Chip, Contents, FaultKind, Launch, Memory, Module, launch_watched};

/// Orders of blocks that every case is run in.
const SEEDS: u64 = 6;

/// How the blocks of a sum tell each other that their part is there.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// By every thread that has stored its part.
    all: &'static str,
    /// By one thread, around its atomic.
    before: &'static str,
    atomic: &'static str,
    after: &'static str,
}

impl Arrival {
    const fn new(
        all: &'static str,
        before: &'static str,
        atomic: &'static str,
        after: &'static str,
    ) -> Self {
        Self { all, before, atomic, after }
    }

    /// Three blocks of 64 threads store a part each, and the last one sums them up: whether it
    /// sees them all.
    fn is_right(self, seed: u64) -> bool {
        let Self { all, before, atomic, after } = self;
        let body = format!(
            "mul.lo.u32 %r3, %r2, 64; add.u32 %r3, %r3, %r1; mul.wide.u32 %rd2, %r3, 4;\
             add.s64 %rd2, %rd1, %rd2; add.u32 %r4, %r3, 1; st.global.u32 [%rd2+512], %r4; {all}\n\
             setp.ne.u32 %p1, %r1, 0; @%p1 bra $JOIN;\n\
             {before} {atomic}.global.add.u32 %r5, [%rd1+256], 1; {after}\n\
             st.shared.u32 [buffer], %r5;\n\
             $JOIN: bar.sync 0; ld.shared.u32 %r5, [buffer]; setp.ne.u32 %p2, %r5, 2; @%p2 ret;\n\
             mul.wide.u32 %rd3, %r1, 4; add.s64 %rd3, %rd1, %rd3; ld.global.u32 %r6, [%rd3+512];\
             ld.global.u32 %r7, [%rd3+768]; ld.global.u32 %r8, [%rd3+1024];\
             add.u32 %r6, %r6, %r7; add.u32 %r6, %r6, %r8; st.global.u32 [%rd3], %r6;"
        );
        let chip = Chip { seed, ..Chip::default() };
        let (out, _) = run_on(chip, &body, [3, 64], &[0; 320]).expect("no fault");
        (0..64).all(|thread| out[thread] == 3 * (thread as u32 + 1) + 64 + 128)
    }
}

#[test]
fn the_last_block_sees_what_was_released_to_it() {
    let fence = "fence.acq_rel.gpu;";
    for arrival in [
        Arrival::new("bar.sync 0;", "", "atom.acq_rel.gpu", ""),
        Arrival::new("bar.sync 0;", "", "atom.acq_rel.sys", ""),
        Arrival::new("bar.sync 0;", fence, "atom.relaxed.gpu", fence),
        Arrival::new("bar.sync 0;", "membar.gl;", "atom", "membar.gl;"),
        Arrival::new("bar.sync 0;", "", "atom.release.gpu", fence),
        Arrival::new("bar.sync 0;", fence, "atom.acquire.gpu", ""),
        // As CUDA's samples do it.
        Arrival::new("membar.gl; bar.sync 0;", "", "atom", "membar.gl;"),
    ] {
        for seed in 0..SEEDS {
            assert!(arrival.is_right(seed), "{arrival:?}, seed {seed}");
        }
    }
}

#[test]
fn the_last_block_sees_nothing_else() {
    let fence = "fence.acq_rel.gpu;";
    for arrival in [
        Arrival::new("bar.sync 0;", "", "atom.relaxed.gpu", ""),
        Arrival::new("bar.sync 0;", "", "atom", ""),
        Arrival::new("bar.sync 0;", "", "atom.acquire.gpu", ""),
        Arrival::new("bar.sync 0;", "", "atom.release.gpu", ""),
        Arrival::new("bar.sync 0;", "", "atom.acq_rel.cta", ""),
        Arrival::new("bar.sync 0;", fence, "atom", ""),
        Arrival::new("bar.sync 0;", "", "atom", fence),
        Arrival::new("bar.sync 0;", "membar.cta;", "atom", "membar.cta;"),
        // One thread cannot release what others stored that it has not met since.
        Arrival::new("", "", "atom.acq_rel.gpu", ""),
        Arrival::new("bar.warp.sync -1;", "", "atom.acq_rel.gpu", ""),
        Arrival::new("membar.gl; bar.sync 0;", "", "atom", ""),
    ] {
        for seed in 0..SEEDS {
            assert!(!arrival.is_right(seed), "{arrival:?}, seed {seed}");
        }
    }
}

/// What the host sees, at any time, of 64 words and a flag behind them: whether the flag ever
/// comes before a word.
fn comes_too_early(publish: &str) -> bool {
    let body = format!(
        "mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2; mov.u32 %r3, 7;\
         st.global.u32 [%rd2], %r3; {publish}"
    );
    let module = Module::parse("test", &kernel(&body)).unwrap_or_else(|error| panic!("{error}"));
    let memory = Memory::new();
    let address = memory.alloc(65 * 4, Contents::Defined).expect("memory");
    let found = Mutex::new(false);
    let look = || {
        let mut bytes = [0; 65 * 4];
        memory.read(address, &mut bytes).expect("a block");
        let is_there = |word: usize| bytes[4 * word] == 7;
        if is_there(64) && !(0..64).all(is_there) {
            *found.lock().expect("a lock") = true;
        }
    };
    let launch = Launch {
        kernel: module.kernel("k").expect("k"),
        grid: [1; 3],
        block: [64, 1, 1],
        dynamic_shared_bytes: 0,
        params: &address.to_le_bytes(),
        is_early: false,
        chip: Chip::default(),
    };
    launch_watched(&memory, &launch, &look).expect("no fault");
    let mut flag = [0; 4];
    memory.read(address + 256, &mut flag).expect("a block");
    assert_eq!(flag[0], 7, "in the end everything is there");
    found.into_inner().expect("a lock")
}

#[test]
fn the_host_sees_a_flag_behind_what_it_stands_for() {
    let flag = "setp.ne.u32 %p1, %r1, 0; @%p1 ret;";
    let store = |order: &str| format!("{flag} st{order}.global.u32 [%rd1+256], %r3;");
    let atomic = "atom.relaxed.sys.global.add.u32 %r9, [%rd1], 0;";
    for (publish, is_early) in [
        (format!("bar.sync 0; {}", store(".release.sys")), false),
        (format!("membar.sys; bar.sync 0; {}", store(".relaxed.sys")), false),
        (format!("bar.sync 0; membar.sys; {}", store(".volatile")), false),
        (store(".release.sys"), true),
        (format!("bar.sync 0; {}", store(".relaxed.sys")), true),
        (format!("bar.sync 0; {}", store(".release.gpu")), true),
        (format!("bar.sync 0; membar.gl; {}", store(".relaxed.sys")), true),
        (format!("{atomic} bar.sync 0; {}", store("")), true),
    ] {
        assert_eq!(comes_too_early(&publish), is_early, "{publish}");
    }
}

/// Two blocks store to one word, with or without a word from the first to the second.
#[test]
fn blocks_that_talk_may_race_too() {
    let race = "mov.u32 %r3, 5; st.global.u32 [%rd1], %r3; red.global.add.u32 [%rd1+8], 1;";
    let run = |body: &str| run_on(Chip { seed: 3, ..Chip::default() }, body, [2, 1], &[0; 4]);
    let fault = run(race).expect_err("a race");
    assert_eq!(fault.kind, FaultKind::GlobalRace, "{fault}");
    assert!(fault.to_string().contains("blocks in the order of seed 3"), "{fault}");
    let waits = "setp.eq.u32 %p1, %r2, 0; @%p1 bra $STORE;\n\
                 $SPIN: ld.acquire.gpu.global.u32 %r4, [%rd1+8]; setp.eq.u32 %p2, %r4, 0;\
                 @%p2 bra $SPIN;\n\
                 $STORE: add.u32 %r3, %r2, 5; st.global.u32 [%rd1], %r3;\
                 atom.release.gpu.global.add.u32 %r5, [%rd1+8], 1;";
    assert_eq!(run(waits).expect("no race").0, [6, 0, 2, 0]);
}
