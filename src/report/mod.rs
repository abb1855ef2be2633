//! What is shown: one serialisable model, and each of its faces in a file of its own.
//!
//! Nothing here measures or judges.

pub mod build;
pub mod compare;
mod compare_words;
mod distribution;
mod doubt_words;
mod felt;
mod felt_words;
mod fidelity;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod model;
mod others;
mod queue;
mod repeats;
mod shown;
pub mod summary;
pub mod table;
pub mod text;
mod traffic;
mod wording;

pub use model::Report;
