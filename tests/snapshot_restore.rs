//! Every format of `pg_dump`, and what can be wrong with a dump, on real server programs.
#![allow(clippy::print_stderr)]

mod local_support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use local_support::*;
use lockproof::Result;
use lockproof::snapshot::{Snapshot, tables, warm};
use lockproof::stage::local::{Local, LocalStage};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{Request, RunningStage, Tools};

/// A little of all that a dump has to carry.
const SOURCE: &str = r#"
CREATE ROLE owner_of_all NOLOGIN;
CREATE ROLE "Größe ""x""" NOLOGIN;
CREATE ROLE in_a_policy NOLOGIN;
CREATE SCHEMA "my schema" AUTHORIZATION owner_of_all;
CREATE TABLE parent (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO parent SELECT n, 'line' || chr(10) || 'é \. ' || n FROM generate_series(1, 500) AS n;
CREATE TABLE "my schema"."Größe ""q"" tab le" (
    "Spalte 1" int PRIMARY KEY,
    parent int NOT NULL REFERENCES parent (id),
    filler text
);
INSERT INTO "my schema"."Größe ""q"" tab le"
SELECT n, 1 + n % 500, md5(n::text) || md5((n * 7)::text) FROM generate_series(1, 5000) AS n;
CREATE INDEX "an index" ON "my schema"."Größe ""q"" tab le" (parent);
ALTER TABLE parent OWNER TO owner_of_all;
GRANT SELECT ON parent TO "Größe ""x""";
ALTER TABLE parent ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON parent TO in_a_policy USING (name LIKE 'TO %');
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'GRANT x TO not_a_role;' $$;
"#;

async fn source(folder: &Path) -> LocalStage {
    let mut request = request(&folder.join("source-cache"), "source");
    request.database = "the source".into();
    stage(&request, &Sql::new(SOURCE)).await
}

async fn dump(stage: &LocalStage, args: &[&str], to: &Path) {
    let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    args.extend(["-f".to_owned(), to.display().to_string()]);
    let output = stage
        .tools()
        .run(&stage.socket_endpoint(), "pg_dump", &args, None)
        .await
        .expect("pg_dump");
    assert_eq!(output.status, Some(0), "{:?}", output.stderr);
}

/// A snapshot with this dump and these further lines.
fn snapshot_of(folder: &Path, file: &Path, more: &str) -> Result<Snapshot> {
    let file = file.display();
    std::fs::write(
        folder.join("snapshot.toml"),
        format!("name='small'\n[source]\nkind='dump'\nfile='{file}'\n{more}"),
    )
    .expect("written");
    Snapshot::load(folder, &BTreeMap::new())
}

fn request_for(cache: &Path, snapshot: &Snapshot) -> Request {
    let mut request = request(cache, "restore");
    request.base_digest.clone_from(&snapshot.digest);
    request.database = "Ziel 'q' a=b".into();
    request
}

/// Restores it and gives a stage on it.
async fn restored(cache: &Path, snapshot: &Snapshot, heard: &Heard) -> Result<LocalStage> {
    let local = Local::default();
    let base = local
        .prepare(&request_for(cache, snapshot), snapshot, heard)
        .await?;
    local.start(&base, heard).await
}

async fn is_the_source(stage: &LocalStage) {
    let client = client(stage.endpoint()).await;
    for (sql, expected) in [
        ("SELECT count(*) FROM parent", 500),
        (
            r#"SELECT count(*) FROM "my schema"."Größe ""q"" tab le""#,
            5000,
        ),
        (
            r#"SELECT sum(hashtext("Spalte 1"::text || filler))::int8 - (SELECT sum(hashtext(n::text || md5(n::text) || md5((n * 7)::text))) FROM generate_series(1, 5000) AS n)::int8 FROM "my schema"."Größe ""q"" tab le""#,
            0,
        ),
        (
            r#"SELECT count(*) FROM parent WHERE name = 'line' || chr(10) || 'é \. ' || id"#,
            500,
        ),
        (
            "SELECT count(*) FROM pg_indexes WHERE indexname = 'an index'",
            1,
        ),
        (
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated",
            1,
        ),
        (
            "SELECT count(*) FROM pg_policies WHERE roles = '{in_a_policy}'",
            1,
        ),
        (
            "SELECT count(*) FROM pg_roles WHERE rolname = 'not_a_role' OR rolcanlogin AND rolname <> 'postgres'",
            0,
        ),
        // Analyzed and vacuumed: no autovacuum will come.
        (
            "SELECT count(*) FROM pg_class WHERE relname = 'parent' AND reltuples = 500 AND relallvisible > 0",
            1,
        ),
    ] {
        assert_eq!(number(&client, sql).await, expected, "{sql}");
    }
    let owner = text(
        &client,
        "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'parent'",
    )
    .await;
    assert_eq!(owner, "owner_of_all");
    let error = client
        .batch_execute(r#"INSERT INTO "my schema"."Größe ""q"" tab le" VALUES (9999, 9999)"#)
        .await
        .expect_err("the foreign key");
    assert_eq!(
        error.code(),
        Some(&tokio_postgres::error::SqlState::FOREIGN_KEY_VIOLATION)
    );

    let facts = tables(&client).await.expect("tables");
    let names: Vec<&str> = facts.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, [r#""my schema"."Größe ""q"" tab le""#, "parent"]);
    assert_eq!(
        facts.iter().map(|table| table.rows).collect::<Vec<_>>(),
        [Some(5000), Some(500)]
    );
    assert!(facts.iter().all(|table| table.bytes > 8192));
}

fn pack(from: &Path, to: &Path, zst: bool) {
    let content = std::fs::read(from).expect("read");
    let packed = if zst {
        zstd::encode_all(&content[..], 3).expect("packed")
    } else {
        // Two members, as `cat a.gz b.gz` makes them.
        let mut packed = Vec::new();
        for half in content.chunks(content.len() / 2 + 1) {
            let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
            encoder.write_all(half).expect("packed");
            packed = encoder.finish().expect("packed");
        }
        packed
    };
    std::fs::write(to, packed).expect("written");
}

#[tokio::test]
async fn every_format_of_pg_dump_is_restored() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let at = |name: &str| folder.path().join(name);
    let source = source(folder.path()).await;
    dump(&source, &["-Fp"], &at("plain.sql")).await;
    dump(&source, &["-Fp", "--inserts"], &at("inserts.sql")).await;
    dump(&source, &["-Fc"], &at("custom")).await;
    dump(&source, &["-Fc", "-Z0"], &at("custom-unpacked")).await;
    dump(&source, &["-Fd"], &at("folder")).await;
    dump(&source, &["-Fd", "-Z0", "-j2"], &at("folder-unpacked")).await;
    dump(&source, &["-Ft"], &at("tar")).await;
    stop(source).await;
    pack(&at("plain.sql"), &at("plain.sql.gz"), false);
    pack(&at("plain.sql"), &at("plain.sql.zst"), true);
    pack(&at("custom"), &at("custom.gz"), false);
    let cache = at("cache");
    for name in [
        "plain.sql",
        "inserts.sql",
        "plain.sql.gz",
        "plain.sql.zst",
        "custom",
        "custom-unpacked",
        "custom.gz",
        "folder",
        "folder-unpacked",
        "tar",
    ] {
        eprintln!("restoring {name}");
        let snapshot = snapshot_of(folder.path(), Path::new(name), "").expect("a snapshot");
        let heard = Heard::default();
        let stage = restored(&cache, &snapshot, &heard).await.expect(name);
        is_the_source(&stage).await;
        assert!(heard.has("made roles that the dump names"), "{name}");
        assert!(heard.has("restoring `small`"), "{name}");
        let client = client(stage.endpoint()).await;
        warm(&client, &heard).await.expect("warm");
        assert_eq!(
            number(
                &client,
                "SELECT count(*) FROM pg_extension WHERE extname = 'pg_prewarm'"
            )
            .await,
            0
        );
        stop(stage).await;
    }
    assert_eq!(names(&cache.join("bases")).len(), 10);
}

#[tokio::test]
async fn a_damaged_dump_is_refused_with_a_way_out() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let at = |name: &str| folder.path().join(name);
    let source = source(folder.path()).await;
    dump(&source, &["-Fp"], &at("plain.sql")).await;
    dump(&source, &["-Fp", "--create"], &at("create.sql")).await;
    dump(&source, &["-Fc"], &at("custom")).await;
    dump(&source, &["-Fd"], &at("folder")).await;
    dump(&source, &["-Ft"], &at("tar")).await;
    stop(source).await;
    pack(&at("plain.sql"), &at("plain.sql.gz"), false);
    pack(&at("plain.sql"), &at("plain.sql.zst"), true);
    pack(&at("custom"), &at("custom.gz"), false);

    let cut = |name: &str| {
        let content = std::fs::read(at(name)).expect("read");
        let name = format!("cut-{name}");
        std::fs::write(at(&name), &content[..content.len() / 2]).expect("written");
        name
    };
    let cut_off = "cut off";
    let mut cases: Vec<(String, &str)> = Vec::new();
    for name in [
        "plain.sql",
        "plain.sql.gz",
        "plain.sql.zst",
        "custom",
        "custom.gz",
        "tar",
    ] {
        cases.push((cut(name), cut_off));
    }
    let content = std::fs::read(at("custom")).expect("read");
    std::fs::write(at("cut-early"), &content[..200]).expect("written");
    cases.push(("cut-early".into(), cut_off));
    let mut newer = content.clone();
    newer[6] = 99;
    std::fs::write(at("newer"), newer).expect("written");
    cases.push(("newer".into(), "server_version"));
    let data = names(&at("folder"));
    let member = data
        .iter()
        .find(|name| name.ends_with(".dat.gz"))
        .expect("a member");
    std::fs::remove_file(at("folder").join(member)).expect("removed");
    cases.push(("folder".into(), cut_off));
    for (name, content, message) in [
        ("empty", &b""[..], "is empty"),
        ("magic", &b"\x7fELF\x00\x00\x01"[..], "not a dump"),
        ("page", &b"<html>404</html>"[..], "not a dump"),
        (
            "broken.sql",
            &b"CREATE TABLE a (b int);\nSELECT nonsense;\n"[..],
            "nonsense",
        ),
        ("role.sql", &b"SET ROLE nobody_here;\n"[..], "nobody_here"),
    ] {
        std::fs::write(at(name), content).expect("written");
        cases.push((name.into(), message));
    }
    cases.push(("create.sql".into(), "without `--create`"));
    let cache = at("cache");
    for (name, message) in &cases {
        let outcome = match snapshot_of(folder.path(), Path::new(name), "") {
            Ok(snapshot) => restored(&cache, &snapshot, &Heard::default()).await,
            Err(error) => Err(error),
        };
        let story = match outcome {
            Ok(_) => panic!("`{name}` was restored"),
            Err(error) => error.story(),
        };
        eprintln!("{name}: {story}");
        assert!(story.contains(message), "{name}: {story}");
        assert!(story.contains(name.as_str()), "{name}: {story}");
        assert!(names(&cache.join("bases")).is_empty());
    }
    assert!(names(&cache.join("runs")).is_empty());

    let story = snapshot_of(folder.path(), Path::new("absent"), "")
        .expect_err("absent")
        .story();
    assert!(story.contains("absent"), "{story}");
}

#[tokio::test]
async fn errors_are_tolerated_where_the_snapshot_says_so_and_nowhere_else() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let sql = "CREATE TABLE a (b int);\nSET ROLE nobody_here;\nCREATE EXTENSION nowhere;\nCREATE TABLE c ();\n";
    std::fs::write(folder.path().join("dump.sql"), sql).expect("written");
    let cache = folder.path().join("cache");
    let file = Path::new("dump.sql");
    let one = "[restore]\ntolerate=['role \"nobody_here\" does not exist']";
    let both =
        "[restore]\ntolerate=['role \"nobody_here\" does not exist', 'extension \"nowhere\"']";
    let snapshot = snapshot_of(folder.path(), file, one).expect("a snapshot");
    let story = restored(&cache, &snapshot, &Heard::default())
        .await
        .expect_err("the extension")
        .story();
    assert!(story.contains("nowhere"), "{story}");
    let snapshot = snapshot_of(folder.path(), file, both).expect("a snapshot");
    let heard = Heard::default();
    let stage = restored(&cache, &snapshot, &heard)
        .await
        .expect("tolerated");
    for words in [
        "without what this server lacks, as tolerated: extension `nowhere`",
        "role \"nobody_here\" does not exist; extension \"nowhere\" is not available",
    ] {
        assert!(heard.has(words), "{words}");
    }
    let client = client(stage.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM c").await, 0);
    stop(stage).await;
}

#[tokio::test]
async fn archives_can_leave_owners_out_and_tolerate() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let source = source(folder.path()).await;
    client(&source.socket_endpoint())
        .await
        .batch_execute("CREATE EXTENSION pg_trgm; CREATE TABLE with_it (a text); CREATE INDEX ON with_it USING gin (a gin_trgm_ops)")
        .await
        .expect("an extension");
    dump(&source, &["-Fc"], &folder.path().join("custom")).await;
    stop(source).await;
    // As if the stage had no such extension: same length, another name.
    let content = std::fs::read(folder.path().join("custom")).expect("read");
    let content: Vec<u8> = {
        let mut content = content;
        for at in 0..content.len().saturating_sub(7) {
            if &content[at..at + 7] == b"pg_trgm" {
                content[at..at + 7].copy_from_slice(b"pg_none");
            }
        }
        content
    };
    std::fs::write(folder.path().join("custom"), content).expect("written");
    let cache = folder.path().join("cache");
    let file = Path::new("custom");
    let snapshot = snapshot_of(folder.path(), file, "").expect("a snapshot");
    let story = restored(&cache, &snapshot, &Heard::default())
        .await
        .expect_err("the extension")
        .story();
    assert!(story.contains("needs: extension `pg_none`"), "{story}");
    let more = "[restore]\nowners=false\ntolerate=['extension \"pg_none\"', 'gin_trgm_ops']";
    let snapshot = snapshot_of(folder.path(), file, more).expect("a snapshot");
    let stage = restored(&cache, &snapshot, &Heard::default())
        .await
        .expect("tolerated");
    let client = client(stage.endpoint()).await;
    let owner = text(
        &client,
        "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'parent'",
    )
    .await;
    assert_eq!(owner, "postgres");
    stop(stage).await;
}

