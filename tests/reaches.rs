//! What in a snapshot reaches out of its server: it is told, subscriptions are cut off, and event triggers
//! rest for lockproof's own sessions.

mod support;

use std::path::PathBuf;

use support::server::Server;
use support::{Room, finish, has_image, has_server};

const PASSWORD: &str = "hunter2secret";

/// A server that stands for production: what must never be gone from it is a slot.
fn production() -> Server {
    let server = Server::start();
    server.psql("SELECT pg_create_physical_replication_slot('kept')");
    server
}

fn slots(server: &Server) -> String {
    server.psql("SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots")
}

fn conninfo(server: &Server) -> String {
    format!(
        "host=127.0.0.1 port={} user=postgres dbname=postgres password={PASSWORD}",
        server.port()
    )
}

/// A room whose snapshot is a plain dump.
fn dumped(sql: &str) -> Room {
    let room = Room::new();
    room.file(
        "snapshot/snapshot.toml",
        "name = 'dumped'\n[source]\nkind = 'dump'\nfile = 'dump.sql'\n",
    );
    room.file(
        "snapshot/dump.sql",
        format!(
            "-- {}\nCREATE TABLE items (id int);\n{sql}",
            room.root().display()
        ),
    );
    room
}

/// Kind, name and detail of all that can reach out.
fn reaches(room: &Room) -> Vec<[String; 3]> {
    let report = room.json("report.json");
    let told = report["snapshot"]["reaches"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    told.iter()
        .map(|reach| ["kind", "name", "detail"].map(|key| text(&reach[key])))
        .collect()
}

const ADD: &str = "[[steps]]\nname = 'add'\nsql = 'ALTER TABLE items ADD COLUMN z int'\n";
const DROP: &str = "[[steps]]\nname = 'drop'\nsql = 'DROP SUBSCRIPTION follows'\n";

/// Runs with all outputs; none of them may have the password.
fn run(room: &Room, scenario: &std::path::Path, code: i32) -> support::Ran {
    let outputs = [
        "--json",
        "report.json",
        "--html",
        "report.html",
        "--markdown",
        "report.md",
        "--record",
        "record.jsonl",
    ];
    let ran = room.run(
        scenario,
        &[&outputs[..], &["-v", "--budget", "60s"]].concat(),
    );
    ran.expect(code, &[]);
    for name in ["report.json", "report.html", "report.md", "record.jsonl"] {
        assert!(!room.read(name).contains(PASSWORD), "{name}");
    }
    assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
    ran
}

#[test]
fn what_reaches_out_of_a_dump_is_told_and_its_subscription_is_cut_off() {
    if !has_server() {
        return;
    }
    let production = production();
    let port = production.port();
    let room = dumped(&format!(
        "CREATE EXTENSION postgres_fdw; CREATE EXTENSION dblink; CREATE EXTENSION file_fdw;
         CREATE SERVER prod FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '127.0.0.1', port '{port}', dbname 'postgres', passfile '/{PASSWORD}');
         CREATE USER MAPPING FOR PUBLIC SERVER prod OPTIONS (user 'postgres', password '{PASSWORD}');
         CREATE FOREIGN DATA WRAPPER own OPTIONS (url 'https://u:{PASSWORD}@api.example/v1?key={PASSWORD}');
         CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE out_of (a text) SERVER files OPTIONS (program 'curl -u u:{PASSWORD} x');
         CREATE FUNCTION calls() RETURNS void LANGUAGE sql AS
             $$ SELECT dblink_exec('{}', 'SELECT 1') $$;
         CREATE FUNCTION programs() RETURNS void LANGUAGE plpgsql AS
             $$ BEGIN COPY items TO PROGRAM 'true'; END $$;
         CREATE FUNCTION atomic() RETURNS text[] BEGIN ATOMIC SELECT dblink_get_connections(); END;
         CREATE FUNCTION harmless() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
         CREATE ROLE loader;
         ALTER ROLE loader SET session_preload_libraries = 'auto_explain';
         CREATE SUBSCRIPTION follows CONNECTION '{}' PUBLICATION p WITH (connect = false, slot_name = 'kept');\n",
        conninfo(&production),
        conninfo(&production),
    ));
    let ran = run(&room, &room.scenario(&format!("{ADD}{DROP}")), 0);
    assert_eq!(slots(&production), "kept");
    let publisher = format!("publisher 127.0.0.1:{port}/postgres, disabled, without a slot");
    let server = format!("postgres_fdw, host 127.0.0.1, port {port}, dbname postgres");
    let told = reaches(&room);
    let expected = [
        ["extension", "dblink", ""],
        ["extension", "file_fdw", ""],
        ["extension", "postgres_fdw", ""],
        ["foreign_data_wrapper", "own", "url https://api.example/v1"],
        ["foreign_server", "files", "file_fdw"],
        ["foreign_server", "prod", &server],
        ["foreign_table", "public.out_of", "files, program curl"],
        ["function", "public.atomic()", "calls dblink"],
        ["function", "public.calls()", "mentions dblink"],
        ["function", "public.programs()", "mentions COPY … PROGRAM"],
        [
            "library",
            "auto_explain",
            "session_preload_libraries of role loader",
        ],
        ["subscription", "follows", &publisher],
    ];
    assert_eq!(told, expected.map(|reach| reach.map(str::to_owned)));
    // A line each, for people.
    let line = format!("foreign server `prod`: {server}");
    assert!(
        ran.stdout.contains("  reaches  extension `dblink`\n"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("language") || ran.stdout.contains("subscription `follows`"));
    assert!(room.read("report.md").contains("can reach out: "));
    assert!(room.read("report.html").contains("Can reach out"));
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(&ran.stdout).contains(&line), "{}", ran.stdout);
    assert!(
        ran.stderr
            .contains("cut off from their publishers and slots: `follows`"),
        "{}",
        ran.stderr
    );
    // Also of a base that was restored before.
    run(&room, &room.scenario(&format!("{ADD}{DROP}")), 0);
    assert_eq!(reaches(&room), told);
    assert!(
        room.read("report.json")
            .contains("cut off from their publishers")
    );
    assert_eq!(slots(&production), "kept");
    room.assert_clean();
}

