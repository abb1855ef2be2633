//! Several scenarios of one command: one after the other and at once, each with its own report, its own
//! trouble and nothing left behind.
#![allow(clippy::print_stdout)]

#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lockproof::exit_code::ExitCode;
use lockproof::interrupt::Interrupt;
use lockproof::judge::Verdict;
use lockproof::run::{Ended, Job, many};
use lockproof::stage::Watch;
use lockproof::stage::watch::Unwatched;
use lockproof::{cli, config};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::report::{list, sql};
use support::{On, Room, Running, finish, has_engine, has_server, image, within};

/// Long enough that two that begin together are together.
const TOGETHER: &str = "SELECT pg_sleep(3)";
const ADD: &str = "ALTER TABLE items ADD b int";
/// A budget that even a starved machine keeps, and proves.
const LOOSE: &str = "[budgets]\n\"ACCESS EXCLUSIVE\" = \"60s\"\n";
const HOUR: &str = "SELECT pg_sleep(3600)";

fn is_possible(on: On) -> bool {
    match on {
        On::Local => has_server(),
        On::Container => has_engine(),
    }
}

/// Holds its lock for a moment.
fn good(room: &Room, name: &str) -> PathBuf {
    let steps = sql("wait", "autocommit", TOGETHER) + &sql("add", "transaction", ADD);
    room.scenario_named(name, &format!("{LOOSE}{steps}"))
}

/// Holds its lock for seconds.
fn bad(room: &Room, name: &str) -> PathBuf {
    let steps = sql("add", "transaction", &format!("{ADD}; {TOGETHER};"));
    room.scenario_named(name, &steps)
}

fn steps_of(room: &Room, name: &str, statement: &str) -> PathBuf {
    let step = sql("only", "autocommit", statement);
    room.scenario_named(name, &format!("{LOOSE}{step}"))
}

fn command(room: &Room, on: On, scenarios: &[PathBuf], arguments: &[&str]) -> Command {
    let mut command = room.command(&["run"]);
    command.args(scenarios);
    match on {
        On::Local => command.args(["--stage", "local"]),
        On::Container => command.args(["--stage", "docker", "--image", &image()]),
    };
    command.args(arguments);
    command
}

/// The place of each of these in a text, which has them in this order.
#[track_caller]
fn in_order(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let Some((_, after)) = rest.split_once(word) else {
            panic!("no {word:?} behind the others in:\n{text}");
        };
        rest = after;
    }
}

fn neighbours(report: &Value) -> Vec<u64> {
    let steps = list(report, "steps").iter();
    steps
        .filter_map(|step| step["neighbours"].as_u64())
        .collect()
}

fn rules(report: &Value) -> Vec<&str> {
    let findings = list(report, "findings").iter();
    findings
        .filter_map(|finding| finding["rule"].as_str())
        .collect()
}

