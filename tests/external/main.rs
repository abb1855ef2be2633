//! Servers that somebody else runs: how they are reached, and which are refused.
//!
//! Each test has a server of its own on 127.0.0.1 and runs the real binary with an empty home folder.

#[path = "../support/mod.rs"]
mod support;

mod authority;
mod broken;
mod certificates;
mod command;
mod libpq;
mod modes;
mod production;

use support::server::Server;
use support::{Ran, Room, finish};

const ITEMS: &str = "CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 1000) n";
const STEP: &str =
    "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD COLUMN IF NOT EXISTS b int\"\n";

/// The host that certificates are for; it leads nowhere, so `hostaddr` has to.
const HOST: &str = "db.test";

/// A room whose home folder has nothing in it.
fn room() -> Room {
    let room = Room::new();
    std::fs::create_dir(room.path("home")).expect("a folder");
    room.file("scenario/scenario.toml", STEP);
    room
}

/// Runs the room's scenario on the stage, with nothing of libpq's in the environment but these.
fn run(room: &Room, stage: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = room.command(&["run", "--budget", "60s"]);
    command
        .arg(room.path("scenario"))
        .args(arguments)
        .env("HOME", room.path("home"))
        .env("LOCKPROOF_STAGE", stage)
        .envs(environment.iter().copied());
    finish(command)
}

/// A server whose database `app` is marked as a stage.
fn marked() -> Server {
    let server = Server::with_app(ITEMS);
    server.psql("ALTER DATABASE app SET lockproof.staging = 'on'");
    server
}

/// Whether a run has changed its table.
fn changed(server: &Server) -> bool {
    let column =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'b'";
    server.app(column) == "1"
}
