//! `lockproof snapshot create` on real servers: what is taken, what is left out, what is refused.

mod support;

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use support::server::Server;
use support::{Ran, Room, finish, has_image, has_server, within};

/// Everything that a filter could break: identity, generated columns, odd names, partitions of another
/// column order, heirs, sequences, views.
const SHOP: &str = "\
CREATE ROLE reader LOGIN PASSWORD 's3cret';
GRANT pg_read_all_data TO reader;
CREATE SCHEMA audit;
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text,
    upper text GENERATED ALWAYS AS (upper(name)) STORED);
INSERT INTO customers (name) SELECT 'c' || n FROM generate_series(1, 1000) AS n;
CREATE TABLE \"Big Orders\" (id serial PRIMARY KEY, \"Kunde=x\" bigint NOT NULL REFERENCES customers, note text);
INSERT INTO \"Big Orders\" (\"Kunde=x\", note) SELECT 1 + n % 1000, E'tab\\t\\\\ \"q\" ü' FROM generate_series(1, 5000) AS n;
CREATE TABLE audit.log (id bigint, what jsonb);
INSERT INTO audit.log SELECT n, '{\"a\": 1}' FROM generate_series(1, 1000) AS n;
CREATE TABLE events (id bigint, day date NOT NULL, x int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_2 (x int, day date NOT NULL, id bigint NOT NULL);
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO events SELECT n, date '2026-01-01' + (n % 59), n FROM generate_series(1, 5900) AS n;
CREATE TABLE parent (a int);
CREATE TABLE child (b text) INHERITS (parent);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (3, 'x'), (4, 'y'), (5, 'z');
CREATE VIEW log_view AS SELECT * FROM audit.log;
ALTER DATABASE app SET statement_timeout = '77s';
ALTER ROLE reader SET search_path = public, audit;
";

fn create(room: &Room, server: &Server, arguments: &[&str]) -> Ran {
    create_from(room, &server.url("reader:s3cret"), arguments)
}

fn create_from(room: &Room, url: &str, arguments: &[&str]) -> Ran {
    let ran = finish(command(room, url, arguments));
    assert!(!ran.said().contains("s3cret"), "{ran:?}");
    ran
}

fn command(room: &Room, url: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = room.command(&["snapshot", "create", "--stage", "local"]);
    command.args(arguments).env("LOCKPROOF_FROM", url);
    command
}

/// A run on `snapshots/app` that fails unless each query says what is expected.
fn assert_holds(room: &Room, facts: &[(&str, &str)]) -> Ran {
    let mut sql = String::new();
    for (query, expected) in facts {
        sql.push_str(&format!(
            "DO $x$ BEGIN IF ({query})::text IS DISTINCT FROM $e${expected}$e$ THEN \
             RAISE 'not {expected}: %', ({query})::text; END IF; END $x$;\n"
        ));
    }
    let file = room.file("facts/1_look.sql", sql);
    let mut command = room.command(&["run", "--stage", "local", "-v", "--budget", "60s"]);
    command
        .args(["--snapshot", "./snapshots/app", "--allow-unproven"])
        .arg(file);
    let ran = finish(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

#[test]
fn some_rows_of_some_tables_are_restored_at_once_and_survive() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app(SHOP);
    let before = server.app("SELECT sum(xact_commit) > 0 FROM pg_stat_database");
    assert_eq!(before, "t");
    let ran = create(
        &room,
        &server,
        &[
            "--where",
            "\"Big Orders\"=\"Kunde=x\" <= 100",
            "--where",
            "events = x % 10 = 0",
            "--where",
            "parent=a % 2 = 1",
            "--exclude-data",
            "audit.log",
            "--jobs",
            "2",
        ],
    );
    ran.expect(
        0,
        &[
            "a primary, PostgreSQL",
            "nothing is written there",
            "restored it",
        ],
    );
    let toml = room.read("snapshots/app/snapshot.toml");
    for part in [
        "{ table = \"audit.log\", excluded = true }",
        "{ table = \"\\\"Big Orders\\\"\", where = \"\\\"Kunde=x\\\" <= 100\" }",
        "{ table = \"events\", where = \"x % 10 = 0\" }",
        "columns = [\"x\", \"day\", \"id\"]",
        "taken_at = \"20",
        "database = \"app\"",
        "\"statement_timeout\" = \"77s\"",
    ] {
        assert!(toml.contains(part), "{part} in {toml}");
    }
    assert!(!toml.contains("s3cret"), "{toml}");
    assert!(room.path("snapshots/app/postgresql.conf").is_file());
    let ran = assert_holds(
        &room,
        &[
            (
                "SELECT count(*) || ' ' || max(\"Kunde=x\") || ' ' || min(note) FROM \"Big Orders\"",
                "500 100 tab\t\\ \"q\" ü",
            ),
            (
                "SELECT count(*) || ' ' || max(upper) FROM customers",
                "1000 C999",
            ),
            ("SELECT count(*) || ' ' || sum(x % 10) FROM events", "590 0"),
            ("SELECT count(*) > 0 FROM events_2 WHERE id = x", "true"),
            (
                "SELECT string_agg(a::text, ',' ORDER BY a) FROM parent",
                "1,3,5",
            ),
            ("SELECT string_agg(b, ',' ORDER BY a) FROM child", "x,z"),
            ("SELECT count(*) FROM audit.log", "0"),
            ("SELECT count(*) FROM log_view", "0"),
            ("SELECT nextval('\"Big Orders_id_seq\"')", "5001"),
            (
                "SELECT convalidated FROM pg_constraint WHERE contype = 'f'",
                "true",
            ),
            (
                "SELECT attidentity FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'id'",
                "a",
            ),
        ],
    );
    // It was restored when it was made.
    assert!(!ran.stderr.contains("restoring"), "{ran:?}");
    let said = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lockproof%'";
    assert!(
        within(Duration::from_secs(10), || server.psql(said) == "0"),
        "a session stays"
    );
    assert_eq!(room.names("snapshots"), ["app"]);
    room.assert_clean();
}

#[test]
fn what_cannot_be_taken_is_refused_before_it_is_read() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app(SHOP);
    for (arguments, code, words) in [
        (
            &["--where", "customers=id <= 100"][..],
            2,
            &[
                "does not hold for what is taken",
                "rows of `\"Big Orders\"` refer to rows of `customers`",
                "--where",
            ][..],
        ),
        (
            &["--exclude-data", "customers"],
            2,
            &["does not hold for what is taken"],
        ),
        (
            &["--exclude", "customers"],
            2,
            &[
                "`customers` is left out, and the foreign key",
                "leave `\"Big Orders\"` out too",
            ],
        ),
        (
            &["--exclude", "audit.*"],
            2,
            &[
                "the view `public.log_view` needs it",
                "--exclude public.log_view",
            ],
        ),
        (
            &["--exclude", "custmers"],
            2,
            &[
                "`--exclude custmers` names no table of the source",
                "did you mean `customers`?",
            ],
        ),
        (&["--exclude", "log"], 2, &["did you mean `audit.log`?"]),
        (
            &["--where", "customers=idd > 1"],
            2,
            &[
                "the condition for `customers` is not understood",
                "column \"idd\" does not exist",
            ],
        ),
        (
            &["--where", "customers=true) TO STDOUT; DROP TABLE x; --"],
            2,
            &["is not understood"],
        ),
        (
            &["--where", "events=x = 1", "--exclude-data", "events_1"],
            2,
            &["`events_1` is asked for in two ways"],
        ),
        (&["--where", "customers"], 2, &["is no `TABLE=CONDITION`"]),
        (&["--jobs", "0"], 2, &["`--jobs` has to be from 1 to 64"]),
        (&["--name", "a/b"], 2, &["`a/b` cannot be the name"]),
        (&["--stage", "postgres://u@h/d"], 2, &["named by `--from`"]),
        (
            &["--pg-bin", "/nonexistent"],
            3,
            &[
                "there is no `pg_dump` of PostgreSQL",
                "looked in /nonexistent",
                "help:",
            ],
        ),
    ] {
        let mut all = vec!["--no-restore"];
        all.extend(arguments);
        // Reader's search path would find `log`.
        let url = server.url("postgres");
        let mut command = room.command(&["snapshot", "create"]);
        if !arguments.contains(&"--stage") {
            command.args(["--stage", "local"]);
        }
        command.args(&all).env("LOCKPROOF_FROM", url);
        finish(command).expect(code, words);
        assert_eq!(
            room.names("snapshots"),
            Vec::<String>::new(),
            "{arguments:?}"
        );
    }
    // With both sides cut it holds; a table goes with its foreign keys, a view by its name.
    create(
        &room,
        &server,
        &[
            "--no-restore",
            "--where",
            "customers=id <= 100",
            "--where",
            "\"Big Orders\"=\"Kunde=x\" <= 50",
        ],
    )
    .expect(0, &["made `"]);
    let gone = [
        "--no-restore",
        "--to",
        "snapshots/less",
        "--exclude",
        "\"Big Orders\"",
        "--exclude",
        "customers",
        "--exclude",
        "audit.*",
        "--exclude",
        "public.log_*",
    ];
    create(&room, &server, &gone).expect(0, &["made `"]);
    let toml = room.read("snapshots/less/snapshot.toml");
    assert!(
        toml.contains("name = \"less\"")
            && toml.contains("{ table = \"log_view\", excluded = true }"),
        "{toml}"
    );
    // A role that may not read, and nobody there.
    server.app("CREATE ROLE nobody_special LOGIN");
    create_from(
        &room,
        &server.url("nobody_special"),
        &["--to", "snapshots/x"],
    )
    .expect(
        3,
        &["the role may not read `", "customers", "--exclude-data"],
    );
    create_from(&room, "postgres://u:s3cret@127.0.0.1:1/d", &[])
        .expect(3, &["cannot connect to `postgres://u@127.0.0.1:1/d`"]);
    server.app(
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON customers USING (true)",
    );
    create(&room, &server, &["--to", "snapshots/x"]).expect(3, &["BYPASSRLS"]);
    assert_eq!(room.names("snapshots"), ["app", "less"]);
}

#[test]
fn a_foreign_key_that_does_not_hold_fails_the_restore_with_its_name() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app(SHOP);
    create(
        &room,
        &server,
        &[
            "--no-restore",
            "--where",
            "customers=id <= 1000",
            "--where",
            "\"Big Orders\"=true",
        ],
    )
    .expect(0, &[]);
    // Somebody takes rows out by hand.
    let toml = room.read("snapshots/app/snapshot.toml");
    let customers = toml
        .split("[[source.filtered]]")
        .find(|part| part.contains("public.customers"))
        .expect("a part");
    let file = customers
        .split("file = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a file");
    let path = room.path("snapshots/app").join(file);
    let rows = zstd::decode_all(fs::File::open(&path).expect("there")).expect("whole");
    let text = String::from_utf8(rows).expect("text");
    let fewer: String = text
        .lines()
        .take(10)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(
        &path,
        zstd::encode_all(fewer.as_bytes(), 1).expect("packed"),
    )
    .expect("written");
    let step = room.file("facts/1.sql", "SELECT 1;");
    let mut command = room.command(&["run", "--stage", "local", "--snapshot", "./snapshots/app"]);
    command.arg(&step);
    finish(command).expect(
        3,
        &[
            "Big Orders_Kunde=x_fkey",
            "violates foreign key constraint",
            "condition for the referring table",
        ],
    );
    // Cut off: never half of the rows.
    let whole = zstd::encode_all(text.as_bytes(), 1).expect("packed");
    fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    let mut command = room.command(&["run", "--stage", "local", "--snapshot", "./snapshots/app"]);
    command.arg(&step);
    finish(command).expect(3, &["is damaged or cut off"]);
    room.assert_clean();
}

