//! The local provider on real server programs.
#![allow(clippy::print_stderr)]
#![allow(clippy::disallowed_methods, reason = "a test may read a clock")]

#[path = "../local_support/mod.rs"]
mod local_support;

mod bases;
mod places;
mod servers;
mod sweeps;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use local_support::*;
use lockproof::Result;
use lockproof::stage::local::{Kept, Local, list, remove_base, sweep};
use lockproof::stage::watch::Unwatched;
use lockproof::stage::{
    CloneMethod, Endpoint, Fill, Host, Request, RunningStage, Secret, Tools, Watch,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const TABLE: &str = "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) AS n";

fn socket_folder(endpoint: &Endpoint) -> PathBuf {
    match &endpoint.host {
        Host::Unix(folder) => folder.clone(),
        Host::Tcp(host) => panic!("no socket: {host}"),
    }
}

/// The process ids of servers with something of this folder on their command line.
fn servers_in(folder: &Path) -> Vec<u32> {
    let folder = folder.display().to_string();
    names(Path::new("/proc"))
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&folder))
        })
        .collect()
}