#[tokio::test]
async fn a_dump_that_only_root_can_read_is_copied_for_the_server_s_account() {
    if !has_server() || !is_root() {
        eprintln!("SKIPPED: only root drops to another account");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let folder = open_folder();
    let source = source(folder.path()).await;
    dump(&source, &["-Fc"], &folder.path().join("custom")).await;
    dump(&source, &["-Fd"], &folder.path().join("folder")).await;
    stop(source).await;
    let closed = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700))
        .expect("closed");
    for name in ["custom", "folder"] {
        std::fs::rename(folder.path().join(name), closed.path().join(name)).expect("moved");
        let snapshot = snapshot_of(closed.path(), Path::new(name), "").expect("a snapshot");
        let heard = Heard::default();
        let stage = restored(&folder.path().join("cache"), &snapshot, &heard)
            .await
            .expect(name);
        assert!(heard.has("cannot read it"));
        is_the_source(&stage).await;
        stop(stage).await;
    }
    for base in names(&folder.path().join("cache/bases")) {
        let content = names(&folder.path().join("cache/bases").join(base));
        assert_eq!(content, ["base.json", "data", "files.list"]);
    }
}

#[tokio::test]
async fn a_generator_runs_with_its_variables() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    write(
        "snapshot.toml",
        "name='made'\n[source]\nkind='generator'\nfiles=['a.sql','b.sql']\n[variables]\nrows=10\n[restore]\nanalyze=false\n",
    );
    write(
        "a.sql",
        "CREATE TABLE t AS SELECT n FROM generate_series(1, ${rows}) AS n;\n",
    );
    write(
        "b.sql",
        "-- nothing but a comment and a body\nDO $body$ BEGIN PERFORM 1; END $body$;\n",
    );
    let cache = folder.path().join("cache");
    for (rows, count) in [(None, 10), (Some("25"), 25)] {
        let overrides = rows
            .map(|rows| ("rows".to_owned(), rows.to_owned()))
            .into_iter()
            .collect();
        let snapshot = Snapshot::load(folder.path(), &overrides).expect("a snapshot");
        let stage = restored(&cache, &snapshot, &Heard::default())
            .await
            .expect("made");
        let client = client(stage.endpoint()).await;
        assert_eq!(number(&client, "SELECT count(*) FROM t").await, count);
        stop(stage).await;
    }
    assert_eq!(names(&cache.join("bases")).len(), 2);

    write("b.sql", "SELECT 1;\nSELECT 'é',\n  nonsense;\n");
    let snapshot = Snapshot::load(folder.path(), &BTreeMap::new()).expect("a snapshot");
    let request = request_for(&cache, &snapshot);
    let local = Local::default();
    let story = local
        .prepare(&request, &snapshot, &Unwatched)
        .await
        .expect_err("fails")
        .story();
    assert!(
        story.contains("b.sql` failed") && story.contains("line 3: nonsense"),
        "{story}"
    );
    write("b.sql", "SELECT ${row};\n");
    let snapshot = Snapshot::load(folder.path(), &BTreeMap::new()).expect("a snapshot");
    let request = request_for(&cache, &snapshot);
    let story = local
        .prepare(&request, &snapshot, &Unwatched)
        .await
        .expect_err("fails")
        .story();
    assert!(story.contains("did you mean `rows`?"), "{story}");
}
