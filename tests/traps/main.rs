//! Every trap of measuring locks, on a real server: a test for each, named after it, that fails when
//! what lockproof does against it is taken out. ARCHITECTURE.md has the list.
//!
//! A hold that has to be found too long lasts twice the budget at the least, one that has to be
//! found short enough takes a small part of it: no time is asserted closely.

#[path = "../support/mod.rs"]
mod support;

mod catalogue;
mod command;
mod commit;
mod concurrently;
mod objects;
mod partitions;
mod queue;
mod settings;
mod transactions;
mod vacuum;
mod waits;
mod weaker;
mod workers;

/// The budget of these tests, in milliseconds.
const BUDGET: f64 = 400.0;

/// How a run is told it.
const WITH_BUDGET: &[&str] = &["--budget", "400ms"];

/// A statement that takes twice as long.
const LONG: &str = "SELECT pg_sleep(0.8)";
