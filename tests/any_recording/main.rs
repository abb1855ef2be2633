//! Whatever bytes are given for a recording: a report in every form, or an error that names the line.

mod damage;
mod numbers;

use lockproof::analyse::Analyst;
use lockproof::judge::judge;
use lockproof::recording::read::Reader;
use lockproof::report::{Report, build, table};
use proptest::prelude::*;

/// Short recordings of real runs: of statements, a program, an index, one that failed, one that was cut.
const RECORDINGS: [&str; 6] = [
    include_str!("../recordings/blocked.jsonl"),
    include_str!("../recordings/command.jsonl"),
    include_str!("../recordings/cut.jsonl"),
    include_str!("../recordings/failed.jsonl"),
    include_str!("../recordings/fill-in-transaction.jsonl"),
    include_str!("../recordings/index-rebuild.jsonl"),
];

/// As `lockproof judge` does it.
fn report(bytes: &[u8]) -> Result<Report, String> {
    let mut reader = Reader::new(bytes, "r").map_err(|error| error.story())?;
    let policy = reader.header().policy.clone();
    let mut analyst = Analyst::new(reader.header().clone());
    for event in reader.by_ref() {
        analyst.push(event.map_err(|error| error.story())?);
    }
    let timeline = analyst.finish();
    let judgement = judge(&timeline, &policy);
    Ok(build::build(&timeline, &judgement, &policy))
}

/// A report that can be shown in every form, or an error that says where and the way out.
fn answered(bytes: &[u8]) -> Result<(), TestCaseError> {
    match report(bytes) {
        Ok(report) => {
            for palette in [table::Palette::Plain, table::Palette::Ansi] {
                prop_assert!(table::render(&report, palette).contains("verdict: "));
            }
            let json = serde_json::to_value(&report);
            prop_assert!(json.is_ok());
        }
        Err(story) => {
            let named = story.contains("line ") || story == EMPTY || story.contains("version");
            prop_assert!(named && story.contains("help:"), "{}", story);
        }
    }
    Ok(())
}

const EMPTY: &str = "the recording `r` is empty\n  help: `lockproof run … --record FILE` writes one as \
                     soon as it begins";

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        answered(&bytes)?;
    }

    #[test]
    fn any_bytes_after_a_header(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let header = RECORDINGS[0].lines().next().unwrap_or_default();
        answered(&[header.as_bytes(), b"\n", &bytes].concat())?;
    }

    #[test]
    fn any_damage(recording in prop::sample::select(&RECORDINGS[..]),
                  damages in prop::collection::vec(damage::any(), 1..6)) {
        let mut bytes = recording.as_bytes().to_vec();
        for damage in &damages {
            damage.to(&mut bytes);
        }
        answered(&bytes)?;
    }
}

/// A header and a replay's events as they are, with these lines put in before the last one.
fn blocked_with(lines: &[String]) -> Report {
    let (head, last) = RECORDINGS[0].trim_end().rsplit_once('\n').expect("lines");
    let whole = format!("{head}\n{}\n{last}\n", lines.join("\n"));
    report(whole.as_bytes()).unwrap_or_else(|story| panic!("{story}"))
}

/// Process numbers are used again: a worker's of yesterday is a leader's today.
#[test]
fn processes_that_lead_each_other() {
    let led = |pid: i32, leader: i32| {
        format!(
            r#"{{"event":"backend","at":1,"pid":{pid},"backend_type":"parallel worker","application":"","leader":{leader},"query":""}}"#
        )
    };
    let row = |pid: i32| {
        format!(
            r#"{{"pid":{pid},"vxid":[3,9],"relation":16385,"mode":"AccessExclusiveLock","claim":"granted"}}"#
        )
    };
    let header = RECORDINGS[0].lines().next().unwrap_or_default();
    let lines = [
        header.to_owned(),
        r#"{"event":"replay_started","replay":1,"at":0}"#.to_owned(),
        r#"{"event":"step_started","step":0,"at":0}"#.to_owned(),
        led(5, 6),
        led(6, 5),
        format!(
            r#"{{"event":"locks","before":null,"poll":{{"sent":1,"received":2}},"taken":[{},{}],"gone":[]}}"#,
            row(5),
            row(6)
        ),
    ];
    let report = report(lines.join("\n").as_bytes()).unwrap_or_else(|story| panic!("{story}"));
    assert_eq!(report.steps[0].name, "01_add_column");
}

/// Counts that no server has do not bring it down.
#[test]
fn counts_without_end() {
    let most = u64::MAX;
    let sampling = format!(
        r#"{{"event":"sampling","samples":{most},"dropped":{most},"gap":{{"p50":{most},"p99":{most},"max":{most}}},"round_trip":{{"p50":1,"p99":1,"max":1}},"error":null}}"#
    );
    let table = format!(r#"{{"name":"t","rows":{most},"bytes":{most}}}"#);
    let stage = format!(
        r#"{{"event":"stage","kind":"local","image":null,"server_version":"15","settings":{{}},"snapshot":{{"name":"s","digest":null,"taken_at":null,"tables":[{table},{table}]}},"notes":[]}}"#
    );
    let batch = format!(r#"{{"event":"batch","number":1,"rows":{most}}}"#);
    let step = [
        r#"{"event":"step_started","step":0,"at":0}"#,
        r#"{"event":"statement_sent","index":0,"pid":1,"at":1,"sql":"UPDATE t"}"#,
        r#"{"event":"statement_done","pid":1,"at":2,"rows":1,"in_transaction":false,"error":null}"#,
        &batch,
        &batch,
    ];
    let report = blocked_with(&[&step.join("\n"), &stage, &sampling, &sampling].map(String::clone));
    assert!(table::render(&report, table::Palette::Plain).contains("rows in 2 tables"));
    let sampling = report.sampling.expect("it was sampled");
    assert_eq!((sampling.samples, sampling.dropped), (most, most));
}
