//! Matrix fragments against a plain triple loop, and what it costs to load them.

use half::{bf16, f16};

use crate::common::run_grid;

/// `a` (16x16) times `b` (16x8) by `ldmatrix` from row-major shared memory and one `mma`.
fn product(kind: &str, a: &[u16], b: &[u16]) -> (Vec<f32>, offramp_ptxsim::Counts) {
    // Words 0..128 are a, 128..192 are b; both go to shared memory as they are.
    let body = format!(
        "mov.u32 %r3, buffer; mov.u32 %r4, %r1;\n\
         $L: mul.wide.u32 %rd2, %r4, 4; add.s64 %rd2, %rd1, %rd2; ld.global.u32 %r5, [%rd2];\n\
         mul.lo.u32 %r6, %r4, 4; add.u32 %r6, %r6, %r3; st.shared.u32 [%r6], %r5;\n\
         add.u32 %r4, %r4, 32; setp.lt.u32 %p1, %r4, 192; @%p1 bra $L; bar.sync 0;\n\
         and.b32 %r7, %r1, 15; shl.b32 %r7, %r7, 5; shr.u32 %r8, %r1, 4; shl.b32 %r8, %r8, 4;\n\
         add.u32 %r7, %r7, %r8; add.u32 %r7, %r7, %r3;\n\
         ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r10,%r11,%r12,%r13}}, [%r7];\n\
         and.b32 %r7, %r1, 15; shl.b32 %r7, %r7, 4; add.u32 %r7, %r7, %r3;\n\
         ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {{%r14,%r15}}, [%r7+512];\n\
         mov.f32 %f1, 0f00000000;\n\
         mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32 {{%f2,%f3,%f4,%f5}},\
         {{%r10,%r11,%r12,%r13}}, {{%r14,%r15}}, {{%f1,%f1,%f1,%f1}};\n\
         shr.u32 %r16, %r1, 2; and.b32 %r17, %r1, 3; shl.b32 %r16, %r16, 3;\
         shl.b32 %r17, %r17, 1;\n\
         add.u32 %r16, %r16, %r17; mul.wide.u32 %rd3, %r16, 4; add.s64 %rd3, %rd1, %rd3;\n\
         st.global.v2.f32 [%rd3], {{%f2,%f3}}; st.global.v2.f32 [%rd3+256], {{%f4,%f5}};"
    );
    let words: Vec<u32> = a
        .chunks(2)
        .chain(b.chunks(2))
        .map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16)
        .collect();
    let (out, counts) = run_grid(&body, 1, 32, &words).unwrap_or_else(|fault| panic!("{fault}"));
    (out[..128].iter().map(|&bits| f32::from_bits(bits)).collect(), counts)
}

fn check(kind: &str, to: impl Fn(f32) -> u16) {
    // Small whole numbers: every sum is exact.
    let a: Vec<f32> = (0..256).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
    let b: Vec<f32> = (0..128).map(|i| (i * 5 % 11) as f32 - 5.0).collect();
    let halves = |x: &[f32]| x.iter().map(|&x| to(x)).collect::<Vec<_>>();
    let (found, counts) = product(kind, &halves(&a), &halves(&b));
    for row in 0..16 {
        for col in 0..8 {
            let sum: f32 = (0..16).map(|k| a[row * 16 + k] * b[k * 8 + col]).sum();
            assert_eq!(found[row * 8 + col], sum, "{kind} row {row} column {col}");
        }
    }
    assert_eq!(counts.tensor_ops, 1);
}

#[test]
fn products_of_f16() {
    check("f16", |x| f16::from_f32(x).to_bits());
}

#[test]
fn products_of_bf16() {
    check("bf16", |x| bf16::from_f32(x).to_bits());
}

/// `a` (16x8) times `b` (8x8, by columns): a lane holds the elements that the ISA gives it.
#[test]
fn products_of_tf32() {
    let body = "shl.b32 %r3, %r1, 2; mul.wide.u32 %rd2, %r3, 4; add.s64 %rd2, %rd1, %rd2;
         ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd2];
         shl.b32 %r4, %r1, 1; mul.wide.u32 %rd3, %r4, 4; add.s64 %rd3, %rd1, %rd3;
         ld.global.v2.u32 {%r14,%r15}, [%rd3+512];
         mov.f32 %f1, 0f3F800000;
         mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f2,%f3,%f4,%f5},
         {%r10,%r11,%r12,%r13}, {%r14,%r15}, {%f1,%f1,%f1,%f1};
         st.global.v4.f32 [%rd2], {%f2,%f3,%f4,%f5};";
    let (a, b) =
        (|row: usize, k: usize| (row * 7 + k * 3) % 13, |k: usize, n: usize| (k + n * 5) % 11);
    let of_a = |lane: usize, i: usize| a(lane / 4 + i % 2 * 8, lane % 4 + i / 2 * 4);
    let of_b = |lane: usize, i: usize| b(lane % 4 + i * 4, lane / 4);
    // Bits that a tensor core does not see.
    let word = |x: usize| (x as f32).to_bits() | (0x1fff * u32::from(x > 0));
    let lanes = || 0..32_usize;
    let words = lanes().flat_map(|lane| [0, 1, 2, 3].map(|i| word(of_a(lane, i))));
    let words: Vec<u32> =
        words.chain(lanes().flat_map(|lane| [0, 1].map(|i| word(of_b(lane, i))))).collect();
    let (out, counts) = run_grid(body, 1, 32, &words).unwrap_or_else(|fault| panic!("{fault}"));
    for lane in lanes() {
        for i in 0..4 {
            let (row, col) = (lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2);
            let sum: usize = (0..8).map(|k| a(row, k) * b(k, col)).sum();
            assert_eq!(f32::from_bits(out[4 * lane + i]), (sum + 1) as f32, "row {row}, {col}");
        }
    }
    assert_eq!(counts.tensor_ops, 1);
}

/// Halves go away from zero.
#[test]
fn tf32_has_eleven_bits() {
    let body = "mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2; ld.global.u32 %r3, [%rd2];
         mov.b32 %f1, %r3; cvt.rna.tf32.f32 %r4, %f1; st.global.u32 [%rd2], %r4;";
    let cases = [
        (0x3f80_0fff, 0x3f80_0000),
        (0x3f80_1000, 0x3f80_2000),
        (0xbf80_1000, 0xbf80_2000),
        (0x7f7f_ffff, 0x7f80_0000),
        (0x7f80_0000, 0x7f80_0000),
        (0x0000_0000, 0x0000_0000),
    ];
    let mut words = [0; 32];
    cases.iter().zip(&mut words).for_each(|((bits, _), word)| *word = *bits);
    let (out, _) = run_grid(body, 1, 32, &words).unwrap_or_else(|fault| panic!("{fault}"));
    for ((bits, expected), found) in cases.iter().zip(&out) {
        assert_eq!(found, expected, "{bits:#x}");
    }
}
