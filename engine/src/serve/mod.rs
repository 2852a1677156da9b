//! Serving over TCP.

pub mod protocol;
