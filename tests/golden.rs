//! Stored recordings of real runs → what the terminal and the JSON file show, to the letter.
//!
//! `tests/recordings/record.sh` makes the recordings, `INSTA_UPDATE=always cargo test --test golden`
//! the goldens. Read every difference before it is committed: the goldens are the review of wording.

#[allow(dead_code)]
#[path = "support/sample.rs"]
mod sample;

use std::path::Path;

use assert_cmd::Command;
use lockproof::plan::OnUnproven;
use lockproof::report::{html, junit, markdown};

/// A case: its golden's name, the recording, and what else is typed.
const TABLES: &[(&str, &str, &[&str])] = &[
    ("published", "published", &[]),
    ("published-loose", "published", &["--budget", "10s"]),
    ("published-tight", "published", &["--budget", "1ms"]),
    ("redesigned", "redesigned", &[]),
    ("redesigned-tight", "redesigned", &["--budget", "100us"]),
    ("fill-in-transaction", "fill-in-transaction", &[]),
    ("index-rebuild", "index-rebuild", &[]),
    ("index-rebuild-strict", "index-rebuild", &["--strict"]),
    ("failed", "failed", &[]),
    ("command", "command", &[]),
    ("repeated", "repeated", &[]),
    ("repeated-loose", "repeated", &["--budget", "1s"]),
    ("blocked", "blocked", &[]),
    ("blocked-loose", "blocked", &["--budget", "2s"]),
    ("queue", "queue", &[]),
    ("queue-strict", "queue", &["--profile", "strict"]),
    ("traffic", "traffic", &[]),
    ("traffic-strict", "traffic", &["--strict"]),
    (
        "traffic-profile",
        "traffic",
        &["--budget", "10s", "--profile", "strict"],
    ),
    ("traffic-quick", "traffic-quick", &[]),
    ("cut", "cut", &[]),
    ("cut-allowed", "cut", &["--allow-unproven"]),
];

/// The width that every line for a terminal fits.
const WIDTH: usize = 80;

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn golden(&self) -> String {
        let mut golden = format!("exit code {}\n", self.code);
        for (name, text) in [
            ("standard output", &self.out),
            ("standard error", &self.err),
        ] {
            if !text.is_empty() {
                golden.push_str(&format!("--- {name}\n{text}"));
            }
        }
        golden
    }
}

