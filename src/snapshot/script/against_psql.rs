//! The reader against `psql`: a model of each version, and the program itself.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model::first_command;
use super::refused::Cause;
use super::tests::SESSION;
use super::*;
use crate::stage::local::Local;
use crate::stage::watch::Unwatched;
use crate::stage::{Endpoint, Fill, Request, RunningStage, Tools, Watch};

/// What opens, closes, hides and shows.
const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "\"\"",
    "\\",
    "\\'",
    "\\\\",
    "E'",
    "e'",
    "b'",
    "X'",
    "n'",
    "U&'",
    "u&\"",
    "$$",
    "$a$",
    "$b$",
    "$a",
    "$1",
    "$",
    "--",
    "-",
    "/*",
    "*/",
    "/",
    "*",
    ";",
    ";\n",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "\t",
    "(",
    ")",
    ":",
    "::",
    ":'",
    ":\"",
    ":x",
    ":e",
    "1",
    "1e",
    "1e-",
    "1.",
    "..",
    "0x",
    "1_0",
    "_",
    "a",
    "é",
    "select ",
    "select 1;\n",
    "from ",
    "stdin ",
    "copy t from stdin;\n",
    "COPY t FROM STDIN",
    "Copy t (a) from stdin with (format csv);\n",
    "copy ",
    "copy t from stdin; ",
    "copy t to stdout;\n",
    "row\n",
    "\\N\n",
    "\\.\n",
    "\\.\r\n",
    "\\.\r",
    "\\. \n",
    "\\.",
    " \\.\n",
    "create function f() returns int ",
    "create or replace procedure f() ",
    "begin ",
    "atomic ",
    "case ",
    "end",
    "+",
    "=",
    "{",
    "?",
    "}",
    "&",
    "u",
    "\\echo MARKER\n",
    "\\echo MARKER\n",
    "\n\\echo MARKER\n",
    "; \\echo MARKER\n",
    "\\echo MARKER \\\\ ",
    "'\\echo MARKER\n",
    "*/\\echo MARKER\n",
    "$$\\echo MARKER\n",
];

/// Pieces that a server takes: an error ends a script, and what follows is never read.
const STATEMENTS: &[&str] = &[
    "select 'a';\n",
    "select 'c:\\';\n",
    "select 'c:\\', 'it''s';\n",
    "select E'\\'', 'x';\n",
    "select E'a\\\\'; ",
    "select E'a'\n'b';\n",
    "select E'a'\n'\\';\n",
    "select '\n';\n",
    "select ' -- ';\n",
    "select $$ ' $$;\n",
    "select $a$ $$ ' $b$ \n\\echo MARKER\n$a$;\n",
    "select \"x\\\" from (select 1 as \"x\\\") as \"'\";\n",
    "select U&'\\0041', x'1F', b'01', N'\\';\n",
    "/* ' /* \" */ */\n",
    "/* \\echo MARKER\n */ ",
    "-- it's \\echo MARKER\n",
    "-- /*\n",
    "copy t from stdin;\n",
    "copy t from stdin; ",
    "COPY t (a) FROM STDIN WITH (format text);\n",
    "copy/**/t--\nfrom stdout\n;\n",
    "copy t from stdin;\n'\n\\.\n",
    "copy t from stdin;\n\\\\echo MARKER\n\\\\.\n\\.\n",
    "copy t from stdin (format csv);\n\"a\n\\\\.\nb\"\n\\.\n",
    "copy t to stdout;\n",
    "copy (select 1 as stdin) to stdout;\n",
    "row\n",
    "\\.\n",
    "\\. \n",
    "\\echo MARKER\n",
    "  \\echo MARKER\n",
    "'\\echo MARKER';\n",
    "';\n",
    "set standard_conforming_strings = off;\n",
    "set standard_conforming_strings to 'on'; ",
    "select '\\'', 'x';\n",
    "select '\\';\n",
    "select '\\', ' \\echo MARKER\n';\n",
    "create or replace function f() returns int language sql begin atomic select 1; select case when true then 2 end; end;\n",
    "create or replace function f() returns int language sql as 'select 1';\n",
    "\n",
    "\r\n",
    "; ",
    "select (1",
    ");\n",
    "select a[1:1], a[1:e] from (select array[1] as a, 1 as e) as q;\n",
];

