//! Text that is not PTX is refused with its line, and never brings the reader down.

use offramp_ptxsim::Module;

use crate::common::kernel;

#[test]
fn errors_name_the_line_and_the_text() {
    let error = Module::parse("m", &kernel("frobnicate.u32 %r1, %r2;")).expect_err("no such thing");
    assert_eq!(error.text, "frobnicate.u32 %r1, %r2;");
    assert!(error.line > 10 && error.what.contains("frobnicate"), "{error}");
    for bad in [
        "add.sat.s32 %r3, %r1, %r2;",
        "add.s32 %r3, %r1;",
        "bra $NOWHERE;",
        "mov.u32 %x, 1;",
        "add.s32 %r3, %rd1, 1;",
        "add.s32 %r99, %r1, 1;",
    ] {
        assert!(Module::parse("m", &kernel(bad)).is_err(), "{bad}");
    }
}

#[test]
fn damaged_text_is_never_fatal() {
    let body = "$L: ld.global.v2.u32 {%r3, %r4}, [%rd1+8]; @!%p1 bra $L; { .reg .b16 lo, hi; \
                mov.b32 {lo, hi}, %r3; } shfl.sync.idx.b32 %r5|%p2, %r1, 0, 31, -1; \
                cp.async.cg.shared.global [%r3], [%rd1], 16; mov.f32 %f1, 0f3F800000; \
                mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1,%f1,%f1,%f1}, \
                {%r1,%r1,%r1,%r1}, {%r1,%r1}, {%f1,%f1,%f1,%f1};";
    let text = kernel(body).into_bytes();
    Module::parse("m", std::str::from_utf8(&text).expect("text")).expect("sound as it is");
    let mut random = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..3000 {
        let mut damaged = text.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..damaged.len());
            match random.u32(..4) {
                0 => damaged[at] = random.u8(32..127),
                1 => drop(damaged.remove(at)),
                2 => damaged.insert(at, *random.choice(b"{}[](),;:.%<>-0\"").expect("one")),
                _ => damaged.truncate(at.max(1)),
            }
        }
        let damaged = String::from_utf8(damaged).expect("text");
        refused += usize::from(Module::parse("m", &damaged).is_err());
    }
    assert!(refused > 1000, "{refused}");
}
