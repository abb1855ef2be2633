//! What ran beside a migration and was not what was asked for: a recording of a real run in which one line is another,
//! judged with and without a budget that depends on it.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

const RECORDING: &str = include_str!("recordings/traffic-quick.jsonl");
/// Budgets that the recording keeps: it has no finding but those that are made here.
const BUDGETS: &str = "{\"timeouts\":0}";

/// The recording, each line changed.
fn changed(change: impl Fn(&mut Value)) -> String {
    let lines = RECORDING.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        change(&mut line);
        line.to_string() + "\n"
    });
    lines.collect()
}

/// The recording with these budgets of what applications feel.
fn with(impact: &str, change: impl Fn(&mut Value)) -> String {
    let impact: Value = serde_json::from_str(impact).expect("JSON");
    changed(|line| {
        if let Some(policy) = line.get_mut("policy") {
            policy["impact"] = impact.clone();
        }
        change(line);
    })
}

/// The exit code, and of each finding its rule, its level and its step.
fn judge(recording: &str) -> (i32, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.jsonl");
    std::fs::write(&file, recording).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOCKPROOF_")) {
        command.env_remove(name);
    }
    let output = command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["judge", "--quiet", "--json", "-"])
        .arg(&file)
        .output()
        .expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {said}")
    });
    let findings = report["findings"].as_array().expect("findings").iter();
    let of = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let said = findings.map(|finding| {
        let [rule, level, step] = ["rule", "level", "step"].map(|key| of(finding, key));
        format!("{rule} {level} {step}")
    });
    (output.status.code().expect("no signal"), said.collect())
}

fn expect(recording: &str, code: i32, findings: &[&str]) {
    let (ended, said) = judge(recording);
    assert_eq!(said, findings);
    assert_eq!(ended, code, "{said:?}");
}

fn is(line: &Value, event: &str) -> bool {
    line["event"] == event
}

#[test]
fn beside_traffic_no_scan_is_put_down_to_a_step() {
    let said = |recording: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("run.jsonl");
        std::fs::write(&file, recording).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_lockproof"))
            .args(["judge", "--quiet", "--json", "-"])
            .arg(&file)
            .output()
            .expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let alone = include_str!("recordings/published.jsonl");
    let (header, events) = alone.split_once('\n').expect("lines");
    let mut header: Value = serde_json::from_str(header).expect("JSON");
    header["disturbances"] =
        json!([{ "name": "dump", "kind": "pg-dump", "begins": { "with": 0 } }]);
    let (alone, beside) = (said(alone), said(&format!("{header}\n{events}")));
    for (words, is_alone) in [
        ("rows of `listings_listing` were scanned", true),
        ("\"scans\": ", true),
        ("\"scans: the server counts", false),
    ] {
        assert_eq!(alone.contains(words), is_alone, "{words}: {alone}");
        assert_eq!(beside.contains(words), !is_alone, "{words}: {beside}");
    }
    // That somebody read is known, so nothing is said of nobody having read.
    assert!(!beside.contains("it was not seen to read"), "{beside}");
}

#[test]
fn a_run_that_was_as_it_was_asked_for_has_nothing_to_say() {
    expect(RECORDING, 0, &[]);
    expect(&with(BUDGETS, |_| {}), 0, &[]);
}

#[test]
fn traffic_that_broke_proves_no_budget_of_requests() {
    let broke = |line: &mut Value| {
        if is(line, "traffic_ended") {
            line["error"] = json!("at its end it had no connection: refused");
        }
    };
    expect(&changed(broke), 0, &["traffic-broke warn add-note"]);
    let both = ["traffic-broke fail add-note", "traffic-broke fail wait"];
    for budget in [
        BUDGETS,
        "{\"blocked_requests\":50}",
        "{\"victim_wait\":5000000000}",
    ] {
        expect(&with(budget, broke), 5, &both);
    }
    // What is cut off may be what broke the budget.
    let whole = with(BUDGETS, |_| {});
    let told = whole.find("\"event\":\"traffic_ended\"").expect("an end");
    let line = whole[..told].rfind('\n').expect("lines");
    expect(&whole[..=line], 5, &both);
}

