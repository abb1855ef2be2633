//! Somebody who reads a table in a transaction, so that the step has to wait for its lock; goes away a
//! given time after the step was seen to wait.

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

use lockproof::stage::Endpoint;
use tokio::sync::oneshot;
use tokio_postgres::{Client, NoTls};

use crate::Outcome;
use crate::cases::Case;

/// Readers at work.
pub struct Readers {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Readers {
    /// One for each case that wants one; returns when they all read.
    pub fn begin(endpoint: &Endpoint, cases: &[Case]) -> Outcome<Self> {
        let wanted: BTreeMap<String, Duration> = cases
            .iter()
            .filter_map(|case| case.blocked.clone())
            .collect();
        let endpoint = endpoint.clone();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = read(&endpoint, wanted, ready) => result,
                    _ = stopped => Ok(()),
                }
            })
        });
        // An error of its own is told when it is joined.
        let _ = is_ready.recv();
        Ok(Self { stop, thread })
    }

    /// Ends those that nobody came to wait for.
    pub fn end(self) -> Outcome {
        let _ = self.stop.send(());
        match self.thread.join() {
            Ok(result) => Ok(result?),
            Err(_) => Err("a reader panicked".into()),
        }
    }
}

async fn read(
    endpoint: &Endpoint,
    wanted: BTreeMap<String, Duration>,
    ready: std::sync::mpsc::Sender<()>,
) -> Result<(), tokio_postgres::Error> {
    let looker = connect(endpoint).await?;
    let waiting = looker
        .prepare(
            "SELECT relation::regclass::text FROM pg_locks \
             WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation IS NOT NULL",
        )
        .await?;
    let mut readers = BTreeMap::new();
    for (table, stays) in wanted {
        let client = connect(endpoint).await?;
        client
            .batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS SHARE MODE"))
            .await?;
        readers.insert(table, (client, stays));
    }
    let _ = ready.send(());
    while !readers.is_empty() {
        for row in looker.query(&waiting, &[]).await? {
            if let Some((client, stays)) = readers.remove(row.get::<_, &str>(0)) {
                tokio::time::sleep(stays).await;
                client.batch_execute("COMMIT").await?;
            }
        }
        // Seldom: a second sampler would be a load of its own.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    Ok(())
}

async fn connect(endpoint: &Endpoint) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = endpoint.config("a reader").connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
