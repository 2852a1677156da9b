//! Counts of accesses whose cost is known.

use crate::common::run_grid;

fn counts(body: &str) -> offramp_ptxsim::Counts {
    run_grid(body, 1, 32, &[0; 2048]).unwrap_or_else(|fault| panic!("{fault}")).1
}

#[test]
fn sectors_follow_the_stride() {
    for (stride, sectors) in [(4, 4), (8, 8), (32, 32), (64, 32), (0, 1)] {
        let found = counts(&format!(
            "mul.wide.u32 %rd2, %r1, {stride}; add.s64 %rd2, %rd1, %rd2; ld.global.u32 %r3, [%rd2];"
        ));
        assert_eq!(found.global_load_sectors, sectors, "stride {stride}");
        assert_eq!((found.global_loads, found.global_load_bytes), (1, 128));
    }
}

#[test]
fn banks_follow_the_stride() {
    for (stride, conflicts) in [(4, 0), (8, 1), (128, 31), (132, 0)] {
        let found = counts(&format!(
            "mul.lo.u32 %r3, %r1, {stride}; mov.u32 %r4, buffer; add.u32 %r3, %r3, %r4;\
             st.shared.u32 [%r3], %r1;"
        ));
        assert_eq!(found.shared_bank_conflicts, conflicts, "stride {stride}");
        assert_eq!(found.shared_accesses, conflicts + 1);
    }
}

#[test]
fn counts_do_not_depend_on_the_host() {
    let body = "mov.u32 %r3, buffer; setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [%r3], %r2;\
                bar.sync 0; ld.shared.u32 %r4, [%r3];";
    let run = || run_grid(body, 50, 64, &[0; 4]).expect("no fault").1;
    let first = run();
    assert_eq!(first.barriers, 100);
    assert!((0..5).all(|_| run() == first));
}
