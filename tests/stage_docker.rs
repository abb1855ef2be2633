//! The container stage against a real engine. Without one, or without the image, a test says
//! `SKIPPED` and passes, except where `CI=true` promises both.
//!
//! LOCKPROOF_TEST_IMAGE names another image than `lockproof/postgres:17`.

#![allow(clippy::disallowed_methods, reason = "a test may read a clock")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// `eprintln` would be swallowed by the harness; what is written out is not.
#![allow(clippy::explicit_write)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockproof::stage::docker::{
    Base, Docker, DockerStage, Leftover, LeftoverKind, Limits, Owner, Sweep,
};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{Endpoint, Fill, Request, RunningStage, ToolInput, Tools, Watch};
use lockproof::{Error, Result};
use tokio_postgres::{Client, NoTls};

/// Past the harness, which shows nothing of a test that passes.
fn skipped(why: &str) {
    use std::io::Write;
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
    writeln!(std::io::stderr(), "SKIPPED: {why} ({count} skipped so far)").unwrap();
}

/// One test's run: its cache, its labels, and the removal of whatever it leaves.
struct Room {
    docker: Docker,
    image: String,
    run_id: String,
    cache: tempfile::TempDir,
    images: Mutex<Vec<String>>,
}

impl Room {
    async fn open(test: &str) -> Option<Self> {
        let image = std::env::var("LOCKPROOF_TEST_IMAGE")
            .unwrap_or_else(|_| "lockproof/postgres:17".to_owned());
        let missing = match Docker::connect().await {
            Err(error) => error.story(),
            Ok(docker) if !docker.has_image(&image).await.unwrap() => format!("no image {image}"),
            Ok(docker) => {
                return Some(Self {
                    docker,
                    image,
                    run_id: format!("test-{test}-{:08x}", rand::random::<u32>()),
                    cache: tempfile::tempdir().unwrap(),
                    images: Mutex::default(),
                });
            }
        };
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{test}: {missing}"
        );
        skipped(&format!("{test}: {missing}"));
        None
    }

    fn request(&self) -> Request {
        Request {
            run_id: self.run_id.clone(),
            settings: BTreeMap::from([("shared_buffers".to_owned(), "16MB".to_owned())]),
            database: "Größe \"app\"".to_owned(),
            base_digest: self.run_id.clone(),
            server_major: None,
            cache: self.cache.path().to_owned(),
        }
    }

    async fn prepare(&self, fill: &impl Fill) -> Result<Base> {
        self.prepare_with(&self.image, &self.request(), fill).await
    }

    async fn prepare_with(&self, image: &str, request: &Request, fill: &impl Fill) -> Result<Base> {
        self.docker
            .prepare(image, request, &Limits::default(), fill, &Unwatched)
            .await
    }

    async fn start(&self, base: &Base) -> DockerStage {
        self.docker.start(base, &Unwatched).await.unwrap()
    }

    async fn mine(&self) -> Vec<Leftover> {
        let mut found = self.docker.list_leftovers().await.unwrap();
        found.retain(|leftover| leftover.run_id == self.run_id);
        found
    }

    /// An image made from the tested one by a script, with these changes to its configuration.
    fn derive(&self, script: &str, changes: &[&str]) -> String {
        let name = format!("lockproof-test/derived:{:08x}", rand::random::<u32>());
        let container = docker(
            &[
                "create",
                "-u",
                "0",
                "--entrypoint",
                "/bin/sh",
                &self.image,
                "-c",
                script,
            ],
            b"",
        );
        let container = container.trim();
        docker(&["start", "-a", container], b"");
        let mut commit = vec!["commit"];
        for change in changes {
            commit.extend(["--change", change]);
        }
        commit.extend(["--change", "CMD [\"postgres\"]", container, &name]);
        docker(&commit, b"");
        docker(&["rm", "-fv", container], b"");
        self.images.lock().unwrap().push(name.clone());
        name
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let label = format!("label=lockproof.run={}", self.run_id);
        let of = |arguments: &[&str]| {
            let output = Command::new("docker").args(arguments).output();
            output
                .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
                .unwrap_or_default()
        };
        for id in of(&["ps", "-aq", "--filter", &label]).lines() {
            of(&["rm", "-fv", id]);
        }
        for id in of(&["volume", "ls", "-q", "--filter", &label]).lines() {
            of(&["volume", "rm", id]);
        }
        for image in self.images.lock().unwrap().iter() {
            of(&["rmi", "-f", image]);
        }
    }
}

