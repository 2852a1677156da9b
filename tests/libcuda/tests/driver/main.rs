//! The driver as programs meet it: loaded as `libcuda.so`, called through cudarc.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod asynchrony;
mod capture;
mod counting;
mod faults;
mod memory;
mod modules;
mod queries;
mod settings;
mod support;