#[test]
fn all_of_it_is_of_one_moment() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    // Whole or in part, in the dump or beside it: each transaction adds a row to both.
    let server = Server::with_app(
        "CREATE TABLE a (n int); CREATE TABLE b (n int); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0);
         CREATE TABLE slow AS SELECT n FROM generate_series(1, 100) AS n;
         CREATE PROCEDURE work() LANGUAGE plpgsql AS $$ BEGIN
             FOR i IN 1..1000000 LOOP INSERT INTO a VALUES (i); INSERT INTO b VALUES (i); COMMIT; END LOOP; END $$",
    );
    let mut writer = server.busy("CALL work()");
    let busy = || server.app("SELECT count(*) > 100 FROM a") == "t";
    assert!(within(Duration::from_secs(20), busy), "no writer");
    let slow = "slow=pg_sleep(0.01) IS NOT NULL";
    create_from(
        &room,
        &server.url("postgres"),
        &["--where", "b=n >= 0", "--where", slow],
    )
    .expect(0, &[]);
    let _ = writer.kill();
    let _ = writer.wait();
    assert_holds(
        &room,
        &[
            ("SELECT count(*) > 100 FROM a", "true"),
            (
                "SELECT (SELECT count(*) FROM a) - (SELECT count(*) FROM b)",
                "0",
            ),
            ("SELECT count(*) FROM slow", "100"),
        ],
    );
}

