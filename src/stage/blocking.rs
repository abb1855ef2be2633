//! Work that blocks: on a thread of its own, told how far it is, and ended with whoever waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::Watch;
use crate::{Error, Result};

/// Asks work to stop, and says how far it is.
#[derive(Debug, Default)]
pub(super) struct Stop {
    asked: AtomicBool,
    done: AtomicU64,
}

impl Stop {
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Bytes that are done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts, and says whether to go on.
    pub fn goes_on(&self, bytes: u64) -> bool {
        self.add(bytes);
        !self.is_asked()
    }
}

/// Runs work on a thread of its own and tells how far it is. Dropping the future ends the work before it
/// returns.
pub(super) async fn on_threads<T: Send + 'static>(
    stop: Arc<Stop>,
    watch: &dyn Watch,
    total: u64,
    work: impl FnOnce(&Stop) -> Result<T> + Send + 'static,
) -> Result<T> {
    /// Nothing may be written into a folder that its owner is about to remove.
    struct Ending {
        stop: Arc<Stop>,
        ended: mpsc::Receiver<()>,
    }
    impl Drop for Ending {
        fn drop(&mut self) {
            self.stop.ask();
            let _ = self.ended.recv();
        }
    }
    let (alive, ended) = mpsc::channel::<()>();
    let ending = Ending {
        stop: Arc::clone(&stop),
        ended,
    };
    let working = tokio::task::spawn_blocking(move || {
        let _alive = alive;
        work(&stop)
    });
    tokio::pin!(working);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            outcome = &mut working => {
                return outcome
                    .map_err(|error| Error::defect("work on files broke off").because(error))?;
            }
            _ = ticks.tick() => watch.advance(ending.stop.done(), Some(total)),
        }
    }
}
