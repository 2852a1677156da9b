//! What lanes leave in memory for one another, and what they tell one another directly.

use crate::common::{AT, STORE, expect, run};
use offramp_ptxsim::FaultKind;

/// `%r3` of each lane.
fn value(lane: u32) -> u32 {
    lane.wrapping_mul(0x9e37_79b9)
}

const VALUE: &str = "mul.lo.u32 %r3, %r1, 0x9e3779b9;";

#[test]
fn local_memory_is_each_thread_s_own() {
    let own = format!(
        ".local .align 8 .b8 depot[32]; mov.u32 %r4, 9; st.local.u32 [depot+4], %r1;\
         st.local.v2.u32 [depot+8], {{%r1, %r4}};\
         ld.local.u32 %r5, [depot+4]; ld.local.u32 %r6, [depot+12]; add.u32 %r9, %r5, %r6; {STORE}"
    );
    let out = run(&own, &[0; 32]);
    assert!((0..32).all(|lane| out[lane as usize] == lane + 9), "{out:?}");
    let generic = format!(
        ".local .align 8 .b8 depot[32]; mov.u64 %rd5, depot; cvta.local.u64 %rd6, %rd5;\
         st.u32 [%rd6+8], %r1; ld.local.u32 %r9, [depot+8]; {STORE}"
    );
    assert!((0..32).all(|lane| run(&generic, &[0; 32])[lane as usize] == lane));
    let local = ".local .align 8 .b8 depot[32]; mov.u64 %rd5, depot;";
    expect(FaultKind::OutOfBounds, &format!("{local} ld.local.u32 %r9, [%rd5+32];"));
    expect(FaultKind::UninitialisedRegister, &format!("{local} ld.local.u32 %r9, [%rd5+4];"));
}

#[test]
fn atomics_go_lane_by_lane() {
    type Function = fn(u32, u32) -> u32;
    let cases: [(&str, Function); 11] = [
        ("add.u32 %r9, [%rd1], %r3", |old, x| old.wrapping_add(x)),
        ("min.s32 %r9, [%rd1], %r3", |old, x| (old as i32).min(x as i32) as u32),
        ("max.u32 %r9, [%rd1], %r3", |old, x| old.max(x)),
        ("and.b32 %r9, [%rd1], %r3", |old, x| old & x),
        ("or.b32 %r9, [%rd1], %r3", |old, x| old | x),
        ("xor.b32 %r9, [%rd1], %r3", |old, x| old ^ x),
        ("exch.b32 %r9, [%rd1], %r3", |_, x| x),
        ("inc.u32 %r9, [%rd1], 5", |old, _| if old >= 5 { 0 } else { old + 1 }),
        ("dec.u32 %r9, [%rd1], 5", |old, _| if old == 0 || old > 5 { 5 } else { old - 1 }),
        ("cas.b32 %r9, [%rd1], 77, %r3", |old, x| if old == 77 { x } else { old }),
        ("cas.b32 %r9, [%rd1], 3, %r3", |old, x| if old == 3 { x } else { old }),
    ];
    for (op, f) in cases {
        let body = format!("{VALUE} atom.global.{op}; {AT} st.global.u32 [%rd8+256], %r9;");
        let mut words = [0; 128];
        words[0] = 77;
        let out = run(&body, &words);
        let mut now = 77;
        for lane in 0..32 {
            assert_eq!(out[64 + lane as usize], now, "{op}: what lane {lane} finds");
            now = f(now, value(lane));
        }
        assert_eq!(out[0], now, "{op}");
    }
}

#[test]
fn atomics_take_an_order_and_a_scope() {
    for order in ["relaxed", "acquire", "release", "acq_rel"] {
        for scope in ["cta", "gpu", "sys"] {
            let body = format!(
                "atom.{order}.{scope}.global.add.u32 %r9, [%rd1], 1;\
                 red.{order}.{scope}.global.add.u32 [%rd1+4], 2; fence.sc.{scope};\
                 fence.acq_rel.{scope}; add.u32 %r1, %r1, 2; {STORE}"
            );
            let out = run(&body, &[0; 34]);
            assert_eq!(out[..2], [32, 64], "{order} {scope}");
            assert!((0..32).all(|lane| out[2 + lane as usize] == lane), "{out:?}");
        }
    }
}

#[test]
fn atomics_of_shared_memory_and_of_floats() {
    let body = format!(
        "setp.eq.u32 %p1, %r1, 0; mov.u32 %r4, 0; @%p1 st.shared.u32 [buffer], %r4; bar.sync 0;\
         cvt.rn.f32.u32 %f3, %r1; atom.shared.add.f32 %f4, [buffer], %f3; bar.sync 0;\
         ld.shared.f32 %f5, [buffer]; cvt.rzi.u32.f32 %r9, %f5; {STORE}"
    );
    assert_eq!(run(&body, &[0; 32]), [31 * 16; 32]);
}

#[test]
fn lanes_find_their_equals() {
    let any = format!("and.b32 %r3, %r1, 3; match.any.sync.b32 %r9, %r3, -1; {STORE}");
    let out = run(&any, &[0; 32]);
    assert!((0..32).all(|lane| out[lane] == 0x1111_1111 << (lane % 4)), "{out:x?}");
    let all = |from: u32| {
        let body = format!(
            "setp.ge.u32 %p3, %r1, {from}; selp.u32 %r3, 1, 0, %p3;\
             match.all.sync.b32 %r4|%p1, %r3, -1; selp.u32 %r5, 7, 0, %p1; xor.b32 %r9, %r4, %r5;\
             {STORE}"
        );
        run(&body, &[0; 32])
    };
    assert_eq!(all(0), [!7; 32]);
    assert_eq!(all(31), [0; 32]);
}

#[test]
fn lanes_reduce() {
    type Function = fn(u32, u32) -> u32;
    let cases: [(&str, Function); 6] = [
        ("add.u32", u32::wrapping_add),
        ("min.s32", |x, y| (x as i32).min(y as i32) as u32),
        ("max.u32", u32::max),
        ("and.b32", |x, y| x & y),
        ("or.b32", |x, y| x | y),
        ("xor.b32", |x, y| x ^ y),
    ];
    for (op, f) in cases {
        let body = format!("{VALUE} redux.sync.{op} %r9, %r3, -1; {STORE}");
        let expected = (0..32).map(value).reduce(f).expect("lanes");
        assert_eq!(run(&body, &[0; 32]), [expected; 32], "{op}");
    }
}