/// What would make a slot on the publisher, or drop one, is refused before the restore begins.
#[test]
fn a_dump_or_a_generator_that_would_connect_to_a_publisher_is_refused() {
    if !has_server() {
        return;
    }
    let production = production();
    let create = |options: &str| {
        format!(
            "CREATE SUBSCRIPTION follows CONNECTION '{}' PUBLICATION p{options};",
            conninfo(&production)
        )
    };
    let cut =
        "ALTER SUBSCRIPTION follows DISABLE; ALTER SUBSCRIPTION follows SET (slot_name = NONE);";
    let detached = create(" WITH (connect = false, slot_name = 'kept')");
    for (sql, code) in [
        (create(" WITH (slot_name = 'made')"), 3),
        (format!("{detached}\nDROP SUBSCRIPTION follows;"), 3),
        // The twins.
        (
            format!("{detached}\nALTER SUBSCRIPTION follows ENABLE;\n{cut}"),
            0,
        ),
        (detached.clone(), 0),
    ] {
        let generator = format!("CREATE TABLE items (id int);\n{sql}\n");
        let made = Room::new();
        made.file(
            "snapshot/generate.sql",
            format!("-- {}\n{generator}", made.root().display()),
        );
        for room in [dumped(&sql), made] {
            let mut arguments = vec!["--budget", "60s"];
            arguments.extend(["-v"]);
            let ran = room.run(&room.scenario(ADD), &arguments);
            ran.expect(code, &[]);
            let refused = ran
                .stderr
                .contains("would connect to a subscription's publisher");
            assert_eq!(refused, code == 3, "{sql}: {}", ran.stderr);
            assert_eq!(slots(&production), "kept", "{sql}");
        }
    }
}

/// The twin: nothing reaches out, and nothing is told.
#[test]
fn of_a_snapshot_that_reaches_nowhere_nothing_is_told() {
    if !has_server() {
        return;
    }
    let room = dumped(
        "CREATE EXTENSION pg_trgm;
         CREATE FUNCTION harmless() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
         CREATE PUBLICATION all_of_it FOR ALL TABLES;\n",
    );
    let ran = run(&room, &room.scenario(ADD), 0);
    assert!(reaches(&room).is_empty(), "{:?}", reaches(&room));
    assert!(!ran.stdout.contains("reaches"), "{}", ran.stdout);
    for (name, words) in [
        ("report.md", "can reach out"),
        ("report.html", "Can reach out"),
        ("report.json", "cut off"),
    ] {
        assert!(!room.read(name).contains(words), "{name}");
    }
}

