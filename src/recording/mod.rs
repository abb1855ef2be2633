//! What happened, as an append-only file of JSON lines; the backbone of everything after it.
//!
//! A run writes it, `lockproof judge` reads it again. Analysis, verdict and every face of the
//! report are pure functions of it.

mod effects;
pub mod format;
pub mod read;
pub mod traffic;
pub mod write;

pub use format::{Event, Header};
