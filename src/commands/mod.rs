//! The subcommands, a file each: they join the library's rooms and print.

mod beside;
pub mod clean;
pub mod compare;
pub mod doctor;
pub mod documents;
mod faces;
pub mod judge;
mod named;
mod output;
pub mod run;
mod several;
pub mod snapshot;
pub mod typed;
