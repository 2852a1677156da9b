//! Launches that may begin before those in front of them have ended.

use crate::common::kernel;
use offramp_ptxsim::{Chip, Contents, Counts, Fault, FaultKind, Launch, Memory, Module, launch};

const WAIT: &str = "griddepcontrol.wait;";

/// Two kernels over a word that the host wrote and no kernel writes, and 64 that kernels write.
struct Pair {
    memory: Memory,
    address: u64,
}

impl Pair {
    /// Runs a kernel that stores to word 64 and what follows; the host has written all.
    fn new() -> Self {
        let memory = Memory::new();
        let address = memory.alloc(512, Contents::Undefined).expect("memory");
        memory.write(address, &[1; 512]).expect("a block");
        let pair = Self { memory, address };
        let first = "mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2; mov.u32 %r3, 5;\
                     st.global.u32 [%rd2+256], %r3;";
        pair.run(first, false).expect("no fault");
        pair
    }

    fn run(&self, body: &str, is_early: bool) -> Result<Counts, Fault> {
        let text = kernel(body).replace("sm_80", "sm_90a");
        let module = Module::parse("test", &text).unwrap_or_else(|error| panic!("{error}"));
        let launched = Launch {
            kernel: module.kernel("k").expect("k"),
            grid: [1; 3],
            block: [64, 1, 1],
            dynamic_shared_bytes: 0,
            params: &self.address.to_le_bytes(),
            is_early,
            chip: Chip::default(),
        };
        launch(&self.memory, &launched)
    }
}

/// What may not come before the wait.
const TOO_EARLY: [&str; 9] = [
    "ld.global.u32 %r3, [%rd1+256];",
    "ld.global.nc.v4.u32 {%r3, %r4, %r5, %r6}, [%rd1+496];",
    "ld.u32 %r3, [%rd1+300];",
    "st.global.u32 [%rd1], %r1;",
    "atom.global.add.u32 %r3, [%rd1], 1;",
    "red.global.add.u32 [%rd1], 1;",
    "prefetch.global.L2 [%rd1+256];",
    "mov.u32 %r4, buffer; mul.lo.u32 %r5, %r1, 16; add.u32 %r4, %r4, %r5;\
     cp.async.ca.shared.global [%r4], [%rd1+256], 16; cp.async.wait_all;",
    "ld.acquire.gpu.global.u32 %r3, [%rd1+256];",
];

/// Behind the wait too, what need not see what kernels write may not read it.
#[test]
fn loads_of_what_nobody_writes_find_no_such_thing() {
    for (offset, is_fine) in [(0, true), (128, true), (256, false), (508, false)] {
        let late = format!("{WAIT} ld.global.nc.u32 %r3, [%rd1+{offset}];");
        let outcome = Pair::new().run(&late, true).map_err(|fault| fault.kind);
        let expected = if is_fine { Ok(()) } else { Err(FaultKind::Stale) };
        assert_eq!(outcome.map(|_| ()), expected, "{offset}");
        Pair::new().run(&late, false).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

/// What may, and a prefetch of what is nowhere.
const IN_TIME: [&str; 4] = [
    "ld.global.u32 %r3, [%rd1];",
    "prefetch.global.L2 [%rd1+128]; prefetch.L1 [%rd1+1048576];",
    "mov.u32 %r4, buffer; mul.lo.u32 %r5, %r1, 16; add.u32 %r4, %r4, %r5;\
     cp.async.ca.shared.global [%r4], [%rd1+16], 16; cp.async.wait_all;",
    "mov.u32 %r4, buffer; mul.lo.u32 %r5, %r1, 4; add.u32 %r4, %r4, %r5;\
     st.shared.u32 [%r4], %r1; ld.param.u64 %rd5, [k_p0];",
];

#[test]
fn nothing_that_kernels_write_is_touched_before_the_wait() {
    for body in TOO_EARLY {
        // One thread of a race is enough: stores and atomics are the first lane's.
        let one = format!("setp.ne.u32 %p1, %r1, 0; @%p1 bra $END;\n{body}\n$END:");
        let early = format!("{one} {WAIT}");
        let fault = Pair::new().run(&early, true).expect_err(body);
        assert_eq!(fault.kind, FaultKind::BeforeWait, "{fault}");
        Pair::new().run(&early, false).unwrap_or_else(|fault| panic!("{fault}"));
        let late = format!("griddepcontrol.launch_dependents; {WAIT} {one} mov.u32 %r7, 0;");
        let late = late.replace(".nc", "");
        Pair::new().run(&late, true).unwrap_or_else(|fault| panic!("{fault}"));
    }
    for body in IN_TIME {
        let early = format!("{body} {WAIT}");
        Pair::new().run(&early, true).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn every_thread_waits() {
    let fault = Pair::new().run("", true).expect_err("nobody waits");
    assert_eq!(fault.kind, FaultKind::BeforeWait, "{fault}");
    let some = format!("setp.ne.u32 %p1, %r1, 63; @%p1 {WAIT}");
    let fault = Pair::new().run(&some, true).expect_err("one does not");
    assert_eq!((fault.kind, fault.thread), (FaultKind::BeforeWait, [63, 0, 0]), "{fault}");
}

#[test]
fn what_the_host_writes_over_stays_what_kernels_write() {
    let pair = Pair::new();
    pair.memory.write(pair.address, &[2; 512]).expect("a block");
    let body = format!("ld.global.u32 %r3, [%rd1+256]; {WAIT}");
    assert_eq!(pair.run(&body, true).expect_err("a kernel's").kind, FaultKind::BeforeWait);
}

#[test]
fn older_targets_have_no_such_thing() {
    let text = kernel(WAIT);
    let error = Module::parse("test", &text).expect_err("sm_80").to_string();
    assert!(error.contains("sm_90"), "{error}");
    for target in ["sm_90", "sm_90a", "sm_100a"] {
        Module::parse("test", &text.replace("sm_80", target)).expect(target);
    }
}