/// Scripts of which `psql` does run the command: what chance alone finds too seldom.
const ALWAYS: &[&str] = &[
    "  \\echo MARKER\n",
    "select 1; \\echo MARKER\n",
    "select E'\\''; \\echo MARKER\n",
    "select 'a\\'; \\echo MARKER '\n",
    "set standard_conforming_strings = off;\nselect '\\'', 'x';\n\\echo MARKER\n",
    "set standard_conforming_strings to off;\nset standard_conforming_strings = 'on';\nselect '\\';\n\\echo MARKER\n",
    "select E'a'\n'\\' \\echo MARKER\n",
    "-- \r\\echo MARKER\n",
    "select a[1:e'\\' \\echo MARKER\n",
    "select b'0''1' \\echo MARKER\n",
    "select ne'\\' \\echo MARKER '\n",
    "select x$a$ \\echo MARKER $a$\n",
    "select $a$ $b$a$; \\echo MARKER $a$\n",
    "/* /* */ */ \\echo MARKER */\n",
    "copy t from stdin;\n'\n\\.\n\\echo MARKER\n'\n",
    "copy t from stdin;\n\\.\r\n\\echo MARKER\n\\.\n",
    "copy t from stdin; copy t from stdin;\n'\n\\.\n'\n\\.\n\\echo MARKER\n",
    "copy (select 1 as stdin) to stdout;\n\\echo MARKER\n\\.\n",
    "select $$\ncopy t from stdin;\n$$;\n\\echo MARKER\n\\.\n",
    "select ':LAST_ERROR_MESSAGE' as \"\\\" \\echo MARKER\n",
];

fn scripts(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(pieces), 1..most).prop_map(|pieces| pieces.concat())
}

fn verdict(text: &[u8], knows_bodies: bool) -> Result<(), Refused> {
    let session = Session {
        knows_bodies,
        ..SESSION
    };
    let mut reader = Reader::new(session);
    let mut out = Vec::new();
    for piece in text.chunks(3) {
        reader.push(piece, &mut out)?;
    }
    reader.end(&mut out)
}

/// No version finds a command that we pass, or finds one before the line that we name; and where we call something a
/// command, it is one to some version.
fn agrees(text: &str) -> Result<(), TestCaseError> {
    let mut commands = Vec::new();
    for major in [13, 14, 15, 16, 18] {
        let command = first_command(text.as_bytes(), major);
        let verdict = verdict(text.as_bytes(), major >= 14);
        let line = verdict.as_ref().err().map(|refused| refused.line);
        if let Some(at) = command {
            let is_first = line.is_some_and(|line| line <= at);
            prop_assert!(
                is_first,
                "{major}: line {at}, and we say {verdict:?}:\n{text}"
            );
        }
        let is_restriction = text.contains("restrict");
        if let Err(refused) = verdict
            && matches!(refused.cause, Cause::Command(_) | Cause::Connects)
            && !is_restriction
        {
            commands.push((refused.line, command));
        }
    }
    for (line, command) in commands {
        prop_assert_eq!(command, Some(line), "no command:\n{}", text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 2_000, max_shrink_iters: 20_000, ..Config::default() })]

    #[test]
    fn no_version_s_model_finds_a_command_that_passes(text in scripts(PIECES, 14)) {
        agrees(&text)?;
    }

    #[test]
    fn nor_in_any_bytes(text in "[\\\\'\"$a:e;n\\-/*\n\r 1(]{0,24}") {
        agrees(&text)?;
    }

    #[test]
    fn what_passes_is_unchanged_however_it_is_cut(text in scripts(PIECES, 14), size in 1_usize..9) {
        let read = |size: usize| {
            let mut reader = Reader::new(Session { closed_by: Closed::Asking, ..SESSION });
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                reader.push(piece, &mut out)?;
            }
            reader.end(&mut out).map(|()| out)
        };
        let whole = read(usize::MAX);
        prop_assert_eq!(read(size).map_err(|refused| refused.line), whole.clone().map_err(|refused| refused.line));
        if let Ok(out) = whole {
            let out = String::from_utf8(out).expect("text");
            let plain = out.replace(&settings::question(true), "");
            prop_assert_eq!(plain, text);
        }
    }
}

