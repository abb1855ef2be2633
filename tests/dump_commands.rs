//! No command of `psql` in a plain dump is run, whatever hides it; what only looks like one is restored.
#![allow(clippy::print_stderr)]

mod local_support;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use local_support::*;
use lockproof::Result;
use lockproof::snapshot::Snapshot;
use lockproof::stage::local::{Local, LocalStage};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{Request, RunningStage};

fn snapshot(folder: &Path, file: &str, more: &str) -> Snapshot {
    std::fs::write(
        folder.join("snapshot.toml"),
        format!("name='small'\n[source]\nkind='dump'\nfile='{file}'\n{more}"),
    )
    .expect("written");
    Snapshot::load(folder, &BTreeMap::new()).expect("a snapshot")
}

async fn restored(local: &Local, folder: &Path, snapshot: &Snapshot) -> Result<LocalStage> {
    let request = Request {
        base_digest: snapshot.digest.clone(),
        ..request(&folder.join("cache"), "commands")
    };
    let base = local.prepare(&request, snapshot, &Unwatched).await?;
    local.start(&base, &Unwatched).await
}

async fn refused(local: &Local, folder: &Path, file: &str, more: &str) -> String {
    let snapshot = snapshot(folder, file, more);
    let story = match restored(local, folder, &snapshot).await {
        Ok(_) => panic!("`{file}` was restored"),
        Err(error) => error.story(),
    };
    eprintln!("{file}: {story}");
    story
}

/// The programs that are here, of which `psql` says that it is older and knows `\restrict` as little.
fn with_an_old_psql(folder: &Path) -> Local {
    let here = Local::default().installation(None).expect("programs");
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("created");
    for name in names(&here.bin_dir) {
        let real = here.bin_dir.join(&name);
        let script = match name.as_str() {
            "psql" => format!(
                "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'psql (PostgreSQL) {}.3'; exit; fi\n\
                 sed 's/^.restrict/\\\\too_old_for/' | exec '{}' \"$@\"\n",
                here.major,
                real.display()
            ),
            _ => format!("#!/bin/sh\nexec '{}' \"$@\"\n", real.display()),
        };
        let path = bin.join(&name);
        std::fs::write(&path, script).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    Local {
        pg_bin: Some(bin),
        user: None,
    }
}

fn packed(text: &str, zstd: bool) -> Vec<u8> {
    if zstd {
        return zstd::encode_all(text.as_bytes(), 3).expect("packed");
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("packed");
    encoder.finish().expect("packed")
}

#[tokio::test]
async fn a_command_is_refused_with_its_line_before_anything_runs() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let ran = folder.path().join("ran");
    let touch = format!("touch {}", ran.display());
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).expect("written");
    };
    write(
        "a.sql.gz",
        &packed(&format!("create table a ();\n  \\! {touch}\n"), false),
    );
    write(
        "b.sql.zst",
        &packed(&format!("select 1\n\n\\g |{touch}\n"), true),
    );
    write("c.sql", b"select 1;\n\\connect\tpostgres\n");
    write(
        "d.sql",
        format!("select 1; \\copy (select 1) to program '{touch}'\n").as_bytes(),
    );
    let local = Local::default();
    for (file, words) in [
        ("a.sql.gz", ["line 2 of `", "has `\\!`"]),
        ("b.sql.zst", ["line 3 of `", "has `\\g`"]),
        ("c.sql", ["line 2 of `", "connects to another database"]),
        ("d.sql", ["line 1 of `", "has `\\copy`"]),
    ] {
        let story = refused(&local, folder.path(), file, "").await;
        for words in words {
            assert!(story.contains(words), "{file}: {story}");
        }
    }
    assert!(!ran.exists());
}

/// To the reader two strings; to a `psql` that was told otherwise by what no reader sees, a command.
fn behind_the_back(flip: &str, command: &str) -> String {
    format!("{flip}\nselect 'あ\\', '\n{command}\n', 'あ', ' {command}\n';\n")
}

const STRINGS: &str =
    "do $$ begin perform set_config('standard_conforming' || '_strings', 'off', false); end $$;";
const ENCODING: &str =
    "do $$ begin perform set_config('client' || '_encoding', 'SJ' || 'IS', false); end $$;";

