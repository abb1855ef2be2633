//! Fills an empty database with a snapshot, whatever it is made of.

use std::sync::OnceLock;

use super::found::Found;
use super::restore::Restore;
use super::underway::Underway;
use super::{Snapshot, Source, apply, facts, inherited, subscriptions};
use crate::stage::connect::connect;
use crate::stage::{Endpoint, Fill, Inherited, Origin, Tools, Unit, Watch};
use crate::{Error, Result};

impl Fill for Snapshot {
    fn origin(&self) -> Result<Origin> {
        Snapshot::origin(self)
    }

    fn inherits(&self, conf: &str) -> Inherited {
        inherited::inherited(conf)
    }

    fn name(&self) -> Option<&str> {
        Some(&self.manifest.name)
    }

    async fn fill<T: Tools>(
        &self,
        endpoint: &Endpoint,
        tools: &T,
        watch: &dyn Watch,
    ) -> Result<()> {
        let found = Found::default();
        let travels = &self.manifest.travels;
        let client = connect(endpoint, "lockproof restore").await?;
        apply::roles(&client, travels, &found, watch).await?;
        match &self.manifest.source {
            Source::Generator { files } => {
                for file in files {
                    self.generate(endpoint, file, watch).await?;
                }
            }
            Source::Hooks(_) => {
                return Err(Error::defect("a snapshot of hooks was to be restored"));
            }
            Source::Dump { file, filtered } => {
                let restore = Restore {
                    snapshot: self,
                    file: self.folder.join(file),
                    filtered,
                    endpoint,
                    tools,
                    watch,
                    found: &found,
                    is_newer: OnceLock::new(),
                };
                restore.run().await?;
            }
            // It is whole, and keeps its bloat and its statistics.
            Source::Physical { .. } | Source::Image { .. } | Source::Volume { .. } => {}
        }
        // Whatever they were restored from.
        subscriptions::detach(&client, &found, watch).await?;
        if self.manifest.restore.analyze && !self.manifest.source.is_physical() {
            watch.measured("vacuuming and analyzing the tables", Unit::Bytes);
            // Vacuumed as well, as on a server long in use: else the first scans under a lock
            // would set every row's hint bits, and autovacuum would visit each table in the run.
            // The checkpoint first: where commits are asynchronous, VACUUM cannot call rows visible
            // whose commit is not yet written.
            let vacuumed = async {
                client.batch_execute("CHECKPOINT").await?;
                client.batch_execute("VACUUM (ANALYZE)").await
            };
            tokio::select! {
                vacuumed = vacuumed => vacuumed.map_err(|error| {
                    Error::stage("the restored tables cannot be analyzed").because(error)
                })?,
                never = Underway::tell_vacuum(endpoint, watch) => match never {},
            }
        }
        found.counted(facts::count(&client).await?);
        // A session from here on has the settings: this one is from before.
        apply::settings(&client, &endpoint.database, travels, &found, watch).await?;
        found.remember(&client, &endpoint.database).await
    }
}
