//! Which locks each command takes, what it rewrites and what it scans, on every major that there is
//! an image of: `facts.toml`, held against the server's own `pg_locks` and against what lockproof
//! reports of it.
//!
//! Every row has tables of its own and is committed, so that what it does to them is seen as in a
//! real migration. Small tables do: neither modes nor rewrites nor scans depend on size.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod compare;
mod facts;
mod seen;
mod stage;

use std::fmt::Write;

use facts::Table;

/// Walks every row on this major.
fn walk(major: u32) {
    let image = format!("lockproof/postgres:{major}");
    if !support::has_image(&image) {
        return;
    }
    let table = Table::read();
    let outcome = stage::run(&table, major, &image);
    let nothing = seen::Seen::default();
    let mut wrong = String::new();
    let mut rows = 0;
    for (schema, fact) in table.of(major) {
        rows += 1;
        let witnessed = if fact.alone {
            stage::witnessed(&schema)
        } else {
            schema.clone()
        };
        let expected = fact.expected(major, &outcome.server.relations(&witnessed));
        let by_server = outcome.server.seen(&witnessed).unwrap_or(&nothing);
        let step = &outcome.steps[&schema];
        let ignored = step["ignored_holds"].as_u64().unwrap();
        let (by_lockproof, oddities) = seen::by_lockproof(&schema, step);
        let (server, report) = if fact.alone {
            (
                compare::with_witness(&expected, by_server),
                compare::with_report_alone(&expected, &by_lockproof, ignored),
            )
        } else {
            (
                compare::with_server(&expected, by_server),
                [
                    compare::with_report(&expected, &by_lockproof, ignored),
                    oddities,
                ]
                .concat(),
            )
        };
        if server.is_empty() & report.is_empty() {
            continue;
        }
        let _ = writeln!(wrong, "{}: {}", fact.title, fact.sql);
        if !fact.remark.is_empty() {
            let _ = writeln!(wrong, "  remark: {}", fact.remark);
        }
        for (who, differences) in [("the server", server), ("lockproof", report)] {
            for difference in differences {
                let _ = writeln!(wrong, "  {who}: {difference}");
            }
        }
    }
    let count = wrong.lines().filter(|line| !line.starts_with(' ')).count();
    assert!(
        wrong.is_empty(),
        "PostgreSQL {major}: {count} of {rows} rows of tests/oracle/facts.toml are not as they say\n{wrong}"
    );
}

#[test]
fn postgres_13() {
    walk(13);
}

#[test]
fn postgres_15() {
    walk(15);
}

#[test]
fn postgres_17() {
    walk(17);
}

#[test]
fn postgres_18() {
    walk(18);
}
