//! `make bench`: what lockproof costs, measured as ratios against the same work without it, paired and
//! interleaved, so that a noisy machine makes both sides slow. Prints one table, asserts nothing; ends
//! with another code than 0 only when a measurement itself could not be made.
//!
//! `BENCH=replay,sampler,memory,start,snapshots,analysis,neighbours` chooses; `ROWS`, `PAIRS`, `SECONDS` size them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    missing_docs,
    reason = "a program for developers: it prints, and ends where a measurement cannot be made"
)]

mod alloc;
mod allocations;
mod blocked;
mod ground;
mod memory;
mod neighbours;
mod numbers;
mod pgbench;
mod replay;
mod requests;
mod sampler;
mod snapshots;
mod start;
mod surroundings;
mod synthetic;
mod table;
mod traffic;
mod watching;

use table::Table;

/// Whatever goes wrong ends the bench.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

type Bench = fn(&mut Table) -> Outcome;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

fn main() -> Outcome {
    if let Ok(case) = std::env::var(memory::CHILD) {
        return memory::child(&case);
    }
    let wanted = std::env::var("BENCH").unwrap_or_default();
    let mut table = Table::default();
    let benches: [(&str, Bench); 9] = [
        ("memory", memory::run),
        ("analysis", memory::analysis),
        ("start", start::run),
        ("snapshots", snapshots::run),
        ("replay", replay::run),
        ("sampler", sampler::run),
        ("neighbours", neighbours::run),
        ("traffic", traffic::run),
        ("blocked", blocked::run),
    ];
    if let Some(unknown) = wanted
        .split(',')
        .find(|word| !word.is_empty() && benches.iter().all(|(name, _)| name != word))
    {
        return Err(format!(
            "no bench `{unknown}`: replay, sampler, memory, start, snapshots, analysis, neighbours, traffic, blocked"
        )
        .into());
    }
    let mut outcome = Ok(());
    for (name, bench) in benches {
        if outcome.is_ok() && (wanted.is_empty() || wanted.split(',').any(|word| word == name)) {
            eprintln!("bench: {name}");
            let before = numbers::load();
            outcome = bench(&mut table);
            let load = format!("{before}, then {}", numbers::load());
            table.info(format!("load of the machine, {name}"), load);
        }
    }
    // What was measured before something went wrong is worth as much.
    table.print();
    outcome
}
