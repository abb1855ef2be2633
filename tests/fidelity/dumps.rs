//! What a dump needs and the server lacks, in each format; what a dump says of its database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockproof::Result;
use lockproof::snapshot::{Snapshot, remembered};
use lockproof::stage::local::{Local, LocalStage};
use lockproof::stage::{Request, RunningStage, Tools};

use crate::local_support::{
    Heard, Sql, client, has_server, number, open_folder, request, stage, stop, text,
};
use crate::support::skipped;

/// A real dump of this, in this format, with one extension under a name that no server has.
async fn dump(folder: &Path, sql: &str, format: &str) -> Option<PathBuf> {
    let mut request = request(&folder.join("source-cache"), &format!("source{format}"));
    request.base_digest = format!("{:016x}", rand::random::<u64>());
    let source = stage(&request, &Sql::new("")).await;
    let made = client(source.endpoint()).await.batch_execute(sql).await;
    if let Err(error) = made {
        skipped(&format!("the server has no contrib extensions: {error}"));
        stop(source).await;
        return None;
    }
    let to = folder.join(format!("dump{format}"));
    let args = [format, "-f", &to.display().to_string()].map(str::to_owned);
    let output = source
        .tools()
        .run(&source.socket_endpoint(), "pg_dump", &args, None)
        .await
        .expect("pg_dump");
    assert_eq!(output.status, Some(0), "{:?}", output.stderr);
    stop(source).await;
    let toc = if to.is_dir() {
        to.join("toc.dat")
    } else {
        to.clone()
    };
    let content = std::fs::read(&toc).expect("read");
    std::fs::write(&toc, renamed(&content)).expect("written");
    Some(to)
}

/// `citext` as `citexx`: as long, so that every length in an archive stays true.
fn renamed(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    for at in 0..content.len().saturating_sub(6) {
        if &content[at..at + 6] == b"citext" {
            content[at + 5] = b'x';
        }
    }
    content
}

fn snapshot_of(folder: &Path, dump: &Path, more: &str) -> Snapshot {
    let file = dump.display();
    let text = format!("name='needs'\n[source]\nkind='dump'\nfile='{file}'\n{more}");
    std::fs::write(folder.join("snapshot.toml"), text).expect("written");
    Snapshot::load(folder, &BTreeMap::new()).expect("a snapshot")
}

async fn restored(folder: &Path, snapshot: &Snapshot, heard: &Heard) -> Result<LocalStage> {
    let request = Request {
        base_digest: snapshot.digest.clone(),
        ..request(&folder.join("cache"), "restore")
    };
    let local = Local::default();
    let base = local.prepare(&request, snapshot, heard).await?;
    local.start(&base, heard).await
}

#[tokio::test]
async fn a_missing_extension_is_named_in_every_format_before_anything_is_restored() {
    if !has_server() {
        return;
    }
    let sql = "CREATE EXTENSION citext; CREATE TABLE kept AS SELECT generate_series(1, 10) AS n;";
    for format in ["-Fp", "-Fc", "-Fd", "-Ft"] {
        let folder = open_folder();
        let folder = folder.path();
        let Some(dump) = dump(folder, sql, format).await else {
            return;
        };
        let refused = snapshot_of(folder, &dump, "");
        let heard = Heard::default();
        let error = restored(folder, &refused, &heard).await.err();
        let story = error.expect("refused").story();
        assert!(
            story.contains("the stage's server lacks what the dump `")
                && story.contains("needs: extension `citexx`")
                && story.contains("not known here")
                && story.contains("tolerate = ['citexx']"),
            "{format}: {story}"
        );
        assert!(!heard.has("restoring `needs`"), "{format}");

        // The line that was proposed, as it was proposed.
        let tolerant = snapshot_of(folder, &dump, "[restore]\ntolerate = ['citexx']\n");
        let stage = restored(folder, &tolerant, &heard).await.expect(format);
        let observer = client(stage.endpoint()).await;
        assert_eq!(number(&observer, "SELECT count(*) FROM kept").await, 10);
        let notes = remembered(&observer).await.expect("notes").join("\n");
        for words in [
            "without what this server lacks, as tolerated: extension `citexx`",
            "not restored, as tolerated by `restore.tolerate`: ",
            "extension \"citexx\" is not available",
        ] {
            assert!(notes.contains(words), "{format}: {notes}");
        }
        stop(stage).await;
        // A run that restores nothing says the same.
        let again = restored(folder, &tolerant, &heard).await.expect(format);
        let observer = client(again.endpoint()).await;
        assert_eq!(
            remembered(&observer).await.expect("notes").join("\n"),
            notes
        );
        stop(again).await;
    }
}

