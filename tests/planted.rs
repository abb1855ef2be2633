//! Random secrets in every input, spelled as programs spell them, and every face of the report searched for them.

use proptest::prelude::*;

use lockproof::analyse::Analyst;
use lockproof::clock::Mono;
use lockproof::judge;
use lockproof::plan::{Literals, OnUnproven};
use lockproof::recording::format::{Backend, Event, Header, Outcome, StatementError};
use lockproof::recording::read::Reader;
use lockproof::recording::write::Writer;
use lockproof::redact::{self, Said};
use lockproof::report::table::{Palette, render};
use lockproof::report::{build, html, junit, markdown};

/// A secret with a core that no other text has, and around it whatever a password may have.
fn secrets() -> impl Strategy<Value = (String, String)> {
    let odd = "[A-Za-z0-9 '\"\\\\%é表:/@?#&=<>`|$;,(){}!-]{0,8}";
    (odd, "[a-z]{4}[0-9]{6}[a-z]{4}", odd).prop_map(|(before, core, after)| {
        let secret = format!("x{before}{core}{after}z");
        (secret, core)
    })
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect()
}

/// As programs repeat it.
fn spelled(secret: &str) -> Vec<String> {
    vec![
        secret.to_owned(),
        format!("postgres://u:{}@h/db", percent(secret)),
        format!("ALTER USER u PASSWORD '{}'", secret.replace('\'', "''")),
        format!(
            "password='{}'",
            secret.replace('\\', "\\\\").replace('\'', "\\'")
        ),
        serde_json::json!({ "key": secret }).to_string(),
        format!("{secret:?}"),
        format!("'{}'", secret.replace('\'', "'\\''")),
    ]
}

/// How a secret becomes known.
#[derive(Debug, Clone, Copy)]
enum Way {
    Url,
    Pairs,
    Environment,
    Variable,
    Statement,
    File,
    Option,
}

const WAYS: [Way; 7] = [
    Way::Url,
    Way::Pairs,
    Way::Environment,
    Way::Variable,
    Way::Statement,
    Way::File,
    Way::Option,
];

fn learn(way: Way, secret: &str) {
    let words = |words: &[String]| redact::learn_arguments(words);
    match way {
        Way::Url => words(&[format!("postgres://u:{}@h/db", percent(secret))]),
        Way::Pairs => words(&[format!(
            "host=h password='{}'",
            secret.replace('\\', "\\\\").replace('\'', "\\'")
        )]),
        Way::Environment => {
            let variable = ("PGPASSWORD".to_owned(), secret.to_owned());
            redact::learn_environment([variable].into_iter());
        }
        Way::Variable => redact::learn_variable("api_token", secret),
        Way::Statement => redact::sql::learn(&format!(
            "ALTER USER u PASSWORD '{}'",
            secret.replace('\'', "''")
        )),
        Way::File => {
            let quoted = secret.replace('\\', "\\\\").replace('"', "\\\"");
            redact::learn(&format!("[variables]\ndb_password = \"{quoted}\"\n"));
        }
        Way::Option => words(&["--password".to_owned(), secret.to_owned()]),
    }
}

fn header() -> Header {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/recordings/published.jsonl"
    );
    let text = std::fs::read(file).expect("a recording");
    let reader = Reader::new(text.as_slice(), "published").expect("a header");
    let mut header = reader.header().clone();
    header.traffic = None;
    header
}

/// Everything that is written of a run with these events.
fn written(mut header: Header, events: Vec<Event>) -> String {
    header.literals = Literals::Hidden;
    let header = redact::event::header(header);
    let mut recording = Vec::new();
    let mut writer = Writer::new(&mut recording, &header).expect("written");
    let policy = header.policy.clone();
    let mut analyst = Analyst::new(header);
    for event in events {
        let event = redact::event::event(event, Literals::Hidden);
        writer.append(&event).expect("written");
        analyst.push(event);
    }
    let timeline = analyst.finish();
    let judgement = judge::judge(&timeline, &policy);
    let report = build::build(&timeline, &judgement, &policy);
    let mut all = String::from_utf8(recording).expect("text");
    all.push_str(&serde_json::to_string(&report).expect("JSON"));
    all.push_str(&html::render(&report).expect("a page"));
    all.push_str(&junit::render(&report, OnUnproven::Fail).expect("a document"));
    all.push_str(&markdown::render(&report).replace('\\', ""));
    all.push_str(&render(&report, Palette::Plain).replace("\n  ", " "));
    all
}

fn at(nanos: u64) -> Mono {
    Mono(nanos)
}

