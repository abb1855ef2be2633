//! The image is on its way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;

use crate::engine::{Disk, Engine};
use crate::registry::{Image, Registry, Serves};
use crate::support::{Room, finish, has_image};
use crate::{IMAGE, lockproof_on, run_on};

const STEPS: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n";

/// An engine without any image, and one to be pulled.
fn engine_and_image() -> Option<(Engine, Arc<Image>)> {
    if !has_image(IMAGE) {
        return None;
    }
    let engine = Engine::new(Disk::Here)?;
    Some((engine, Arc::new(Image::saved(IMAGE))))
}

struct Pull<'a> {
    engine: &'a Engine,
    room: &'a Room,
    scenario: PathBuf,
    registry: Registry,
}

impl<'a> Pull<'a> {
    fn new(engine: &'a Engine, room: &'a Room, image: &Arc<Image>, serves: Serves) -> Self {
        Self {
            engine,
            room,
            scenario: room.scenario(STEPS),
            registry: Registry::new(image, serves),
        }
    }

    fn command(&self) -> Command {
        let image = self.registry.image();
        run_on(self.engine, self.room, &image, &self.scenario, &[])
    }
}

/// No container, no volume, no image, no file.
#[track_caller]
fn assert_nothing(engine: &Engine, room: &Room) {
    assert!(engine.holds().is_empty(), "{:?}", engine.holds());
    let images = engine.says(&["images", "-aq"]);
    assert!(images.is_empty(), "{images:?}");
    room.assert_clean();
}

#[test]
fn an_engine_that_ends_in_a_pull_is_named_with_the_image() {
    let Some((mut engine, image)) = engine_and_image() else {
        return;
    };
    let room = Room::new();
    let pull = Pull::new(&engine, &room, &image, Serves::Slowly);
    let name = pull.registry.image();
    let mut run = room.start(pull.command());
    run.says(&format!("pulling the image `{name}` ("));
    // With how far it is.
    run.says(" MB/s");
    let registry = pull.registry;
    engine.unplug();
    let host = engine.host();
    run.end().expect(
        3,
        &[
            &format!(
                "the container engine at `{host}` was lost when it was to pull the image `{name}`: "
            ),
            "help: start it again",
        ],
    );
    room.assert_clean();
    drop(registry);
    // Nor is there an engine for the next one, until it is started.
    let path: &Path = &room.path("scenario");
    finish(run_on(&engine, &room, IMAGE, path, &[]))
        .expect(3, &[&format!("no container engine answers at `{host}`: ")]);
    engine.start();
    lockproof_on(&engine, &room, &["clean"]).expect(0, &[]);
    assert_nothing(&engine, &room);
}

#[test]
fn a_registry_that_is_ill_is_told_and_a_good_one_serves() {
    let Some((engine, image)) = engine_and_image() else {
        return;
    };
    let room = Room::new();
    for (serves, cause) in [
        (Serves::Status("404 Not Found"), "manifest unknown"),
        (
            Serves::Status("500 Internal Server Error"),
            "500 Internal Server Error",
        ),
        (Serves::Half, "EOF"),
    ] {
        let pull = Pull::new(&engine, &room, &image, serves);
        let name = pull.registry.image();
        let unavailable =
            format!("the image `{name}` is not on this machine and cannot be pulled: ");
        let ran = finish(pull.command());
        ran.expect(3, &[&unavailable, cause, "help: pull it by hand"]);
        assert_nothing(&engine, &room);
    }

    // It says nothing more, and the engine waits: so does lockproof, until it is told not to.
    let pull = Pull::new(&engine, &room, &image, Serves::Stalling);
    let mut run = room.start(pull.command());
    run.says(" 0 B/s");
    run.signalled(Signal::SIGINT)
        .expect(130, &["interrupted by signal 2"]);
    drop(pull);
    assert_nothing(&engine, &room);

    let pull = Pull::new(&engine, &room, &image, Serves::Whole);
    let name = pull.registry.image();
    finish(pull.command()).expect(
        0,
        &[
            &format!("pulling the image `{name}`"),
            &format!("stage: a container of {name} (PostgreSQL 15)"),
            "verdict: within",
        ],
    );
    room.assert_clean();
    lockproof_on(&engine, &room, &["clean", "--all"]).expect(0, &["removed volume"]);
    assert!(engine.holds().is_empty(), "{:?}", engine.holds());
}
