//! Every incident of `scenarios/incidents` is told, and its mended twin is let through: on a local server and in a
//! container. What is compared is rules and verdicts, never figures; waits are several times their budgets.
//!
//! Rules that fail are compared exactly. Of those that only tell, some depend on who comes by: those that are named
//! have to be there.

#[path = "support/mod.rs"]
mod support;

use std::process::Command;

use serde_json::Value;
use support::report::{ACCESS_EXCLUSIVE, Report, list};
use support::{On, finish, has_engine, has_server, image, missing};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What is to come of a scenario.
struct Incident {
    scenario: &'static str,
    rows: u32,
    code: i32,
    /// Steps and their verdicts.
    steps: &'static [(&'static str, &'static str)],
    /// Steps and the rules that fail.
    fails: &'static [(&'static str, &'static str)],
    /// Steps and rules that warn.
    tells: &'static [(&'static str, &'static str)],
    /// What else there is to see.
    and: fn(&Report),
}

impl Incident {
    #[track_caller]
    fn happens(&self, on: On) {
        let there = match on {
            On::Local => has_server(),
            On::Container => has_engine(),
        };
        if !there || (self.scenario.starts_with("killed-backfill") && !has_psql()) {
            return;
        }
        // Other tests load the same snapshot, as large.
        let cache = std::env::temp_dir().join("lockproof-scenario-tests");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
        command.current_dir(ROOT).arg("run");
        match on {
            On::Local => command.args(["--stage", "local"]),
            On::Container => command.args(["--stage", "docker", "--image", &image()]),
        };
        command
            .arg(format!("scenarios/incidents/{}", self.scenario))
            .args(["--var", &format!("rows={}", self.rows), "--json", "-"])
            .arg("--cache")
            .arg(cache);
        let ran = finish(command);
        let report = serde_json::from_str(&ran.stdout);
        let report = Report(report.unwrap_or_else(|error| panic!("{error}: {ran:?}")));
        let rules = |level: &str| -> Vec<(&str, &str)> {
            let findings = list(&report, "findings").iter();
            findings
                .filter(|finding| finding["level"] == level)
                .map(|finding| (text(finding, "step"), text(finding, "rule")))
                .collect()
        };
        let steps: Vec<(&str, &str)> = list(&report, "steps")
            .iter()
            .map(|step| (text(step, "name"), text(step, "verdict")))
            .collect();
        let findings = &report["findings"];
        assert_eq!(steps, self.steps, "{findings:#}");
        assert_eq!(rules("fail"), self.fails, "{findings:#}");
        for told in self.tells {
            assert!(rules("warn").contains(told), "{told:?}: {findings:#}");
        }
        assert_eq!(ran.code, Some(self.code), "{findings:#}");
        for disturbance in list(&report, "disturbances") {
            assert_eq!(disturbance["error"], Value::Null, "{disturbance}");
            assert!(disturbance["began_ms"].is_number(), "{disturbance}");
        }
        (self.and)(&report);
    }
}

/// Whether the backfills' scripts find what they call.
fn has_psql() -> bool {
    let found = Command::new("psql").arg("--version").output();
    found.is_ok() || missing("no `psql`")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn step<'a>(report: &'a Report, name: &str) -> &'a Value {
    let found = list(report, "steps")
        .iter()
        .find(|step| step["name"] == name);
    found.unwrap_or_else(|| panic!("no step {name}: {report}"))
}

/// Who was in the way of a step, by the name of the disturbance.
#[track_caller]
fn waited_behind(report: &Report, name: &str, whom: &str) {
    let waits = &step(report, name)["queue"]["waits"];
    let text = waits.to_string();
    assert!(text.contains(whom), "{whom}: {waits:#}");
}

/// It had to try again.
#[track_caller]
fn tried_again(report: &Report, name: &str) {
    let attempts = step(report, name)["attempts"].as_u64();
    assert!(attempts > Some(1), "{attempts:?}");
}