#[test]
fn an_interrupted_one_leaves_nothing_and_a_killed_one_is_swept() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server =
        Server::with_app("CREATE TABLE slow AS SELECT n FROM generate_series(1, 2000) AS n");
    let slow = [
        "-v",
        "--no-restore",
        "--where",
        "slow=pg_sleep(0.05) IS NOT NULL",
    ];
    let ours =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lockproof snapshot'";
    let gone = || within(Duration::from_secs(20), || server.psql(ours) == "0");
    let url = server.url("postgres");

    let mut run = room.start(command(&room, &url, &slow));
    run.says("reading `app`");
    assert!(within(Duration::from_secs(20), || server.psql(ours) != "0"));
    run.signalled(Signal::SIGINT)
        .expect(130, &["interrupted by signal 2"]);
    assert!(gone(), "a session stays");
    assert_eq!(room.names("snapshots"), Vec::<String>::new());

    let mut run = room.start(command(&room, &url, &slow));
    run.says("reading `app`");
    std::thread::sleep(Duration::from_millis(500));
    run.signalled(Signal::SIGKILL);
    assert!(gone(), "a session stays");
    let left = room.names("snapshots");
    assert_eq!(left.len(), 1);
    assert!(left[0].starts_with(".lockproof-creating-app-"), "{left:?}");
    create_from(&room, &url, &["--no-restore"]).expect(0, &["removed `", "made `"]);
    assert_eq!(room.names("snapshots"), ["app"]);

    // What is there stays until the new one is whole.
    create_from(&room, &url, &["--no-restore"]).expect(2, &["is there already", "--force"]);
    let first = room.read("snapshots/app/snapshot.toml");
    let mut run = room.start(command(&room, &url, &[&slow[..], &["--force"]].concat()));
    run.says("reading `app`");
    run.signalled(Signal::SIGTERM).expect(143, &[]);
    assert_eq!(room.read("snapshots/app/snapshot.toml"), first);
    create_from(&room, &url, &["--no-restore", "--force"]).expect(0, &[]);
    assert_ne!(room.read("snapshots/app/snapshot.toml"), first);
    room.file("snapshots/mine/snapshot.toml", "name = 'mine'");
    create_from(&room, &url, &["--force", "--to", "snapshots/mine"])
        .expect(2, &["was not made by"]);
    assert_eq!(room.names("snapshots"), ["app", "mine"]);
}

