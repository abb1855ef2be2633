//! `lockproof compare` of real runs: each scenario by itself, under the same traffic, and one table of all.
//!
//! What is compared differs by seconds, so that a busy machine changes nothing.

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::report::{at_least, list, sql};
use support::{On, Room, finish, has_server};

/// Two paths of one traffic are one traffic.
const SHARED: &str = "traffic = \"../traffic.toml\"\n";

/// Keeps readers out for two seconds.
const SLOW: &str = "LOCK TABLE items; SELECT pg_sleep(2)";
const QUICK: &str = "SELECT pg_sleep(2)";

/// Enough requests before the first step, and in two seconds, for a 99th percentile.
const TRAFFIC: &str = r#"
rate = 100
baseline = "2s"
settle = "1s"

[[operations]]
name = "read"
sql = "SELECT name FROM items WHERE id = :id"
parameters = { id = { column = "items.id" } }
"#;

fn scenario(room: &Room, name: &str, top: &str, statements: &str) -> PathBuf {
    let steps = sql("only", "transaction", statements);
    room.scenario_named(name, &format!("{top}{steps}"))
}

fn compare(room: &Room, what: &[&Path], arguments: &[&str]) -> Command {
    let mut command = room.command(&["compare"]);
    command.args(what).args(arguments);
    command
}

#[test]
fn scenarios_are_run_beside_the_same_traffic_and_laid_side_by_side() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file("traffic.toml", TRAFFIC);
    std::fs::create_dir(room.path("seen")).expect("made");
    let (slow, quick) = (
        scenario(&room, "slow", SHARED, SLOW),
        scenario(&room, "quick", SHARED, QUICK),
    );
    let arguments = [
        "--stage",
        "local",
        "--budget",
        "1s",
        "--record",
        "seen/",
        "--json",
        "compared.json",
        "--html",
        "compared.html",
    ];
    let ran = finish(compare(&room, &[&slow, &quick], &arguments));
    // A budget that was broken is what is compared.
    ran.expect(
        0,
        &[
            "downtime",
            "p99 of read",
            "worst p99 in step",
            "exceeded",
            "within",
        ],
    );
    let compared = room.json("compared.json");
    let [slow, quick] = list(&compared, "scenarios") else {
        panic!("{compared}");
    };
    assert_eq!(
        (&slow["verdict"], &quick["verdict"]),
        (&"exceeded".into(), &"within".into())
    );
    assert!(
        at_least(&slow["downtime_ms"]) > 1_000.0,
        "{}",
        slow["downtime_ms"]
    );
    assert_eq!(quick["downtime_ms"]["at_most"], 0.0);
    assert!(slow["blocked"].as_u64() > quick["blocked"].as_u64());
    let [change] = list(slow, "p99_changes") else {
        panic!("{}", slow["p99_changes"]);
    };
    assert_eq!(
        (&change["operation"], &change["step"]),
        (&"read".into(), &"only".into())
    );
    let grown = |change: &Value| change["p99_ms"].as_f64() > change["baseline_ms"].as_f64();
    assert!(grown(change) && change == &slow["p99_change"], "{change}");
    let seed = |one: &Value| one["report"]["traffic"]["seed"].clone();
    assert_eq!((seed(slow), seed(quick)), (42.into(), 42.into()));
    let page = room.read("compared.html");
    assert!(page.contains("p99 of read"), "the page lacks a row");

    // What was recorded says the same again, without a server.
    let seen = ["seen/slow.jsonl", "seen/quick.jsonl"].map(|name| room.path(name));
    let again = finish(compare(
        &room,
        &[&seen[0], &seen[1]],
        &["--json", "again.json"],
    ));
    again.expect(0, &[]);
    assert_eq!(again.stdout, ran.stdout);
    let figures = |compared: &Value| {
        let mut scenarios = list(compared, "scenarios").to_vec();
        for one in &mut scenarios {
            one["report"] = Value::Null;
        }
        scenarios
    };
    assert_eq!(figures(&room.json("again.json")), figures(&compared));
    let refused = finish(compare(
        &room,
        &[&seen[0], &seen[1]],
        &["--record", "more/"],
    ));
    refused.expect(2, &["--record", "recorded already"]);
}

#[test]
fn a_migration_that_fails_is_compared_and_makes_the_exit_code() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let (broken, quick) = (
        scenario(&room, "broken", "", "ALTER TABLE items DROP COLUMN nothing"),
        scenario(&room, "quick", "", "SELECT 1"),
    );
    let arguments = ["--stage", "local", "--json", "compared.json"];
    let ran = finish(compare(&room, &[&broken, &quick], &arguments));
    ran.expect(4, &["failed", "within"]);
    assert_eq!(list(&room.json("compared.json"), "scenarios").len(), 2);

    // Nobody asked for a table; that it failed is an error all the same.
    let quiet = finish(room.run_command(On::Local, &broken, &["--quiet"]));
    quiet.expect(4, &["error: only: ", "does not exist", "42703"]);
    assert_eq!(quiet.stdout, "");
    let quiet = ["--stage", "local", "--quiet"];
    let quiet = finish(compare(&room, &[&broken, &quick], &quiet));
    quiet.expect(4, &["error: only: ", "42703"]);
    assert_eq!(quiet.stdout, "");
}

#[test]
fn what_is_no_comparison_is_refused_before_anything_is_run() {
    let room = Room::new();
    let quick = scenario(&room, "quick", "", QUICK);
    let other = scenario(&room, "other", "", QUICK);
    room.file("other/traffic.toml", TRAFFIC);
    let refused = |what: &[&Path], arguments: &[&str], words: &[&str]| {
        let ran = finish(compare(&room, what, arguments));
        ran.expect(2, words);
        assert!(!room.path("seen").exists(), "{words:?}");
    };
    refused(&[&quick], &[], &["alone"]);
    refused(
        &[&quick, &other],
        &["--record", "seen/"],
        &["different traffic", "--traffic FILE"],
    );
    refused(
        &[&quick, &other],
        &["--no-traffic", "--jobs", "2"],
        &["--jobs", "neighbour"],
    );
    refused(
        &[&quick, &other],
        &["--no-traffic", "--record", "-"],
        &["--record -"],
    );
    refused(
        &[&quick, &other],
        &["--no-traffic", "--junit", "x.xml"],
        &["--junit"],
    );
    let same = [
        "--no-traffic",
        "--record",
        "{scenario}.x",
        "--json",
        "quick.x",
    ];
    room.file("quick.x", "");
    refused(
        &[&quick, &other],
        &same,
        &["`quick.x` would be written over"],
    );
    let stored = ["quick.jsonl", "other.jsonl"].map(|name| room.file(name, "kept"));
    refused(
        &[&stored[0], &stored[1]],
        &["--json", "quick.jsonl"],
        &[
            "`--json quick.jsonl` would replace",
            "a recording that is compared",
        ],
    );
    refused(&[&stored[0], &stored[0]], &[], &["`", "is there twice"]);
    assert_eq!(room.read("quick.jsonl"), "kept");
}
