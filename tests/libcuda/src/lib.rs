//! A CUDA driver without a GPU: the calls of libcuda over the PTX interpreter.
//!
//! The library is a `libcuda.so` to any program: `symbols.rs` lists the calls it knows. A
//! stream is a thread with a queue, so launches, asynchronous copies and graphs really run beside
//! the host. A test loads it with [`Simulator`] before its first CUDA call and reads from it what
//! the driver was asked and what the kernels did.
//!
//! Settings, read from the environment at the first call:
//! - `OFFRAMP_SIM_DEVICES`: how many devices there are; 1.
//! - `OFFRAMP_SIM_CARD`: `h100`, `a100`, `l4` or `rtx4090`; h100.
//! - `OFFRAMP_SIM_DRIVER_VERSION`: what `cuDriverGetVersion` says; 12040.
//! - `OFFRAMP_SIM_MEMORY_MB`: MiB of memory of each device; 4096.
//! - `OFFRAMP_SIM_FAILING_LAUNCH`: a launch, counted from 1, that fails as if its kernel had a
//!   fault; 0, none.
//! - `OFFRAMP_SIM_SEED`: mixes the order in which blocks run; 0, the order of their numbers.
//! - `OFFRAMP_SIM_TENSOR`: how tensor cores sum up, `exact`, `ampere` or `hopper`; the card's way.
//! - `OFFRAMP_SIM_TRACE`: a file that gets a line for each call.
//!
//! Source: CUDA Driver API reference, 12.4.

mod capture;
mod card;
mod complain;
mod context;
mod copy;
mod counts;
mod device;
mod error;
mod event;
mod explain;
mod ffi;
mod function;
mod graph;
mod heap;
mod launch;
mod memory;
mod module;
mod profile;
mod ptx;
mod settings;
mod simulator;
mod stream;
mod symbols;
mod table;
mod trace;
mod work;
mod worker;

pub use counts::SimCounts;
pub use simulator::{LoadError, Simulator};
