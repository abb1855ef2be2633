//! The thread that polls, and its own health. Judges nothing, and cannot block the observed.

pub mod cadence;
mod changes;
mod inquiry;
mod people;
pub mod sampler;
mod session;

pub use sampler::{Sampler, Setup};
