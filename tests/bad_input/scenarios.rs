//! A scenario that cannot be: 2, before anything is started.

use crate::support::Room;

#[track_caller]
fn refused(toml: &str, words: &[&str]) {
    let room = Room::new();
    let scenario = room.scenario(toml);
    room.run(&scenario, &[]).expect(2, words);
    assert!(room.names("cache").is_empty(), "nothing was started");
    room.assert_clean();
}

#[test]
fn without_steps() {
    refused("", &["scenario.toml", "step", "help:"]);
}

#[test]
fn with_an_unknown_key() {
    refused(
        "[[steps]]\nname = \"a\"\nsql = \"SELECT 1\"\nlock_timout = \"1s\"\n",
        &[
            "line 6",
            "`steps[0].lock_timout`",
            "did you mean `lock_timeout`?",
        ],
    );
}

#[test]
fn with_a_file_that_is_not_there() {
    refused(
        "[[steps]]\nfile = \"01_add.sql\"\n",
        &["`steps[0].file`", "01_add.sql", "does not exist"],
    );
}

#[test]
fn with_a_duration_without_a_unit() {
    refused(
        "[[steps]]\nname = \"a\"\nsql = \"SELECT 1\"\ntimeout = \"10\"\n",
        &["`steps[0].timeout`", "unit", "help:"],
    );
}

#[test]
fn with_two_steps_of_one_name() {
    let step = "[[steps]]\nname = \"add\"\nsql = \"SELECT 1\"\n";
    refused(
        &format!("{step}{step}"),
        &["`steps[1]`", "a second step named `add`", "help:"],
    );
}

#[test]
fn that_is_no_toml() {
    refused("[[steps]\n", &["scenario.toml", "line 3", "not valid TOML"]);
}

#[test]
fn a_path_that_is_not_there() {
    let room = Room::new();
    let nowhere = room.path("nowhere");
    room.run(&nowhere, &[])
        .expect(2, &["nowhere", "does not exist"]);
    let empty = room.path("cache");
    room.run(&empty, &[]).expect(2, &["cache", ".sql", "help:"]);
}

#[test]
fn two_outputs_on_one_stream() {
    let room = Room::new();
    let scenario = room.scenario("[[steps]]\nname = \"a\"\nsql = \"SELECT 1\"\n");
    room.run(&scenario, &["--json", "-", "--record", "-"])
        .expect(2, &["`--json` and `--record`", "standard output", "help:"]);
    assert!(room.names("cache").is_empty(), "nothing was started");
}
