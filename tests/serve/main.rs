//! Servers on loopback ports of their own, with the shipped model behind them.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod answers;
mod clients;
mod dropped;
mod faults;
mod hostile;
mod life;
mod orders;
mod overload;
mod python;
mod refused;
mod reload;
mod service;
mod support;
mod tasks;
mod vision;
