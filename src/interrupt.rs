//! A request to stop, seen by everything that waits. The library installs no signal handler; the
//! command does, and tells here.

use tokio::sync::watch;

/// The side that asks.
#[derive(Debug)]
pub struct Interrupter(watch::Sender<Option<i32>>);

/// The side that is asked.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<Option<i32>>);

/// Makes both sides.
pub fn pair() -> (Interrupter, Interrupt) {
    let (sender, receiver) = watch::channel(None);
    (Interrupter(sender), Interrupt(receiver))
}

impl Interrupter {
    /// Asks everything to stop because of this signal.
    pub fn interrupt(&self, signal: i32) {
        self.0.send_replace(Some(signal));
    }
}

impl Interrupt {
    /// One that never comes.
    pub fn never() -> Self {
        pair().1
    }

    /// The signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        *self.0.borrow()
    }

    /// Waits for the signal, for ever if none can come.
    pub async fn wait(&self) -> i32 {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(signal) => signal.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}
