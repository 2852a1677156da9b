//! The stored bits are what the interpreter gives, for each way to sum up.

use std::ffi::CStr;

use crate::{alone, bits};

const WAYS: [(&str, &CStr); 2] = [("ampere", c"ampere"), ("hopper", c"hopper")];

#[test]
fn each_way_gives_its_stored_bits() {
    let Some((_alone, driver)) = alone() else { return };
    for (way, name) in WAYS {
        assert!(driver.sum_as(name));
        for format in bits::FORMATS {
            if std::env::var_os("OFFRAMP_UPDATE_BITS").is_some() {
                let bytes = offramp_tests::suite::bits::bytes(&bits::transcript(format));
                std::fs::write(bits::path(way, format), bytes).unwrap();
            }
            bits::check(way, format);
        }
    }
    let [ampere, hopper] = WAYS.map(|(way, _)| std::fs::read(bits::path(way, bits::FORMATS[0])));
    assert!(ampere.unwrap() != hopper.unwrap(), "the ops tell the ways apart");
}
