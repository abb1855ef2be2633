//! How many connections this process opened to each server: what the server counted beyond them is somebody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Endpoint, Host};

/// Connections of this process to one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Attempts that were begun.
    pub begun: i64,
    /// Attempts that became a session.
    pub opened: i64,
    /// Attempts that did not.
    pub failed: i64,
}

static ALL: Mutex<BTreeMap<String, Census>> = Mutex::new(BTreeMap::new());

/// An attempt; one that is dropped has failed.
pub(super) struct Attempt {
    server: String,
    opened: bool,
}

/// Counts an attempt.
pub(super) fn begin(endpoint: &Endpoint) -> Attempt {
    let server = server(endpoint);
    count(&server, |census| census.begun += 1);
    Attempt {
        server,
        opened: false,
    }
}

impl Attempt {
    /// It became a session.
    pub(super) fn opened(mut self) {
        self.opened = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        count(&self.server, |census| match self.opened {
            true => census.opened += 1,
            false => census.failed += 1,
        });
    }
}

/// The connections to this server so far.
pub fn of(endpoint: &Endpoint) -> Census {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.get(&server(endpoint)).copied().unwrap_or_default()
}

/// Processes of this process's own sessions, by server.
static PROCESSES: Mutex<BTreeMap<String, BTreeSet<i32>>> = Mutex::new(BTreeMap::new());

/// A session of ours; its process is known as long as one copy of this lives.
#[derive(Debug, Clone, Default)]
pub(super) struct Session(Arc<Known>);

#[derive(Debug, Default)]
struct Known(Mutex<Option<(String, i32)>>);

impl Session {
    /// Says which process of which server it has.
    pub(super) fn is(&self, endpoint: &Endpoint, process: i32) {
        let server = server(endpoint);
        let mut all = PROCESSES.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(server.clone()).or_default().insert(process);
        drop(all);
        let mut known = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((server, process));
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let known = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((server, process)) = known.take() {
            let mut all = PROCESSES.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(processes) = all.get_mut(&server) {
                processes.remove(&process);
            }
        }
    }
}

/// The server's processes of this process's own sessions: a name can be anybody's, a process cannot.
pub fn processes(endpoint: &Endpoint) -> BTreeSet<i32> {
    let all = PROCESSES.lock().unwrap_or_else(PoisonError::into_inner);
    all.get(&server(endpoint)).cloned().unwrap_or_default()
}

fn count(server: &str, change: impl FnOnce(&mut Census)) {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    change(all.entry(server.to_owned()).or_default());
}

fn server(endpoint: &Endpoint) -> String {
    let host = match &endpoint.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    format!("{host} {}", endpoint.port)
}