#[test]
fn a_pg_dump_does_not_outlive_a_killed_lockproof() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app("CREATE TABLE held (n int); INSERT INTO held VALUES (1)");
    let mut run = room.start(command(
        &room,
        &server.url("postgres"),
        &[
            "-v",
            "--no-restore",
            "--where",
            "held=pg_sleep(30) IS NOT NULL",
        ],
    ));
    run.says("reading `app`");
    run.signalled(Signal::SIGKILL);
    let gone = within(Duration::from_secs(20), || room.processes().is_empty());
    assert!(gone, "{:?}", room.processes());
}

#[test]
fn a_standby_is_read_and_told_what_helps_against_its_replay() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app(
        "CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 400) AS n;
         CREATE UNLOGGED TABLE scratch (a int)",
    );
    let standby = server.standby();
    create_from(&room, &standby.url("postgres"), &["--jobs", "2"])
        .expect(0, &["a standby, PostgreSQL", "restored it"]);
    let toml = room.read("snapshots/app/snapshot.toml");
    assert!(
        toml.contains("{ table = \"scratch\", excluded = true }"),
        "{toml}"
    );
    assert_holds(
        &room,
        &[
            ("SELECT count(*) FROM items", "400"),
            ("SELECT count(*) FROM scratch", "0"),
        ],
    );
    standby.psql("ALTER SYSTEM SET max_standby_streaming_delay = 0");
    standby.psql("SELECT pg_reload_conf()");
    let slow = [
        "-v",
        "--no-restore",
        "--to",
        "snapshots/b",
        "--where",
        "items=pg_sleep(0.05) IS NOT NULL",
    ];
    let mut run = room.start(command(&room, &standby.url("postgres"), &slow));
    run.says("reading `app`");
    std::thread::sleep(Duration::from_millis(500));
    server.app("DELETE FROM items WHERE id % 2 = 0");
    server.app("VACUUM items");
    run.end()
        .expect(3, &["conflict with recovery", "hot_standby_feedback"]);
    assert_eq!(room.names("snapshots"), ["app"]);
}

