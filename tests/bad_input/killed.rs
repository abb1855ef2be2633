//! SIGKILL in every phase: then `clean` leaves nothing, and the cache is as good as before.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{On, Room, finish, has_engine, has_server};

const STEPS: &str = "[[steps]]\nname = \"add\"\nsql = \"ALTER TABLE items ADD b int\"\n\
                     [[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(${seconds})\"\n\
                     [variables]\nseconds = 0\n";

/// What a base in the cache is, so that it is seen whether it was made anew.
fn bases(room: &Room) -> BTreeSet<String> {
    let listed = room.lockproof(&["snapshot", "ls", "--json"]);
    listed.expect(0, &[]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let volumes = room.volumes();
    let cache = room.path("cache").display().to_string();
    let all = listed["snapshots"].as_array().expect("a list");
    all.iter()
        .filter(|one| {
            let place = one["place"].as_str().expect("a place");
            place.starts_with(&cache) || volumes.iter().any(|volume| volume == place)
        })
        .map(|one| format!("{} {}", one["place"], one["made_at"]))
        .collect()
}

/// System V segments that one of these processes made.
fn segments(pids: &[i32]) -> Vec<String> {
    let all = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    all.lines()
        .filter(|line| {
            let maker = line.split_whitespace().nth(4);
            maker.is_some_and(|maker| pids.iter().any(|pid| maker == pid.to_string()))
        })
        .map(str::to_owned)
        .collect()
}

/// Kills a run at the moment after these words, cleans, and runs again.
fn killed_at(room: &Room, on: On, words: &str, more: &[&str]) {
    let scenario = room.scenario(STEPS);
    let before = bases(room);
    let asked = [&["-v", "--budget", "60s"], more].concat();
    let mut run = room.start(room.run_command(on, &scenario, &asked));
    run.says(words);
    let pids: Vec<i32> = room.processes().into_iter().map(|(pid, _)| pid).collect();
    // Dropping it kills it.
    drop(run);

    room.lockproof(&["clean"]).expect(0, &[]);
    room.assert_clean();
    let left = segments(&pids);
    assert!(left.is_empty(), "{words}: {left:#?}");
    if on == On::Container {
        room.assert_engine_clean();
        let finished = bases(room);
        for volume in room.volumes() {
            let known = finished.iter().any(|base| base.contains(&volume));
            assert!(known, "{words}: half-made: {volume}");
        }
    }
    let kept = bases(room);
    assert!(kept.is_superset(&before), "{words}: {before:?} {kept:?}");

    let again = finish(room.run_command(on, &scenario, &["--budget", "60s"]));
    again.expect(0, &["verdict: within"]);
    let after = bases(room);
    assert!(after.is_superset(&kept), "{words}: {kept:?} {after:?}");
    assert_eq!(after.len(), 1, "{words}: {after:?}");
    room.assert_clean();
}

#[test]
fn while_the_snapshot_s_files_are_read() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let manifest = room.read("snapshot/snapshot.toml");
    // Nothing on the disk, and some seconds to read.
    let big = room.file("snapshot/big.sql", "");
    let file = fs::File::options().write(true).open(&big).expect("opened");
    file.set_len(40 << 30).expect("stretched");
    room.file(
        "snapshot/snapshot.toml",
        manifest.replace("\"generate.sql\"", "\"generate.sql\", \"big.sql\""),
    );
    let scenario = room.scenario(STEPS);
    let mut run = room.start(room.run_command(On::Local, &scenario, &["-v"]));
    run.says("reading the snapshot's files");
    drop(run);
    room.lockproof(&["clean"]).expect(0, &[]);
    room.assert_clean();
    // An orderly end does not wait for the rest of the file either.
    let mut run = room.start(room.run_command(On::Local, &scenario, &["-v"]));
    run.says("reading the snapshot's files");
    run.signalled(nix::sys::signal::Signal::SIGINT)
        .expect(130, &["interrupted"]);
    room.file("snapshot/snapshot.toml", manifest);
    room.run(&scenario, &["--budget", "60s"])
        .expect(0, &["verdict: within"]);
}

