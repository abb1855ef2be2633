//! Servers that somebody else runs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use std::time::Duration;

use crate::support::server::Server;
use crate::support::{Ran, Room, finish, has_server, within};

const ITEMS: &str = "CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 1000) n";
const STEP: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n";

fn run(room: &Room, url: &str, arguments: &[&str]) -> Ran {
    let scenario = room.file("scenario/scenario.toml", STEP);
    let mut command = room.command(&["run", "--budget", "60s"]);
    command
        .arg(scenario)
        .args(arguments)
        .env("LOCKPROOF_STAGE", url);
    finish(command)
}

#[test]
fn one_with_a_table_that_somebody_holds() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app(ITEMS);
    let mut holder = server.busy("BEGIN; LOCK TABLE items; SELECT pg_sleep(60)");
    let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'";
    assert!(within(Duration::from_secs(20), || server.app(held) == "1"));
    run(
        &room,
        &server.url("postgres"),
        &["--confirm-external", "app"],
    )
    .expect(3, &["cannot list the tables", "ACCESS EXCLUSIVE: end it"]);
    holder.kill().and_then(|()| holder.wait()).expect("ended");
    room.assert_clean();
}

#[test]
fn one_that_may_be_production_or_may_not_be_written() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::with_app(ITEMS);
    let url = server.url("postgres");

    run(&room, &url, &[]).expect(
        3,
        &[
            "the server of `app` may be production",
            "it is not marked as a stage",
            "ALTER DATABASE \"app\" SET lockproof.staging = 'on'",
            "--confirm-external app",
        ],
    );
    run(&room, &url, &["--confirm-external", "other"])
        .expect(3, &["may be production", "the confirmation is for `other`"]);
    let untouched =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'b'";
    assert_eq!(server.app(untouched), "0");

    // Somebody at work, on a server that is marked.
    server.psql("ALTER DATABASE app SET lockproof.staging = 'on'");
    let mut busy = server.busy("SELECT pg_sleep(600)");
    let seen = within(Duration::from_secs(10), || {
        server.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active'") == "2"
            || server.psql("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'") == "1"
    });
    assert!(seen, "the other session does not come up");
    run(&room, &url, &[]).expect(
        3,
        &[
            "may be production",
            "sessions of others: 1",
            "a test's psql",
            "1 of them active",
        ],
    );
    assert_eq!(server.app(untouched), "0");
    run(&room, &url, &["--confirm-external", "app"]).expect(0, &["verdict: within"]);
    assert_eq!(server.app(untouched), "1");
    let _ = busy.kill();
    let _ = busy.wait();
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'");

    // A role that may only read.
    server.app("ALTER TABLE items DROP b");
    server.app("CREATE ROLE reader LOGIN; GRANT SELECT ON items TO reader");
    run(&room, &server.url("reader"), &[])
        .expect(4, &["must be owner of table items", "verdict: failed"]);
    assert_eq!(server.app(untouched), "0");

    // One that is not there at all, and one without the database.
    run(&room, &url.replace("/app", "/nowhere"), &[]).expect(
        3,
        &["/nowhere", "database \"nowhere\" does not exist", "help:"],
    );
    drop(server);
    run(&room, &url, &[]).expect(
        3,
        &["cannot connect to", "/app", "Connection refused", "help:"],
    );
    room.assert_clean();
}

#[test]
fn one_whose_run_is_interrupted() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let server = Server::start();
    server.psql("CREATE DATABASE app");
    server.psql("ALTER DATABASE app SET lockproof.staging = 'on'");
    let scenario = room.file(
        "scenario/scenario.toml",
        "[[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\n",
    );
    let mut command = room.command(&["run", "-v"]);
    command
        .arg(scenario)
        .env("LOCKPROOF_STAGE", server.url("postgres"));
    let mut run = room.start(command);
    run.says("step 1 of 1: long");
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lockproof%'";
    let sleeps = format!("{ours} AND state = 'active' AND query LIKE '%pg_sleep(600)%'");
    let limit = Duration::from_secs(10);
    assert!(within(limit, || server.psql(&sleeps) == "1"), "no step");
    run.signalled(nix::sys::signal::Signal::SIGINT)
        .expect(130, &["interrupted by signal 2"]);
    // The server is somebody else's: nothing of ours goes on there.
    assert!(
        within(limit, || server.psql(ours) == "0"),
        "a session stays"
    );
    room.assert_clean();
}

/// Says what a server says between the start of a session and the first question.
fn greet(stream: &mut TcpStream, version: &str) -> std::io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut startup)?;
    let message = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        [&[kind][..], &length, body].concat()
    };
    let version = format!("server_version\0{version}\0");
    let greeting = [
        message(b'R', &0_u32.to_be_bytes()),
        message(b'S', version.as_bytes()),
        message(b'K', &[0; 8]),
        message(b'Z', b"I"),
    ];
    stream.write_all(&greeting.concat())
}

#[test]
fn one_that_is_too_old() {
    let room = Room::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let _ = greet(&mut stream, "11.22 (Debian 11.22-0+deb10u2)");
            // Until the client goes: it has nothing to ask.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let url = format!("postgres://me@127.0.0.1:{port}/app?sslmode=disable");
    run(&room, &url, &[]).expect(3, &["PostgreSQL 11.22", "older than", "12", "help:"]);
}

#[test]
fn one_that_is_no_postgresql() {
    let room = Room::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream
                .expect("a client")
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    run(
        &room,
        &format!("postgres://me:s3cret@127.0.0.1:{port}/app"),
        &[],
    )
    .expect(
        3,
        &["cannot connect to", &format!("me@127.0.0.1:{port}/app")],
    );
}
