//! Hand-written PTX against what it must do.

mod arithmetic;
mod common;
mod counts;
mod exchange;
mod faults;
mod tensor;
mod text;
