//! What the stage starts from, with one face: a snapshot, or nothing at all.

use std::path::Path;

use super::age::Age;
use crate::Result;
use crate::plan::{Literals, SnapshotChoice, Warmth};
use crate::recording::format::{
    CopyKind, DatabaseFacts, PartialTable, Reach, SnapshotFacts, TableFacts,
};
use crate::redact;
use crate::snapshot::Source::Hooks;
use crate::snapshot::{Manifest, Partial, Snapshot};
use crate::stage::{Endpoint, Fill, Inherited, Origin, Tools, Watch};

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
            Self::Snapshot(snapshot) => snapshot.major(),
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

    /// Its description; None: there is none.
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Snapshot(snapshot) => Some(&snapshot.manifest),
            Self::Empty | Self::AsFound => None,
        }
    }

    /// What of the data is to be in memory when a replay begins, as the snapshot has it.
    pub fn warmth(&self) -> Warmth {
        match self.manifest() {
            Some(manifest) if manifest.restore.warm => Warmth::Warm,
            _ => Warmth::AsIs,
        }
    }

    /// The role that the migration runs as; None: the one of the endpoint.
    pub fn role(&self) -> Option<&str> {
        self.manifest()?.travels.role.as_deref()
    }

    /// For the report.
    pub fn facts(
        &self,
        tables: Vec<TableFacts>,
        database: DatabaseFacts,
        reaches: Vec<Reach>,
        age: Age,
        literals: Literals,
    ) -> SnapshotFacts {
        let copy = |manifest: &Manifest| {
            if manifest.source.is_physical() {
                CopyKind::Physical
            } else {
                CopyKind::Logical
            }
        };
        let partial = |partial: &Partial| PartialTable {
            table: partial.table.clone(),
            rows: partial
                .rows
                .as_ref()
                .map(|rows| redact::sql::shown(rows, literals)),
        };
        let (name, digest, taken_at) = match self {
            Self::Snapshot(snapshot) => (
                snapshot.manifest.name.clone(),
                // What a clone holds, nobody has read.
                (!matches!(snapshot.manifest.source, Hooks(_))).then(|| snapshot.digest.clone()),
                snapshot.manifest.taken_at.map(|at| at.to_string()),
            ),
            Self::Empty => ("empty".to_owned(), None, None),
            Self::AsFound => ("as found on the server".to_owned(), None, None),
        };
        SnapshotFacts {
            name,
            digest,
            taken_at,
            age_days: age.days,
            stale: age.stale,
            copy: self.manifest().map(copy),
            partial: self
                .manifest()
                .map(|manifest| manifest.travels.partial.iter().map(partial).collect())
                .unwrap_or_default(),
            database: Some(Box::new(database)),
            reaches,
            tables,
        }
    }
}

impl Fill for Source {
    fn origin(&self) -> Result<Origin> {
        match self {
            Self::Snapshot(snapshot) => snapshot.origin(),
            Self::Empty | Self::AsFound => Ok(Origin::New),
        }
    }

    fn inherits(&self, conf: &str) -> Inherited {
        match self {
            Self::Snapshot(snapshot) => snapshot.inherits(conf),
            Self::Empty | Self::AsFound => Inherited::default(),
        }
    }

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
