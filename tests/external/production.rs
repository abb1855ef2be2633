//! What looks like production is refused, and the same server without it is taken.

use std::process::Stdio;
use std::time::Duration;

use crate::support::server::Server;
use crate::support::{Room, has_server, within};
use crate::{ITEMS, changed, marked, room, run};

fn refused(room: &Room, server: &Server, url: &str, arguments: &[&str], words: &[&str]) {
    run(room, url, &[], arguments).expect(3, words);
    assert!(!changed(server), "{words:?}");
}

/// Runs to the end, and takes back what it did.
fn taken(room: &Room, server: &Server, url: &str, arguments: &[&str]) {
    run(room, url, &[], arguments).expect(0, &["verdict: within"]);
    assert!(changed(server));
    server.app("ALTER TABLE items DROP COLUMN b");
}

#[test]
fn a_replica_and_the_slot_of_one() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let url = server.url("postgres");
    taken(&room, &server, &url, &[]);

    // What streams its log away through a slot.
    server.psql("SELECT pg_create_physical_replication_slot('archive')");
    taken(&room, &server, &url, &[]);
    let mut receiver = server
        .program("pg_receivewal")
        .args(["-h", "127.0.0.1", "-U", "postgres", "-S", "archive", "-p"])
        .arg(server.port().to_string())
        .arg("-D")
        .arg(server.folder())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pg_receivewal");
    let active = "SELECT count(*) FROM pg_replication_slots WHERE active";
    let streams = || server.psql(active) == "1";
    assert!(within(Duration::from_secs(20), streams), "no stream");
    let seen = [
        "may be production",
        "attached replicas: `pg_receivewal`",
        "active replication slots: `archive`",
        "--confirm-external app",
    ];
    refused(&room, &server, &url, &[], &seen);
    let other = ["--confirm-external", "shop"];
    refused(
        &room,
        &server,
        &url,
        &other,
        &["confirmation is for `shop`"],
    );
    taken(&room, &server, &url, &["--confirm-external", "app"]);
    receiver
        .kill()
        .and_then(|()| receiver.wait())
        .expect("ended");
    let gone = || server.psql(active) == "0";
    assert!(within(Duration::from_secs(20), gone), "it still streams");
    taken(&room, &server, &url, &[]);

    // A server that copies this one, and is none to migrate whatever is confirmed.
    let standby = server.standby();
    let seen = ["may be production", "attached replicas: `copy`"];
    refused(&room, &server, &url, &[], &seen);
    let copied = standby.url("postgres");
    for arguments in [&[][..], &["--confirm-external", "app"]] {
        let seen = ["is a standby: no migration can run on it", "takes writes"];
        refused(&room, &server, &copied, arguments, &seen);
    }
    drop(standby);
    server.psql("ALTER SYSTEM RESET synchronous_standby_names");
    server.reload();
    let gone = || server.psql("SELECT count(*) FROM pg_stat_replication") == "0";
    assert!(within(Duration::from_secs(20), gone), "it still copies");
    taken(&room, &server, &url, &[]);
    room.assert_clean();
}

#[test]
fn sessions_of_others_idle_or_active_anywhere() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let url = server.url("postgres");
    server.psql("CREATE DATABASE other");
    for (database, sql, state, seen) in [
        (
            "app",
            "SELECT pg_sleep(600)",
            "active",
            "1 (`a test's psql`), 1 of them active",
        ),
        (
            "other",
            "SELECT pg_sleep(600)",
            "active",
            "1 (`a test's psql`), 1 of them active",
        ),
        (
            "app",
            "BEGIN; SELECT 1;",
            "idle in transaction",
            "1 (`a test's psql`), 0 of them active",
        ),
        (
            "other",
            "SELECT 1;",
            "idle",
            "1 (`a test's psql`), 0 of them active",
        ),
    ] {
        let mut other = server.interactive(database, sql);
        let there = format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = '{database}' AND state = '{state}' AND pid <> pg_backend_pid()"
        );
        let is_there = || server.psql(&there) == "1";
        assert!(within(Duration::from_secs(20), is_there), "{state}");
        let seen = format!("sessions of others: {seen}");
        refused(&room, &server, &url, &[], &["may be production", &seen]);
        taken(&room, &server, &url, &["--confirm-external", "app"]);
        other.kill().and_then(|()| other.wait()).expect("ended");
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
        let is_gone = || server.psql(&there) == "0";
        assert!(within(Duration::from_secs(20), is_gone), "{state}");
        taken(&room, &server, &url, &[]);
    }
    room.assert_clean();
}

