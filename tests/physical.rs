//! Physical snapshots: base backups in each form, data folders, images and volumes that hold data.

mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use support::server::Server;
use support::{On, Room, finish, has_image, has_server, output};

/// 20,000 rows of which a third is dead, a tablespace, and what must not leave the original.
const APP: &str = "
CREATE TABLE orders (id bigint PRIMARY KEY, total numeric NOT NULL, note text);
INSERT INTO orders SELECT n, n, repeat('x', 60) FROM generate_series(1, 20000) AS n;
DELETE FROM orders WHERE id % 3 = 0;
CREATE TABLE aside (id int) TABLESPACE fast;
INSERT INTO aside SELECT generate_series(1, 100);
ALTER ROLE postgres SET statement_timeout = '4321s';
ANALYZE;";

const IMAGE: &str = "lockproof/postgres:15";

fn source() -> Server {
    let server = Server::start();
    let aside = server.folder().join("aside");
    fs::create_dir(&aside).expect("created");
    output("chmod", &["777", &aside.display().to_string()]);
    output("chown", &["postgres", &aside.display().to_string()]);
    server.psql(&format!(
        "CREATE TABLESPACE fast LOCATION '{}'",
        aside.display()
    ));
    server.psql("CREATE DATABASE app");
    server.app(APP);
    // What travels, and what must not.
    server.psql("ALTER SYSTEM SET work_mem = '7MB'");
    server.psql("ALTER SYSTEM SET archive_command = 'false'");
    server
}

/// A room whose snapshot is this source, and one scenario that touches both tables.
fn room(source: &str) -> (Room, PathBuf) {
    let room = Room::new();
    room.file(
        "snapshot/snapshot.toml",
        format!("name = 'copy'\ndatabase = 'app'\nserver_version = 15\n[source]\n{source}\n"),
    );
    let scenario = room.scenario(
        "[[steps]]\nname = 'add'\nsql = \"ALTER TABLE orders ADD COLUMN z int; INSERT INTO aside SELECT 1\"\n",
    );
    (room, scenario)
}

fn backup(path: &Path) -> String {
    format!("kind = 'backup'\npath = '{}'", path.display())
}

fn folder(path: &Path) -> String {
    format!("kind = 'data'\npath = '{}'", path.display())
}

/// Runs it twice on a stage: the rows are there, the second run restores nothing.
fn passes(on: On, source: &str) {
    let (room, scenario) = room(source);
    for time in ["first", "second"] {
        let mut command = command(on, &room, &scenario, IMAGE);
        // Whatever else this machine does: the verdict is not what is tried here.
        command.args(["--json", "report.json", "-v", "--budget", "60s"]);
        let ran = finish(command);
        assert_eq!(ran.code, Some(0), "{source}, {time}: {}", ran.stderr);
        let recovered = ran.stderr.contains("recovering the physical snapshot");
        assert_eq!(recovered, time == "first", "{time}: {}", ran.stderr);
        let report = room.json("report.json");
        assert_eq!(report["steps"][0]["verdict"], "within");
        let tables = report["snapshot"]["tables"].as_array().expect("tables");
        let rows: Vec<u64> = tables
            .iter()
            .filter_map(|table| table["rows"].as_u64())
            .collect();
        assert_eq!(rows, [100, 13_334], "{tables:?}");
        // A third of its space is dead rows: that stays, where a dump would have left it behind.
        let bytes = tables[1]["bytes"].as_u64().expect("bytes");
        assert!(bytes > 2_500_000, "{bytes}");
        assert_eq!(report["stage"]["clone"]["method"], "copy");
        assert_eq!(report["stage"]["settings"]["work_mem"], "7168kB");
        assert_eq!(
            ran.stderr.contains("left out of the physical copy"),
            time == "first"
        );
    }
    assert!(room.processes().is_empty(), "{:?}", room.processes());
}

fn run_on(on: On, room: &Room, scenario: &Path) -> support::Ran {
    finish(command(on, room, scenario, IMAGE))
}

/// The majors of the sources are those of the server programs here.
fn command(on: On, room: &Room, scenario: &Path, image: &str) -> std::process::Command {
    let mut command = room.command(&["run"]);
    command.arg(scenario);
    match on {
        On::Local => command.args(["--stage", "local", "--pg", "15"]),
        On::Container => command.args(["--stage", "docker", "--image", image]),
    };
    command
}

fn stages() -> Vec<On> {
    if has_image(IMAGE) {
        vec![On::Local, On::Container]
    } else {
        vec![On::Local]
    }
}

#[test]
fn a_base_backup_is_taken_as_a_folder() {
    if !has_server() {
        return;
    }
    let server = source();
    let mapped = format!("{0}/aside={0}/mapped", server.folder().display());
    let plain = server.base_backup("plain", &["-X", "stream", "-T", &mapped]);
    for on in stages() {
        passes(on, &backup(&plain));
    }
    // The backup itself, and its tablespace, are as they were: nothing ran on them.
    assert!(plain.join("backup_label").is_file());
    assert!(!plain.join("postmaster.opts").exists());
}

