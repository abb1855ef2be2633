//! Programs of a step connect as lockproof does.

use crate::authority::{When, admit, private, with_tls};
use crate::support::{On, Room, finish, has_server};
use crate::{HOST, marked, room, run};

/// A step that writes what its own session is into a file of the room.
fn asks(room: &Room) -> String {
    let out = room.path("out").display().to_string();
    let question = "SELECT coalesce(version, 'none') || ' ' || session_user || ' ' || current_database() \
                    FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    format!(
        "[[steps]]\nname = \"ask\"\nmay_do_nothing = true\nrun = [\"sh\", \"-c\", \"\"\"\n\
         psql -XAtq -c \\\"{question}\\\" > {out}\n\
         psql -XAtq -d \\\"$DATABASE_URL\\\" -c \\\"{question}\\\" >> {out}\"\"\"]\n"
    )
}

#[test]
fn to_a_server_with_tls() {
    if !has_server() {
        return;
    }
    let room = room();
    let (server, authority) = with_tls();
    let root = private(&room, "root.crt", &authority.pem);
    room.file("scenario/scenario.toml", asks(&room));
    let own = authority.sign("certified", &[], When::Now);
    let certificate = private(&room, "own.crt", &own.certificate);
    let key = private(&room, "own.key", &own.key);
    let service = format!(
        "[shop]\nhost={HOST}\nhostaddr=127.0.0.1\nport={}\ndbname=app\nsslmode=verify-full\nsslrootcert={root}\n",
        server.port()
    );
    private(&room, "home/.pg_service.conf", &service);
    let stage = format!("postgres://certified@/?service=shop&sslcert={certificate}&sslkey={key}");
    // The caller's own variables do not lead the program astray.
    let astray = [("PGHOST", "192.0.2.1"), ("PGSSLMODE", "disable")];
    run(&room, &stage, &astray, &[]).expect(0, &["ask"]);
    assert_eq!(room.read("out"), "TLSv1.3 certified app\n".repeat(2));
    let stage = "service=shop user=known";
    run(&room, stage, &[("PGPASSWORD", "s3cret")], &[]).expect(0, &["ask"]);
    assert_eq!(room.read("out"), "TLSv1.3 known app\n".repeat(2));
    // Its name is not checked any less there than here.
    let plain = format!(
        "postgres://plain@127.0.0.1:{}/app?sslmode=disable",
        server.port()
    );
    run(&room, &plain, &[("PGSSLMODE", "require")], &[]).expect(0, &["ask"]);
    assert_eq!(room.read("out"), "none plain app\n".repeat(2));
    room.assert_clean();
}

#[test]
fn whose_output_has_no_password_in_any_form() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    admit(&server);
    server.psql("ALTER ROLE known PASSWORD 's3/cr@t'");
    room.file(
        "scenario/scenario.toml",
        "[[steps]]\nname = \"tell\"\nrun = [\"sh\", \"-c\", \"\"\"\n\
         echo to $DATABASE_URL; echo as $PGPASSWORD; exit 1\"\"\"]\n",
    );
    let url = format!("postgres://known@127.0.0.1:{}/app", server.port());
    let recording = room.path("recording").display().to_string();
    let arguments = ["--record", &*recording];
    let ran = run(&room, &url, &[("PGPASSWORD", "s3/cr@t")], &arguments);
    ran.expect(4, &["to postgresql://known:***@", "as ***"]);
    for text in [ran.said(), room.read("recording")] {
        assert!(!text.contains("s3/cr") && !text.contains("s3%2F"), "{text}");
    }
    room.assert_clean();
}

#[test]
fn to_a_stage_of_ours_whatever_the_caller_connects_to() {
    if !has_server() {
        return;
    }
    let room = room();
    let folder = room.scenario(&asks(&room));
    private(
        &room,
        "home/.pg_service.conf",
        "[production]\nhost=192.0.2.1\nconnect_timeout=2\n",
    );
    let mut command = room.run_command(On::Local, &folder, &["--budget", "60s"]);
    command
        .env("HOME", room.path("home"))
        .env("PGSERVICE", "production")
        .env("PGHOSTADDR", "192.0.2.1")
        .env("PGSSLMODE", "require")
        .env("PGREQUIREAUTH", "none");
    finish(command).expect(0, &["ask"]);
    let told = room.read("out");
    let [one, two] = told.lines().collect::<Vec<_>>()[..] else {
        panic!("{told}");
    };
    assert_eq!(one, two);
    assert!(one.starts_with("none "), "{told}");
    room.assert_clean();
}
