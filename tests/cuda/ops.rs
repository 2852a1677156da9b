//! The op suite on CUDA: both storage formats, and the large tiles.

use offramp_kernels::cuda::Elem;
use offramp_tests::op_suite;
use offramp_tests::suite::{Suite, Tolerance, pass};

use crate::machine;

op_suite!(f16, || machine::device(Elem::F16), Tolerance::F16);
op_suite!(bf16, || machine::device(Elem::Bf16), Tolerance::BF16);
op_suite!(wide, machine::wide, Tolerance::F16);

#[test]
fn the_size_of_tiles_changes_no_bit() {
    let run = |make| pass::transcript(&Suite { make, tolerance: Tolerance::F16 });
    assert_eq!(run(machine::wide), run(machine::small));
}
