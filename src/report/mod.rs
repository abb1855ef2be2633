//! What is shown: one serialisable model, and each of its faces in a file of its own.
//!
//! Nothing here measures or judges.

pub mod build;
pub mod json;
pub mod model;
pub mod table;
pub mod text;
mod wording;

pub use model::Report;
