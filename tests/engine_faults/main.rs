//! An engine that is stopped, frozen or starved while lockproof pulls, restores, clones and replays.
//!
//! The engine is one of the test's own, so that it can be ended like a machine whose plug is pulled.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod engine;
mod pulling;
mod registry;
mod shared_blocks;
mod stopped;

use std::path::Path;
use std::process::Command;

use engine::{Disk, Engine};
use support::{Ran, Room, finish};

/// The smallest of ours is as good as any.
const IMAGE: &str = "lockproof/postgres:15";

/// An engine with the image; None: there is none to be had.
fn engine_with_image(disk: Disk) -> Option<Engine> {
    if !support::has_image(IMAGE) {
        return None;
    }
    let engine = Engine::new(disk)?;
    engine.load(IMAGE);
    Some(engine)
}

/// A run of the scenario on this engine, with the phases named.
fn run_on(
    engine: &Engine,
    room: &Room,
    image: &str,
    scenario: &Path,
    arguments: &[&str],
) -> Command {
    let all = [&["-v", "--image", image, "--budget", "60s"], arguments].concat();
    let mut command = room.command(&["run", "--stage", "docker"]);
    command
        .arg(scenario)
        .args(all)
        .env("DOCKER_HOST", engine.host());
    command
}

/// Any other command of lockproof's on this engine.
fn lockproof_on(engine: &Engine, room: &Room, arguments: &[&str]) -> Ran {
    let mut command = room.command(arguments);
    command.env("DOCKER_HOST", engine.host());
    finish(command)
}