#[test]
fn names_that_production_goes_by() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let url = server.url("postgres");
    let port = server.port();

    // A host: `hostaddr` says where it really is.
    let host = |name: &str| format!("postgres://postgres@{name}:{port}/app?hostaddr=127.0.0.1");
    let seen = ["the name of its host, `db-prod1.test`, has `prod` in it"];
    refused(&room, &server, &host("db-prod1.test"), &[], &seen);
    taken(
        &room,
        &server,
        &host("db-prod1.test"),
        &["--confirm-external", "app"],
    );
    taken(&room, &server, &host("products.test"), &[]);

    // A database.
    server.psql("CREATE DATABASE shop_live TEMPLATE app");
    server.psql("ALTER DATABASE shop_live SET lockproof.staging = 'on'");
    let live = url.replace("/app", "/shop_live");
    let seen = ["the name of its database, `shop_live`, has `live` in it"];
    refused(&room, &server, &live, &[], &seen);
    run(&room, &live, &[], &["--confirm-external", "app"])
        .expect(3, &["the confirmation is for `app`"]);
    run(&room, &live, &[], &["--confirm-external", "shop_live"]).expect(0, &["within"]);

    // The cluster, and the mark.
    let named = Server::named("shop-production");
    named.psql("CREATE DATABASE app");
    named.app(ITEMS);
    let url = named.url("postgres");
    let cluster = "the name of its cluster, `shop-production`, has `production` in it";
    refused(
        &room,
        &named,
        &url,
        &[],
        &["it is not marked as a stage", cluster],
    );
    named.psql("ALTER DATABASE app SET lockproof.staging = 'on'");
    refused(&room, &named, &url, &[], &[cluster]);
    let ran = run(&room, &url, &[], &[]);
    assert!(!ran.said().contains("not marked"), "{ran:?}");
    named.psql("ALTER DATABASE app SET lockproof.staging = 'off'");
    refused(&room, &named, &url, &[], &["it is not marked as a stage"]);
    taken(&room, &named, &url, &["--confirm-external", "app"]);
    room.assert_clean();
}

#[test]
fn a_name_on_the_list_is_opened_by_nothing() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = Server::named("shop-eu");
    server.psql("CREATE DATABASE app");
    server.app(ITEMS);
    server.psql("ALTER DATABASE app SET lockproof.staging = 'on'");
    let url = format!(
        "postgres://postgres@db.test:{}/app?hostaddr=127.0.0.1",
        server.port()
    );
    taken(
        &room,
        &server,
        &url,
        &["--production", "shop,db,*.example.org"],
    );
    for (list, seen) in [
        (
            "shop,DB.test",
            "the name of its host, `db.test`, is on the list as `DB.test`",
        ),
        (
            "*.test",
            "the name of its host, `db.test`, is on the list as `*.test`",
        ),
        (
            "127.0.*",
            "the name of its address, `127.0.0.1`, is on the list as `127.0.*`",
        ),
        (
            "app",
            "the name of its database, `app`, is on the list as `app`",
        ),
        (
            "shop-*",
            "the name of its cluster, `shop-eu`, is on the list as `shop-*`",
        ),
    ] {
        let words = [
            "is production, by the list of `--production`",
            seen,
            "no confirmation",
        ];
        let confirmed = ["--confirm-external", "app", "--production", list];
        refused(&room, &server, &url, &confirmed, &words);
        let by_variable = [("LOCKPROOF_PRODUCTION", list)];
        run(&room, &url, &by_variable, &["--confirm-external", "app"]).expect(3, &words);
    }
    // Nothing is sent to a server that is known by its name.
    let nobody = "postgres://postgres@127.0.0.1:1/shop";
    run(&room, nobody, &[], &["--production", "shop"])
        .expect(3, &["the name of its database, `shop`, is on the list"]);
    room.assert_clean();
}

