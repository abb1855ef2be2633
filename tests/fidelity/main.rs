//! What of production travels with a snapshot, on real servers: settings, roles, age, what a dump needs,
//! and what is in memory when a replay begins. Each that works has a twin that is refused.
#![allow(clippy::print_stderr)]

#[path = "../local_support/mod.rs"]
mod local_support;
#[path = "../support/mod.rs"]
mod support;

mod dumps;
mod memory;
mod travels;
