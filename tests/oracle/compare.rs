//! A row beside what was seen of it, in words.

use std::collections::BTreeSet;
use std::fmt::Write;

use lockproof::pg::LockMode;

use crate::facts::{Counts, Expected, Locks, Names, short};
use crate::seen::Seen;

/// How the server's own word differs from a row that ran in a transaction: in nothing.
pub fn with_server(expected: &Expected, seen: &Seen) -> Vec<String> {
    let mut differences = Vec::new();
    differ(
        &mut differences,
        "locks",
        locks(&expected.locks),
        locks(&seen.locks),
    );
    differ(
        &mut differences,
        "new",
        counts(&expected.new),
        counts(&seen.new),
    );
    traces(&mut differences, expected, seen);
    differences
}

/// How lockproof's report differs from a row that ran in a transaction: in the modes that it does not
/// watch, and in locks that a statement let go of before its end, which the server could not note.
pub fn with_report(expected: &Expected, seen: &Seen, ignored: u64) -> Vec<String> {
    let mut differences = bounded(&watched(&expected.locks), &expected.may, &seen.locks);
    let new = new_and_watched(&expected.new);
    if ignored < new {
        differences.push(format!("ignored_holds: expected {new}, seen {ignored}"));
    }
    traces(&mut differences, expected, seen);
    differences
}

/// How what a witness saw of a row outside a transaction differs: what is held for long it saw, what
/// is held for a moment it may have seen, nothing else.
pub fn with_witness(expected: &Expected, seen: &Seen) -> Vec<String> {
    let mut differences = bounded(&expected.locks, &expected.may, &seen.locks);
    for mode in expected
        .new
        .keys()
        .filter(|mode| !seen.new.contains_key(mode))
    {
        differences.push(format!("new: {} was never seen", short(*mode)));
    }
    differ(
        &mut differences,
        "rewritten",
        names(&expected.rewritten),
        names(&seen.rewritten),
    );
    differences
}

/// The same for lockproof's report.
pub fn with_report_alone(expected: &Expected, seen: &Seen, ignored: u64) -> Vec<String> {
    let mut differences = bounded(&watched(&expected.locks), &expected.may, &seen.locks);
    if new_and_watched(&expected.new) > 0 && ignored == 0 {
        differences.push("ignored_holds: none was ever seen".to_owned());
    }
    traces(&mut differences, expected, seen);
    differences
}

fn bounded(surely: &Locks, may: &Locks, seen: &Locks) -> Vec<String> {
    let mut differences = Vec::new();
    let missing: Locks = surely.difference(seen).cloned().collect();
    if !missing.is_empty() {
        differences.push(format!("locks: never seen {}", locks(&missing)));
    }
    let allowed: Locks = surely.union(may).cloned().collect();
    let surplus: Locks = seen.difference(&allowed).cloned().collect();
    if !surplus.is_empty() {
        differences.push(format!("locks: not expected {}", locks(&surplus)));
    }
    differences
}

fn traces(differences: &mut Vec<String>, expected: &Expected, seen: &Seen) {
    differ(
        differences,
        "rewritten",
        names(&expected.rewritten),
        names(&seen.rewritten),
    );
    differ(
        differences,
        "scanned",
        names(&expected.scanned),
        names(&seen.scanned),
    );
}

fn differ(differences: &mut Vec<String>, what: &str, expected: String, seen: String) {
    if expected != seen {
        differences.push(format!("{what}: expected {expected}, seen {seen}"));
    }
}

fn watched(locks: &Locks) -> Locks {
    let watched = |lock: &&(String, LockMode)| LockMode::WATCHED.contains(&lock.1);
    locks.iter().filter(watched).cloned().collect()
}

fn new_and_watched(new: &Counts) -> u64 {
    LockMode::WATCHED
        .iter()
        .filter_map(|mode| new.get(mode))
        .sum()
}

/// `t S AEL, t_pkey AEL`.
fn locks(locks: &Locks) -> String {
    let mut shown = String::new();
    let mut last = None;
    for (name, mode) in locks {
        if last != Some(name) {
            let comma = if shown.is_empty() { "" } else { ", " };
            let _ = write!(shown, "{comma}{name}");
            last = Some(name);
        }
        let _ = write!(shown, " {}", short(*mode));
    }
    or_none(shown)
}

fn names(names: &Names) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    or_none(names.join(", "))
}

fn counts(counts: &Counts) -> String {
    let counts: BTreeSet<String> = counts
        .iter()
        .map(|(mode, count)| format!("{count} {}", short(*mode)))
        .collect();
    or_none(Vec::from_iter(counts).join(", "))
}

fn or_none(shown: String) -> String {
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown
    }
}
