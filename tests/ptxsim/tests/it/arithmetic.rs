//! Arithmetic against Rust's.

use crate::common::{AT, STORE, run};

/// Inputs with every kind of number among them, the same every time.
fn inputs(seed: u64) -> Vec<u32> {
    let edges = [0, 1, 31, 32, 33, !0, 1 << 31, i32::MAX as u32, 0x3f80_0000, 0xbf80_0000];
    let floats =
        [f32::NAN, f32::INFINITY, -0.0, 1e-40, -2.5, 3.5, 1e30, -1e10, 0.1].map(f32::to_bits);
    let mut random = fastrand::Rng::with_seed(seed);
    let edges = edges.into_iter().chain(floats);
    edges.chain(std::iter::repeat_with(move || random.u32(..))).take(32).collect()
}

/// Runs `op` in each lane on `%r3`, `%r4`, `%r5` (also `%f3` to `%f5`), to `%r9`.
fn each(op: &str) -> Vec<([u32; 3], u32)> {
    let [mut a, b, mut c] = [1, 2, 3].map(inputs);
    a.rotate_left(5);
    c.rotate_left(11);
    let words: Vec<u32> = [&a[..], &b, &c].concat();
    let body = format!(
        "{AT} ld.global.u32 %r3, [%rd8]; ld.global.u32 %r4, [%rd8+128];\
         ld.global.u32 %r5, [%rd8+256]; mov.b32 %f3, %r3; mov.b32 %f4, %r4; mov.b32 %f5, %r5;\
         {op} {STORE}"
    );
    let out = run(&body, &words);
    (0..32).map(|lane| ([a[lane], b[lane], c[lane]], out[lane])).collect()
}

fn check(op: &str, f: impl Fn(u32, u32, u32) -> u32) {
    for ([a, b, c], found) in each(op) {
        let expected = f(a, b, c);
        assert_eq!(
            found, expected,
            "{op} of {a:#x}, {b:#x}, {c:#x}: {found:#x}, not {expected:#x}"
        );
    }
}

/// As `check`, where any NaN is as good as another.
fn check_float(op: &str, f: impl Fn(f32, f32, f32) -> f32) {
    for (s, found) in each(&format!("{op} mov.b32 %r9, %f9;")) {
        let [a, b, c] = s.map(f32::from_bits);
        let (found, expected) = (f32::from_bits(found), f(a, b, c));
        let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
        assert!(same, "{op} of {a:e}, {b:e}, {c:e}: {found:e}, not {expected:e}");
    }
}