#[tokio::test]
async fn what_was_left_out_with_it_is_named_and_has_to_be_tolerated_too() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let folder = folder.path();
    let sql = "CREATE EXTENSION citext; CREATE TABLE names (name citext);
               INSERT INTO names VALUES ('a secret');";
    let Some(dump) = dump(folder, sql, "-Fc").await else {
        return;
    };
    let heard = Heard::default();
    let half = snapshot_of(folder, &dump, "[restore]\ntolerate = ['\"citexx\"']\n");
    let error = restored(folder, &half, &heard).await.err();
    let story = error.expect("the table needs it").story();
    assert!(story.contains("public.citexx"), "{story}");

    let more = "[restore]\ntolerate = ['citexx', 'relation \"public.names\"']\n";
    let all = snapshot_of(folder, &dump, more);
    let stage = restored(folder, &all, &heard).await.expect("tolerated");
    let notes = remembered(&client(stage.endpoint()).await).await;
    let notes = notes.expect("notes").join("\n");
    assert!(
        notes.contains("CREATE TABLE public.names (type \"public.citexx\" does not exist)"),
        "{notes}"
    );
    assert!(notes.contains("COPY public.names (its rows)") && !notes.contains("secret"));
    stop(stage).await;
}

#[tokio::test]
async fn an_archive_brings_the_settings_and_the_owner_of_its_database() {
    if !has_server() {
        return;
    }
    let folder = open_folder();
    let folder = folder.path();
    let sql = "CREATE ROLE boss NOLOGIN; ALTER DATABASE app OWNER TO boss;
               ALTER DATABASE app SET timezone TO 'Asia/Tokyo';
               ALTER DATABASE app SET lock_timeout TO '3s';
               ALTER DATABASE app SET \"app.secret\" TO 'hunter2';
               ALTER ROLE boss IN DATABASE app SET work_mem TO '7MB';";
    let Some(dump) = dump(folder, sql, "-Fc").await else {
        return;
    };
    let heard = Heard::default();
    let more = "[database_settings]\nlock_timeout = '9s'\n";
    let file = dump.display();
    std::fs::write(
        folder.join("snapshot.toml"),
        format!("name='app'\nrole='boss'\n[source]\nkind='dump'\nfile='{file}'\n{more}"),
    )
    .expect("written");
    let snapshot = Snapshot::load(folder, &BTreeMap::new()).expect("a snapshot");
    let stage = restored(folder, &snapshot, &heard).await.expect("restored");
    let observer = client(stage.endpoint()).await;
    let setting = |name: &str| format!("SELECT current_setting('{name}')");
    assert_eq!(text(&observer, &setting("TimeZone")).await, "Asia/Tokyo");
    // What snapshot.toml says wins.
    assert_eq!(text(&observer, &setting("lock_timeout")).await, "9s");
    let of = "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'app'";
    assert_eq!(text(&observer, of).await, "boss");
    let of_boss = lockproof::stage::role::let_in(&observer, stage.endpoint(), "boss").await;
    let boss = client(&of_boss.expect("let in")).await;
    assert_eq!(text(&boss, &setting("work_mem")).await, "7MB");
    assert_eq!(text(&boss, "SELECT session_user::text").await, "boss");
    let notes = remembered(&observer).await.expect("notes").join("\n");
    assert!(
        notes.contains("left out: `app.secret`") && notes.contains("`work_mem` of `boss`"),
        "{notes}"
    );
    assert!(!notes.contains("hunter2"));
    let comment = "SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text LIKE '%hunter2%'";
    assert_eq!(number(&observer, comment).await, 0);
    stop(stage).await;

    std::fs::write(
        folder.join("snapshot.toml"),
        format!("name='app'\nrole='nobody'\n[source]\nkind='dump'\nfile='{file}'\n"),
    )
    .expect("written");
    let snapshot = Snapshot::load(folder, &BTreeMap::new()).expect("a snapshot");
    let error = restored(folder, &snapshot, &heard).await.err();
    let story = error.expect("no such role").story();
    assert!(
        story.contains("as `nobody`, and there is no such role"),
        "{story}"
    );
}
