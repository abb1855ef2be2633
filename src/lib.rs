//! lockproof: a pre-production gate for PostgreSQL schema migrations.

pub mod cli;
pub mod config;
pub mod error;
pub mod exit_code;
pub mod pg;
pub mod plan;
pub mod snapshot;
pub mod sql;
pub mod stage;

pub use error::{Error, Result};
