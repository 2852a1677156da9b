//! Transformers over text: families by tables, and what their configurations mean.

mod config;
mod family;
mod variants;

pub(crate) use config::parse;
pub use family::Family;
pub(crate) use variants::{fit, is_harmless, roots};
