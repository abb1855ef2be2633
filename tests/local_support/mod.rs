//! What tests with real server programs share.
#![allow(dead_code, clippy::print_stderr)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockproof::stage::local::{Local, LocalStage};
use lockproof::stage::{Endpoint, Fill, Request, RunningStage, Tools, Watch};
use lockproof::{Error, Result};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// False, and a loud word, without server programs; where tests must not be skipped, a panic.
pub fn has_server() -> bool {
    let found = lockproof::stage::local::binaries::find(None);
    let Err(error) = found.choose(None) else {
        return true;
    };
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "no server programs in CI: {error:?}"
    );
    eprintln!("SKIPPED: {error:?}");
    false
}

/// A folder that the server's account can enter and write, removed at the end of the test.
pub fn open_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("lockproof-test-")
        .permissions(std::fs::Permissions::from_mode(0o777))
        .tempdir()
        .and_then(|folder| {
            // The umask took some of it away.
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
            Ok(folder)
        })
        .expect("a folder")
}

pub fn request(cache: &Path, run_id: &str) -> Request {
    Request {
        run_id: run_id.into(),
        settings: Default::default(),
        database: "app".into(),
        base_digest: "00".into(),
        server_major: None,
        cache: cache.to_owned(),
        // Tests come to it by TCP; those of a closed one say so.
        network: lockproof::stage::Network::Open,
    }
}

/// Fills a database by SQL and counts how often.
pub struct Sql {
    pub text: String,
    pub filled: AtomicUsize,
}

impl Sql {
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            filled: AtomicUsize::new(0),
        }
    }

    pub fn times(&self) -> usize {
        self.filled.load(Ordering::SeqCst)
    }
}

impl Fill for Sql {
    async fn fill<T: Tools>(&self, endpoint: &Endpoint, _: &T, _: &dyn Watch) -> Result<()> {
        self.filled.fetch_add(1, Ordering::SeqCst);
        let client = client(endpoint).await;
        client
            .batch_execute(&self.text)
            .await
            .map_err(|error| Error::stage("the fill failed").because(error))
    }
}

/// Remembers what it is told.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Heard {
    pub fn has(&self, words: &str) -> bool {
        let heard = self.0.lock().expect("heard");
        heard.iter().any(|line| line.contains(words))
    }
}

impl Watch for Heard {
    fn phase(&self, what: &str) {
        self.0.lock().expect("heard").push(what.to_owned());
    }
    fn note(&self, text: &str) {
        self.0.lock().expect("heard").push(text.to_owned());
    }
}

pub async fn client(endpoint: &Endpoint) -> Client {
    try_client(endpoint).await.expect("a connection")
}

pub async fn try_client(endpoint: &Endpoint) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = endpoint.config("lockproof test").connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

pub async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

pub fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

pub fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// A stage on a base filled by SQL.
pub async fn stage(request: &Request, fill: &impl Fill) -> LocalStage {
    let local = Local::default();
    let base = local
        .prepare(request, fill, &Heard::default())
        .await
        .expect("a base");
    local
        .start(&base, &Heard::default())
        .await
        .expect("a stage")
}

pub async fn stop(stage: LocalStage) {
    stage.stop().await.expect("stopped");
}
