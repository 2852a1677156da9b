//! Every kind of bug is found, with its place; what looks alike but is sound passes.

use crate::common::{AT, STORE, expect, kernel, run_grid};
use offramp_ptxsim::{Chip, Contents, FaultKind, Launch, Memory, Module, launch};

fn passes(body: &str) {
    run_grid(body, 1, 64, &[0; 256]).unwrap_or_else(|fault| panic!("{fault}"));
}

#[test]
fn bounds_and_alignment() {
    expect(FaultKind::OutOfBounds, "ld.global.u32 %r3, [%rd1+1024];");
    expect(FaultKind::OutOfBounds, "ld.global.u32 %r3, [%rd1+-4];");
    expect(FaultKind::OutOfBounds, "ld.global.v2.u32 {%r3, %r4}, [%rd1+1024];");
    expect(FaultKind::Misaligned, "ld.global.u32 %r3, [%rd1+2];");
    expect(FaultKind::Misaligned, "ld.global.v4.u32 {%r3,%r4,%r5,%r6}, [%rd1+8];");
    expect(FaultKind::OutOfBounds, "mov.u32 %r3, 0; st.shared.u32 [buffer+9000], %r3;");
    expect(FaultKind::Misaligned, "mov.u32 %r3, 0; st.shared.u32 [buffer+2], %r3;");
}

#[test]
fn what_was_never_written() {
    expect(FaultKind::UninitialisedMemory, "ld.shared.u32 %r3, [buffer];");
    expect(FaultKind::UninitialisedRegister, &format!("mov.u32 %r9, %r40; {STORE}"));
    expect(FaultKind::UninitialisedRegister, "setp.eq.s32 %p1, %r40, 0; @%p1 mov.u32 %r3, 0;");
    expect(FaultKind::UninitialisedRegister, "ld.global.u32 %r3, [%rd20];");
    // An unknown value that is not chosen does no harm.
    passes(&format!("setp.ge.u32 %p1, %r1, 0; selp.b32 %r9, %r1, %r40, %p1; {STORE}"));
}

#[test]
fn global_memory_that_was_never_written() {
    let module = Module::parse("test", &kernel("ld.global.u8 %rs1, [%rd1+3];")).expect("PTX");
    let run = |what, written: usize| {
        let memory = Memory::new();
        let address = memory.alloc(8, what).expect("memory");
        memory.write(address, &vec![1; written]).expect("a block");
        launch(
            &memory,
            &Launch {
                kernel: module.kernel("k").expect("k"),
                grid: [1; 3],
                block: [1; 3],
                dynamic_shared_bytes: 0,
                params: &address.to_le_bytes(),
                is_early: false,
                chip: Chip::default(),
            },
        )
    };
    assert_eq!(
        run(Contents::Undefined, 3).expect_err("byte 3").kind,
        FaultKind::UninitialisedMemory
    );
    run(Contents::Undefined, 4).expect("byte 3 is there");
    run(Contents::Defined, 0).expect("all bytes are there");
}

#[test]
fn races_in_shared_memory() {
    let write = "mul.lo.u32 %r3, %r1, 4; mov.u32 %r4, buffer; add.u32 %r3, %r3, %r4;\
                 st.shared.u32 [%r3], %r1;";
    let read = "xor.b32 %r5, %r1, 32; mul.lo.u32 %r5, %r5, 4; add.u32 %r5, %r5, %r4;\
                ld.shared.u32 %r9, [%r5];";
    passes(&format!("{write} bar.sync 0; {read}"));
    let again = format!("{write} bar.sync 0; {read}");
    expect(FaultKind::SharedRace, &format!("{again} {write}"));
    passes(&format!("{again} bar.sync 0; {write}"));
    expect(FaultKind::SharedRace, &format!("{again} bar.sync 0; {write} {read}"));
    expect(FaultKind::SharedRace, "mov.u32 %r3, 1; st.shared.u32 [buffer], %r3;");
    passes("and.b32 %r3, %r1, 32; setp.eq.u32 %p1, %r3, 0; @%p1 st.shared.u32 [buffer], %r3;");
    let atomics = "mov.u32 %r3, 0; setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [buffer], %r3;\
                   bar.sync 0; atom.shared.add.u32 %r4, [buffer], 1;";
    passes(atomics);
    expect(FaultKind::SharedRace, &format!("{atomics} ld.shared.u32 %r5, [buffer];"));
}

