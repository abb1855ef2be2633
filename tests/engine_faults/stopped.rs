//! The plug is pulled, or the daemon alone ends or freezes, at a moment of a run.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::engine::{Disk, Engine};
use crate::support::{Ran, Room, finish};
use crate::{IMAGE, engine_with_image, lockproof_on, run_on};

const STEPS: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
                     [[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(${seconds})\"\n\
                     [variables]\nseconds = 0\n";

/// Said while the snapshot is restored, and not where its base is there already.
const RESTORING: &str = "with `generate.sql`";

/// What a run leaves that ended well: the base, and nothing else.
fn is_only_a_base(held: &[String]) -> bool {
    matches!(held, [only] if only.starts_with("lockproof-base-"))
}

/// A room on an engine of its own.
struct Scene {
    engine: Engine,
    room: Room,
    scenario: PathBuf,
}

impl Scene {
    /// Its snapshot takes so long to restore that there is a middle.
    fn new() -> Option<Self> {
        let engine = engine_with_image(Disk::Here)?;
        let room = Room::with("SELECT pg_sleep(3);");
        let scenario = room.scenario(STEPS);
        Some(Self {
            engine,
            room,
            scenario,
        })
    }

    /// To its end, and within.
    #[track_caller]
    fn run_well(&self) -> Ran {
        let ran = finish(run_on(&self.engine, &self.room, IMAGE, &self.scenario, &[]));
        ran.expect(0, &["verdict: within"]);
        let held = self.engine.holds();
        assert!(is_only_a_base(&held), "{held:?}");
        self.room.assert_clean();
        ran
    }

    /// Runs, does something to the engine after these words, and waits for the end.
    #[track_caller]
    fn struck(&mut self, words: &str, seconds: u32, strike: impl FnOnce(&mut Engine)) -> Ran {
        let wait = format!("seconds={seconds}");
        let arguments = ["--var", &wait, "--record", "run.jsonl"];
        let command = run_on(&self.engine, &self.room, IMAGE, &self.scenario, &arguments);
        let mut run = self.room.start(command);
        run.says(words);
        strike(&mut self.engine);
        let ran = run.end();
        self.room.assert_clean();
        ran
    }

    /// Pulls the plug after these words: the run ends by it, and says so.
    #[track_caller]
    fn unplugged(&mut self, words: &str, seconds: u32) {
        let ran = self.struck(words, seconds, Engine::unplug);
        let lost = format!("the container engine at `{}` was lost", self.engine.host());
        ran.expect(3, &[&lost, "help: start it again", "`lockproof clean`"]);
        self.engine.start();
    }

    #[track_caller]
    fn clean(&self) {
        lockproof_on(&self.engine, &self.room, &["clean"]).expect(0, &[]);
    }

    /// What was recorded up to there is a recording of a lost stage, and what was proved stays so.
    #[track_caller]
    fn assert_judged(&self) {
        let judged = self.room.lockproof(&["judge", "run.jsonl"]);
        judged.expect(3, &["was lost", "long sql –"]);
        let add = judged.stdout.lines().find(|line| line.starts_with("add"));
        assert!(add.is_some_and(|add| add.contains("within")), "{judged:?}");
    }
}

#[test]
fn while_the_snapshot_is_restored() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    // Nobody has to clean: what is half-made is not taken for a base.
    scene.unplugged(RESTORING, 0);
    assert!(!scene.engine.holds().is_empty());
    scene.run_well().expect(0, &["was interrupted", RESTORING]);
    lockproof_on(&scene.engine, &scene.room, &["clean", "--all"]).expect(0, &[]);

    for words in [RESTORING, "writing the base to disk"] {
        scene.unplugged(words, 0);
        scene.clean();
        let held = scene.engine.holds();
        // The last moment may be past the one from which on a base is whole.
        let is_whole = words != RESTORING && is_only_a_base(&held);
        assert!(held.is_empty() || is_whole, "{words}: {held:?}");
        // The same base twice would tell nothing new.
        if words != RESTORING {
            let restored = scene.run_well().said().contains(RESTORING);
            assert_eq!(restored, !is_whole, "{words}");
        }
    }
}

#[test]
fn while_the_base_is_cloned_and_its_clone_is_used() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.run_well().expect(0, &[RESTORING]);
    for words in ["cloning the base", "starting the server", "step 2 of 2"] {
        scene.unplugged(words, 600);
        if words == "step 2 of 2" {
            scene.assert_judged();
        }
        scene.clean();
        let held = scene.engine.holds();
        assert!(is_only_a_base(&held), "{words}: {held:?}");
        // And it is as good as before.
        let again = scene.run_well();
        assert!(!again.said().contains(RESTORING), "{words}: {again:?}");
    }
}

#[test]
fn the_daemon_alone_while_its_containers_live_on() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.run_well();
    // The server is reached by its own socket: what runs on it is not disturbed, only what is left cannot be removed.
    let ran = scene.struck("step 2 of 2", 2, |engine| engine.daemon(Signal::SIGKILL));
    let lost = format!("the container engine at `{}` was lost", scene.engine.host());
    ran.expect(0, &["verdict: within", &lost, "help: start it again"]);
    scene.engine.restore_daemon();
    scene.clean();
    let held = scene.engine.holds();
    assert!(is_only_a_base(&held), "{held:?}");

    // It is there and says nothing: the server does, so there is a verdict, and an end.
    let ran = scene.struck("step 2 of 2", 2, |engine| engine.daemon(Signal::SIGSTOP));
    ran.expect(
        0,
        &[
            "verdict: within",
            "was lost while it was at work: it does not answer",
        ],
    );
    scene.engine.daemon(Signal::SIGCONT);
    scene.clean();
    let held = scene.engine.holds();
    assert!(is_only_a_base(&held), "{held:?}");
    scene.run_well();
}