fn lockproof(arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOCKPROOF_")) {
        command.env_remove(name);
    }
    let output = command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings"))
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said {
        code: output.status.code().expect("no signal"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn judge(recording: &str, more: &[&str]) -> Said {
    let file = format!("{recording}.jsonl");
    lockproof(&[&["judge", file.as_str()], more].concat())
}

fn compare(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn tables() {
    for (name, recording, more) in TABLES {
        compare(name, &judge(recording, more).golden());
    }
}

#[test]
fn tables_fit_a_terminal() {
    let mut wide = Vec::new();
    for (name, recording, more) in TABLES {
        let said = judge(recording, more);
        for line in said.out.lines().chain(said.err.lines()) {
            let width = line.chars().count();
            if width > WIDTH {
                wide.push(format!("{name}: {width} columns: {line}"));
            }
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

#[test]
fn comparisons() {
    for (name, recordings) in [
        ("compare", &["published.jsonl", "redesigned.jsonl"][..]),
        (
            "compare-three",
            &[
                "published.jsonl",
                "redesigned.jsonl",
                "fill-in-transaction.jsonl",
            ],
        ),
        ("compare-traffic", &["traffic.jsonl", "traffic-quick.jsonl"]),
        ("compare-different", &["published.jsonl", "blocked.jsonl"]),
        ("compare-alone", &["published.jsonl"]),
        ("compare-mixed", &["published.jsonl", "."]),
    ] {
        let said = lockproof(&[&["compare"], recordings].concat());
        for line in said.out.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        compare(name, &said.golden());
    }
}

#[test]
fn json() {
    for name in [
        "published",
        "redesigned",
        "failed",
        "blocked",
        "cut",
        "queue",
        "repeated",
        "traffic",
    ] {
        let said = judge(name, &["--quiet", "--json", "-"]);
        compare(&format!("{name}.json"), &said.out);
    }
}

/// A comment, test cases and a page: of recordings through the command, and of a report that has everything.
#[test]
fn faces() {
    for name in ["published", "cut"] {
        for (face, extension) in [("--markdown", "md"), ("--junit", "xml")] {
            let said = judge(name, &["--quiet", face, "-"]);
            compare(&format!("{name}.{extension}"), &said.out);
        }
    }
    let report = sample::everything();
    compare("everything.md", &markdown::render(&report));
    let cases = junit::render(&report, OnUnproven::Fail).expect("a document");
    compare("everything.xml", &cases);
    let page = html::render(&report).expect("a page");
    compare("everything.html", &words(&page));
    let reports = vec![report, sample::recorded("published")];
    let comparison = lockproof::report::compare::compare(reports);
    let page = html::compare(&comparison).expect("a page");
    // Each report is as it is alone.
    let words = words(&page);
    let differs = words.split("Timelines").next().unwrap_or_default();
    compare("compare.html", differs);
}

/// What a page says, a line for each piece of text; where shapes are is for the browser's test to see.
fn words(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").expect("a style");
    let (_, body) = rest.split_once("</style>").expect("its end");
    let (body, _) = body.split_once("<script>").expect("a script");
    let mut words = String::new();
    for piece in [head, body].concat().split('<') {
        let text = piece.split_once('>').map_or(piece, |(_, text)| text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            words.push_str(&text);
            words.push('\n');
        }
    }
    words
}

/// Each goes where it was asked for, and the exit code stays the verdict's.
#[test]
fn faces_are_written_where_they_belong() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let said = judge(
        "published",
        &[
            "--html",
            &place("{scenario}-page.html"),
            "--junit",
            &place("cases/"),
            "--markdown",
            "-",
        ],
    );
    // There is no such folder, and nothing was shown that could be taken for a verdict.
    assert_eq!((said.code, said.out.as_str()), (6, ""), "{}", said.err);
    std::fs::create_dir(folder.path().join("cases")).expect("made");
    let said = judge(
        "published",
        &[
            "--html",
            &place("{scenario}-page.html"),
            "--junit",
            &place("cases/"),
            "--markdown",
            "-",
        ],
    );
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.out
            .starts_with("<!-- lockproof: listings-published -->\n")
    );
    assert!(
        said.err.contains("verdict: exceeded"),
        "the table gives way"
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("written");
    assert!(read("listings-published-page.html").starts_with("<!DOCTYPE html>"));
    assert!(read("cases/listings-published.xml").contains("<testsuites "));
    let said = judge("published", &["--html", "-", "--json", "-"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error: `--json` and `--html` cannot both be standard output\n  help: write one of them to a file\n"
    );
}

/// `judge` is a function of the recording: whenever and wherever, the same bytes.
#[test]
fn the_same_recording_gives_the_same_report() {
    for (name, ..) in TABLES
        .iter()
        .filter(|(name, recording, _)| name == recording)
    {
        let [first, second] = [0, 1].map(|_| judge(name, &["--quiet", "--json", "-"]).out);
        assert!(first == second, "{name}");
    }
}

/// A gate fails closed: what was to be measured three times more is not proved by the first two.
#[test]
fn measurements_that_are_missing_are_unproven() {
    let whole = include_str!("recordings/repeated.jsonl");
    let third = whole
        .lines()
        .position(|line| {
            line.contains(r#""event":"replay_started""#) && line.contains(r#""repeat":3"#)
        })
        .expect("a third");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("two.jsonl");
    let lines: Vec<&str> = whole.lines().take(third).collect();
    std::fs::write(&file, lines.join("\n")).expect("written");
    let path = file.to_str().expect("UTF-8");
    let said = lockproof(&["judge", path, "--budget", "1s"]);
    assert_eq!(said.code, 5, "{}{}", said.out, said.err);
    assert!(said.out.contains("verdict: unproven"), "{}", said.out);
}

#[test]
fn colours_are_asked_for() {
    let plain = judge("published", &[]);
    let coloured = judge("published", &["--color", "always"]);
    assert!(!plain.out.contains('\u{1b}'));
    assert!(coloured.out.contains('\u{1b}'));
    let stripped = coloured
        .out
        .split('\u{1b}')
        .enumerate()
        .map(|(index, part)| match index {
            0 => part,
            _ => part.split_once('m').map_or("", |(_, rest)| rest),
        })
        .collect::<String>();
    let trimmed: Vec<&str> = stripped.lines().map(str::trim_end).collect();
    let plain: Vec<&str> = plain.out.lines().collect();
    assert_eq!(trimmed, plain, "colours move nothing");
}

#[test]
fn help() {
    for (name, arguments) in [
        ("help-run", &["run", "--help"][..]),
        ("help", &["--help"]),
        ("help-judge", &["judge", "--help"]),
        ("help-snapshot", &["snapshot", "--help"]),
        ("help-snapshot-create", &["snapshot", "create", "--help"]),
        ("help-snapshot-ls", &["snapshot", "ls", "--help"]),
        ("help-snapshot-inspect", &["snapshot", "inspect", "--help"]),
        ("help-snapshot-rm", &["snapshot", "rm", "--help"]),
        ("help-snapshot-prune", &["snapshot", "prune", "--help"]),
    ] {
        let said = lockproof(arguments);
        assert_eq!(said.code, 0);
        compare(name, &said.out);
    }
}

#[test]
fn what_is_no_recording_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("no.jsonl");
    let path = file.to_str().expect("UTF-8");
    let published = include_str!("recordings/published.jsonl");
    let mut lines: Vec<&str> = published.lines().collect();
    lines[4] = "{\"event\":\"locks\"}";
    for (name, text) in [
        ("not-a-recording", "hello\n".to_owned()),
        ("other-json", "{\"a\":1}\n".to_owned()),
        (
            "other-version",
            published.replacen("\"lockproof_recording\":1", "\"lockproof_recording\":99", 1),
        ),
        ("damaged", lines.join("\n")),
        ("empty", String::new()),
    ] {
        std::fs::write(&file, text).expect("written");
        let said = lockproof(&["judge", path]);
        compare(
            &format!("refused-{name}"),
            &said.golden().replace(path, "no.jsonl"),
        );
    }
}