#[test]
fn blocks_that_write_the_same_bytes() {
    let halves = "mov.b16 %rs1, 7; st.global.b16 [%rd8], %rs1;";
    let words = "mov.u32 %r9, 7; st.global.u32 [%rd8], %r9;";
    let pairs = "mov.u32 %r9, 7; st.global.v2.u32 [%rd8], {%r9, %r9};";
    let cases = [
        (2, halves, false),
        (4, words, false),
        (8, pairs, false),
        (0, words, true),
        (8, pairs, true),
    ];
    for (stride, store, races) in cases {
        // Where they race, two blocks go to one place.
        let body = format!(
            "shr.u32 %r4, %r2, {}; mul.wide.u32 %rd8, %r4, {stride}; \
             add.s64 %rd8, %rd1, %rd8; {store}",
            u32::from(races)
        );
        let fault = run_grid(&body, 9, 1, &[0; 64]).err();
        assert_eq!(fault.is_some(), races, "{stride}: {fault:?}");
        if let Some(fault) = fault {
            let found = (fault.kind, fault.block, fault.source.is_some());
            assert_eq!(found, (FaultKind::GlobalRace, [0; 3], true), "{fault}");
        }
    }
    // Atomics are no race, and who uses them is not watched.
    run_grid("red.global.add.u32 [%rd1], 1;", 9, 32, &[0; 4]).expect("no fault");
}

#[test]
fn lanes_of_a_warp_wait_for_one_another() {
    let write = "mul.lo.u32 %r3, %r1, 4; mov.u32 %r4, buffer; add.u32 %r3, %r3, %r4;\
                 st.shared.u32 [%r3], %r1;";
    let read = "xor.b32 %r5, %r1, 1; mul.lo.u32 %r5, %r5, 4; add.u32 %r5, %r5, %r4;\
                ld.shared.u32 %r9, [%r5];";
    expect(FaultKind::SharedRace, &format!("{write} {read}"));
    passes(&format!("{write} bar.warp.sync -1; {read}"));
    passes(&format!("{write} ld.shared.u32 %r9, [%r3];"));
    // Two lanes share a word, each its half.
    passes(
        "mul.lo.u32 %r3, %r1, 2; mov.u32 %r4, buffer; add.u32 %r3, %r3, %r4; mov.b16 %rs1, 3;\
         st.shared.b16 [%r3], %rs1; ld.shared.b16 %rs2, [%r3];",
    );
}

#[test]
fn one_store_with_two_values() {
    expect(FaultKind::ConflictingStores, "st.shared.u32 [buffer], %r1;");
    expect(FaultKind::ConflictingStores, "st.global.u32 [%rd1], %r1;");
    passes("st.global.u32 [%rd1], 7;");
}

#[test]
fn copies_that_are_not_waited_for() {
    let copy = "mul.lo.u32 %r3, %r1, 16; mov.u32 %r4, buffer; add.u32 %r3, %r3, %r4;\
                mul.wide.u32 %rd2, %r1, 16; add.s64 %rd2, %rd1, %rd2;\
                cp.async.cg.shared.global [%r3], [%rd2], 16; cp.async.commit_group;";
    let own = "ld.shared.v4.u32 {%r5,%r6,%r7,%r8}, [%r3];";
    let other = "xor.b32 %r10, %r1, 32; mul.lo.u32 %r10, %r10, 16; add.u32 %r10, %r10, %r4;\
                 ld.shared.u32 %r5, [%r10];";
    expect(FaultKind::AsyncPending, &format!("{copy} {own}"));
    expect(FaultKind::AsyncPending, &format!("{copy} cp.async.wait_group 1; {own}"));
    expect(FaultKind::AsyncPending, &format!("{copy} bar.sync 0; {other}"));
    passes(&format!("{copy} cp.async.wait_group 0; {own}"));
    passes(&format!("{copy} cp.async.wait_all; bar.sync 0; {other}"));
    let late = format!("setp.lt.u32 %p5, %r1, 32; @%p5 ret; {other}");
    expect(FaultKind::SharedRace, &format!("{copy} cp.async.wait_group 0; {late}"));
    passes(copy);
}

#[test]
fn barriers_that_some_threads_miss() {
    let split = "setp.lt.u32 %p1, %r1, 32; @%p1 bra $A; bar.sync 0; bra $B; $A: bar.sync 0; $B:";
    expect(FaultKind::DivergentBarrier, split);
    let odd = "and.b32 %r3, %r1, 1; setp.eq.u32 %p1, %r3, 0; @%p1 bra $A; bar.sync 0; bra $B;\
               $A: bar.sync 0; $B:";
    expect(FaultKind::DivergentBarrier, odd);
    expect(FaultKind::Deadlock, "bar.sync 1, 128;");
    passes("setp.lt.u32 %p1, %r1, 32; @%p1 ret; bar.sync 0;");
    passes("setp.lt.u32 %p1, %r1, 32; @%p1 bra $A; bar.sync 1, 32; $A: bar.sync 0;");
}