#[test]
fn a_disk_that_is_clearly_too_small_is_told_before_it_is_full() {
    if !has_server() || !support::can_mount() {
        return;
    }
    let mut room = Room::new();
    let server = Server::with_app(
        "CREATE TABLE big AS SELECT n, md5(n::text) || md5((n + 1)::text || 'a') || md5(n::text || 'b') || md5(n::text || 'c') AS text \
         FROM generate_series(1, 80000) AS n",
    );
    room.mount("small", "1m");
    let url = server.url("postgres");
    let small = ["--no-restore", "--to", "small/app"];
    create_from(&room, &url, &small).expect(3, &["the snapshot takes", "at the least", "`--to`"]);
    // Not clearly: it is tried, and says what it was when it is full.
    room.mount("medium", "3m");
    create_from(&room, &url, &["--no-restore", "--to", "medium/app"])
        .expect(3, &["No space left on device", "`--to`"]);
    assert_eq!(room.names("medium"), Vec::<String>::new());
}

#[test]
fn an_image_s_pg_dump_reads_where_this_machine_has_none() {
    let image = "lockproof/postgres:15";
    if !has_server() || !has_image(image) {
        return;
    }
    let room = Room::new();
    let server = Server::with_app(SHOP);
    // trust asks for no password: the one that it gets is not looked at, and shown nowhere.
    let mut command = room.command(&["snapshot", "create", "--stage", "docker", "--image", image]);
    command
        .args([
            "--where",
            "\"Big Orders\"=\"Kunde=x\" <= 100",
            "--jobs",
            "2",
        ])
        .env("LOCKPROOF_FROM", server.url("reader:s3cret"));
    let ran = finish(command);
    ran.expect(
        0,
        &[
            "`pg_dump` of the image `lockproof/postgres:15`",
            "restored it",
        ],
    );
    assert!(!ran.said().contains("s3cret"), "{ran:?}");
    assert_holds(
        &room,
        &[
            ("SELECT count(*) FROM \"Big Orders\"", "500"),
            ("SELECT count(*) FROM customers", "1000"),
        ],
    );
    room.assert_engine_clean();
    let broken = server.url("reader:s3cret").replace("127.0.0.1", "%2Ftmp");
    let mut command = room.command(&["snapshot", "create", "--stage", "docker", "--image", image]);
    command
        .args(["--to", "snapshots/b"])
        .env("LOCKPROOF_FROM", broken);
    finish(command).expect(3, &["cannot connect to"]);
}