#[test]
fn a_base_backup_is_taken_as_packed_archives() {
    if !has_server() {
        return;
    }
    let server = source();
    for (name, options) in [
        ("gzip", ["-Ft", "-z", "-Xstream"].as_slice()),
        ("zstd", &["-Ft", "--compress=server-zstd", "-Xfetch"]),
        ("lz4", &["-Ft", "--compress=server-lz4", "-Xfetch"]),
    ] {
        passes(On::Local, &backup(&server.base_backup(name, options)));
    }
    let tar = server.base_backup("tar", &["-Ft", "-Xstream", "--manifest-checksums=SHA256"]);
    for on in stages() {
        passes(on, &backup(&tar));
    }
}

#[test]
fn archived_wal_completes_a_backup_that_lacks_it() {
    if !has_server() {
        return;
    }
    let server = source();
    let wal = server.folder().join("archived");
    fs::create_dir(&wal).expect("created");
    let mapped = format!("{0}/aside={0}/mapped", server.folder().display());
    let lacking = server.base_backup("lacking", &["-X", "none", "-T", &mapped]);
    server.psql("SELECT pg_switch_wal()");
    for entry in fs::read_dir(server.folder().join("data/pg_wal"))
        .expect("WAL")
        .flatten()
    {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::copy(entry.path(), wal.join(entry.file_name())).expect("archived");
        }
    }
    for on in stages() {
        let (room, scenario) = room(&backup(&lacking));
        let ran = run_on(on, &room, &scenario);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("WAL that it needs is missing"),
            "{}",
            ran.stderr
        );
        passes(
            on,
            &format!("{}\nwal = '{}'", backup(&lacking), wal.display()),
        );
    }
}

#[test]
fn a_data_folder_is_taken_when_its_server_is_down() {
    if !has_server() {
        return;
    }
    let server = source();
    let data = server.folder().join("data");
    for on in stages() {
        let (room, scenario) = room(&folder(&data));
        let ran = run_on(on, &room, &scenario);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(ran.stderr.contains("a server runs on `"), "{}", ran.stderr);
    }
    let (data, _folder) = server.shut_down();
    let before = fs::read(data.join("global/pg_control")).expect("read");
    for on in stages() {
        passes(on, &folder(&data));
    }
    assert_eq!(
        fs::read(data.join("global/pg_control")).expect("read"),
        before
    );
}

/// Never analyzed, nor by autovacuum: one table that is quickly counted, one that is not, and one without a row.
const UNKNOWN: &str = "
CREATE TABLE small (id int) WITH (autovacuum_enabled = off);
INSERT INTO small SELECT generate_series(1, 123);
CREATE TABLE \"Large\" (id int, note text) WITH (autovacuum_enabled = off);
ALTER TABLE \"Large\" ALTER note SET STORAGE PLAIN;
INSERT INTO \"Large\" SELECT n, repeat('x', 7000) FROM generate_series(1, 9000) AS n;
CREATE TABLE nothing (id int) WITH (autovacuum_enabled = off);";

#[test]
fn a_table_that_was_never_analyzed_is_not_called_empty() {
    if !has_server() {
        return;
    }
    let server = Server::start();
    server.psql("CREATE DATABASE app");
    server.app(UNKNOWN);
    let rows = |report: &serde_json::Value| -> Vec<(String, Option<u64>)> {
        let tables = report["snapshot"]["tables"].as_array().expect("tables");
        tables
            .iter()
            .map(|table| {
                let name = table["name"].as_str().expect("a name");
                (name.to_owned(), table["rows"].as_u64())
            })
            .collect()
    };
    let expected = |small| {
        [("\"Large\"", None), ("nothing", Some(0)), ("small", small)]
            .map(|(name, rows)| (name.to_owned(), rows))
    };
    let limits = |report: &serde_json::Value| report["limits"].to_string();
    // Somebody else's server: nothing is counted there.
    let room = Room::new();
    let scenario =
        room.scenario("[[steps]]\nname = 'add'\nsql = \"ALTER TABLE small ADD z int\"\n");
    let mut asked = room.command(&["run"]);
    asked
        .arg(&scenario)
        .args(["--stage", &server.url("postgres")]);
    asked.args(["--confirm-external", "app", "--json", "report.json"]);
    asked.args(["--budget", "60s"]);
    let ran = finish(asked);
    ran.expect(0, &["an unknown number of rows in 3 tables"]);
    let report = room.json("report.json");
    assert_eq!(rows(&report), expected(None));
    let said = limits(&report);
    assert!(said.contains("never analyzed"), "{said}");
    let plain = server.base_backup("plain", &["-X", "stream"]);
    for on in stages() {
        let (room, _) = self::room(&backup(&plain));
        let scenario =
            room.scenario("[[steps]]\nname = 'add'\nsql = \"ALTER TABLE nothing ADD y int\"\n");
        for _ in 0..2 {
            let mut command = command(on, &room, &scenario, IMAGE);
            command.args(["--json", "report.json", "--budget", "60s"]);
            let ran = finish(command);
            ran.expect(0, &["at least 123 rows in 3 tables"]);
            let report = room.json("report.json");
            // What was counted in the restore is still known when nothing is restored.
            assert_eq!(rows(&report), expected(Some(123)));
            let limits = limits(&report);
            assert!(
                limits.contains("the largest here, `\\\"Large\\\"`, has"),
                "{limits}"
            );
            assert!(
                limits.contains("was never analyzed") && !limits.contains("is empty"),
                "{limits}"
            );
        }
    }
}

