//! A snapshot that cannot be read or restored.

use std::process::Command;

use crate::support::server::Server;
use crate::support::{Room, has_server, output};

const STEP: &str = "[[steps]]\nname = \"a\"\nsql = \"ALTER TABLE items ADD b int\"\n";

/// A run on the room's snapshot with this description.
#[track_caller]
fn described(room: &Room, toml: &str, code: i32, words: &[&str]) {
    room.file("snapshot/snapshot.toml", toml);
    let scenario = room.scenario(STEP);
    room.run(&scenario, &[]).expect(code, words);
    room.assert_clean();
    assert!(room.names("cache/bases").is_empty(), "no base was made");
}

#[test]
fn without_a_description() {
    let room = Room::new();
    std::fs::remove_file(room.path("snapshot/snapshot.toml")).expect("removed");
    let scenario = room.scenario(STEP);
    room.run(&scenario, &[])
        .expect(2, &["snapshot.toml", "help:"]);
    let mut elsewhere = room.scenario(STEP);
    elsewhere.push("scenario.toml");
    room.run(&elsewhere, &["--snapshot", "nowhere"])
        .expect(2, &["nowhere", "help:"]);
    room.assert_clean();
}

#[test]
fn with_a_wrong_description() {
    let room = Room::new();
    let source = "[source]\nkind = \"generator\"\nfiles = [\"generate.sql\"]\n";
    for (toml, words) in [
        (format!("name = 5\n{source}"), ["snapshot.toml", "`name`"]),
        (source.to_owned(), ["snapshot.toml", "`name` is missing"]),
        (
            "name = \"a\"\n".to_owned(),
            ["`[source]` is missing", "help:"],
        ),
        (
            format!("nme = \"a\"\n{source}"),
            ["`nme`", "did you mean `name`?"],
        ),
        ("name = \"a\n".to_owned(), ["snapshot.toml", "line 1"]),
        (
            "name = \"a\"\n[source]\nkind = \"generator\"\nfiles = [\"other.sql\"]\n".to_owned(),
            ["other.sql", "relative to the folder"],
        ),
        (
            "name = \"a\"\n[source]\nkind = \"dump\"\nfile = \"app.dump\"\n".to_owned(),
            ["app.dump", "relative to the folder"],
        ),
    ] {
        described(&room, &toml, 2, &words);
    }
}

#[test]
fn with_a_generator_that_fails() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    room.file("snapshot/generate.sql", "SELECT 1;\nSELECT * FROM itmes;\n");
    let scenario = room.scenario(STEP);
    room.run(&scenario, &[]).expect(
        3,
        &[
            "generate.sql",
            "relation \"itmes\" does not exist",
            "line 2",
        ],
    );
    room.assert_clean();
    assert!(room.names("cache/bases").is_empty(), "no base was made");
}

const DUMP: &str = "name = \"dump\"\n[source]\nkind = \"dump\"\nfile = \"app.dump\"\n";

/// A dump of a table with rows, in the custom format.
fn dump(server: &Server, format: &str) -> Vec<u8> {
    let url = server.url("postgres");
    let bin = lockproof::stage::local::binaries::find(None);
    let program = bin.choose(None).expect("programs").program("pg_dump");
    let dumped = Command::new(program)
        .args([format, "-d", &url])
        .output()
        .expect("pg_dump");
    assert!(dumped.status.success(), "{dumped:?}");
    dumped.stdout
}

#[test]
fn with_a_damaged_dump() {
    if !has_server() {
        return;
    }
    let server = Server::start();
    server.psql("CREATE DATABASE app");
    server.app(
        "CREATE TABLE items AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 5000) n",
    );
    let room = Room::new();

    let custom = dump(&server, "-Fc");
    room.file("snapshot/app.dump", &custom[..custom.len() / 2]);
    described(&room, DUMP, 3, &["app.dump", "help:"]);

    // Cut within its table of contents.
    room.file("snapshot/app.dump", &custom[..200]);
    described(&room, DUMP, 3, &["app.dump", "help:"]);

    let plain = dump(&server, "-Fp");
    room.file("snapshot/app.dump", &plain[..plain.len() / 2]);
    described(&room, DUMP, 3, &["app.dump", "cut off"]);

    let file = room.file("snapshot/app.dump", &plain);
    output("gzip", &["-f", &file.display().to_string()]);
    let packed = std::fs::read(room.path("snapshot/app.dump.gz")).expect("packed");
    room.file("snapshot/app.dump", &packed[..packed.len() / 2]);
    described(&room, DUMP, 3, &["app.dump", "damaged or cut off", "help:"]);
}

