//! What is shown: one serialisable model, and each of its faces in a file of its own.
//!
//! Nothing here measures or judges.

pub mod build;
mod distribution;
mod felt_words;
mod fidelity;
pub mod json;
pub mod model;
mod queue;
mod repeats;
pub mod summary;
pub mod table;
pub mod text;
mod wording;

pub use model::Report;
