//! lockproof: a pre-production gate for PostgreSQL schema migrations.

pub mod advice;
pub mod analyse;
pub mod bounds;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod exit_code;
pub mod interrupt;
pub mod judge;
pub mod observe;
pub mod pg;
pub mod plan;
pub mod recording;
pub mod replay;
pub mod report;
pub mod run;
pub mod snapshot;
pub mod sql;
pub mod stage;

pub use error::{Error, Result};
