//! How far the data are production's: the line in the report's head, and what it could not show.

use super::text;
use crate::analyse::StageFacts;
use crate::plan::Warmth;
use crate::recording::format::{
    CollationFacts, CopyKind, DatabaseFacts, Reach, SnapshotFacts, TableFacts,
};
use crate::stage::StageKind;

/// So many tables are named in the head.
const NAMED: usize = 3;

/// So many things that can reach out have a line.
const REACHES: usize = 20;

/// `taken 2026-11-21 (4 days ago); cold cache; partial: events`; None where there is nothing to say.
pub(super) fn line(snapshot: &SnapshotFacts, warmth: Option<Warmth>) -> Option<String> {
    let mut parts = Vec::new();
    if let (Some(taken_at), Some(days)) = (&snapshot.taken_at, snapshot.age_days) {
        let day = taken_at.split('T').next().unwrap_or(taken_at);
        parts.push(match days {
            ..0 => format!("taken {day} (in the future)"),
            0 => format!("taken {day} (today)"),
            1 => format!("taken {day} (1 day ago)"),
            days if snapshot.stale => format!("taken {day} ({days} days ago: stale)"),
            days => format!("taken {day} ({days} days ago)"),
        });
    }
    if snapshot.copy == Some(CopyKind::Physical) {
        parts.push("physical copy".to_owned());
    }
    match warmth {
        Some(warmth @ (Warmth::Warm | Warmth::Cold)) => {
            parts.push(format!("{} cache", warmth.name()));
        }
        Some(Warmth::AsIs) | None => {}
    }
    if !snapshot.partial.is_empty() {
        let names: Vec<&str> = snapshot
            .partial
            .iter()
            .take(NAMED)
            .map(|partial| partial.table.as_str())
            .collect();
        let more = snapshot.partial.len().saturating_sub(NAMED);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        parts.push(format!("partial: {}{more}", names.join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What in the database can reach out, a line each: `foreign server `prod`: postgres_fdw, host db1`.
pub(super) fn reaches(snapshot: &SnapshotFacts) -> Vec<String> {
    let told = |reach: &Reach| {
        let kind = reach.kind.replace('_', " ");
        match &reach.detail {
            Some(detail) => format!("{kind} `{}`: {detail}", reach.name),
            None => format!("{kind} `{}`", reach.name),
        }
    };
    let mut lines: Vec<String> = snapshot.reaches.iter().take(REACHES).map(told).collect();
    match snapshot.reaches.len().saturating_sub(REACHES) {
        0 => {}
        more => lines.push(format!("and {more} more in the report as JSON")),
    }
    lines
}

/// What these data cannot show.
pub(super) fn limits(stage: &StageFacts) -> Vec<String> {
    let snapshot = &stage.snapshot;
    let mut limits = Vec::new();
    if !snapshot.partial.is_empty() {
        let tables: Vec<String> = snapshot
            .partial
            .iter()
            .map(|partial| match &partial.rows {
                Some(rows) => format!("`{}` (rows where {rows})", partial.table),
                None => format!("`{}` (no rows)", partial.table),
            })
            .collect();
        limits.push(format!(
            "partial: {}; holds on these tables prove nothing about production's size",
            tables.join(", ")
        ));
    }
    if snapshot.copy == Some(CopyKind::Logical) {
        limits.push(
            "copy: the data were written anew, so there is none of production's bloat: a scan or a \
             rewrite there reads more"
                .to_owned(),
        );
    }
    match stage.warmth {
        Some(Warmth::Warm) => limits.push(
            "cache: everything was read into memory before each replay, as far as it fits; on a \
             server that has to read it from disk, scans take longer"
                .to_owned(),
        ),
        Some(Warmth::Cold) => limits.push(
            "cache: nothing of the data was in memory when a replay began, the worst case after a \
             restart or a failover"
                .to_owned(),
        ),
        Some(Warmth::AsIs) => limits.push(
            "cache: as a fresh copy leaves it, so as a rule in the kernel's memory and not in the \
             server's"
                .to_owned(),
        ),
        None => {}
    }
    limits.extend(snapshot.database.as_deref().and_then(other_versions));
    limits
}

/// How large its tables are; an empty one is no proof, and one that was never analyzed is not empty.
pub(super) fn size(stage: &StageFacts) -> Vec<String> {
    sizes(stage.kind, &stage.snapshot)
}

fn sizes(kind: StageKind, snapshot: &SnapshotFacts) -> Vec<String> {
    let tables = &snapshot.tables;
    let unknown: Vec<&TableFacts> = tables.iter().filter(|table| table.rows.is_none()).collect();
    if kind != StageKind::External && tables.iter().all(|table| table.rows == Some(0)) {
        return vec!["the database is empty: holds on empty tables prove nothing".to_owned()];
    }
    let mut limits = Vec::new();
    let largest = if unknown.is_empty() {
        tables.iter().max_by_key(|table| table.rows)
    } else {
        tables.iter().max_by_key(|table| table.bytes)
    };
    if let Some(largest) = largest {
        let rows = match largest.rows {
            Some(rows) => format!("{} rows", text::count(rows)),
            None => text::bytes(largest.bytes),
        };
        limits.push(format!(
            "table size: a hold that scans or rewrites grows with its table; the largest here, \
             `{}`, has {rows}",
            largest.name
        ));
    }
    if let Some(first) = unknown.first() {
        let more = match unknown.len() - 1 {
            0 => "was".to_owned(),
            more => format!("and {more} more were"),
        };
        limits.push(format!(
            "rows: `{}` {more} never analyzed, so how many rows there are is not known, nor does the \
             planner know it",
            first.name
        ));
    }
    limits
}

/// A warning where a collation has another version here than its indexes were built under.
fn other_versions(database: &DatabaseFacts) -> Option<String> {
    let differs = |collation: &&CollationFacts| {
        collation.recorded_version.is_some()
            && collation.recorded_version != collation.actual_version
    };
    let names: Vec<String> = database
        .collations
        .iter()
        .filter(differs)
        .map(|collation| {
            format!(
                "`{}` ({} recorded, {} here)",
                collation.name,
                collation.recorded_version.as_deref().unwrap_or("none"),
                collation.actual_version.as_deref().unwrap_or("none")
            )
        })
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "collation versions differ: {}; the order of indexes on text may not be the one that \
             they were built in, and what reads them may miss rows",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::format::PartialTable;

    fn partial(names: &[&str]) -> Vec<PartialTable> {
        let table = |name: &&str| PartialTable {
            table: (*name).to_owned(),
            rows: None,
        };
        names.iter().map(table).collect()
    }

    #[test]
    fn the_head_says_only_what_is_to_be_known() {
        let mut snapshot = SnapshotFacts::default();
        assert_eq!(line(&snapshot, Some(Warmth::AsIs)), None);
        snapshot.taken_at = Some("2026-11-21T00:00:00Z".to_owned());
        snapshot.age_days = Some(4);
        snapshot.partial = partial(&["a", "b", "c", "d"]);
        assert_eq!(
            line(&snapshot, Some(Warmth::Warm)).as_deref(),
            Some("taken 2026-11-21 (4 days ago); warm cache; partial: a, b, c and 1 more")
        );
        snapshot.partial.clear();
        snapshot.copy = Some(CopyKind::Physical);
        for (days, stale, words) in [
            (
                40,
                true,
                "taken 2026-11-21 (40 days ago: stale); physical copy",
            ),
            (1, false, "taken 2026-11-21 (1 day ago); physical copy"),
            (0, false, "taken 2026-11-21 (today); physical copy"),
            (-3, false, "taken 2026-11-21 (in the future); physical copy"),
        ] {
            (snapshot.age_days, snapshot.stale) = (Some(days), stale);
            assert_eq!(line(&snapshot, None).as_deref(), Some(words));
        }
    }

    #[test]
    fn what_can_reach_out_has_a_line_each_up_to_a_number() {
        let reach = |number: usize| Reach {
            kind: "foreign_server".to_owned(),
            name: format!("s{number}"),
            detail: (number == 0).then(|| "postgres_fdw, host db1".to_owned()),
        };
        let mut snapshot = SnapshotFacts::default();
        assert!(reaches(&snapshot).is_empty());
        snapshot.reaches = (0..22).map(reach).collect();
        let lines = reaches(&snapshot);
        assert_eq!(lines[0], "foreign server `s0`: postgres_fdw, host db1");
        assert_eq!(lines[1], "foreign server `s1`");
        assert_eq!(lines.len(), 21);
        assert_eq!(lines[20], "and 2 more in the report as JSON");
    }

    #[test]
    fn what_was_never_analyzed_is_not_empty() {
        let limits = |tables: &[(&str, Option<u64>, u64)]| {
            let snapshot = SnapshotFacts {
                tables: tables
                    .iter()
                    .map(|(name, rows, bytes)| TableFacts {
                        name: (*name).to_owned(),
                        rows: *rows,
                        bytes: *bytes,
                        ..TableFacts::default()
                    })
                    .collect(),
                ..SnapshotFacts::default()
            };
            sizes(StageKind::Local, &snapshot)
        };
        let empty = ["the database is empty: holds on empty tables prove nothing"];
        assert_eq!(limits(&[]), empty);
        assert_eq!(limits(&[("a", Some(0), 8192)]), empty);
        let known = limits(&[("a", Some(7), 9_000_000), ("b", Some(8), 1)]);
        assert_eq!(known.len(), 1);
        assert!(
            known[0].ends_with("the largest here, `b`, has 8 rows"),
            "{known:?}"
        );
        for (tables, named, words) in [
            (
                &[("a", None, 9_000_000)][..],
                "`a`",
                "`a` was never analyzed",
            ),
            (
                &[("a", None, 9_000_000), ("b", Some(8), 1), ("c", None, 1)],
                "`a`",
                "`a` and 1 more were never analyzed",
            ),
            (
                &[("a", Some(0), 9_000), ("b", None, 1)],
                "`a`, has 0 rows",
                "`b` was never analyzed",
            ),
        ] {
            let limits = limits(tables);
            assert_eq!(limits.len(), 2, "{limits:?}");
            assert!(
                limits[0].contains(&format!("the largest here, {named}")),
                "{limits:?}"
            );
            assert!(limits[1].contains(words), "{limits:?}");
        }
    }

    #[test]
    fn a_collation_of_another_version_is_warned_of() {
        let collation = |name: &str, recorded: Option<&str>| CollationFacts {
            name: name.to_owned(),
            provider: "libc".to_owned(),
            locale: None,
            recorded_version: recorded.map(str::to_owned),
            actual_version: Some("2.36".to_owned()),
        };
        let mut database = DatabaseFacts {
            encoding: "UTF8".to_owned(),
            data_checksums: false,
            time_zone: "UTC".to_owned(),
            collations: vec![collation("default", Some("2.36")), collation("x", None)],
            extensions: Vec::new(),
        };
        assert_eq!(other_versions(&database), None);
        database.collations[0] = collation("default", Some("2.31"));
        let warning = other_versions(&database).expect("a warning");
        assert!(
            warning.contains("`default` (2.31 recorded, 2.36 here)"),
            "{warning}"
        );
    }
}