#[test]
fn this_machine_is_listed_however_it_is_spelled() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let port = server.port();
    let folder = server.folder().display().to_string();
    let by_socket = format!("postgres://postgres@:{port}/app?host={folder}");
    let confirmed =
        |list: &str| ["--confirm-external", "app", "--production", list].map(str::to_owned);
    let refused_as = |url: &str, list: &str| {
        let arguments = confirmed(list);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(
            &room,
            &server,
            url,
            &arguments,
            &["is production, by the list"],
        );
    };
    let socket = format!("{folder}/.s.PGSQL.{port}");
    let lists = [
        "localhost",
        "127.1",
        "2130706433",
        "::1",
        "127.0.0.0/8",
        &folder,
        &socket,
    ];
    for list in lists {
        refused_as(&server.url("postgres"), list);
        refused_as(&by_socket, list);
    }
    let with_port = format!("localhost:{port}");
    let typed = format!("postgres://postgres@2130706433:{port}/app");
    refused_as(&typed, &with_port);
    // Another server of this machine is another one.
    let other = confirmed(&format!("localhost:1,{folder}/.s.PGSQL.1"));
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    taken(&room, &server, &server.url("postgres"), &other);
    run(
        &room,
        &server.url("postgres"),
        &[],
        &["--production", "a;b"],
    )
    .expect(2, &["`a;b` of `--production`", "an entry is a host"]);
}

#[test]
fn option_environment_and_scenario_add_up() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let url = server.url("postgres");
    let environment = [("LOCKPROOF_PRODUCTION", "app")];
    let arguments = [
        "--production",
        "another.example",
        "--confirm-external",
        "app",
    ];
    run(&room, &url, &environment, &arguments).expect(3, &["is on the list as `app`"]);
    let scenario = room.scenario(
        "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n[stage]\nproduction = [\"app\"]\n",
    );
    let scenario = scenario.display().to_string();
    let arguments = [
        "run",
        &scenario,
        "--stage",
        &url,
        "--production",
        "another.example",
    ];
    room.lockproof(&arguments)
        .expect(3, &["is on the list as `app`"]);
    assert!(!changed(&server));
}

#[test]
fn a_mark_that_is_not_the_database_s_is_none() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = Server::with_app(ITEMS);
    server.psql("ALTER ROLE postgres SET lockproof.staging = 'on'");
    let url = server.url("postgres");
    let forged = format!("{url}?options=-c%20lockproof.staging%3Don");
    refused(
        &room,
        &server,
        &forged,
        &[],
        &["it is not marked as a stage"],
    );
    server.psql("ALTER DATABASE app SET lockproof.staging = 'on'");
    taken(&room, &server, &url, &[]);
}

#[test]
fn a_stranger_by_the_name_of_lockproof_is_a_stranger() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let url = server.url("postgres");
    let impostor = || {
        server.interactive(
            "app",
            "SET application_name = 'lockproof sampler'; BEGIN; LOCK TABLE other IN SHARE MODE",
        )
    };
    server.app("CREATE TABLE other (id int)");
    let mut stranger = impostor();
    let holds = "SELECT count(*) FROM pg_locks WHERE relation = 'other'::regclass AND granted";
    assert!(within(Duration::from_secs(20), || server.app(holds) == "1"));
    let words = ["sessions of others: 1 (`lockproof sampler`)"];
    refused(&room, &server, &url, &[], &words);
    // Confirmed, it is told as what it is.
    let confirmed = ["--confirm-external", "app"];
    run(&room, &url, &[], &confirmed).expect(
        0,
        &["1 other client was on the server", "(`lockproof sampler`)"],
    );
    stranger.kill().expect("ended");
    stranger.wait().expect("gone");
}

#[test]
fn a_snapshot_is_not_run_on_where_it_was_taken() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let url = server.url("postgres");
    let to = room.path("snapshots/app").display().to_string();
    let made = [
        "snapshot",
        "create",
        "--stage",
        "local",
        "--no-restore",
        "--from",
        &url,
        "--to",
        &to,
    ];
    room.lockproof(&made).expect(0, &[]);
    let description = room.read("snapshots/app/snapshot.toml");
    assert!(
        description.contains("system_identifier = "),
        "{description}"
    );
    let scenario = |name: &str| {
        room.file(
            &format!("{name}/scenario.toml"),
            "snapshot = \"app\"\n[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n",
        );
        room.path(name).display().to_string()
    };
    let path = scenario("own");
    let arguments = ["run", &path, "--stage", &url, "--confirm-external", "app"];
    let words = ["is the one that the snapshot was taken from"];
    room.lockproof(&arguments).expect(3, &words);
    assert!(!changed(&server));
    // Another server with the same tables.
    let other = marked();
    let url = other.url("postgres");
    let arguments = ["run", &path, "--stage", &url];
    room.lockproof(&arguments).expect(0, &["verdict: within"]);
}
