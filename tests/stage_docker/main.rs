//! The container stage against a real engine. Without one, or without the image, a test says
//! `SKIPPED` and passes, except where `CI=true` promises both.
//!
//! LOCKPROOF_TEST_IMAGE names another image than `lockproof/postgres:17`.

#![allow(clippy::disallowed_methods, reason = "a test may read a clock")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// `eprintln` would be swallowed by the harness; what is written out is not.
#![allow(clippy::explicit_write)]

mod bases;
mod images;
mod stages;
mod sweeps;

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
            network: lockproof::stage::Network::Closed,
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
