//! What is shown: one serialisable model, and each of its faces in a file of its own.
//!
//! Nothing here measures or judges.

pub mod build;
mod distribution;
mod fidelity;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod model;
mod repeats;
mod shown;
pub mod summary;
pub mod table;
pub mod text;
mod wording;

pub use model::Report;
