//! Options that several commands have: each stands here once, with its variable and its help.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{Network, Profile, secret};
use crate::stage::Secret;

/// The cache folder.
#[derive(Debug, Clone, Default, Args)]
pub struct Cache {
    /// Where restored snapshots are kept [default: ~/.cache/lockproof, for root /var/cache/lockproof]
    #[arg(
        id = "cache",
        long = "cache",
        env = "LOCKPROOF_CACHE",
        value_name = "DIR"
    )]
    pub folder: Option<PathBuf>,
}

/// Which server a stage of lockproof's own, or of somebody else, is; `snapshot create` words some of it
/// in its own way.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Stage")]
pub struct Place {
    /// Where to run: auto, docker, local or postgres://USER@HOST/DATABASE [default: auto]
    ///
    /// auto: a container where an engine and an image are at hand, otherwise the server binaries of
    /// this machine. A URL names a server that somebody else runs; it is taken as it is found and
    /// nothing is restored into it. libpq's `service=NAME` and `host=… dbname=…` are taken as well, and
    /// its variables and files say what is left out. A URL with a password belongs into the
    /// environment variable: everybody on the machine can read a command line.
    #[arg(long, env = "LOCKPROOF_STAGE", hide_env_values = true)]
    #[arg(value_name = "WHERE", value_parser = secret)]
    pub stage: Option<Secret>,
    /// The container image [default: postgres of the snapshot's major version]
    #[arg(long, env = "LOCKPROOF_IMAGE")]
    pub image: Option<String>,
    /// A folder of server binaries (initdb, postgres) to use [default: searched for]
    #[arg(long, env = "LOCKPROOF_PG_BIN", value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// What the stage's server and the programs of steps may reach [default: closed]
    ///
    /// closed: the stage and nothing else, so that a trigger, a foreign server or a program cannot get
    /// to production. Where this machine does not allow that, it is said, and the report says it. A
    /// step's own `network` goes before it.
    #[arg(long, env = "LOCKPROOF_NETWORK", value_name = "HOW", value_enum)]
    pub network: Option<Network>,
}

/// What fails besides a budget that was exceeded.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Judgement")]
pub struct Strictness {
    /// Budgets of what applications feel, where the scenario sets none
    ///
    /// strict: ACCESS EXCLUSIVE from asked to released 500ms, the longest wait behind the migration 500ms;
    /// with traffic no request lost and no p99 grown by more than 100ms.
    #[arg(
        long,
        env = "LOCKPROOF_PROFILE",
        value_name = "NAME",
        help_heading = "Judgement"
    )]
    #[arg(value_enum)]
    pub profile: Option<Profile>,
    /// Warnings fail their step too
    #[arg(long, env = "LOCKPROOF_STRICT", value_parser = BoolishValueParser::new())]
    pub strict: bool,
    /// End with 0 instead of 5 where nothing is exceeded but something is unproven
    #[arg(long, env = "LOCKPROOF_ALLOW_UNPROVEN", value_parser = BoolishValueParser::new())]
    pub allow_unproven: bool,
}

/// The report's forms, and where each is written.
#[derive(Debug, Clone, Default, Args)]
pub struct Faces {
    /// Write the report as JSON; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.json. Several scenarios need
    /// either; on standard output their reports follow each other in the order of the command line.
    #[arg(
        long,
        env = "LOCKPROOF_JSON",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub json: Option<PathBuf>,
    /// Write the report as a page with a picture of it; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.html. Several scenarios need
    /// either. The page loads nothing from elsewhere.
    #[arg(
        long,
        env = "LOCKPROOF_HTML",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub html: Option<PathBuf>,
    /// Write the report as Markdown, for a comment on a change; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.md. Several scenarios need
    /// either; on standard output their reports follow each other in the order of the command line.
    #[arg(
        long,
        env = "LOCKPROOF_MARKDOWN",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub markdown: Option<PathBuf>,
    /// Write the report as JUnit XML, a test case each step; `-` is standard output
    ///
    /// `{scenario}` in it is the scenario's name, DIR/ gets NAME.xml. Several scenarios need
    /// either.
    #[arg(
        long,
        env = "LOCKPROOF_JUNIT",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub junit: Option<PathBuf>,
}