/// A server with a table of one column.
struct Table;

impl Fill for Table {
    async fn fill<T: Tools>(
        &self,
        endpoint: &Endpoint,
        tools: &T,
        _: &dyn Watch,
    ) -> crate::Result<()> {
        let args = ["-X", "-c", "create table t (a text)"].map(str::to_owned);
        tools.run(endpoint, "psql", &args, None).await.map(drop)
    }
}

/// What `psql` prints of a script by `\echo`, all else going elsewhere.
async fn printed<T: Tools>(tools: &T, endpoint: &Endpoint, text: &[u8]) -> Vec<String> {
    let args = [
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "--output=/dev/null",
        "-f",
        "-",
    ];
    let args = args.map(str::to_owned);
    let input = Box::new(std::io::Cursor::new(text.to_vec()));
    let output = tools.run(endpoint, "psql", &args, Some(input)).await;
    output.expect("psql").stdout
}

#[test]
fn psql_itself_runs_no_command_that_passes() {
    if crate::stage::local::binaries::find(None)
        .choose(None)
        .is_err()
    {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "no server programs in CI"
        );
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("lockproof-test-")
        .permissions(std::fs::Permissions::from_mode(0o777))
        .tempdir()
        .expect("a folder");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).expect("open");
    let request = Request {
        run_id: "script".into(),
        settings: Default::default(),
        database: "app".into(),
        base_digest: "00".into(),
        server_major: None,
        cache: folder.path().to_owned(),
        network: Default::default(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stage = runtime.block_on(async {
        let local = Local::default();
        let base = local
            .prepare(&request, &Table, &Unwatched)
            .await
            .expect("a base");
        local.start(&base, &Unwatched).await.expect("a stage")
    });
    let (tools, endpoint) = (stage.tools(), stage.socket_endpoint());
    let mut never: Vec<&str> = Vec::new();
    for text in ALWAYS {
        let out = runtime.block_on(printed(tools, &endpoint, text.as_bytes()));
        let has_run = out.iter().any(|line| line.contains("MARKER"));
        never.extend((!has_run).then_some(text));
        assert!(verdict(text.as_bytes(), true).is_err(), "it passes: {text}");
    }
    assert!(never.is_empty(), "they run no command: {never:#?}");
    let (mut ran, mut passed) = (0, 0);
    let mut runner = TestRunner::new(Config {
        cases: 250,
        max_shrink_iters: 200,
        ..Config::default()
    });
    // What would run a command is told by the model already: here the model is what is doubted.
    let counts = std::cell::RefCell::new((&mut ran, &mut passed));
    let outcome = runner.run(&scripts(STATEMENTS, 9), |text| {
        let verdict = verdict(text.as_bytes(), true);
        let out = runtime.block_on(printed(tools, &endpoint, text.as_bytes()));
        let has_run = out.iter().any(|line| line.contains("MARKER"));
        let mut counts = counts.borrow_mut();
        *counts.0 += usize::from(has_run);
        *counts.1 += usize::from(verdict.is_ok());
        prop_assert!(!has_run || verdict.is_err(), "it ran a command:\n{text}");
        Ok(())
    });
    outcome.expect("no command passes");
    // Neither is always so: else this told nothing.
    assert!(ran > 20 && passed > 20, "{ran} {passed}");
    runtime.block_on(stage.stop()).expect("stopped");
}
