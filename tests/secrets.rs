//! Secrets are planted wherever a user may have one, and searched for in all that the command writes.

mod support;

use std::fs;
use std::path::Path;

use support::report::{script, sql};
use support::server::Server;
use support::{Ran, Room, finish, has_server};

/// Every way in which a run tells anything.
const FILES: [&str; 5] = ["r.json", "r.html", "r.xml", "r.md", "r.jsonl"];

/// Runs a scenario of the room, judges its recording again; everything that was written.
fn told(room: &Room, scenario: &Path, arguments: &[&str]) -> (Ran, String) {
    let command = |first: &str, path: &Path| {
        let mut command = room.command(&[first]);
        command.arg(path);
        for (option, file) in ["--json", "--html", "--junit", "--markdown"]
            .iter()
            .zip(FILES)
        {
            command.arg(option).arg(room.path(file));
        }
        command
    };
    let mut run = command("run", scenario);
    run.args(["--stage", "local"])
        .arg("--record")
        .arg(room.path("r.jsonl"))
        .args(arguments);
    let ran = finish(run);
    let mut all = format!("{ran:?}");
    let files = |all: &mut String| {
        for file in FILES {
            let text = fs::read(room.path(file)).unwrap_or_default();
            all.push_str(&format!("\n=== {file}\n{}", String::from_utf8_lossy(&text)));
        }
    };
    files(&mut all);
    if room.path("r.jsonl").exists() && ran.code != Some(2) {
        let again = finish(command("judge", &room.path("r.jsonl")));
        all.push_str(&format!("{again:?}"));
        files(&mut all);
    }
    (ran, all)
}

#[track_caller]
fn nowhere(all: &str, secrets: &[&str]) {
    for secret in secrets {
        if let Some(at) = all.find(secret) {
            let around: String = all[..at]
                .chars()
                .rev()
                .take(300)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .chain(all[at..].chars().take(200))
                .collect();
            panic!("{secret:?} is told: {around}");
        }
    }
}

#[test]
fn passwords_in_statements_are_nowhere_whatever_was_asked_for() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    for statement in [
        "ALTER USER nobody_there PASSWORD 'pl4nted-pw'",
        "ALTER USER nobody_there PASSWORD \"pl4nted-pw\"",
        "CREATE ROLE r PASSWORD pl4nted-pw",
        "ALTER ROLE nobody_there WITH ENCRYPTED PASSWORD E'pl4nted-pw' VALID UNTIL 'yesterday'",
        "CREATE USER MAPPING FOR nobody_there SERVER s OPTIONS (user 'u', password 'pl4nted-pw')",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h password=pl4nted-pw oops' PUBLICATION p",
        "DO $$ BEGIN EXECUTE 'ALTER USER nobody_there PASSWORD ''pl4nted-pw'' '; END $$",
        "DO $$ BEGIN EXECUTE format('ALTER USER x PASSWRD %L', 'x'); RAISE 'never'; END $$ -- password=pl4nted-pw",
        "SELECT 'postgres://u:pl4nted-pw@h/db'::regclass",
        "SELECT set_config('app.api_token', 'pl4nted-pw', false)::int",
    ] {
        let scenario = room.scenario(&sql("s", "autocommit", statement));
        // Quiet tells of the failure on standard error.
        for arguments in [&["--quiet"][..], &["--literals"]] {
            let (ran, all) = told(&room, &scenario, arguments);
            assert_eq!(ran.code, Some(4), "{statement}: {ran:?}");
            nowhere(&all, &["pl4nted-pw", "pl4nted"]);
        }
    }
}