/// Whether somebody else held the strongest lock on the listings.
fn held_by_others(report: &Report) -> bool {
    list(step(report, "vacuum-comes"), "foreign_holds")
        .iter()
        .any(|hold| hold["mode"] == ACCESS_EXCLUSIVE && hold["relation"] == "listings_listing")
}

const FEW: u32 = 100_000;
const SOME: u32 = 200_000;
/// A dump of so many takes a second or two, and an index as long.
const MANY: u32 = 1_000_000;

macro_rules! incidents {
    ($($name:ident: $incident:expr;)+) => {
        $(mod $name {
            use super::*;

            #[test]
            fn on_the_local_server() {
                $incident.happens(On::Local);
            }

            #[test]
            fn in_a_container() {
                $incident.happens(On::Container);
            }
        })+
    };
}

incidents! {
    instant_alter: Incident {
        scenario: "instant-alter",
        rows: FEW,
        code: 1,
        steps: &[("add-column", "exceeded")],
        fails: &[("add-column", "exclusion-exceeded"), ("add-column", "victim-wait-exceeded")],
        tells: &[("add-column", "no-lock-timeout"), ("add-column", "sessions-blocked")],
        and: |report| waited_behind(report, "add-column", "report"),
    };
    instant_alter_mended: Incident {
        scenario: "instant-alter-mended",
        rows: FEW,
        code: 0,
        steps: &[("add-column", "within")],
        fails: &[],
        tells: &[("add-column", "lock-timeout-retried")],
        and: |report| tried_again(report, "add-column"),
    };
    alter_behind_dump: Incident {
        scenario: "alter-behind-dump",
        rows: MANY,
        code: 1,
        steps: &[("add-column", "exceeded")],
        fails: &[("add-column", "exclusion-exceeded"), ("add-column", "victim-wait-exceeded")],
        tells: &[("add-column", "no-lock-timeout"), ("add-column", "sessions-blocked")],
        and: |report| waited_behind(report, "add-column", "nightly-backup"),
    };
    alter_behind_dump_mended: Incident {
        scenario: "alter-behind-dump-mended",
        rows: MANY,
        code: 0,
        steps: &[("add-column", "within")],
        fails: &[],
        tells: &[("add-column", "lock-timeout-retried")],
        and: |report| tried_again(report, "add-column"),
    };
    column_and_index: Incident {
        scenario: "column-and-index",
        rows: MANY,
        code: 1,
        steps: &[("add-both", "exceeded")],
        fails: &[("add-both", "hold-exceeded")],
        tells: &[("add-both", "writes-blocked"), ("add-both", "sessions-blocked")],
        and: |report| {
            let hold = report.hold(0, ACCESS_EXCLUSIVE, "listings_listing");
            assert!(hold["lengthened_by"].to_string().contains("CREATE INDEX"), "{hold}");
            let held = report.findings("hold-exceeded")[0];
            assert!(!text(held, "message").contains("it waited"), "{held}");
        },
    };
    column_and_index_mended: Incident {
        scenario: "column-and-index-mended",
        rows: MANY,
        code: 0,
        steps: &[("add-column", "within"), ("add-index", "within")],
        fails: &[],
        tells: &[],
        and: |_| {},
    };
    foreign_key: Incident {
        scenario: "foreign-key",
        rows: FEW,
        code: 1,
        steps: &[("create-table", "within"), ("add-key", "exceeded")],
        fails: &[("add-key", "victim-wait-exceeded")],
        tells: &[("add-key", "writes-blocked"), ("add-key", "sessions-blocked")],
        and: |report| {
            waited_behind(report, "add-key", "forgotten-transaction");
            // The new table was held for as long as the old one was waited for; no scan had to do with it.
            let held = report.findings("writes-blocked")[0];
            let message = text(held, "message");
            assert!(message.contains("meanwhile it waited"), "{held}");
            assert!(text(held, "advice").contains("lock_timeout"), "{held}");
        },
    };
    foreign_key_mended: Incident {
        scenario: "foreign-key-mended",
        rows: FEW,
        code: 0,
        steps: &[("create-table", "within"), ("add-key", "within"), ("validate", "within")],
        fails: &[],
        tells: &[("add-key", "lock-timeout-retried")],
        and: |report| tried_again(report, "add-key"),
    };
    drop_trigger: Incident {
        scenario: "drop-trigger",
        rows: FEW,
        code: 1,
        steps: &[("create-trigger", "within"), ("drop-trigger", "exceeded")],
        fails: &[("drop-trigger", "exclusion-exceeded"), ("drop-trigger", "victim-wait-exceeded")],
        tells: &[("drop-trigger", "no-lock-timeout"), ("drop-trigger", "sessions-blocked")],
        and: |report| waited_behind(report, "drop-trigger", "to prevent wraparound"),
    };
    drop_trigger_mended: Incident {
        scenario: "drop-trigger-mended",
        rows: FEW,
        code: 0,
        steps: &[("create-trigger", "within"), ("drop-trigger", "within")],
        fails: &[],
        tells: &[("drop-trigger", "lock-timeout-retried")],
        and: |report| tried_again(report, "drop-trigger"),
    };
    truncating_vacuum: Incident {
        scenario: "truncating-vacuum",
        rows: SOME,
        code: 0,
        steps: &[("delete-photos", "within"), ("delete-old", "within"), ("vacuum-comes", "within")],
        fails: &[],
        tells: &[],
        and: |report| assert!(held_by_others(report), "{report}"),
    };
    truncating_vacuum_mended: Incident {
        scenario: "truncating-vacuum-mended",
        rows: SOME,
        code: 0,
        steps: &[
            ("keep-the-end", "within"), ("delete-photos", "within"), ("delete-old", "within"),
            ("vacuum-comes", "within"),
        ],
        fails: &[],
        tells: &[],
        and: |report| assert!(!held_by_others(report), "{report}"),
    };
    deadlock: Incident {
        scenario: "deadlock",
        rows: FEW,
        code: 4,
        steps: &[("add-columns", "failed")],
        fails: &[("add-columns", "step-failed")],
        tells: &[("add-columns", "sessions-blocked")],
        and: |report| {
            let failed = report.findings("step-failed");
            assert!(text(failed[0], "message").contains("40P01"), "{failed:?}");
            assert!(text(failed[0], "advice").contains("one table"), "{failed:?}");
            waited_behind(report, "add-columns", "photo-upload");
        },
    };
    deadlock_mended: Incident {
        scenario: "deadlock-mended",
        rows: FEW,
        code: 0,
        steps: &[("add-caption", "within"), ("add-photo-count", "within")],
        fails: &[],
        tells: &[("add-caption", "lock-timeout-retried")],
        and: |report| tried_again(report, "add-caption"),
    };
    concurrent_index: Incident {
        scenario: "concurrent-index",
        rows: FEW,
        code: 4,
        steps: &[("add-index", "failed")],
        fails: &[("add-index", "step-failed")],
        tells: &[],
        and: |report| {
            let failed = report.findings("step-failed");
            assert!(failed[0].to_string().contains("time-out struck"), "{failed:?}");
            waited_behind(report, "add-index", "second-pod");
        },
    };
    concurrent_index_mended: Incident {
        scenario: "concurrent-index-mended",
        rows: FEW,
        code: 0,
        steps: &[("add-index", "within")],
        fails: &[],
        tells: &[],
        and: |_| {},
    };
    killed_backfill: Incident {
        scenario: "killed-backfill",
        rows: FEW,
        code: 4,
        steps: &[
            ("add-column", "within"), ("backfill", "within"), ("again", "within"), ("check", "failed"),
        ],
        fails: &[("check", "step-failed")],
        tells: &[],
        and: |report| {
            let failed = report.findings("step-failed");
            let message = failed[0].to_string();
            assert!(message.contains("of ? sellers listings were lost"), "{message}");
        },
    };
    killed_backfill_mended: Incident {
        scenario: "killed-backfill-mended",
        rows: FEW,
        code: 0,
        steps: &[
            ("add-column", "within"), ("make-progress", "within"), ("backfill", "within"), ("again", "within"),
            ("check", "within"),
        ],
        fails: &[],
        tells: &[],
        and: |_| {},
    };
}
