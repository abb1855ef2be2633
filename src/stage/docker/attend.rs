//! Work that may take as long as it takes, given up once the engine falls silent meanwhile.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::engine::{Engine, is_lost, reason};
use crate::{Error, Result};

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(5);

/// An engine answers a ping without waiting for any work of its own, so that one that is merely busy
/// never takes so long.
const SILENCE: Duration = Duration::from_secs(30);

impl Engine {
    /// Waits for work without a limit, but not for an engine that is stopped or unplugged: its
    /// connection may stay open for ever without a word.
    pub(super) async fn attended<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            silent = self.silence() => Err(silent),
        }
    }

    /// Ends when nothing was heard of the engine for so long, however often it was asked.
    async fn silence(&self) -> Error {
        let mut heard = Instant::now();
        loop {
            sleep(PAUSE).await;
            let why = match timeout(SILENCE, self.api.ping()).await {
                Ok(Err(error)) if is_lost(&error) => reason(&error),
                Ok(_) => {
                    heard = Instant::now();
                    continue;
                }
                Err(_) => "it does not answer".to_owned(),
            };
            if heard.elapsed() >= SILENCE {
                return self.lost(&format!("while it was at work: {why}"));
            }
        }
    }
}