#[test]
fn values_in_a_server_s_words_are_told_only_when_literals_are() {
    if !has_server() {
        return;
    }
    let room = Room::with(
        "CREATE TYPE mood AS ENUM ('happy'); CREATE TABLE people (email text, n int);
         INSERT INTO people VALUES ('pl4nted@row.example', 1), ('pl4nted@row.example', 2);
         CREATE FUNCTION complain(e text) RETURNS int LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'bad customer %', e USING HINT = 'ask ' || e; END $$;",
    );
    for (statement, kept) in [
        (
            "SELECT 'pl4nted\"x'::int",
            "invalid input syntax for type integer: ?",
        ),
        (
            "SELECT 'pl4nted'::mood",
            "invalid input value for enum mood: ?",
        ),
        (
            "SELECT '99999999999'::int, 'pl4nted'",
            "is out of range for type integer",
        ),
        ("SELECT 'pl4nted'::regclass", "does not exist"),
        (
            "ALTER TABLE people ALTER email TYPE int USING email::int",
            "invalid input syntax for type integer: ?",
        ),
        (
            "CREATE UNIQUE INDEX people_email ON people (email)",
            "could not create unique index",
        ),
        ("ALTER TABLE people ADD CONSTRAINT few CHECK (n < 2)", "few"),
        (
            "ALTER TABLE people ADD note text DEFAULT 'pl4nted', ADD oops nosuchtype",
            "nosuchtype",
        ),
        ("SELECT complain(email) FROM people", "raised by code"),
        (
            "DO $$ BEGIN RAISE EXCEPTION 'no room for %', (SELECT email FROM people LIMIT 1); END $$",
            "no room for ?",
        ),
        (
            "SELECT 'pl4nted' FROM nosuchtable -- pl4nted",
            "nosuchtable",
        ),
        (
            "INSERT INTO people VALUES ('pl4nted', 1) ON 'pl4nted'",
            "syntax error at or near ?",
        ),
    ] {
        let scenario = room.scenario(&sql("s", "autocommit", statement));
        let (ran, all) = told(&room, &scenario, &[]);
        assert_eq!(ran.code, Some(4), "{statement}: {ran:?}");
        nowhere(&all, &["pl4nted", "99999999999"]);
        let said = fs::read_to_string(room.path("r.md")).expect("written");
        let plain = said.replace('\\', "");
        assert!(plain.contains(kept), "{statement}: no {kept:?} in {said}");
    }
    // The twin: who asks for literals has them.
    let scenario = room.scenario(&sql("s", "autocommit", "SELECT 'pl4nted'::int"));
    let (_, all) = told(&room, &scenario, &["--literals"]);
    assert!(all.contains("type integer: \\\"pl4nted\\\""), "{all}");
}

#[test]
fn a_program_s_arguments_environment_and_output_give_nothing_away() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let steps = [
        "[[steps]]\nname = \"env\"\nmay_do_nothing = true\n\
         run = [\"sh\", \"-c\", \"env | grep -e TOKEN -e DSN -e CI_ -e PGPASS; psql -Xqc 'SELECT 1'\"]\n\
         env = { API_TOKEN = \"pl4nted one\", DB_DSN = \"pl4nted two\" }\n"
            .to_owned(),
        "[[steps]]\nname = \"args\"\n\
         run = [\"sh\", \"-c\", \"echo $1; echo '{\\\"password\\\": \\\"pl4nted three\\\"}'; exit 3\", \"sh\", \
         \"postgres://u:pl4nted@4@h/db\", \"--password\", \"pl4nted-five\"]\n"
            .to_owned(),
    ];
    let probe = format!(
        "{}{}",
        script(
            "pw",
            "printf '%s' \"$PGPASSWORD\" >pw; printf '%s' \"$DATABASE_URL\" >url; echo $PGPASSWORD $DATABASE_URL; \
             psql -Xqc 'SELECT 1'"
        ),
        steps.concat()
    );
    let scenario = room.scenario(&probe);
    for arguments in [&[][..], &["--literals"]] {
        let mut command = room.command(&["run"]);
        command.env("CI_SECRET_KEY", "pl4nted six");
        let (ran, all) = told(&room, &scenario, arguments);
        assert_eq!(ran.code, Some(4), "{ran:?}");
        let password = fs::read_to_string(scenario.join("pw")).expect("written");
        assert!(password.len() > 8, "{password}");
        nowhere(&all, &["pl4nted", &password]);
        assert!(all.contains("API_TOKEN=***"), "{all}");
    }
    let scenario = room.scenario(&steps[0]);
    let mut command = room.run_command(support::On::Local, &scenario, &["--json"]);
    command
        .arg(room.path("r.json"))
        .args(["--record"])
        .arg(room.path("r.jsonl"));
    command
        .env("CI_SECRET_KEY", "pl4nted six")
        .env("PGPASSWORD", "pl4nted seven");
    let ran = finish(command);
    let all = format!("{ran:?}{}{}", room.read("r.json"), room.read("r.jsonl"));
    nowhere(&all, &["pl4nted"]);
}