/// A step of each kind that fails, with `said` in every text that comes from outside.
fn events(said: &str, sql: &str, message: String) -> Vec<Event> {
    vec![
        Event::ReplayStarted {
            replay: 1,
            repeat: 1,
            at: at(1),
        },
        Event::StepStarted { step: 0, at: at(2) },
        Event::SessionOpened { pid: 7 },
        Event::StatementSent {
            index: 0,
            pid: 7,
            at: at(3),
            sql: Some(redact::sql::shown(sql, Literals::Hidden)),
            vacuum: false,
            lock_timeout: None,
        },
        Event::StatementDone {
            pid: 7,
            at: at(4),
            rows: 0,
            in_transaction: false,
            error: Some(StatementError {
                sqlstate: None,
                message: message.clone(),
            }),
        },
        Event::CommandStarted {
            argv: redact::arguments(
                &["sh".to_owned(), "-c".to_owned(), said.to_owned()],
                Literals::Hidden,
            ),
            at: at(5),
            network: None,
        },
        Event::CommandExited {
            at: at(6),
            status: Some(1),
            output: vec![
                said.to_owned(),
                format!("ERROR:  {message}"),
                format!("DETAIL:  {said}"),
            ],
        },
        Event::Backend {
            at: at(6),
            backend: Backend {
                pid: 8,
                backend_type: "client backend".to_owned(),
                application: said.to_owned(),
                leader: None,
                query: redact::sql::shown(sql, Literals::Hidden),
                ours: None,
            },
        },
        Event::StepFinished {
            step: 0,
            at: at(9),
            attempts: 1,
            neighbours: 0,
            outcome: Outcome::Failed {
                message,
                details: vec![said.to_owned()],
            },
        },
        Event::StageLost {
            message: format!("the server was lost\nSTATEMENT:  {sql}\n{said}"),
        },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_known_password_is_in_no_face((secret, core) in secrets(), way in 0..WAYS.len()) {
        learn(WAYS[way], &secret);
        for said in spelled(&secret) {
            let mut header = header();
            header.notes.push(format!("it says {said}"));
            let all = written(header, events(&said, &format!("SELECT 1 -- {said}"), said.clone()));
            prop_assert!(!all.contains(&core), "{:?}: {said} in {all}", WAYS[way]);
            // The terminal, whatever is told there.
            let told = redact::escape(&redact::hide(&format!("error: {said}"))).into_owned();
            prop_assert!(!told.contains(&core), "{:?}: {told}", WAYS[way]);
        }
    }

    #[test]
    fn a_literal_and_a_server_s_value_are_in_no_face((secret, core) in secrets()) {
        let literal = secret.replace('\'', "''");
        let statements = [
            format!("SELECT '{literal}'::int"),
            format!("SELECT $q${secret}$q$::int"),
            format!("SELECT E'{}'::int", secret.replace('\\', "\\\\").replace('\'', "''")),
            format!("DO $b$ BEGIN PERFORM '{literal}'::int; END $b$"),
            format!("SELECT '{literal}"),
        ];
        for sql in statements {
            for (code, message) in [
                ("22P02", format!("invalid input syntax for type integer: \"{secret}\"")),
                ("22003", format!("value \"{secret}\" is out of range for type integer")),
                ("42601", format!("syntax error at or near \"'{literal}'\"")),
                ("42601", format!("unterminated quoted string at or near \"'{literal}\"")),
                ("42P01", format!("relation \"{secret}\" does not exist")),
                ("42704", format!("type \"{secret}\" does not exist")),
                ("P0001", secret.clone()),
                ("23514", format!("bad: \"{core}\"")),
            ] {
                let routine = if code == "P0001" { "exec_stmt_raise" } else { "x" };
                let said = Said { code, message: &message, routine: Some(routine), names: Vec::new() };
                let told = said.shown(Some(&sql), Literals::Hidden);
                prop_assert!(!told.contains(&core), "{sql}: {told}");
                let (shown, _) = redact::sql::masked(&sql, Literals::Hidden);
                prop_assert!(!shown.contains(&core), "{sql}: {shown}");
            }
            let message = format!("invalid input syntax for type integer: \"{secret}\"");
            let all = written(header(), events("nothing", &sql, redact::hide(&{
                let said = Said { code: "22P02", message: &message, routine: None, names: Vec::new() };
                said.shown(Some(&sql), Literals::Hidden)
            })));
            prop_assert!(!all.contains(&core), "{sql}: {all}");
        }
        // What a program or a log repeats of it.
        for lines in [
            vec![format!("STATEMENT:  SELECT '{literal}'"), format!("\tFROM '{literal}'")],
            vec![format!("ERROR:  invalid input syntax for type integer: \"{secret}\"")],
            vec![format!("LINE 1: SELECT '{literal}'::int")],
            vec![format!("DETAIL:  Key (email)=({secret}) already exists.")],
            vec![format!("CONTEXT:  COPY t, line 1, column a: \"{secret}\"")],
        ] {
            let log = redact::foreign::log(&lines).join("\n");
            let output = redact::foreign::output(&lines, Literals::Hidden).join("\n");
            prop_assert!(!log.contains(&core) && !output.contains(&core), "{log}\n{output}");
        }
    }
}

#[test]
fn what_is_no_secret_is_in_every_face() {
    // The twin: a gate that hides everything would pass all of the above.
    let all = written(
        header(),
        events(
            "plain words of a program",
            "ALTER TABLE items ADD COLUMN b int",
            "relation \"items\" does not exist".to_owned(),
        ),
    );
    for kept in [
        "plain words of a program",
        "ALTER TABLE items ADD COLUMN b int",
    ] {
        assert!(all.contains(kept), "{kept}");
    }
}