#[test]
fn a_rate_that_was_not_held_is_told_with_its_numbers() {
    let short = |line: &mut Value| {
        if is(line, "traffic_ended") {
            let due = line["due"].as_u64().expect("a number");
            line["begun"] = json!(due - due / 20);
        }
    };
    expect(&changed(short), 0, &["traffic-rate-not-held warn add-note"]);
    expect(
        &with(BUDGETS, short),
        5,
        &[
            "traffic-rate-not-held fail add-note",
            "traffic-rate-not-held fail wait",
        ],
    );
    // Locks are judged whatever the rate.
    expect(
        &with("{\"victim_wait\":5000000000}", short),
        0,
        &["traffic-rate-not-held warn add-note"],
    );
    // One that has not had its turn yet is nothing to speak of.
    let nearly = |line: &mut Value| {
        if is(line, "traffic_ended") {
            line["begun"] = json!(line["due"].as_u64().expect("a number") - 1);
        }
    };
    expect(&with(BUDGETS, nearly), 0, &[]);
}

#[test]
fn a_pool_that_is_too_small_before_the_first_step_holds_no_rate() {
    let refused = |line: &mut Value| {
        if is(line, "requests") && line["window"] == "baseline" && line["slice"] == 20 {
            let counts = line["counts"].as_object_mut().expect("counts");
            let all: u64 = counts.values().filter_map(Value::as_u64).sum();
            *counts = [("refused".to_owned(), json!(all))].into_iter().collect();
        }
    };
    expect(
        &changed(refused),
        0,
        &["traffic-rate-not-held warn add-note"],
    );
    // A queue at the pool that only grows: those that were due before the step are still in it.
    let growing = |wait: u64| {
        move |line: &mut Value| {
            let late = line["slice"].as_u64().is_some_and(|slice| slice >= 35);
            if is(line, "requests") && line["window"] == "baseline" && late {
                line["window"] = json!({ "step": 0 });
            }
            if is(line, "traffic_ended") {
                line["baseline_wait"] = json!({ "p50": wait, "p99": wait * 2, "max": wait * 2 });
            }
        }
    };
    let grown = growing(200_000_000);
    expect(&changed(grown), 0, &["traffic-rate-not-held warn add-note"]);
    // Requests that are slow in themselves wait for no connection.
    expect(&changed(growing(1_000_000)), 0, &[]);
}

#[test]
fn a_generator_that_is_late_says_so() {
    let late = |millis: u64| {
        move |line: &mut Value| {
            if is(line, "traffic_ended") {
                let p99 = millis * 1_000_000;
                line["lateness"] = json!({ "p50": 1000, "p99": p99, "max": p99 });
            }
        }
    };
    expect(&changed(late(60)), 0, &["traffic-late warn add-note"]);
    expect(&changed(late(40)), 0, &[]);
    let budget = |millis: u64| {
        let nanos = millis * 1_000_000;
        format!("{{\"p99_increase\":{{\"by\":{nanos}}}}}")
    };
    let both = ["traffic-late fail add-note", "traffic-late fail wait"];
    expect(&with(&budget(10_000), late(60)), 5, &both);
    expect(&with(&budget(10_000), late(40)), 0, &[]);
    // Not small against what is to be told.
    let (code, said) = judge(&with(&budget(60), late(40)));
    assert_eq!(code, 5);
    assert!(
        both.iter()
            .all(|finding| said.iter().any(|one| one == finding)),
        "{said:?}"
    );
}

#[test]
fn a_disturbance_that_was_not_there_proves_nothing() {
    let began = json!({ "event": "disturbance_began", "disturbance": 0, "at": 0, "pids": [1] });
    let ended = |error: Value| json!({ "event": "disturbance_ended", "disturbance": 0, "at": 0, "error": error });
    let declared = |begins: Value, events: &[Value]| {
        let recording = changed(|line| {
            if line.get("lockproof_recording").is_some() {
                line["disturbances"] =
                    json!([{ "name": "report", "kind": "long-reader", "begins": begins }]);
            }
        });
        let mut lines: Vec<String> = recording.lines().map(str::to_owned).collect();
        let step = lines
            .iter()
            .position(|line| line.contains("\"event\":\"step_started\""))
            .expect("a step");
        let at: Value = serde_json::from_str(&lines[step]).expect("JSON");
        for event in events.iter().rev() {
            let mut event = event.clone();
            event["at"] = at["at"].clone();
            lines.insert(step, event.to_string());
        }
        lines.join("\n") + "\n"
    };
    let with = |step: u64| json!({ "with": step });
    expect(
        &declared(with(1), &[]),
        5,
        &["disturbance-missing fail wait"],
    );
    expect(
        &declared(json!({ "after": 1 }), &[]),
        5,
        &["disturbance-missing fail add-note"],
    );
    expect(
        &declared(with(1), &[began.clone(), ended(Value::Null)]),
        0,
        &[],
    );
    expect(
        &declared(with(1), &[began, ended(json!("deadlock detected"))]),
        5,
        &["disturbance-missing fail wait"],
    );
}
