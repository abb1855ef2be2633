//! Everything that can be wrong from outside: the exit code, the words, and that nothing is left.
//!
//! Each test runs the real binary in a room of its own. Without server programs or an engine a test
//! says `SKIPPED` and passes, except where `CI=true` promises both.

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod disk;
mod external;
mod killed;
mod outputs;
mod recordings;
mod scenarios;
mod signals;
mod snapshots;
mod stages;
mod steps;
