//! The subcommands, a file each: they join the library's rooms and print.

pub mod clean;
pub mod doctor;
pub mod documents;
pub mod judge;
mod output;
pub mod run;
pub mod snapshot;