#[test]
fn lanes_that_do_not_take_part() {
    let half = "and.b32 %r3, %r1, 31; setp.lt.u32 %p1, %r3, 16;";
    expect(
        FaultKind::Unconverged,
        &format!("{half} @%p1 shfl.sync.idx.b32 %r5, %r1, 0, 31, -1; @!%p1 bar.sync 0;"),
    );
    expect(
        FaultKind::InactiveLane,
        &format!("{half} @%p1 shfl.sync.idx.b32 %r5, %r1, 20, 31, 65535;"),
    );
    expect(FaultKind::Unconverged, &format!("{half} @!%p1 vote.sync.any.pred %p2, %p1, 65535;"));
    passes(&format!("{half} @%p1 shfl.sync.idx.b32 %r5, %r1, 3, 31, 65535;"));
    // Groups beside one another, each with a mask of its own.
    let eight = "and.b32 %r3, %r1, 24; mov.u32 %r4, 255; shl.b32 %r4, %r4, %r3;";
    passes(&format!("{eight} shfl.sync.bfly.b32 %r5, %r1, 4, 31, %r4;"));
    expect(FaultKind::InactiveLane, &format!("{eight} shfl.sync.bfly.b32 %r5, %r1, 8, 31, %r4;"));
    expect(
        FaultKind::Unconverged,
        &format!(
            "{eight} {half} selp.u32 %r4, -1, %r4, %p1; shfl.sync.bfly.b32 %r5, %r1, 4, 31, %r4;"
        ),
    );
    expect(
        FaultKind::PartialWarp,
        &format!(
            "{half} mov.u32 %r9, buffer; @%p1 ret; \
             ldmatrix.sync.aligned.m8n8.x1.shared.b16 {{%r5}}, [%r9];"
        ),
    );
}

#[test]
fn lanes_meet_again_however_the_code_is_laid_out() {
    // The odd lanes go through code after the shuffle and come back.
    let body = format!(
        "and.b32 %r3, %r1, 1; setp.eq.u32 %p1, %r3, 1; mov.u32 %r4, 5; @%p1 bra $COLD;\n\
         $BACK: shfl.sync.bfly.b32 %r9, %r4, 1, 31, -1; {STORE} ret;\n\
         $COLD: mov.u32 %r4, 6; bra $BACK;"
    );
    let out = crate::common::run(&body, &[0; 32]);
    assert!((0..32).all(|lane| out[lane] == if lane % 2 == 0 { 6 } else { 5 }));
}

#[test]
fn loops_and_traps_end() {
    expect(FaultKind::Trap, "trap;");
    expect(FaultKind::Endless, "$L: bra $L;");
}

#[test]
fn blocks_and_warps_may_wait_for_one_another() {
    // Block 0 spins on a flag that block 2 sets; so do warps of a block.
    let body = "setp.ne.u32 %p1, %r2, 0; @%p1 bra $SET;\n\
                $SPIN: ld.acquire.gpu.global.u32 %r3, [%rd1]; setp.eq.u32 %p2, %r3, 0;\n\
                @%p2 bra $SPIN; ret;\n\
                $SET: setp.ne.u32 %p1, %r2, 2; @%p1 ret; st.release.gpu.global.u32 [%rd1], 9;";
    let (out, counts) = run_grid(body, 3, 32, &[0; 4]).expect("no fault");
    assert_eq!(out[0], 9);
    assert_eq!(run_grid(body, 3, 32, &[0; 4]).expect("no fault").1, counts);
}

#[test]
fn launches_that_cannot_be() {
    let module = Module::parse("test", &kernel("")).expect("PTX");
    let memory = Memory::new();
    let good = Launch {
        kernel: module.kernel("k").expect("k"),
        grid: [1; 3],
        block: [32, 1, 1],
        dynamic_shared_bytes: 0,
        params: &[0; 8],
        is_early: false,
        chip: Chip::default(),
    };
    launch(&memory, &good).expect("a sound launch");
    let bad = [
        Launch { grid: [0, 1, 1], ..good },
        Launch { block: [0, 1, 1], ..good },
        Launch { block: [1025, 1, 1], ..good },
        Launch { params: &[0; 4], ..good },
        Launch { dynamic_shared_bytes: 227 << 10, ..good },
    ];
    for bad in bad {
        assert_eq!(launch(&memory, &bad).expect_err("a fault").kind, FaultKind::BadLaunch);
    }
    let large = Launch { dynamic_shared_bytes: 200 << 10, ..good };
    launch(&memory, &large).expect("fits");
    let small = Launch { chip: Chip { shared_max: 99 << 10, ..Chip::default() }, ..large };
    let fault = launch(&memory, &small).expect_err("no room").to_string();
    assert!(fault.contains("expected at most 101376 bytes of shared memory"), "{fault}");
}

#[test]
fn faults_say_what_and_where() {
    let text = crate::common::fault(&format!("{AT} ld.global.u32 %r3, [%rd8+1020];")).to_string();
    let parts = ["k: OutOfBounds", "kernel.cu:7", "block (0,0,0) thread (1,0,0)", "PTX line"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}