/// Two at once on clones of one base, restored once: each verdict is its own.
fn side_by_side(on: On) {
    if !is_possible(on) {
        return;
    }
    let room = Room::new();
    let scenarios = [good(&room, "fine"), bad(&room, "slow")];
    let arguments = [
        "-v",
        "--jobs",
        "2",
        "--json",
        "./",
        "--html",
        "./",
        "--junit",
        "./",
        "--record",
        "{scenario}.rec",
    ];
    let ran = finish(command(&room, on, &scenarios, &arguments));
    ran.expect(1, &["2 scenarios: 1 within, 1 exceeded"]);
    for (name, failures) in [("fine", 0), ("slow", 1)] {
        let title = format!(": {name} – lockproof</title>");
        assert!(room.read(&format!("{name}.html")).contains(&title));
        let cases = room.read(&format!("{name}.xml"));
        assert!(
            cases.contains(&format!("failures=\"{failures}\"")),
            "{cases}"
        );
    }
    in_order(
        &ran.stdout,
        &[
            "lockproof: fine\n",
            "verdict: within",
            "  beside 1 other scenario: holds may be shorter alone\n",
            "\nlockproof: slow\n",
            "verdict: exceeded",
            "\nscenario",
            "\nfine ",
            "\nslow ",
            "\n2 scenarios: ",
        ],
    );
    let restores = ran.stderr.matches("with `generate.sql`").count();
    assert_eq!(restores, 1, "{ran:?}");
    let waits = ran.stderr.matches(": waiting for it").count();
    assert_eq!(waits, 1, "{ran:?}");
    // Each line says whose it is, but for one about both where there are few processors.
    for line in ran.stderr.lines() {
        let whose = ["fine: ", "slow: ", "2 scenarios at once on "];
        assert!(whose.iter().any(|words| line.starts_with(words)), "{line}");
    }
    let (fine, slow) = (room.json("fine.json"), room.json("slow.json"));
    assert_eq!(
        (&fine["verdict"], &slow["verdict"]),
        (&"within".into(), &"exceeded".into())
    );
    assert_eq!(fine["run"]["jobs"], 2);
    assert_eq!(fine["run"]["neighbours"], 1);
    assert_eq!((neighbours(&fine)[0], neighbours(&slow)), (1, vec![1]));
    assert_eq!(rules(&fine), ["no-lock-timeout"]);
    assert_eq!(
        rules(&slow),
        ["hold-exceeded", "measured-beside", "no-lock-timeout"]
    );
    for report in [&fine, &slow] {
        let limits = report["limits"].to_string();
        assert!(
            limits.contains("neighbours: 1 other scenario ran"),
            "{limits}"
        );
    }
    // The recording says the same.
    room.lockproof(&["judge", "slow.rec", "--json", "again.json"])
        .expect(1, &["beside 1 other scenario"]);
    assert_eq!(room.json("again.json"), slow);
    clean(&room, on);
}

/// Nothing of the runs is left, and there is one base.
#[track_caller]
fn clean(room: &Room, on: On) {
    match on {
        On::Local => {
            room.assert_clean();
            assert_eq!(room.names("cache/bases").len(), 1);
        }
        On::Container => {
            let gone = || room.containers().is_empty();
            assert!(
                within(Duration::from_secs(3), gone),
                "{:?}",
                room.containers()
            );
            room.assert_engine_clean();
            assert_eq!(room.volumes().len(), 1);
        }
    }
}

#[test]
fn two_at_once_have_their_own_verdicts_local() {
    side_by_side(On::Local);
}

#[test]
fn two_at_once_have_their_own_verdicts_container() {
    side_by_side(On::Container);
}

/// The default: one at a time, none beside another, and reports on standard output one after the other.
#[test]
fn one_after_the_other_nobody_is_beside() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenarios = [bad(&room, "slow"), good(&room, "fine")];
    let ran = finish(command(&room, On::Local, &scenarios, &["--json", "-"]));
    ran.expect(1, &[]);
    let reports: Vec<Value> = serde_json::Deserializer::from_str(&ran.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let names: Vec<&str> = reports
        .iter()
        .filter_map(|report| report["scenario"]["name"].as_str())
        .collect();
    assert_eq!(names, ["slow", "fine"]);
    for report in &reports {
        assert_eq!(
            (&report["run"]["jobs"], &report["run"]["neighbours"]),
            (&1.into(), &0.into())
        );
        assert!(!report["limits"].to_string().contains("neighbours"));
    }
    assert_eq!(rules(&reports[0]), ["hold-exceeded", "no-lock-timeout"]);
    in_order(
        &ran.stderr,
        &["lockproof: slow", "lockproof: fine", "2 scenarios: "],
    );
    assert!(!ran.stderr.contains("beside"), "{ran:?}");
    clean(&room, On::Local);
}

/// The first to end is shown in its turn, and its file is there at once.
#[test]
fn tables_come_in_the_order_of_the_command_line() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenarios = [
        steps_of(&room, "long", "SELECT pg_sleep(8)"),
        steps_of(&room, "short", "SELECT 1"),
    ];
    let mut command = command(&room, On::Local, &scenarios, &["--json", "./"]);
    command.env("LOCKPROOF_JOBS", "2");
    let mut run = room.start(command);
    run.says("short: ended: within; shown after those before it");
    assert_eq!(room.json("short.json")["verdict"], "within");
    assert!(!room.path("long.json").exists(), "it is not whole yet");
    let ran = run.end();
    ran.expect(0, &["2 scenarios: 2 within"]);
    in_order(
        &ran.stdout,
        &[
            "lockproof: long",
            "verdict: ",
            "lockproof: short",
            "verdict: ",
        ],
    );
}

