//! Runs PTX on the CPU, strictly: what a GPU would let pass or answer with garbage is a fault
//! that names its line.
//!
//! [`Module::parse`] reads the text NVRTC emits, [`launch`] runs a kernel of it over [`Memory`],
//! and [`Counts`] says what the launch did. Source: PTX ISA 8.5.

#![deny(unsafe_code)]

mod alu;
mod async_copy;
mod block;
mod chip;
mod counts;
mod decode;
mod exec;
mod fault;
mod isa;
mod kernel;
mod launch;
mod line;
mod memory;
mod parse;
mod race;
mod schedule;
mod shared;
mod simd;
mod talk;
mod tensor;
mod warp;

pub use chip::{Chip, Tensor};
pub use counts::Counts;
pub use fault::{Fault, FaultKind, ParseError};
pub use kernel::{Kernel, Module, Param, ParamKind};
pub use launch::{Launch, launch, launch_watched};
pub use memory::{AccessError, Contents, Memory};
pub use parse::architecture;
