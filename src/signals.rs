//! SIGINT and SIGTERM become a request to stop; a second one ends the process at once.

use lockproof::interrupt::{self, Interrupt};
use tokio::signal::unix::{SignalKind, signal};

/// Listens from now on.
pub fn listen() -> lockproof::Result<Interrupt> {
    let (interrupter, interrupt) = interrupt::pair();
    let stream = |kind: SignalKind| {
        signal(kind)
            .map_err(|error| lockproof::Error::defect("cannot listen for signals").because(error))
    };
    let mut int = stream(SignalKind::interrupt())?;
    let mut term = stream(SignalKind::terminate())?;
    tokio::spawn(async move {
        for times in 1.. {
            let number = tokio::select! {
                _ = int.recv() => SignalKind::interrupt().as_raw_value(),
                _ = term.recv() => SignalKind::terminate().as_raw_value(),
            };
            interrupter.interrupt(number);
            if times > 1 {
                give_up(number);
            }
        }
    });
    Ok(interrupt)
}

/// The user does not want to wait for the cleaning up.
#[expect(clippy::exit, reason = "asked for by a second signal")]
fn give_up(number: i32) {
    std::process::exit(128 + number);
}