#[test]
fn integers() {
    check("add.s32 %r9, %r3, %r4;", |a, b, _| a.wrapping_add(b));
    check("mad.lo.s32 %r9, %r3, %r4, %r5;", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
    check("mul.hi.s32 %r9, %r3, %r4;", |a, b, _| {
        ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32
    });
    check("mul.hi.u32 %r9, %r3, %r4;", |a, b, _| ((u64::from(a) * u64::from(b)) >> 32) as u32);
    check("or.b32 %r4, %r4, 1; rem.s32 %r9, %r3, %r4;", |a, b, _| {
        (a as i32).wrapping_rem((b | 1) as i32) as u32
    });
    check("or.b32 %r4, %r4, 1; div.u32 %r9, %r3, %r4;", |a, b, _| a / (b | 1));
    check("min.s32 %r9, %r3, %r4;", |a, b, _| (a as i32).min(b as i32) as u32);
    check("max.u32 %r9, %r3, %r4;", |a, b, _| a.max(b));
}

#[test]
fn shifts_stop_at_the_width() {
    check("and.b32 %r4, %r4, 63; shl.b32 %r9, %r3, %r4;", |a, b, _| {
        if b & 63 > 31 { 0 } else { a << (b & 63) }
    });
    check("shr.u32 %r9, %r3, %r4;", |a, b, _| a.checked_shr(b).unwrap_or(0));
    check("shr.s32 %r9, %r3, %r4;", |a, b, _| ((a as i32) >> b.min(31)) as u32);
    check("shf.l.wrap.b32 %r9, %r3, %r4, %r5;", |a, b, c| {
        if c % 32 == 0 { b } else { b << (c % 32) | a >> (32 - c % 32) }
    });
}

#[test]
fn bits() {
    check("popc.b32 %r9, %r3;", |a, _, _| a.count_ones());
    check("clz.b32 %r9, %r3;", |a, _, _| a.leading_zeros());
    check("brev.b32 %r9, %r3;", |a, _, _| a.reverse_bits());
    check("bfind.u32 %r9, %r3;", |a, _, _| a.checked_ilog2().unwrap_or(!0));
    check("bfind.shiftamt.u32 %r9, %r3;", |a, _, _| a.checked_ilog2().map_or(!0, |at| 31 - at));
    check("bfe.u32 %r9, %r3, 5, 9;", |a, _, _| a >> 5 & 0x1ff);
    check("bfe.s32 %r9, %r3, 28, 9;", |a, _, _| ((a as i32) >> 28) as u32);
    check("bfi.b32 %r9, %r3, %r4, 8, 12;", |a, b, _| b & !0xf_ff00 | a << 8 & 0xf_ff00);
    check("lop3.b32 %r9, %r3, %r4, %r5, 0x96;", |a, b, c| a ^ b ^ c);
    check("prmt.b32 %r9, %r3, %r4, 0x5410;", |a, b, _| a & 0xffff | b << 16);
    check("prmt.b32 %r9, %r3, %r4, 0xbbbb;", |a, _, _| if a >> 31 != 0 { !0 } else { 0 });
}

#[test]
fn sixty_four_bits() {
    check("mul.wide.s32 %rd3, %r3, %r4; mov.b64 {%r8, %r9}, %rd3;", |a, b, _| {
        ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32
    });
    check("mov.b64 %rd3, {%r3, %r4}; shr.s64 %rd3, %rd3, 20; cvt.u32.u64 %r9, %rd3;", |a, b, _| {
        ((((u64::from(b) << 32) | u64::from(a)) as i64) >> 20) as u32
    });
    check("cvt.s64.s32 %rd3, %r3; clz.b64 %r9, %rd3;", |a, _, _| {
        i64::from(a as i32).leading_zeros()
    });
    check("cvt.s16.s32 %rs1, %r3; cvt.s32.s16 %r9, %rs1;", |a, _, _| i32::from(a as i16) as u32);
    check("cvt.u16.u32 %rs1, %r3; shr.s16 %rs1, %rs1, 3; cvt.u32.u16 %r9, %rs1;", |a, _, _| {
        u32::from(((a as i16) >> 3) as u16)
    });
}

#[test]
fn floats() {
    check_float("add.f32 %f9, %f3, %f4;", |a, b, _| a + b);
    check_float("fma.rn.f32 %f9, %f3, %f4, %f5;", f32::mul_add);
    check_float("div.rn.f32 %f9, %f3, %f4;", |a, b, _| a / b);
    check_float("sqrt.rn.f32 %f9, %f3;", |a, _, _| a.sqrt());
    check_float("min.f32 %f9, %f3, %f4;", |a, b, _| a.min(b));
    check_float("max.NaN.f32 %f9, %f3, %f4;", |a, b, _| {
        if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
    });
    check_float("neg.f32 %f9, %f3;", |a, _, _| -a);
    check_float("copysign.f32 %f9, %f4, %f3;", |a, b, _| a.copysign(b));
    check_float("ex2.approx.ftz.f32 %f9, %f3;", |a, _, _| {
        let flush = |x: f32| if x.is_subnormal() { 0.0 } else { x };
        flush(f64::from(flush(a)).exp2() as f32)
    });
    check_float("add.sat.f32 %f9, %f3, %f4;", |a, b, _| {
        if (a + b).is_nan() { 0.0 } else { (a + b).clamp(0.0, 1.0) + 0.0 }
    });
}

#[test]
fn directed_rounding_brackets_the_nearest() {
    for (s, down) in each("fma.rm.f32 %f9, %f3, %f4, %f5; mov.b32 %r9, %f9;") {
        let [a, b, c] = s.map(f32::from_bits);
        let exact = f64::from(a) * f64::from(b) + f64::from(c);
        let down = f32::from_bits(down);
        if exact.is_finite() && down.is_finite() {
            assert!(f64::from(down) <= exact && f64::from(down.next_up()) >= exact, "{a} {b} {c}");
        }
    }
}

#[test]
fn conversions() {
    check("cvt.rzi.s32.f32 %r9, %f3;", |a, _, _| f32::from_bits(a) as i32 as u32);
    check("cvt.rni.s32.f32 %r9, %f3;", |a, _, _| f32::from_bits(a).round_ties_even() as i32 as u32);
    check("cvt.rzi.u32.f32 %r9, %f3;", |a, _, _| f32::from_bits(a) as u32);
    check("cvt.rn.f32.s32 %f9, %r3; mov.b32 %r9, %f9;", |a, _, _| (a as i32 as f32).to_bits());
    check_float("cvt.rmi.f32.f32 %f9, %f3;", |a, _, _| a.floor());
    check_float("cvt.f64.f32 %fd1, %f3; cvt.rn.f32.f64 %f9, %fd1;", |a, _, _| a);
}

#[test]
fn comparisons_and_nan() {
    let answer = |cmp: &str| format!("setp.{cmp}.f32 %p1, %f3, %f4; selp.u32 %r9, 1, 0, %p1;");
    type Compare = fn(f32, f32) -> bool;
    let cases: [(&str, Compare); 6] = [
        ("lt", |a, b| a < b),
        ("ltu", |a, b| a < b || a.is_nan() || b.is_nan()),
        ("ne", |a, b| a != b && !a.is_nan() && !b.is_nan()),
        ("neu", |a, b| a != b),
        ("num", |a, b| !a.is_nan() && !b.is_nan()),
        ("ge", |a, b| a >= b),
    ];
    for (cmp, f) in cases {
        check(&answer(cmp), |a, b, _| u32::from(f(f32::from_bits(a), f32::from_bits(b))));
    }
    check(
        "setp.lt.s32 %p2, %r3, 0; setp.gt.and.u32 %p1, %r3, %r4, !%p2; selp.u32 %r9, 1, 0, %p1;",
        |a, b, _| u32::from(a > b && a as i32 >= 0),
    );
}

#[test]
fn halves() {
    use half::{bf16, f16};
    check("cvt.rn.f16x2.f32 %r9, %f3, %f4;", |a, b, _| {
        let [a, b] = [a, b].map(|x| {
            let x = f32::from_bits(x);
            u32::from(if x.is_nan() { 0x7fff } else { f16::from_f32(x).to_bits() })
        });
        a << 16 | b
    });
    check("mov.b32 {%rs1, %rs2}, %r3; cvt.f32.f16 %f9, %rs1; mov.b32 %r9, %f9;", |a, _, _| {
        f16::from_bits(a as u16).to_f32().to_bits()
            | if f16::from_bits(a as u16).is_nan() { a << 13 & 0x7f_ffff } else { 0 }
    });
    check("cvt.rn.bf16.f32 %rs1, %f3; cvt.u32.u16 %r9, %rs1;", |a, _, _| {
        let a = f32::from_bits(a);
        u32::from(if a.is_nan() { 0x7fff } else { bf16::from_f32(a).to_bits() })
    });
}