fn docker(arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write;
    let mut child = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn connect(endpoint: &Endpoint) -> Client {
    let (client, connection) = endpoint.config("test").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn word(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Fills by SQL from here, and counts how often it was asked.
struct Sql {
    statements: &'static str,
    calls: AtomicUsize,
}

impl Sql {
    fn new(statements: &'static str) -> Self {
        Self {
            statements,
            calls: AtomicUsize::new(0),
        }
    }
}

impl Fill for Sql {
    async fn fill<T: Tools>(&self, endpoint: &Endpoint, _: &T, _: &dyn Watch) -> Result<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let client = connect(endpoint).await;
        client
            .batch_execute(self.statements)
            .await
            .map_err(|error| Error::stage("the statements failed").because(error))
    }
}

const ROWS: &str = "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g";

/// What a watch was told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Watch for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn advance(&self, done: u64, total: Option<u64>) {
        self.0.lock().unwrap().push(format!("{done}/{total:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_is_made_once_and_every_run_gets_a_clone_of_its_own() {
    let Some(room) = Room::open("clones").await else {
        return;
    };
    let fill = Sql::new(ROWS);
    let begun = Instant::now();
    let base = room.prepare(&fill).await.unwrap();
    println!("TIME prepare: {:?}", begun.elapsed());
    assert!(!base.reused);
    let begun = Instant::now();
    let again = room.prepare(&fill).await.unwrap();
    println!("TIME prepare, reused: {:?}", begun.elapsed());
    assert!(again.reused);
    assert_eq!(fill.calls.load(Ordering::SeqCst), 1);

    let begun = Instant::now();
    let first = room.start(&base).await;
    println!("TIME start: {:?}", begun.elapsed());
    assert!(room.mine().await.iter().any(|found| {
        found.role == "run" && found.owner == Owner::Alive && found.name == first.name()
    }));
    let client = connect(first.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    client.batch_execute("DELETE FROM t").await.unwrap();
    // As durable as production, with the settings asked for, and open to nobody without password.
    assert_eq!(word(&client, "SHOW fsync").await, "on");
    assert_eq!(word(&client, "SHOW shared_buffers").await, "16MB");
    assert_eq!(word(&client, "SHOW server_encoding").await, "UTF8");
    let mut stranger = first.endpoint().clone();
    stranger.password = Some(lockproof::stage::Secret::new("guess"));
    assert!(stranger.config("test").connect(NoTls).await.is_err());
    // No password for whoever may look at the container.
    let inspected = docker(&["inspect", first.name()], b"");
    let password = first.endpoint().password.clone().unwrap();
    assert!(!inspected.contains(password.reveal()));
    assert!(inspected.contains("127.0.0.1"));

    let second = room.start(&base).await;
    let client = connect(second.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    assert!(
        second
            .log_tail()
            .await
            .join("\n")
            .contains("ready to accept")
    );

    first.stop().await.unwrap();
    let begun = Instant::now();
    second.stop().await.unwrap();
    println!("TIME stop: {:?}", begun.elapsed());
    let left = room.mine().await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].name, base.name());
    // A finished base is no rubbish, but can be removed.
    room.docker.clean(Sweep::Abandoned).await.unwrap();
    assert_eq!(room.mine().await.len(), 1);
    // Not while it is used; somebody from outside may all the same.
    assert!(!room.docker.remove_base(base.name()).await.unwrap());
    docker(&["volume", "rm", base.name()], b"");
    assert!(room.mine().await.is_empty());
    let error = room.docker.start(&base, &Unwatched).await.err().unwrap();
    assert!(error.story().contains("was removed in the meantime"));
    assert!(room.mine().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_says_so_with_its_last_words() {
    let Some(room) = Room::open("dies").await else {
        return;
    };
    let base = room.prepare(&Sql::new("SELECT 1")).await.unwrap();
    let stage = room.start(&base).await;
    docker(&["kill", stage.name()], b"");
    assert!(
        stage
            .log_tail()
            .await
            .join("\n")
            .contains("ready to accept")
    );
    stage.stop().await.unwrap();

    // A setting that the server refuses: the error is the server's own, and nothing is left.
    let mut request = room.request();
    request
        .settings
        .insert("no_such_setting".to_owned(), "1".to_owned());
    let base = room
        .prepare_with(&room.image, &room.request(), &Sql::new(""))
        .await
        .unwrap();
    assert!(base.reused);
    let base = room
        .prepare_with(&room.image, &request, &Sql::new(""))
        .await
        .unwrap();
    let error = room.docker.start(&base, &Unwatched).await.err().unwrap();
    let story = error.story();
    assert!(story.contains("ended: exit status 1"), "{story}");
    assert!(
        story.contains("unrecognized configuration parameter"),
        "{story}"
    );
    assert!(story.contains("help: the scenario's settings"), "{story}");
    assert_eq!(room.mine().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_or_killed_filling_leaves_nothing() {
    struct Killer<'a>(&'a str);
    impl Fill for Killer<'_> {
        async fn fill<T: Tools>(&self, endpoint: &Endpoint, _: &T, _: &dyn Watch) -> Result<()> {
            let client = connect(endpoint).await;
            let label = format!("label=lockproof.run={}", self.0);
            let id = docker(&["ps", "-q", "--filter", &label], b"");
            docker(&["kill", id.trim()], b"");
            client
                .batch_execute("SELECT 1")
                .await
                .map_err(|error| Error::stage("restoring failed").because(error))
        }
    }
    let Some(room) = Room::open("failed").await else {
        return;
    };
    let error = room.prepare(&Sql::new("SELECT 1/0")).await.err().unwrap();
    assert!(error.story().contains("division by zero"), "{error:?}");
    assert!(room.mine().await.is_empty());
    let error = room.prepare(&Killer(&room.run_id)).await.err().unwrap();
    let story = error.story();
    assert!(
        story.contains("ended: exit status 137, killed from outside"),
        "{story}"
    );
    assert!(story.contains("restoring failed"), "{story}");
    assert!(room.mine().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_one_base() {
    let Some(room) = Room::open("twice").await else {
        return;
    };
    let fill = Sql::new("SELECT pg_sleep(1)");
    let notes = Notes::default();
    let request = room.request();
    let limits = Limits::default();
    let one = room
        .docker
        .prepare(&room.image, &request, &limits, &fill, &notes);
    let other = room
        .docker
        .prepare(&room.image, &request, &limits, &fill, &notes);
    let (one, other) = tokio::join!(one, other);
    assert_ne!(one.unwrap().reused, other.unwrap().reused);
    assert_eq!(fill.calls.load(Ordering::SeqCst), 1);
    let notes = notes.0.into_inner().unwrap();
    assert!(
        notes.iter().any(|note| note.contains("waiting for it")),
        "{notes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_build_is_swept_or_made_anew() {
    let Some(room) = Room::open("interrupted").await else {
        return;
    };
    let endless = Sql::new("SELECT pg_sleep(1000)");
    let interrupt = async || {
        let patience = Duration::from_secs(20);
        let calls = endless.calls.load(Ordering::SeqCst);
        let begun = async {
            while endless.calls.load(Ordering::SeqCst) == calls {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = room.prepare(&endless) => panic!("it cannot end"),
            () = begun => {}
            () = tokio::time::sleep(patience) => panic!("it never began"),
        }
    };
    interrupt().await;
    let left = room.mine().await;
    assert!(
        left.iter().any(|l| l.kind == LeftoverKind::Container),
        "{left:?}"
    );
    assert!(
        left.iter().any(|l| l.kind == LeftoverKind::Volume),
        "{left:?}"
    );
    assert!(left.iter().all(|l| l.owner == Owner::Gone), "{left:?}");
    let removed = room.docker.clean(Sweep::Abandoned).await.unwrap();
    assert!(removed.len() >= 2, "{removed:?}");
    assert!(room.mine().await.is_empty());

    interrupt().await;
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    assert!(!base.reused);
    let name = base.name().to_owned();
    drop(base);
    assert!(room.docker.remove_base(&name).await.unwrap());

    interrupt().await;
    assert_eq!(room.docker.remove_run(&room.run_id).await.unwrap().len(), 2);
    assert!(room.mine().await.is_empty());

    // A start that nobody waited for.
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    for wait in [5, 60, 200, 500] {
        let start = room.docker.start(&base, &Unwatched);
        tokio::time::timeout(Duration::from_millis(wait), start)
            .await
            .ok();
    }
    // The engine may still be at the last request.
    tokio::time::sleep(Duration::from_secs(1)).await;
    room.docker.clean(Sweep::Abandoned).await.unwrap();
    let left = room.mine().await;
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_run_beside_the_server() {
    struct Restore<'a>(&'a Path);
    impl Fill for Restore<'_> {
        async fn fill<T: Tools>(
            &self,
            endpoint: &Endpoint,
            tools: &T,
            watch: &dyn Watch,
        ) -> Result<()> {
            let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
            // 50 MB through psql's standard input.
            let mut script = b"CREATE TABLE big (line text);\nCOPY big FROM stdin;\n".to_vec();
            let line = "x".repeat(99);
            for _ in 0..500_000 {
                script.extend_from_slice(line.as_bytes());
                script.push(b'\n');
            }
            script.extend_from_slice(b"\\.\n");
            let begun = Instant::now();
            let input: ToolInput = Box::new(std::io::Cursor::new(script));
            let psql = words(&["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
            let output = tools.run(endpoint, "psql", &psql, Some(input)).await?;
            println!("TIME 50 MB through psql: {:?}", begun.elapsed());
            assert_eq!(output.status, Some(0), "{output:?}");

            // An early end with input left over: the program's status, at once.
            let endless: ToolInput = Box::new(tokio::io::repeat(b' '));
            let failing = words(&["-X", "-v", "ON_ERROR_STOP=1", "-c", "SELECT 1/0"]);
            let output = tools.run(endpoint, "psql", &failing, Some(endless)).await?;
            assert_eq!(output.status, Some(1));
            assert!(
                output.stderr.join("\n").contains("division by zero"),
                "{output:?}"
            );
            // Silent input that never ends.
            let (_silent, input) = tokio::io::duplex(1);
            let output = tools
                .run(endpoint, "psql", &failing, Some(Box::new(input)))
                .await?;
            assert_eq!(output.status, Some(1));

            // Much output: its last lines.
            let much = words(&["-XAt", "-c", "SELECT g FROM generate_series(1, 300000) g"]);
            let output = tools.run(endpoint, "psql", &much, None).await?;
            assert_eq!(output.stdout.len(), 40);
            assert_eq!(output.stdout[39], "300000");

            let missing = tools.run(endpoint, "pg_unheard_of", &[], None).await;
            let story = missing.err().unwrap().story();
            assert!(story.contains("has no `pg_unheard_of`"), "{story}");

            // Input that cannot be read is an error, not an end.
            struct Broken;
            impl tokio::io::AsyncRead for Broken {
                fn poll_read(
                    self: std::pin::Pin<&mut Self>,
                    _: &mut std::task::Context<'_>,
                    _: &mut tokio::io::ReadBuf<'_>,
                ) -> std::task::Poll<std::io::Result<()>> {
                    std::task::Poll::Ready(Err(std::io::Error::other("bad block")))
                }
            }
            let broken = tools
                .run(endpoint, "psql", &psql, Some(Box::new(Broken)))
                .await;
            assert!(broken.err().unwrap().story().contains("bad block"));

            let placed = tools.place(self.0, watch).await?;
            let load = words(&["-X", "-v", "ON_ERROR_STOP=1", "-f"]);
            let script = format!("{placed}/deep/make.sql");
            let output = tools
                .run(endpoint, "psql", &[load, vec![script]].concat(), None)
                .await?;
            assert_eq!(output.status, Some(0), "{output:?}");
            let file = tools.place(&self.0.join("deep/make.sql"), watch).await?;
            assert!(file.ends_with("/make.sql"), "{file}");
            let output = tools
                .run(endpoint, "psql", &words(&["-XAt", "-f", &file]), None)
                .await?;
            assert!(
                output.stderr.join("\n").contains("already exists"),
                "{output:?}"
            );
            let nothing = tools.place(Path::new("/nowhere/at/all"), watch).await;
            assert!(
                nothing
                    .err()
                    .unwrap()
                    .story()
                    .contains("cannot read `/nowhere/at/all`")
            );
            Ok(())
        }
    }
    let Some(room) = Room::open("tools").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    std::fs::write(folder.path().join("deep/make.sql"), "CREATE TABLE made ()").unwrap();
    let big = std::fs::File::create(folder.path().join("big")).unwrap();
    big.set_len(300 << 20).unwrap();
    let notes = Notes::default();
    let begun = Instant::now();
    let base = room
        .docker
        .prepare(
            &room.image,
            &room.request(),
            &Limits::default(),
            &Restore(folder.path()),
            &notes,
        )
        .await
        .unwrap();
    println!("TIME prepare with 300 MB placed: {:?}", begun.elapsed());
    let told = notes.0.into_inner().unwrap();
    let total = (300 << 20) + 20;
    assert!(told.contains(&format!("0/Some({total})")), "{told:?}");
    assert!(told.contains(&format!("{total}/Some({total})")), "{told:?}");

    let stage = room.start(&base).await;
    let client = connect(stage.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM big").await, 500_000);
    let output = stage
        .run(
            stage.endpoint(),
            "psql",
            &["-XAtc".to_owned(), "SELECT current_user".to_owned()],
            None,
        )
        .await
        .unwrap();
    assert_eq!(output.stdout, ["postgres"]);
    // What was placed is not in the base.
    let files = docker(&["exec", stage.name(), "ls", "/lockproof/base"], b"");
    assert_eq!(files, "complete\ndata\nfiles.list\nused\n");
    stage.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_entrypoint_gets_its_data_folder_from_us() {
    let Some(room) = Room::open("bare").await else {
        return;
    };
    // Nor does it say its version, put its server on the path, or know the user.
    let image = room.derive(
        "rm -f /usr/local/bin/docker-entrypoint.sh && sed -i /^postgres:/d /etc/passwd /etc/group",
        &[
            "ENTRYPOINT []",
            "ENV PG_MAJOR=",
            "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "USER 1234",
        ],
    );
    let info = room.docker.ensure_image(&image, &Unwatched).await.unwrap();
    let original = room
        .docker
        .ensure_image(&room.image, &Unwatched)
        .await
        .unwrap();
    assert_eq!(info.postgres_major, original.postgres_major);
    let base = room
        .prepare_with(&image, &room.request(), &Sql::new(ROWS))
        .await
        .unwrap();
    let stage = room.start(&base).await;
    let client = connect(stage.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    assert_eq!(word(&client, "SHOW server_encoding").await, "UTF8");
    stage.stop().await.unwrap();
}

/// What the official entrypoint does, in short: a temporary server on the socket only runs the
/// image's own scripts, then the real one starts.
const ENTRYPOINT: &str = r#"#!/usr/bin/env bash
set -Eeo pipefail
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" && chown -R postgres "$PGDATA" && chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$BASH_SOURCE" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    [ -z "$POSTGRES_INITDB_WALDIR" ]
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
    postgres -C password_encryption "${@:2}"
    echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
    set -- "${@:2}" -c listen_addresses='' -p "${PGPORT:-5432}"
    pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
    set -- postgres "${@:1:$#-4}"
    [ "$POSTGRES_DB" = postgres ] || createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do . "$script"; done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_entrypoint_runs_its_own_scripts_before_the_filling() {
    let Some(room) = Room::open("entrypoint").await else {
        return;
    };
    let script = format!(
        "cat >/usr/local/bin/docker-entrypoint.sh <<'END'\n{ENTRYPOINT}END\n\
         cat >/docker-entrypoint-initdb.d/10-slow.sh <<'END'\n\
         psql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c 'CREATE ROLE from_image' -c 'CREATE TABLE early ()'\n\
         sleep 2\n\
         psql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c 'CREATE TABLE late ()'\n\
         END\n\
         chmod 755 /usr/local/bin/docker-entrypoint.sh"
    );
    let image = room.derive(&script, &["ENTRYPOINT [\"docker-entrypoint.sh\"]"]);
    // Fails unless both tables are there: the temporary server had only one of them for two seconds.
    let fill = Sql::new("CREATE TABLE seen AS SELECT 'early'::regclass e, 'late'::regclass l");
    let mut request = room.request();
    request
        .settings
        .insert("log_line_prefix".to_owned(), "%m 'a' \"b\" ".to_owned());
    let base = room.prepare_with(&image, &request, &fill).await.unwrap();
    let stage = room.start(&base).await;
    let client = connect(stage.endpoint()).await;
    assert_eq!(word(&client, "SHOW log_line_prefix").await, "%m 'a' \"b\" ");
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname = 'from_image'";
    assert_eq!(number(&client, roles).await, 1);
    stage.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_of_no_use_are_named() {
    let Some(room) = Room::open("images").await else {
        return;
    };
    // Not even a shell.
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_cksum();
    archive
        .append_data(&mut header, "nothing", std::io::empty())
        .unwrap();
    let name = format!("lockproof-test/empty:{:08x}", rand::random::<u32>());
    room.images.lock().unwrap().push(name.clone());
    docker(&["import", "-", &name], &archive.into_inner().unwrap());
    let expected = format!("the image `{name}` has no PostgreSQL server");
    let error = room.docker.ensure_image(&name, &Unwatched).await.err();
    assert!(error.unwrap().story().starts_with(&expected));
    let error = room
        .prepare_with(&name, &room.request(), &Sql::new(""))
        .await
        .err();
    assert!(error.unwrap().story().starts_with(&expected));

    // A shell, and a promise that is not kept.
    let name = room.derive("rm -rf /usr/lib/postgresql", &["ENV PG_MAJOR=17"]);
    let error = room
        .prepare_with(&name, &room.request(), &Sql::new(""))
        .await
        .err()
        .unwrap();
    assert!(
        error
            .story()
            .starts_with(&format!("the image `{name}` has no PostgreSQL server")),
        "{error:?}"
    );
    assert!(room.mine().await.is_empty());

    let name = "127.0.0.1:9/lockproof/unheard-of:17";
    let notes = Notes::default();
    let story = room
        .docker
        .ensure_image(name, &notes)
        .await
        .err()
        .unwrap()
        .story();
    assert!(
        story.starts_with(&format!(
            "the image `{name}` is not on this machine and cannot be pulled: "
        )),
        "{story}"
    );
    assert!(story.contains("refused"), "{story}");
    assert!(story.contains("or use --stage local"), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_stage_stays_until_it_is_ended_as_told() {
    let Some(room) = Room::open("kept").await else {
        return;
    };
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    let stage = room.start(&base).await;
    let endpoint = stage.endpoint().clone();
    let text = stage.keep();
    assert!(!text.contains(endpoint.password.clone().unwrap().reveal()));
    room.docker.clean(Sweep::Abandoned).await.unwrap();
    let left = room.mine().await;
    assert!(left.iter().any(|l| l.owner == Owner::Kept), "{left:?}");
    connect(&endpoint).await;

    // As the text says, to the letter; only there is no terminal here.
    let line = |start: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(start));
        line.unwrap().trim().replace(" -it ", " -i ")
    };
    let connect = format!("{} -XAtc 'SELECT count(*) FROM t'", line("connect:"));
    let output = Command::new("sh").args(["-c", &connect]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1000\n",
        "{output:?}"
    );
    let end = line("end:");
    let end = end.split("   ").next().unwrap();
    assert!(
        Command::new("sh")
            .args(["-c", end])
            .status()
            .unwrap()
            .success()
    );
    let left = room.mine().await;
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tcp_does_the_same() {
    let Some(room) = Room::open("tcp").await else {
        return;
    };
    let engine = room.docker.describe().await.unwrap();
    println!("ENGINE {engine:?}");
    let Some(socket) = engine.host.strip_prefix("unix://").map(str::to_owned) else {
        skipped("tcp: the engine is behind tcp anyway");
        return;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut engine = tokio::net::UnixStream::connect(socket).await?;
                tokio::io::copy_bidirectional(&mut client, &mut engine).await
            });
        }
    });
    let docker = Docker::connect_to(&host).await.unwrap();
    assert_eq!(docker.describe().await.unwrap().host, host);
    let limits = Limits {
        cpus: Some(1.5),
        memory_bytes: Some(512 << 20),
        shm_bytes: Some(200 << 20),
    };
    let base = docker
        .prepare(
            &room.image,
            &room.request(),
            &limits,
            &Sql::new(ROWS),
            &Unwatched,
        )
        .await
        .unwrap();
    let stage = docker.start(&base, &Unwatched).await.unwrap();
    let client = connect(stage.endpoint()).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 1000);
    stage.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_with_caches_of_their_own_make_one_base() {
    let Some(room) = Room::open("caches").await else {
        return;
    };
    let fill = Sql::new("SELECT pg_sleep(1)");
    let notes = Notes::default();
    let limits = Limits::default();
    let request = room.request();
    let cache = tempfile::tempdir().unwrap();
    let mut elsewhere = room.request();
    elsewhere.cache = cache.path().to_owned();
    let one = room
        .docker
        .prepare(&room.image, &request, &limits, &fill, &notes);
    let other = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        room.docker
            .prepare(&room.image, &elsewhere, &limits, &fill, &notes)
            .await
    };
    let (one, other) = tokio::join!(one, other);
    assert!(!one.unwrap().reused);
    assert!(other.unwrap().reused);
    assert_eq!(fill.calls.load(Ordering::SeqCst), 1);
    let notes = notes.0.into_inner().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("on this engine makes the same base"));
}

/// Removes the bases of everybody on the engine: only where it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_everything_spares_only_what_is_at_work() {
    if std::env::var("LOCKPROOF_TEST_SWEEP").is_err() {
        skipped("sweep: LOCKPROOF_TEST_SWEEP is not set");
        return;
    }
    let Some(room) = Room::open("sweep").await else {
        return;
    };
    let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
    let kept = room.start(&base).await;
    let live = room.start(&base).await;
    let kept_name = kept.name().to_owned();
    kept.keep();
    let removed = room.docker.clean(Sweep::Everything).await.unwrap();
    assert!(
        removed.contains(&format!("container {kept_name}")),
        "{removed:?}"
    );
    connect(live.endpoint()).await;
    // In use by the live one.
    assert_eq!(room.mine().await.len(), 2);
    live.stop().await.unwrap();
    let name = base.name().to_owned();
    drop(base);
    let removed = room.docker.clean(Sweep::Everything).await.unwrap();
    assert!(removed.contains(&format!("volume {name}")), "{removed:?}");
    assert!(room.mine().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_leave_no_file_no_container_and_no_volume() {
    let Some(room) = Room::open("rounds").await else {
        return;
    };
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = None;
    for _ in 0..6 {
        let base = room.prepare(&Sql::new(ROWS)).await.unwrap();
        let stage = room.start(&base).await;
        connect(stage.endpoint()).await;
        stage.stop().await.unwrap();
        drop(base);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let left: Vec<String> = room.mine().await.into_iter().map(|l| l.name).collect();
        let now = (
            left,
            std::fs::read_dir(room.cache.path().join("locks"))
                .unwrap()
                .count(),
        );
        assert_eq!(*before.get_or_insert(now.clone()), now);
        // The engine's connections are kept for the next request: a handful, and not one more a round.
        assert!(open() < 40, "{} files are open", open());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_says_what_it_is_and_when_it_was_used() {
    let Some(room) = Room::open("facts").await else {
        return;
    };
    let mine = async || {
        let mut found = room.docker.bases().await.unwrap();
        found.retain(|base| base.digest.as_deref() == Some(&room.run_id));
        found
    };
    let base = room
        .prepare(&Sql::new(
            "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g; ANALYZE",
        ))
        .await
        .unwrap();
    let found = mine().await;
    assert_eq!(found.len(), 1);
    let facts = &found[0];
    assert_eq!(facts.place, base.name());
    assert!(base.name().ends_with(&facts.id));
    assert_eq!(facts.rows, Some(1000));
    assert_eq!(facts.image.as_deref(), Some(&*room.image));
    assert_eq!(facts.database.as_deref(), Some("Größe \"app\""));
    assert!(facts.bytes.is_some_and(|bytes| bytes > 1_000_000));
    let (made, first) = (facts.made_at.unwrap(), facts.used_at.unwrap());
    assert!(facts.in_use && made <= first + jiff::SignedDuration::from_secs(2));
    // No container of the run is up, and it may still not be taken away.
    assert!(!room.docker.remove_base(base.name()).await.unwrap());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let again = room.prepare(&Sql::new("SELECT 1/0")).await.unwrap();
    assert!(again.reused);
    assert!(mine().await[0].used_at.unwrap() > first);
    drop((base, again));
    assert!(!mine().await[0].in_use);
    let name = mine().await[0].place.clone();
    assert!(room.docker.remove_base(&name).await.unwrap());
    assert!(mine().await.is_empty());
}