/// A signal ends all that run, begins none of the rest, and is told once.
fn signalled(on: On, signal: Signal) {
    if !is_possible(on) {
        return;
    }
    let room = Room::new();
    let scenarios = ["a", "b", "c"].map(|name| steps_of(&room, name, HOUR));
    let arguments = ["-v", "--jobs", "2", "--record", "./"];
    let mut run = room.start(command(&room, on, &scenarios, &arguments));
    for name in ["a", "b"] {
        run.says(&format!("{name}: step 1 of 1: only"));
    }
    std::thread::sleep(Duration::from_millis(500));
    let number = signal as i32;
    let ran = run.signalled(signal);
    ran.expect(128 + number, &["3 scenarios: 2 interrupted, 1 not begun"]);
    let told = format!("error: interrupted by signal {number}");
    assert_eq!(ran.stderr.matches(&told).count(), 1, "{ran:?}");
    clean(&room, on);
    for name in ["a.jsonl", "b.jsonl"] {
        room.lockproof(&["judge", name])
            .expect(5, &["verdict: unproven", "the recording was cut"]);
    }
}

#[test]
fn int_ends_all_local() {
    signalled(On::Local, Signal::SIGINT);
}

#[test]
fn term_ends_all_container() {
    signalled(On::Container, Signal::SIGTERM);
}

/// While one restores and the other waits for it.
#[test]
fn a_signal_in_the_only_restore_ends_both() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file(
        "snapshot/generate.sql",
        format!("SELECT ${{rows}}; {HOUR};\n"),
    );
    let scenarios = ["a", "b"].map(|name| steps_of(&room, name, "SELECT 1"));
    let mut run = room.start(command(&room, On::Local, &scenarios, &["-v", "-j2"]));
    run.says("with `generate.sql`");
    run.says("waiting for it");
    run.signalled(Signal::SIGTERM)
        .expect(143, &["2 scenarios: 2 interrupted"]);
    room.assert_clean();
    assert!(room.names("cache/bases").is_empty());
}

/// Each trouble is its own scenario's, told with its name; the worst code is the command's.
#[test]
fn one_that_fails_takes_no_other_with_it() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file(
        "broken/snapshot.toml",
        "name = \"broken\"\n[source]\nkind = \"generator\"\nfiles = [\"generate.sql\"]\n",
    );
    room.file("broken/generate.sql", "CREATE TABLE t (a nonsense);\n");
    let failing = steps_of(&room, "failing", "ALTER TABLE nowhere ADD a int");
    room.file(
        "unrestored/scenario.toml",
        format!(
            "snapshot = \"../broken\"\n{}",
            sql("only", "autocommit", "SELECT 1")
        ),
    );
    let fine = good(&room, "fine");
    let ran = finish(command(
        &room,
        On::Local,
        &[failing.clone(), fine.clone()],
        &["--jobs", "2"],
    ));
    ran.expect(
        4,
        &[
            "relation \"nowhere\" does not exist",
            "2 scenarios: 1 failed, 1 within",
        ],
    );

    let all = [failing, room.path("unrestored"), fine];
    let ran = finish(command(
        &room,
        On::Local,
        &all,
        &["--jobs", "3", "--json", "./"],
    ));
    ran.expect(
        3,
        &[
            "error: `unrestored`: ",
            "type \"nonsense\" does not exist",
            "3 scenarios: 1 failed, 1 no stage, 1 within",
        ],
    );
    assert_eq!(room.json("fine.json")["verdict"], "within");
    assert_eq!(room.json("failing.json")["verdict"], "failed");
    assert!(!room.path("unrestored.json").exists(), "there is no report");
    room.assert_clean();
}