#[test]
fn sql_on_a_program_s_command_line_and_in_its_output_is_hidden_as_any_other() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let step = "[[steps]]\nname = \"psql\"\nrun = [\"psql\", \"-Xac\", \"SELECT 'pl4nted'::int\"]\n\
                env = { PATH = \"${path}\" }\n";
    let found = lockproof::stage::local::binaries::find(None);
    let bin = found.choose(None).expect("there");
    let path = format!("{}:/usr/bin:/bin", bin.bin_dir.display());
    let scenario = room.scenario(&step.replace("${path}", &path));
    let (ran, all) = told(&room, &scenario, &[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    nowhere(&all, &["pl4nted"]);
    assert!(
        all.contains("invalid input syntax for type integer: ?"),
        "{all}"
    );
    let (_, all) = told(&room, &scenario, &["--literals"]);
    assert!(all.contains("pl4nted"), "{all}");
}

#[test]
fn what_was_mistyped_is_repeated_without_its_password() {
    let room = Room::new();
    room.file(
        "s/scenario.toml",
        "snapshot = \"empty\"\n[stage]\nurl = \"postgres://u:pl4nted@h/db\"\n",
    );
    room.file("v/scenario.toml", "snapshot = \"empty\"\n[variables]\napi_token = \"pl4nted\"\n[[steps]]\nname = \"a\"\nsql = \"x\"\nwrap = \"${api_token}\"\n");
    for arguments in [
        &["run", "postgres://u:pl4nted@h/db"][..],
        &["run", "postgres://u:pl4nted pw@h/db"],
        &["run", "postgres:/u:pl4nted@h/db"],
        &["run", "postgres://u:pl4nted/db"],
        &["run", "u:pl4nted@h/db"],
        &["run", "host=h password=pl4nted"],
        &["run", "--stage", "postgre://u:pl4nted@h/db", "x.sql"],
        &[
            "run",
            "--stage",
            "postgres://u:pl4nted@nosuch.invalid:1/db?oops=1",
            "x.sql",
        ],
        &[
            "run",
            "--cache",
            "postgres://u:pl4nted@h/db",
            "--budget",
            "pl4",
            "x.sql",
        ],
        &["run", "--rate", "postgres://u:pl4nted@h/db", "x.sql"],
        &["run", "--stagee", "postgres://u:pl4nted@h/db", "x.sql"],
        &["run", "--snapshot", "postgres://u:pl4nted@h/db", "s"],
        &[
            "run",
            "--var",
            "api_token=pl4nted",
            "--var",
            "pl4nted=1",
            "x.sql",
        ],
        &[
            "run",
            "--warmth",
            "pl4nted@",
            "--warmth=postgres://u:pl4nted@@h",
            "x.sql",
        ],
        &["postgres://u:pl4nted@h/db"],
        &["judge", "postgres://u:pl4nted@h/db"],
        &[
            "compare",
            "postgres://u:pl4nted@h/db",
            "postgres://u:pl4nted@i/db",
        ],
        &["snapshot", "rm", "postgres://u:pl4nted@h/db"],
        &[
            "snapshot",
            "create",
            "--from",
            "postgre://u:pl4nted@h/db",
            "--to",
            "t",
        ],
        &[
            "snapshot",
            "create",
            "--from",
            "postgres://u:pl4nted@127.0.0.1:1/db",
            "--to",
            "t",
        ],
        &["run", "s"],
        &["run", "v"],
    ] {
        let ran = room.lockproof(arguments);
        assert_ne!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
        if !arguments.contains(&"--warmth") && !arguments.contains(&"--var") {
            nowhere(&format!("{ran:?}"), &["pl4nted"]);
        }
    }
    let ran = room.lockproof(&["run", "postgres://u:pl4nted@h/db"]);
    ran.expect(2, &["`postgres://u:***@h/db` does not exist"]);
    let mut command = room.command(&["run", "x.sql"]);
    command
        .env("LOCKPROOF_CACHE", "x")
        .env("LOCKPROOF_STAGE", "u:pl4nted@h")
        .env("LOCKPROOF_RATE", "postgres://u:pl4nted@h");
    nowhere(&format!("{:?}", finish(command)), &["pl4nted"]);
}

#[test]
fn the_log_of_a_lost_server_repeats_no_statement() {
    if !has_server() {
        return;
    }
    let room = Room::with(
        "CREATE FUNCTION complain(e text) RETURNS int LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'bad customer %', e; END $$;",
    );
    let steps = [
        sql(
            "quiet",
            "autocommit",
            "DO $$ BEGIN PERFORM complain('pl4nted'); EXCEPTION WHEN others THEN NULL; END $$",
        ),
        script(
            "lost",
            "psql -Xqc \"SELECT complain('pl4nted one')\"; psql -Xqc \"SELECT 'pl4nted two'::int\"; \
             psql -Xqc \"ALTER USER x PASSWORD 'pl4nted three'\"; \
             psql -Xqc \"COPY items FROM PROGRAM 'kill -9 \\$PPID; sleep 1; echo pl4nted'\"; sleep 2; psql -Xqc 'SELECT 1'",
        ),
        sql("after", "autocommit", "SELECT 1"),
    ];
    let found = lockproof::stage::local::binaries::find(None);
    let bin = found.choose(None).expect("there");
    let scenario = room.scenario(
        &steps
            .concat()
            .replace("psql -X", &format!("{}/psql -X", bin.bin_dir.display())),
    );
    for arguments in [&[][..], &["--literals"]] {
        let (ran, all) = told(&room, &scenario, arguments);
        ran.expect(3, &["was terminated by signal 9", "STATEMENT: ?"]);
        let secrets: &[&str] = if arguments.is_empty() {
            &["pl4nted"]
        } else {
            &["pl4nted three"]
        };
        nowhere(&all, secrets);
    }
}

#[test]
fn nothing_that_a_terminal_obeys_reaches_it() {
    if !has_server() {
        return;
    }
    let evil = "e\u{1b}[31mv\u{1b}]0;t\u{7}\u{202e}il\u{200b}\u{9b}2J";
    let room = Room::with(&format!("CREATE TABLE \"{evil}\" (id int);"));
    let toml = evil
        .chars()
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect::<String>();
    let steps = format!(
        "name = \"{toml}\"\nsnapshot = \"../snapshot\"\nreplays = 1\n\
         [[steps]]\nname = \"lock\"\nwrap = \"autocommit\"\nsql = \"BEGIN; LOCK TABLE \\\"{toml}\\\"; SELECT pg_sleep(0.2); COMMIT; SELECT 1 FROM \\\"x{toml}\\\"\"\n"
    );
    room.file("evil/scenario.toml", steps);
    let (ran, all) = told(&room, &room.path("evil"), &["--color", "always"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let raw = [
        "\u{1b}]",
        "\u{1b}[31mv",
        "\u{7}",
        "\u{202e}",
        "\u{200b}",
        "\u{9b}",
    ];
    for never in raw {
        assert!(
            !ran.stdout.contains(never) && !ran.stderr.contains(never),
            "{never:?}: {ran:?}"
        );
    }
    assert!(
        ran.stdout.contains("\u{1b}["),
        "our own colours stay: {ran:?}"
    );
    assert!(ran.said().contains("e\\x1b[31mv"), "{ran:?}");
    let faces: Vec<String> = FILES.iter().map(|file| room.read(file)).collect();
    for (file, text) in FILES.iter().zip(&faces) {
        for never in ["\u{1b}", "\u{7}", "\u{202e}", "\u{200b}", "\u{9b}"] {
            assert!(!text.contains(never), "{file}: {never:?}");
        }
    }
    drop(all);
    // A path, a recording that nobody trusts, and what is typed.
    let ran = room.lockproof(&["run", evil]);
    assert!(
        !raw.iter().any(|never| ran.stderr.contains(never)),
        "{ran:?}"
    );
    let ran = room.lockproof(&[evil]);
    assert!(
        !raw.iter().any(|never| ran.stderr.contains(never)),
        "{ran:?}"
    );
    let recording = room
        .read("r.jsonl")
        .replace("e\\\\x1b", "\\u001b]0;x\\u0007\\u202e");
    room.file("evil.jsonl", recording);
    let ran = room.lockproof(&["judge", "evil.jsonl"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        !raw.iter().any(|never| ran.stdout.contains(never)),
        "{ran:?}"
    );
}

#[test]
fn a_snapshot_with_rows_is_kept_out_of_version_control() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app("CREATE TABLE items (id int); INSERT INTO items VALUES (1)");
    let create = |to: &str, more: &[&str]| {
        let mut command = room.command(&["snapshot", "create", "--stage", "local", "--to", to]);
        command
            .args(["--no-restore"])
            .args(more)
            .env("LOCKPROOF_FROM", server.url("postgres"));
        finish(command)
    };
    let ran = create("plain", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.said().contains("work tree"), "{ran:?}");
    assert!(
        room.read("plain/.gitignore")
            .lines()
            .any(|line| line == "*")
    );
    fs::create_dir(room.path(".git")).expect("made");
    create("shop", &[]).expect(0, &["lies in the git work tree"]);
    // Without rows it is a description like any other.
    let ran = create("empty", &["--exclude-data", "*"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.said().contains("work tree"), "{ran:?}");
    assert!(!room.path("empty/.gitignore").exists());
}