#[test]
fn in_every_phase_of_a_local_stage() {
    if !has_server() {
        return;
    }
    for words in [
        "making a database cluster",
        "with `generate.sql`",
        "writing the restored data to the disk",
    ] {
        killed_at(&Room::new(), On::Local, words, &[]);
    }
    // From here on the base is finished, and used again.
    let room = Room::new();
    for words in [
        "copying the restored data",
        "starting the server",
        "step 2 of 2",
    ] {
        killed_at(&room, On::Local, words, &["--var", "seconds=600"]);
    }
}

#[test]
fn in_every_phase_of_a_container_stage() {
    if !has_engine() {
        return;
    }
    for words in [
        "starting the server that the snapshot is restored into",
        "with `generate.sql`",
        "writing the base to disk",
    ] {
        killed_at(&Room::new(), On::Container, words, &[]);
    }
    let room = Room::new();
    for words in ["cloning the base", "starting the server", "step 2 of 2"] {
        killed_at(&room, On::Container, words, &["--var", "seconds=600"]);
    }
}

/// A tablespace lies outside the data folder: the next replay's server would find its files in the way.
#[test]
fn a_migration_s_tablespace_goes_with_its_clone() {
    if !has_server() {
        return;
    }
    let room = Room::new();
    let place = room.path("space");
    fs::create_dir(&place).expect("made");
    // The server's account makes its files there.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&place, open).expect("opened");
    if nix::unistd::Uid::effective().is_root() {
        crate::support::output("chown", &["postgres:", &place.display().to_string()]);
    }
    let made = format!(
        "[[steps]]\nname = \"space\"\nwrap = \"autocommit\"\n\
         sql = \"CREATE TABLESPACE s LOCATION '{}'; CREATE TABLE t (id int) TABLESPACE s; SELECT pg_sleep(${{seconds}})\"\n\
         [variables]\nseconds = 0\n",
        place.display()
    );
    let scenario = room.scenario(&made);
    room.run(&scenario, &["--budget", "60s", "--repeat", "2"])
        .expect(0, &["verdict: within"]);
    let left = || fs::read_dir(&place).expect("readable").count();
    assert_eq!(left(), 0);
    let asked = ["-v", "--budget", "60s", "--var", "seconds=600"];
    let run = room.start(room.run_command(On::Local, &scenario, &asked));
    let made = || left() == 1;
    assert!(
        crate::support::within(std::time::Duration::from_secs(60), made),
        "{}",
        run.stderr()
    );
    drop(run);
    room.lockproof(&["clean"]).expect(0, &[]);
    assert_eq!(left(), 0);
    room.assert_clean();
}

#[test]
fn while_a_snapshot_is_made() {
    if !has_server() {
        return;
    }
    let server = crate::support::server::Server::with_app("CREATE TABLE t AS SELECT 1 AS id");
    let room = Room::new();
    // `pg_dump` waits for the table.
    let mut busy = server.interactive("app", "BEGIN; LOCK TABLE t");
    let url = server.url("postgres");
    let to = room.path("snapshots/app").display().to_string();
    let run = room.start(room.command(&["snapshot", "create", "--from", &url, "--to", &to]));
    let begun = || !room.names("snapshots").is_empty();
    assert!(
        crate::support::within(std::time::Duration::from_secs(60), begun),
        "{}",
        run.stderr()
    );
    drop(run);
    room.lockproof(&["clean"])
        .expect(0, &["removed ", ".lockproof-creating-app-"]);
    assert_eq!(room.names("snapshots"), [] as [&str; 0]);
    room.lockproof(&["clean"])
        .expect(0, &["nothing was left behind"]);
    busy.kill().expect("ended");
    busy.wait().expect("gone");
}