#[tokio::test]
async fn what_a_reader_cannot_see_is_caught_by_the_second_defence() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let ran = folder.path().join("ran");
    let command = format!("\\! touch {}", ran.display());
    let file = |name: &str, flip: &str| {
        let text = behind_the_back(flip, &command);
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    file("strings.sql", STRINGS);
    file("encoding.sql", ENCODING);
    let (new, old) = (Local::default(), with_an_old_psql(folder.path()));
    let story = refused(&new, folder.path(), "strings.sql", "").await;
    assert!(
        story.contains("backslash commands are restricted"),
        "{story}"
    );
    refused(&new, folder.path(), "encoding.sql", "").await;
    for name in ["strings.sql", "encoding.sql"] {
        let story = refused(&old, folder.path(), name, "").await;
        assert!(
            story.contains("behind the back of its reader") && story.contains("--format=custom"),
            "{story}"
        );
    }
    assert!(!ran.exists());
    let more = "[restore]\ntolerate=['nothing']";
    let story = refused(&old, folder.path(), "strings.sql", more).await;
    assert!(story.contains("knows no `\\restrict`"), "{story}");

    // Without either defence the commands run: so this tells something.
    let stage = empty(&new, folder.path()).await;
    for name in ["strings.sql", "encoding.sql"] {
        run_psql(&stage, &folder.path().join(name)).await;
        assert!(ran.exists(), "`{name}` has no command");
        std::fs::remove_file(&ran).expect("removed");
    }
    stop(stage).await;
}

async fn empty(local: &Local, folder: &Path) -> LocalStage {
    std::fs::write(folder.join("empty.sql"), "select 1;").expect("written");
    let snapshot = snapshot(folder, "empty.sql", "");
    restored(local, folder, &snapshot).await.expect("a stage")
}

async fn run_psql(stage: &LocalStage, path: &Path) {
    use lockproof::stage::Tools;
    let args: Vec<String> = ["-X", "-f", &path.display().to_string()]
        .map(str::to_owned)
        .into();
    stage
        .tools()
        .run(&stage.socket_endpoint(), "psql", &args, None)
        .await
        .expect("psql");
}

/// All that a dump may have of backslashes.
const HARMLESS: &str = r#"--
-- PostgreSQL database dump
--

\restrict dsOmeKeyOfTheDump

-- Dumped from database version 15.18
SET standard_conforming_strings = on;
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
-- a comment with \! echo and it's
CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $_$ /*
\connect nowhere
*/ SELECT 'a\b' || E'\'\\' $_$;
CREATE TABLE public.t (id int, a text DEFAULT 'c:\', b text);
COPY public.t (id, a, b) FROM stdin;
1	\N	c:\\temp
2	\\! echo	\\.
3	it's	"
\.
INSERT INTO public.t VALUES (4, 'c:\', 'd:\
\connect nowhere
'), (5, E'\'', '\\! é');
COPY public.t (id, a) FROM stdin WITH (FORMAT csv);
6,"\connect x"
\.
INSERT INTO public.t (id) VALUES (7); INSERT INTO public.t (id) VALUES (8);
-- PostgreSQL database dump complete
\unrestrict dsOmeKeyOfTheDump
"#;

#[tokio::test]
async fn what_only_looks_like_a_command_is_restored_whatever_psql_knows() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let file = folder.path().join("harmless.sql");
    let text = format!("\u{feff}{HARMLESS}");
    std::fs::write(&file, text).expect("written");
    let locals = [Local::default(), with_an_old_psql(folder.path())];
    for (number, local) in locals.iter().enumerate() {
        // Another digest: the base of the first is none for the second.
        let more = ["", "[restore]\nanalyze=false"][number];
        let snapshot = snapshot(folder.path(), "harmless.sql", more);
        let stage = restored(local, folder.path(), &snapshot)
            .await
            .unwrap_or_else(|error| panic!("{number}: {}", error.story()));
        let client = client(stage.endpoint()).await;
        let found = text_of(&client).await;
        assert_eq!(
            found,
            "1:-:c:\\temp|2:\\! echo:\\.|3:it's:\"|4:c:\\:d:\\\n\\connect nowhere\n|5:':\\\\! é|\
             6:\\connect x:-|7:c:\\:-|8:c:\\:-"
        );
        assert_eq!(
            local_support::text(&client, "SELECT public.f()").await,
            "a\\b'\\"
        );
        stop(stage).await;
    }
}

async fn text_of(client: &tokio_postgres::Client) -> String {
    text(
        client,
        "SELECT string_agg(id || ':' || coalesce(a, '-') || ':' || coalesce(b, '-'), '|' ORDER BY id) FROM public.t",
    )
    .await
}
