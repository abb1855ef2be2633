//! Where the engine's volumes lie on a file system that shares blocks, a clone is one that does.

use crate::engine::{Disk, Engine};
use crate::support::{Room, finish};
use crate::{IMAGE, engine_with_image, run_on};

/// Runs twice, the second time on the base that is there; how the clones came about.
fn cloned(engine: &Engine) -> String {
    let room = Room::new();
    let scenario =
        room.scenario("[[steps]]\nname = \"add\"\nsql = \"UPDATE items SET price = price + 1\"\n");
    let method = || {
        let arguments = ["--json", "report.json"];
        finish(run_on(engine, &room, IMAGE, &scenario, &arguments)).expect(0, &["verdict: within"]);
        let method = room.json("report.json")["stage"]["clone"]["method"].clone();
        method.as_str().expect("a clone").to_owned()
    };
    let first = method();
    // What a clone writes is not seen in the base: else it would be refused as changed.
    assert_eq!(first, method());
    first
}

#[test]
fn xfs_shares_the_blocks_of_a_base_with_its_clones() {
    let Some(engine) = engine_with_image(Disk::Made("mkfs.xfs")) else {
        return;
    };
    assert_eq!(cloned(&engine), "reflink");
}

#[test]
fn ext4_copies_a_base() {
    let Some(engine) = engine_with_image(Disk::Made("mkfs.ext4")) else {
        return;
    };
    assert_eq!(cloned(&engine), "copy");
}