#[test]
fn a_damaged_copy_is_refused() {
    if !has_server() {
        return;
    }
    let server = source();
    let mapped = format!("{0}/aside={0}/mapped", server.folder().display());
    let plain = server.base_backup("plain", &["-X", "stream", "-T", &mapped]);
    let tar = server.base_backup("tar", &["-Ft", "-z", "-Xstream"]);
    let orders = server.app("SELECT pg_relation_filepath('orders')");
    flip(&plain.join(orders.trim()));
    flip(&tar.join("base.tar.gz"));
    for on in stages() {
        let (room, scenario) = room(&backup(&plain));
        let ran = run_on(on, &room, &scenario);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("the base backup is damaged: `"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(orders.trim()), "{}", ran.stderr);
        assert!(room.names("cache/bases").is_empty());
    }
    let (room, scenario) = room(&backup(&tar));
    let ran = run_on(On::Local, &room, &scenario);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the base backup is damaged: `"),
        "{}",
        ran.stderr
    );
}

/// One bit in the middle.
fn flip(path: &Path) {
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("open");
    let middle = file.metadata().expect("facts").len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle)).expect("sought");
    std::io::Read::read_exact(&mut file, &mut byte).expect("read");
    file.seek(SeekFrom::Start(middle)).expect("sought");
    file.write_all(&[byte[0] ^ 1]).expect("written");
}

#[test]
fn the_database_and_the_major_have_to_fit() {
    if !has_server() {
        return;
    }
    let (data, _folder) = source().shut_down();
    let (room, scenario) = room(&folder(&data));
    let text = room.read("snapshot/snapshot.toml");
    room.file("snapshot/snapshot.toml", text.replace("'app'", "'shop'"));
    let ran = run_on(On::Local, &room, &scenario);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("holds no database `shop`") && ran.stderr.contains("`app`"),
        "{}",
        ran.stderr
    );
    room.file("snapshot/snapshot.toml", text);
    if has_image("lockproof/postgres:17") {
        let ran = finish(command(
            On::Container,
            &room,
            &scenario,
            "lockproof/postgres:17",
        ));
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("of another major than the server"),
            "{}",
            ran.stderr
        );
    }
    assert!(room.containers().is_empty() && room.volumes().is_empty());
}

#[test]
fn images_and_volumes_that_hold_the_data() {
    if !has_server() || !has_image(IMAGE) {
        return;
    }
    // Nothing of it may lie elsewhere: a volume has no place for a tablespace's link to lead to.
    let server = Server::start();
    server.psql("CREATE DATABASE app");
    server.app(&APP.replace(" TABLESPACE fast", ""));
    server.psql("ALTER SYSTEM SET work_mem = '7MB'");
    server.psql("ALTER SYSTEM SET archive_command = 'false'");
    let (data, _folder) = server.shut_down();
    let name = format!("lockproof-test-{:08x}", rand::random::<u32>());
    let from = format!("{}/.", data.display());
    let made = output("docker", &["create", "-v", &format!("{name}:/kept"), IMAGE]);
    output(
        "docker",
        &["cp", &from, &format!("{}:/kept/pg", made.trim())],
    );
    output("docker", &["cp", &from, &format!("{}:/baked", made.trim())]);
    output(
        "docker",
        &["commit", "-c", "ENV PGDATA=/baked", made.trim(), &name],
    );
    output("docker", &["rm", made.trim()]);

    passes(On::Container, &format!("kind = 'image'\nimage = '{name}'"));
    passes(
        On::Container,
        &format!("kind = 'volume'\nvolume = '{name}'\npath = 'pg'"),
    );

    let (room, scenario) = room(&format!(
        "kind = 'volume'\nvolume = '{name}'\npath = 'elsewhere'"
    ));
    let ran = run_on(On::Container, &room, &scenario);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("there is no data folder at `elsewhere`"),
        "{}",
        ran.stderr
    );
    let ran = run_on(On::Local, &room, &scenario);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    room.file(
        "snapshot/snapshot.toml",
        "name='copy'\ndatabase='app'\n[source]\nkind='volume'\nvolume='no-such-volume'",
    );
    let ran = run_on(On::Container, &room, &scenario);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("the engine has no volume `no-such-volume`"),
        "{}",
        ran.stderr
    );
    output("docker", &["volume", "rm", &name]);
    output("docker", &["image", "rm", &name]);
}
