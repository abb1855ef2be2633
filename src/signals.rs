//! SIGINT and SIGTERM become a request to stop; a second one ends the process at once, whatever the
//! main thread is busy with: the listening has a thread of its own.

use lockproof::interrupt::{self, Interrupt};
use tokio::signal::unix::{SignalKind, signal};

/// Listens from now on.
pub fn listen() -> lockproof::Result<Interrupt> {
    let (interrupter, interrupt) = interrupt::pair();
    let failed = |error: std::io::Error| {
        lockproof::Error::defect("cannot listen for signals").because(error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(failed)?;
    let entered = runtime.enter();
    let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    drop(entered);
    let listening = async move {
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
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(listening))
        .map_err(failed)?;
    Ok(interrupt)
}

/// The user does not want to wait for the cleaning up.
#[expect(clippy::exit, reason = "asked for by a second signal")]
fn give_up(number: i32) {
    std::process::exit(128 + number);
}
