//! To whom a server process belongs.

use std::collections::BTreeMap;

use crate::clock::Mono;
use crate::pg::names::{DISTURBANCE_PREFIX, MIGRATION_PREFIX, TRAFFIC, WATCHER_PREFIX};
use crate::recording::format::Backend;

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The migration's.
    Migration,
    /// One of lockproof's own watchers'.
    Watcher,
    /// A client's that nothing tells apart from the migration's.
    Unclear,
    /// Somebody else's: autovacuum, another application.
    Foreign,
}

/// Who else may be on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbours {
    /// Nobody: the server was started for this run, so an unknown client is the migration's.
    Nobody,
    /// Anybody.
    Strangers,
}

impl Neighbours {
    /// Strangers on an external stage, nobody elsewhere.
    pub fn of(external: bool) -> Self {
        if external {
            Self::Strangers
        } else {
            Self::Nobody
        }
    }
}

/// What was learnt of server processes, in the order in which it was seen.
#[derive(Debug, Default)]
pub struct Backends {
    by_pid: BTreeMap<i32, Vec<(Mono, Backend)>>,
}

impl Backends {
    /// A process was seen so.
    pub fn saw(&mut self, at: Mono, backend: Backend) {
        self.by_pid
            .entry(backend.pid)
            .or_default()
            .push((at, backend));
    }

    /// Everything that a process was seen as.
    pub fn sightings(&self, pid: i32) -> &[(Mono, Backend)] {
        self.by_pid.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// The leader of a parallel worker; None for all others.
    pub fn leader(&self, pid: i32) -> Option<i32> {
        let (_, backend) = self.sightings(pid).last()?;
        backend.leader.filter(|leader| *leader != pid)
    }

    /// Whose a process is that is no worker of another, unless lockproof drives it itself.
    ///
    /// Where nothing is known of it, it is the migration's: a gate fails closed.
    pub fn owner(&self, pid: i32, neighbours: Neighbours) -> Owner {
        // A prepared transaction has no process; only the migration prepares any.
        if pid == 0 {
            return Owner::Migration;
        }
        let Some((_, backend)) = self.sightings(pid).last() else {
            return Owner::Migration;
        };
        // A name can be anybody's. That of a program's session is charged to the migration in any case.
        let may_be_ours = backend.ours != Some(false);
        if backend.application.starts_with(MIGRATION_PREFIX) {
            Owner::Migration
        } else if may_be_ours && backend.application.starts_with(WATCHER_PREFIX) {
            Owner::Watcher
        } else if may_be_ours && backend.application == TRAFFIC
            || backend.application.starts_with(DISTURBANCE_PREFIX)
        {
            Owner::Foreign
        } else if backend.backend_type == "client backend" && neighbours == Neighbours::Nobody {
            Owner::Migration
        } else if matches!(backend.backend_type.as_str(), "client backend" | "") {
            // Not every driver takes over PGAPPNAME, and other roles' sessions are shown blank.
            Owner::Unclear
        } else {
            Owner::Foreign
        }
    }
}
