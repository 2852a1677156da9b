//! The order in which blocks of a launch run changes no bit.

use offramp_tests::suite::{bits, pass};

use crate::{alone, machine};

/// Orders to try beside that of the numbers.
const SEEDS: [u64; 3] = [1, 2, 3];

#[test]
fn the_order_of_blocks_changes_no_bit() {
    let Some((_alone, driver)) = alone() else { return };
    let run = || {
        let pass = pass::transcript(&machine::suite(machine::f16));
        (pass, bits::bytes(&crate::bits::transcript(crate::bits::FORMATS[0])))
    };
    let expected = run();
    for seed in SEEDS {
        driver.mix_blocks(seed);
        let found = run();
        driver.mix_blocks(0);
        assert!(found == expected, "seed {seed} gives other bits");
    }
}
