//! The op suite on every device, and what devices must agree on to the bit.

use offramp_kernels::Device;
use offramp_kernels::cpu::{CpuDevice, Isa};
use offramp_tests::op_suite;
use offramp_tests::suite::{Make, Suite, Tolerance, compact::Herd, pass};
use proptest::prelude::*;

op_suite!(cpu_avx512, || cpu(2, Isa::Avx512), Tolerance::F32);
op_suite!(cpu_avx2, || cpu(2, Isa::Avx2), Tolerance::F32);
op_suite!(cpu_portable, || cpu(1, Isa::Portable), Tolerance::F32);

fn cpu(threads: usize, isa: Isa) -> Option<Box<dyn Device>> {
    Some(Box::new(CpuDevice::with_isa(threads, isa).ok()?))
}

fn transcript(make: Make) -> Option<Vec<u32>> {
    make()?;
    Some(pass::transcript(&Suite { make, tolerance: Tolerance::F32 }))
}

#[test]
fn threads_do_not_change_a_bit() {
    let alone = transcript(|| cpu(1, Isa::detect()));
    for make in [|| cpu(2, Isa::detect()), || cpu(5, Isa::detect())] {
        assert_eq!(transcript(make), alone);
    }
}

#[test]
fn avx2_and_avx512_agree_to_the_bit() {
    if let Some(avx512) = transcript(|| cpu(2, Isa::Avx512)) {
        assert_eq!(transcript(|| cpu(1, Isa::Avx2)), Some(avx512));
    }
}

#[test]
fn a_device_says_what_it_is_and_what_it_holds() {
    let mut device = CpuDevice::with_isa(2, Isa::Portable).unwrap();
    assert_eq!(device.name(), "cpu portable x2");
    assert_eq!(device.reserved_bytes(), 0);
    let layout = offramp_kernels::ArenaLayout { activations: 1000, ..Default::default() };
    device.reserve(&layout).unwrap();
    assert!(device.reserved_bytes() >= 4000);
    assert!(CpuDevice::new(0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any rows, any of them leaving in any order: the device holds what a plain vector holds.
    #[test]
    fn compaction_is_retain(
        rows in prop::collection::vec((1_usize..7, any::<bool>(), 0_u32..4), 1..14),
    ) {
        let lens: Vec<_> = rows.iter().map(|row| row.0).collect();
        let stays: Vec<_> = (0..rows.len()).filter(|&slot| rows[slot].1).collect();
        let suite = Suite { make: || cpu(1, Isa::detect()), tolerance: Tolerance::F32 };
        let mut herd = Herd::new(&suite, &lens, &stays);
        for exit in 0..3 {
            herd.step(exit, |slot| rows[slot].2 == exit);
        }
        let stayed = rows.iter().filter(|row| row.1 || row.2 == 3).count();
        prop_assert_eq!(herd.live(), stayed);
    }
}
