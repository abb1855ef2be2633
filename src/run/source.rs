//! What the stage starts from, with one face: a snapshot, or nothing at all.

use std::path::Path;

use crate::Result;
use crate::plan::SnapshotChoice;
use crate::recording::format::{SnapshotFacts, TableFacts};
use crate::snapshot::Snapshot;
use crate::stage::{Endpoint, Fill, Tools, Watch};

/// What the stage starts from.
#[derive(Debug)]
pub enum Source {
    /// A described snapshot.
    Snapshot(Box<Snapshot>),
    /// An empty database.
    Empty,
    /// Whatever the external server holds.
    AsFound,
}

impl Source {
    /// Reads the description and works out the digest, which `cache` may remember.
    pub async fn load(choice: &SnapshotChoice, cache: &Path, watch: &dyn Watch) -> Result<Self> {
        Ok(match choice {
            SnapshotChoice::Folder { folder, variables } => {
                let snapshot = Snapshot::load_watched(folder, variables, cache, watch).await?;
                Self::Snapshot(Box::new(snapshot))
            }
            SnapshotChoice::Empty => Self::Empty,
            SnapshotChoice::AsFound => Self::AsFound,
        })
    }

    /// The database's name.
    pub fn database(&self) -> String {
        match self {
            Self::Snapshot(snapshot) => snapshot.manifest.database.clone(),
            _ => "lockproof".to_owned(),
        }
    }

    /// The major that the data was taken from, where it is known.
    pub fn major(&self) -> Option<u32> {
        match self {
            Self::Snapshot(snapshot) => snapshot.manifest.server_version,
            _ => None,
        }
    }

    /// Identity of what the base holds.
    pub fn digest(&self) -> String {
        match self {
            Self::Snapshot(snapshot) => snapshot.digest.clone(),
            _ => "empty".to_owned(),
        }
    }

    /// Whether the started stage is to be read into memory first.
    pub fn is_warm(&self) -> bool {
        matches!(self, Self::Snapshot(snapshot) if snapshot.manifest.restore.warm)
    }

    /// For the report.
    pub fn facts(&self, tables: Vec<TableFacts>) -> SnapshotFacts {
        let (name, digest, taken_at) = match self {
            Self::Snapshot(snapshot) => (
                snapshot.manifest.name.clone(),
                Some(snapshot.digest.clone()),
                snapshot.manifest.taken_at.map(|at| at.to_string()),
            ),
            Self::Empty => ("empty".to_owned(), None, None),
            Self::AsFound => ("as found on the server".to_owned(), None, None),
        };
        SnapshotFacts {
            name,
            digest,
            taken_at,
            tables,
        }
    }
}

impl Fill for Source {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Snapshot(snapshot) => snapshot.name(),
            Self::Empty => Some("empty"),
            Self::AsFound => None,
        }
    }

    async fn fill<T: Tools>(
        &self,
        endpoint: &Endpoint,
        tools: &T,
        watch: &dyn Watch,
    ) -> Result<()> {
        match self {
            Self::Snapshot(snapshot) => snapshot.fill(endpoint, tools, watch).await,
            Self::Empty | Self::AsFound => Ok(()),
        }
    }
}
