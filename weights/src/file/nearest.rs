//! The error for a tensor that is not there, with the names that come nearest.

use std::cmp::Reverse;
use std::path::Path;

use crate::error::Error;

/// Names offered.
const OFFERED: usize = 3;

/// "no tensor `name`", with the names that share most of their beginning and end with it.
pub(super) fn not_found<'a>(
    file: &Path,
    name: &str,
    names: impl Iterator<Item = &'a str>,
) -> Error {
    let mut names: Vec<_> =
        names.map(|other| (Reverse(shared_bytes(name, other)), other)).collect();
    names.sort_unstable();
    let nearest: Vec<_> = names.iter().take(OFFERED).map(|(_, other)| *other).collect();
    let found = match nearest.is_empty() {
        true => "there are no tensors".into(),
        false => format!("the nearest are {}", nearest.join(", ")),
    };
    Error::NoTensor { file: file.into(), tensor: name.into(), found }
}

/// Names differ by a prefix or in the middle, hardly ever by a letter.
fn shared_bytes(a: &str, b: &str) -> usize {
    let same = |(a, b): &(u8, u8)| a == b;
    let head = a.bytes().zip(b.bytes()).take_while(same).count();
    let tail = a.bytes().rev().zip(b.bytes().rev()).take_while(same).count();
    head + tail
}