/// One bit in the middle of each format: what packs has checksums of its own, for the rest there is
/// `checksums` in the description.
#[test]
fn with_a_bit_that_changed_on_its_way() {
    if !has_server() {
        return;
    }
    let server = Server::start();
    server.psql("CREATE DATABASE app");
    server.app(
        "CREATE TABLE items AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 5000) n",
    );
    let flipped = |whole: &[u8]| {
        let mut flipped = whole.to_vec();
        flipped[whole.len() / 2] ^= 1;
        flipped
    };
    let listed = "name = \"dump\"\nchecksums = \"SHA256SUMS\"\n[source]\nkind = \"dump\"\nfile = \"app.dump\"\n";
    for format in ["-Fc", "-Fp", "-Ft"] {
        let whole = dump(&server, format);
        let good = Room::new();
        let file = good.file("snapshot/app.dump", &whole);
        let sums = output("sha256sum", &[&file.display().to_string()]);
        let digest = sums.split(' ').next().expect("a digest");
        let sums = format!("{digest}  app.dump\n");
        good.file("snapshot/SHA256SUMS", &sums);
        good.file("snapshot/snapshot.toml", listed);
        let scenario = good.scenario("[[steps]]\nname = \"none\"\nsql = \"SELECT 1\"\n");
        good.run(&scenario, &["--budget", "60s"])
            .expect(0, &["verdict: within"]);

        let bad = Room::new();
        bad.file("snapshot/app.dump", flipped(&whole));
        bad.file("snapshot/SHA256SUMS", &sums);
        let words = ["app.dump", "its SHA-256 is another", "help:"];
        described(&bad, listed, 3, &words);
        if format == "-Fc" {
            described(&bad, DUMP, 3, &["app.dump", "help:"]);
        }
    }

    let bad = Room::new();
    let file = bad.file("snapshot/app.dump", dump(&server, "-Fp"));
    output("gzip", &["-f", &file.display().to_string()]);
    let packed = std::fs::read(bad.path("snapshot/app.dump.gz")).expect("packed");
    bad.file("snapshot/app.dump", flipped(&packed));
    described(&bad, DUMP, 3, &["app.dump", "damaged or cut off", "help:"]);

    let bad = Room::new();
    let folder = bad.path("snapshot/app.dump").display().to_string();
    let bin = lockproof::stage::local::binaries::find(None);
    let program = bin.choose(None).expect("programs").program("pg_dump");
    output(
        &program.display().to_string(),
        &["-Fd", "-d", &server.url("postgres"), "-f", &folder],
    );
    let largest = std::fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".gz"))
        .max_by_key(|entry| entry.metadata().map_or(0, |facts| facts.len()))
        .expect("rows");
    let rows = std::fs::read(largest.path()).expect("read");
    std::fs::write(largest.path(), flipped(&rows)).expect("written");
    described(&bad, DUMP, 3, &["app.dump", "help:"]);
}

#[test]
fn with_a_dump_that_is_none() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    for (content, words) in [
        (&b""[..], ["app.dump", "is empty"]),
        (b"PK\x03\x04....", ["app.dump", "a zip archive"]),
        (b"-- MySQL dump 10.13\n", ["app.dump", "a dump of MySQL"]),
        (b"\x00\x01\x02\x03", ["app.dump", "binary data"]),
    ] {
        room.file("snapshot/app.dump", content);
        described(&room, DUMP, 3, &words);
    }
    room.file("snapshot/app.dump", "");
    std::fs::remove_file(room.path("snapshot/app.dump")).expect("removed");
    std::fs::create_dir(room.path("snapshot/app.dump")).expect("created");
    described(&room, DUMP, 3, &["app.dump", "toc.dat"]);
}

#[test]
fn with_a_dump_of_a_newer_server() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    // What the archive's version says; no server of that version exists yet.
    room.file("snapshot/app.dump", b"PGDMP\x01\x63\x00\x04\x08\x01");
    described(&room, DUMP, 3, &["app.dump", "help:"]);
    // What the description says.
    let newer = DUMP.replace("[source]", "server_version = 99\n[source]");
    described(&room, &newer, 3, &["PostgreSQL 99", "help:"]);
}