/// A server that is killed is lost to its own scenario only.
#[test]
fn a_lost_stage_is_one_scenario_s() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let scenarios = ["a", "b"].map(|name| steps_of(&room, name, "SELECT pg_sleep(6)"));
    let mut run = room.start(command(&room, On::Local, &scenarios, &["-v", "-j2"]));
    both_begun(&mut run);
    let one = room.postmaster().expect("a server");
    kill(Pid::from_raw(one), Signal::SIGKILL).expect("killed");
    let ran = run.end();
    ran.expect(3, &["the server"]);
    let errors: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    let [error] = errors.as_slice() else {
        panic!("{ran:?}")
    };
    let (lost, sum) = if error.starts_with("error: `a`: ") {
        ("a", "1 stage lost, 1 within")
    } else {
        ("b", "1 within, 1 stage lost")
    };
    assert!(error.starts_with(&format!("error: `{lost}`: ")), "{error}");
    assert!(
        ran.stdout.contains(&format!("2 scenarios: {sum}")),
        "{ran:?}"
    );
    room.assert_clean();
}

fn both_begun(run: &mut Running) {
    for name in ["a", "b"] {
        run.says(&format!("{name}: step 1 of 1: only"));
    }
}

/// What cannot be is told before anything is begun, whichever scenario it is in.
#[test]
fn nothing_begins_before_all_is_decided() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let mut scenarios = vec![good(&room, "fine"), bad(&room, "slow")];
    let missing = command(&room, On::Local, &scenarios, &["--json", "nowhere/"]);
    finish(missing).expect(6, &["`nowhere/fine.json` cannot be written"]);

    scenarios.push(room.scenario_named("third", "[[steps]]\nfile = \"1.sql\"\n"));
    finish(command(&room, On::Local, &scenarios, &["--jobs", "3"])).expect(
        2,
        &["third/scenario.toml`, line 4: `steps[0].file` names a file that does not exist"],
    );
    assert!(room.names("cache").is_empty(), "{:?}", room.names("cache"));
}

/// A watch that breaks whatever it watches.
struct Broken;

impl Watch for Broken {
    fn note(&self, text: &str) {
        panic!("on purpose: {text}");
    }
}

/// A defect in one run is that run's, and the others come to their end.
#[test]
fn a_panic_is_one_run_s() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let plan = |path: PathBuf| {
        config::plan(&cli::Run {
            paths: vec![path],
            place: cli::Place {
                stage: Some(lockproof::stage::Secret::new("local")),
                ..cli::Place::default()
            },
            cache: cli::Cache {
                folder: Some(room.path("cache")),
            },
            ..cli::Run::default()
        })
        .unwrap_or_else(|error| panic!("{}", error.story()))
    };
    let plans = [plan(good(&room, "a")), plan(good(&room, "b"))];
    let watches: [&dyn Watch; 2] = [&Broken, &Unwatched];
    let jobs = plans.iter().zip(watches).map(|(planned, watch)| Job {
        plan: &planned.plan,
        notes: &planned.notes,
        watch,
        recording: None,
    });
    let mut all: Vec<Ended> = Vec::new();
    many(jobs.collect(), 2, &Interrupt::never(), |ended| {
        all.push(ended)
    });
    all.sort_by_key(|ended| ended.job);
    let [broken, fine] = all.as_slice() else {
        panic!("{all:?}")
    };
    let error = broken.outcome.as_ref().map(drop).expect_err("a defect");
    assert_eq!(error.exit_code(), ExitCode::Defect);
    let finished = fine.outcome.as_ref().expect("a report");
    assert_eq!(finished.report.verdict, Verdict::Within);
    assert!(fine.took.is_some_and(|took| took > Duration::from_secs(2)));
}

/// Four scenarios, two at once: nobody ever has more than one beside it.
#[test]
fn no_more_than_so_many_are_under_way() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let names = ["a", "b", "c", "d"];
    let scenarios = names.map(|name| steps_of(&room, name, "SELECT pg_sleep(1)"));
    let arguments = ["--jobs", "2", "--json", "./"];
    finish(command(&room, On::Local, &scenarios, &arguments)).expect(0, &["4 within"]);
    let beside = names.map(|name| room.json(&format!("{name}.json"))["run"]["neighbours"].as_u64());
    // The last of them may be alone by then.
    assert_eq!(beside[0], Some(1));
    assert!(beside.iter().all(|beside| *beside <= Some(1)), "{beside:?}");
    room.assert_clean();
}