#[test]
fn a_subscription_of_a_physical_copy_is_cut_off() {
    if !has_server() {
        return;
    }
    let production = production();
    let subscriber = Server::with_app("CREATE TABLE items (id int)");
    let follow = |database: &str, name: &str| {
        subscriber.of(
            database,
            &format!(
                "CREATE SUBSCRIPTION {name} CONNECTION '{}' PUBLICATION p WITH (connect = false, slot_name = 'kept')",
                conninfo(&production)
            ),
        );
    };
    follow("app", "follows");
    follow("postgres", "elsewhere");
    // A table whose first copy is under way has a slot of its own there, known by numbers alone.
    subscriber.app(
        "INSERT INTO pg_subscription_rel SELECT s.oid, 'items'::regclass, 'd', NULL FROM pg_subscription s
         WHERE subname = 'follows'",
    );
    let syncing = subscriber.app(
        "SELECT format('pg_%s_sync_%s_%s', s.oid, 'items'::regclass::oid, system_identifier)
         FROM pg_control_system(), pg_subscription AS s WHERE subname = 'follows'",
    );
    production.psql(&format!(
        "SELECT pg_create_physical_replication_slot('{syncing}')"
    ));
    subscriber.app("ALTER SUBSCRIPTION follows ENABLE");
    let backup = subscriber.base_backup("copy", &["-X", "stream"]);
    let (data, _folder): (PathBuf, _) = subscriber.shut_down();
    for (kind, path) in [("backup", &backup), ("data", &data)] {
        let room = Room::new();
        room.file(
            "snapshot/snapshot.toml",
            format!(
                "name = 'copy'\ndatabase = 'app'\nserver_version = 15\n[source]\nkind = '{kind}'\npath = '{}'\n",
                path.display()
            ),
        );
        let ran = run(&room, &room.scenario(&format!("{ADD}{DROP}")), 0);
        assert!(
            ran.stderr.contains("`elsewhere`, `follows`"),
            "{}",
            ran.stderr
        );
        let place = format!("publisher 127.0.0.1:{}/postgres", production.port());
        let expected = [
            [
                "subscription",
                "elsewhere",
                &format!("{place}, of database postgres, disabled, without a slot"),
            ],
            [
                "subscription",
                "follows",
                &format!("{place}, disabled, without a slot"),
            ],
        ];
        assert_eq!(
            reaches(&room),
            expected.map(|reach| reach.map(str::to_owned))
        );
        assert_eq!(slots(&production), format!("kept {syncing}"));
    }
    // No worker has asked for anything either: nobody but the tests came.
    drop(production);
}

/// What lockproof makes for itself on a server without the setting, such as `pg_prewarm` for a moment,
/// fires no event trigger; what the migration makes does.
#[test]
fn event_triggers_fire_for_the_migration_s_ddl_and_not_for_ours() {
    if !has_server() {
        return;
    }
    let room = Room::with(
        "CREATE SEQUENCE fired;
         CREATE FUNCTION fire() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('fired'); END $$;
         CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION fire();
         ALTER EVENT TRIGGER watch ENABLE ALWAYS;",
    );
    let toml = room.read("snapshot/snapshot.toml");
    room.file(
        "snapshot/snapshot.toml",
        format!("{toml}[restore]\nwarm = true\n"),
    );
    let scenario = room.scenario(
        "[[steps]]\nname = 'ours'\nsql = 'SELECT 1 / (NOT is_called)::int FROM fired'\n\
         [[steps]]\nname = 'add'\nsql = 'ALTER TABLE items ADD COLUMN z int'\n\
         [[steps]]\nname = 'fired'\nsql = 'SELECT 1 / is_called::int FROM fired'\n",
    );
    run(&room, &scenario, 0);
    assert!(reaches(&room).is_empty(), "{:?}", reaches(&room));
}

/// A login fires for the migration and for nobody of lockproof's own.
const LOGIN: &str = "
CREATE TABLE logins (application text, role text);
CREATE FUNCTION note_login() RETURNS event_trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.logins VALUES (current_setting('application_name'), session_user);
END $$;
CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION note_login();
ALTER EVENT TRIGGER at_login ENABLE ALWAYS;
GRANT SELECT ON logins TO PUBLIC;
";

