//! Hand-written PTX against what it must do.

mod arithmetic;
mod common;
mod counts;
mod faults;
mod tensor;
mod text;
