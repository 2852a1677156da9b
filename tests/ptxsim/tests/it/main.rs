//! Hand-written PTX against what it must do.

mod arithmetic;
mod common;
mod counts;
mod early;
mod exchange;
mod faults;
mod talk;
mod tensor;
mod text;
