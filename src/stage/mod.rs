//! Something to run against: a throw-away server filled from a snapshot, or an external one.
//!
//! Restored once into a cached *base*; every replay gets a fresh clone of it. Nothing here judges
//! or measures. No bollard type leaves `docker`. No async work in `Drop`: `Stage::stop` is explicit,
//! `lockproof clean` sweeps what a killed process left behind.

mod admin;
mod beside;
mod blocking;
pub mod cache;
mod cached;
pub mod census;
pub(crate) mod connect;
mod contents;
pub mod docker;
pub mod dump;
pub mod enclosure;
pub mod endpoint;
pub mod external;
pub mod hooked;
mod lines;
pub mod local;
pub mod network;
pub mod physical;
pub mod placeholder;
pub mod provider;
mod prune;
mod quiet;
mod refusal;
pub mod relay;
pub mod role;
mod shaping;
pub mod tls;
pub mod watch;
pub(crate) mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use beside::Beside;
pub use endpoint::{Endpoint, Host, Link, Secret};
pub(crate) use lines::Cut;
pub use lines::{Ear, Heard};
pub use network::{Network, NetworkFacts};
pub use physical::{Inherited, Origin};
pub use quiet::Quiet;
pub use watch::{Unit, Watch};

use crate::Result;

/// What a run asks of any stage.
#[derive(Debug, Clone)]
pub struct Request {
    /// The run's identity: labels containers, volumes and folders.
    pub run_id: String,
    /// Server settings, passed on the server's command line; they win over any file.
    pub settings: BTreeMap<String, String>,
    /// The database that the migration runs in; made before the snapshot is restored.
    pub database: String,
    /// Identity of what the base holds: snapshot content, variables, restore options (hex).
    pub base_digest: String,
    /// The PostgreSQL major that the snapshot was taken from; None: whatever is at hand.
    pub server_major: Option<u32>,
    /// Where bases and run folders live.
    pub cache: PathBuf,
    /// What the server may reach, from the first moment of the restore on.
    pub network: Network,
}

/// Where a stage runs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// A container.
    Docker,
    /// Server binaries of this machine.
    Local,
    /// A server that somebody else runs.
    External,
}

/// How a run's data came to be beside its base's, or beside what a program of the user's clones.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CloneMethod {
    /// Both share their blocks until one of them writes.
    Reflink,
    /// Every byte is a copy, made now or for an earlier run.
    Copy,
    /// A program of the user's had somebody else's engine make it.
    Hook,
}

/// A clone of a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cloned {
    /// How it was made.
    pub method: CloneMethod,
    /// How long that took, until all of it was on the disk, or a clone of a hook's answered.
    #[serde(with = "crate::clock::nanos")]
    pub took: std::time::Duration,
    /// How much of it an earlier clone had already: compared, and not written again.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub kept_bytes: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_nothing(bytes: &u64) -> bool {
    *bytes == 0
}

/// How many last lines of each stream a client program's output has at the least, where it wrote so
/// many: with fewer, nothing is missing.
pub const TOOL_LINES: usize = 40;

/// Output of a client program that ran next to the server.
#[derive(Debug, Clone)]
pub struct ToolOutput {
    /// The program's exit status; None when a signal ended it.
    pub status: Option<i32>,
    /// Its last lines of standard output.
    pub stdout: Vec<String>,
    /// Its last lines of standard error.
    pub stderr: Vec<String>,
}

/// Standard input for a tool: a stream, so that a dump larger than memory passes through.
pub type ToolInput = Box<dyn tokio::io::AsyncRead + Send + Unpin>;

/// Client programs (`psql`, `pg_restore`) next to the server, of the server's own version.
pub trait Tools: Sync {
    /// Runs one with libpq's environment set for `endpoint`; keeps the last lines of its output.
    fn run(
        &self,
        endpoint: &Endpoint,
        program: &str,
        args: &[String],
        stdin: Option<ToolInput>,
    ) -> impl Future<Output = Result<ToolOutput>> + Send {
        async move {
            let mut keep = |_: &str| Heard::Keep;
            self.run_heard(endpoint, program, args, stdin, &mut keep)
                .await
        }
    }

    /// The same, and `ear` hears each line of its standard error as it comes.
    fn run_heard(
        &self,
        endpoint: &Endpoint,
        program: &str,
        args: &[String],
        stdin: Option<ToolInput>,
        ear: Ear<'_>,
    ) -> impl Future<Output = Result<ToolOutput>> + Send;

    /// Makes a file or a folder of this machine readable by the tools; the path that they see.
    fn place(&self, path: &Path, watch: &dyn Watch) -> impl Future<Output = Result<String>> + Send;
}

/// Fills the empty database of a new server; the snapshot room knows how.
pub trait Fill: Sync {
    /// What the data folder begins as.
    fn origin(&self) -> Result<Origin> {
        Ok(Origin::New)
    }

    /// What of a copied server's `postgresql.conf` stays in force.
    fn inherits(&self, _conf: &str) -> Inherited {
        Inherited::default()
    }

    /// What the list of the cache calls it; None: nothing in particular.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Restores everything and leaves nothing running.
    fn fill<T: Tools>(
        &self,
        endpoint: &Endpoint,
        tools: &T,
        watch: &dyn Watch,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// A running server that ends with `stop`.
///
/// Every provider has `prepare` (a restored base in the cache, made by `Fill` only where absent)
/// and `start` (a fresh clone of it, running, answering queries).
pub trait RunningStage: Sized + Send {
    /// How to reach it.
    fn endpoint(&self) -> &Endpoint;
    /// The last lines of the server's log, as far as they may be shown.
    fn log_tail(&self) -> impl Future<Output = Vec<String>> + Send;
    /// Ends the server and removes what it used.
    fn stop(self) -> impl Future<Output = Result<()>> + Send;
    /// Leaves it running; says how to connect and how to end it.
    fn keep(self) -> String;
}