#[test]
fn a_login_trigger_fires_for_the_migration_alone() {
    let images = ["lockproof/postgres:17", "lockproof/postgres:18"];
    for image in images.into_iter().filter(|image| has_image(image)) {
        let room = Room::new();
        let nonce = room.root().display();
        room.file(
            "snapshot/dump.sql",
            format!("-- {nonce}\nCREATE TABLE items (id int);{LOGIN}"),
        );
        room.file(
            "snapshot/generate.sql",
            format!("-- {nonce}\nCREATE TABLE items (id int);{LOGIN}"),
        );
        let others =
            "SELECT 1 / (count(*) = 0)::int FROM logins WHERE application !~ '^lockproof:'";
        let own = "SELECT 1 / (count(*) = 3)::int FROM logins WHERE application ~ '^lockproof:'";
        let scenario = room.scenario(&format!(
            "warmth = 'warm'\n[[steps]]\nname = 'add'\nsql = 'ALTER TABLE items ADD COLUMN z int'\n\
             [[steps]]\nname = 'others'\nsql = \"{others}\"\n[[steps]]\nname = 'own'\nsql = \"{own}\"\n"
        ).replace("warmth = 'warm'\n", ""));
        for (source, role) in [
            ("kind = 'dump'\nfile = 'dump.sql'", ""),
            ("kind = 'generator'\nfiles = ['generate.sql']", ""),
            (
                "kind = 'dump'\nfile = 'dump.sql'",
                "role = 'app'\nowner = 'app'\n",
            ),
        ] {
            let roles = if role.is_empty() { "" } else { "[roles.app]\n" };
            room.file(
                "snapshot/snapshot.toml",
                format!("name = 'l'\n{role}[source]\n{source}\n{roles}[restore]\nwarm = true\n"),
            );
            let scenario = if role.is_empty() {
                scenario.clone()
            } else {
                room.scenario_named("as-app", &format!(
                    "[[steps]]\nname = 'others'\nsql = \"{others}\"\n[[steps]]\nname = 'own'\nsql = \"{}\"\n",
                    own.replace("= 3", "= 2")
                ))
            };
            let mut command = room.command(&["run", "--stage", "docker", "--image", image]);
            command
                .arg(&scenario)
                .args(["--json", "report.json", "--budget", "60s"]);
            finish(command).expect(0, &[]);
            let told = reaches(&room);
            let expected = [["login_trigger", "at_login", "public.note_login()"]];
            assert_eq!(
                told,
                expected.map(|reach| reach.map(str::to_owned)),
                "{image}"
            );
        }
        room.assert_engine_clean();
    }
}

/// The catalogue is another in each major, and so are the options of a subscription.
#[test]
fn the_oldest_and_the_newest_major_tell_as_much() {
    for (image, options) in [
        ("lockproof/postgres:13", ""),
        (
            "lockproof/postgres:17",
            ", two_phase = true, failover = true, origin = none",
        ),
        (
            "lockproof/postgres:18",
            ", two_phase = true, failover = true, streaming = parallel, run_as_owner = true",
        ),
    ] {
        if !has_image(image) {
            continue;
        }
        let room = dumped(&format!(
            "CREATE EXTENSION dblink;
             CREATE FUNCTION calls() RETURNS void LANGUAGE sql AS $$ SELECT dblink_connect('x') $$;
             CREATE FOREIGN DATA WRAPPER own;
             CREATE SERVER prod FOREIGN DATA WRAPPER own OPTIONS (host 'db1', password '{PASSWORD}');
             CREATE SUBSCRIPTION follows CONNECTION 'host=db1 password={PASSWORD}' PUBLICATION p
                 WITH (connect = false, slot_name = 'kept'{options});
             ALTER SUBSCRIPTION follows ENABLE;\n",
        ));
        let mut command = room.command(&["run", "--stage", "docker", "--image", image]);
        command.arg(room.scenario(&format!("{ADD}{DROP}")));
        command.args(["--json", "report.json", "--budget", "60s"]);
        finish(command).expect(0, &[]);
        let expected = [
            ["extension", "dblink", ""],
            ["foreign_data_wrapper", "own", ""],
            ["foreign_server", "prod", "own, host db1"],
            ["function", "public.calls()", "mentions dblink"],
            [
                "subscription",
                "follows",
                "publisher db1, disabled, without a slot",
            ],
        ];
        let expected = expected.map(|reach| reach.map(str::to_owned));
        assert_eq!(reaches(&room), expected, "{image}");
        assert!(!room.read("report.json").contains(PASSWORD));
        room.assert_engine_clean();
    }
}
