//! A server that somebody else runs: how to reach it, and whether it may be production.
//!
//! What is typed, a service file, the environment and libpq's defaults say where it is and who
//! connects, in this order, as `psql` would read them. Nothing is connected to here.

mod account;
mod interlock;
mod names;
mod parameters;
mod passfile;
mod read;
mod service;
mod settle;
mod url;

pub(super) use interlock::refuse_listed;
pub use interlock::{Looked, Suspicion, Taken, examine, listed, refuse, taken};
pub use names::Names;

use crate::Result;
use crate::stage::Endpoint;

/// Whether this is the way to a server: a `postgres://` URL, or libpq's `host=… dbname=…`.
pub fn is_address(typed: &str) -> bool {
    url::is_url(typed) || url::is_pairs(typed)
}

/// Reads `postgres://user:password@host:port/database?…` or `service=… dbname=…`; what is left out is
/// as libpq has it.
///
/// # Errors
/// It cannot be read, or a file that it leads to; no message of it has a part that could be the
/// password.
pub fn parse(typed: &str) -> Result<Endpoint> {
    settle::settle(
        typed,
        &Around {
            variable: &variable,
            account: &account::name,
        },
    )
}

/// The files that this text, the environment and libpq's defaults lead to, each with what it is.
pub fn files_around(typed: Option<&str>) -> Vec<(&'static str, std::path::PathBuf)> {
    read::files(
        typed,
        &Around {
            variable: &variable,
            account: &account::name,
        },
    )
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What is read beside the text itself.
struct Around<'a> {
    /// A variable of the environment; None: unset or empty.
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// The name of the account that this process runs under.
    account: &'a dyn Fn() -> Option<String>,
}

impl Around<'_> {
    /// A file in the user's home folder; None: there is no such folder.
    fn at_home(&self, file: &str) -> Option<std::path::PathBuf> {
        let home = std::path::PathBuf::from((self.variable)("HOME")?);
        Some(home.join(file))
    }
}
