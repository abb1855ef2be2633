//! What travels, from `snapshot.toml` to the report, by the real binary.

use crate::support::{On, Room, finish, has_server};

/// A room whose snapshot has these keys beside its source.
fn room(keys: &str) -> Room {
    let room = Room::with("ALTER TABLE items OWNER TO app_owner;");
    let toml = room.read("snapshot/snapshot.toml");
    room.file("snapshot/snapshot.toml", format!("{keys}\n{toml}"));
    room.file(
        "snapshot/globals.sql",
        "CREATE ROLE app_owner;\n\
         ALTER ROLE app_owner WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:aaaa';\n\
         ALTER ROLE app_owner SET lock_timeout TO '2s';\n\
         ALTER ROLE app_owner SET \"TimeZone\" TO 'Asia/Tokyo';\n",
    );
    room.file(
        "snapshot/pg.conf",
        "work_mem = 63MB\nmaintenance_work_mem = 65MB\nrandom_page_cost = 1.25\nport = 1\n",
    );
    room
}

const KEYS: &str = "globals = 'globals.sql'\nsettings = 'pg.conf'\nrole = 'app_owner'\n";

#[test]
fn the_migration_s_sessions_have_production_s_settings_and_the_report_shows_them() {
    if !has_server() {
        return;
    }
    let room = room(&format!(
        "{KEYS}taken_at = '2026-01-01T00:00:00Z'\npartial = [{{ table = 'items', where = 'id > 7' }}]\n"
    ));
    let scenario = room.scenario(
        "warmth = 'cold'\n[stage.settings]\nmaintenance_work_mem = '66MB'\n\
         [[steps]]\nname = 'as'\nsql = \"\"\"DO $$ BEGIN ASSERT session_user = 'app_owner'; \
         ASSERT current_setting('lock_timeout') = '2s'; \
         ASSERT current_setting('random_page_cost') = '1.25'; END $$\"\"\"\n\
         [[steps]]\nname = 'alter'\nsql = 'ALTER TABLE items ADD COLUMN flag boolean'\n\
         [[steps]]\nname = 'command'\nmay_do_nothing = true\nrun = ['sh', '-c', 'psql -Xqc COMMIT 2>&1; echo $PGUSER $DATABASE_URL']\n",
    );
    let json = room.path("report.json").display().to_string();
    let arguments = [
        "--json",
        &json,
        "--set",
        "work_mem=64MB",
        "--allow-unproven",
    ];
    let ran = finish(room.run_command(On::Local, &scenario, &arguments));
    ran.expect(
        0,
        &[
            "snapshot, since a stage has no use for it: `port`",
            "stage local server, PostgreSQL",
            ", as app_owner",
            "days ago: stale); cold cache; partial: items",
        ],
    );
    let report = room.json("report.json");
    for (pointer, expected) in [
        ("/stage/role", "app_owner"),
        ("/stage/warmth", "cold"),
        ("/stage/settings/lock_timeout", "2000ms"),
        ("/stage/settings/TimeZone", "Asia/Tokyo"),
        // The command line, then the scenario, then the snapshot.
        ("/stage/settings/work_mem", "65536kB"),
        ("/stage/settings/maintenance_work_mem", "67584kB"),
        ("/snapshot/copy", "logical"),
        ("/snapshot/partial/0/rows", "id > ?"),
        ("/snapshot/database/encoding", "UTF8"),
        ("/snapshot/database/time_zone", "Asia/Tokyo"),
        ("/snapshot/database/collations/0/provider", "libc"),
        ("/snapshot/database/extensions/0/name", "plpgsql"),
    ] {
        let found = report.pointer(pointer).and_then(|value| value.as_str());
        assert_eq!(found, Some(expected), "{pointer}");
    }
    assert_eq!(report.pointer("/snapshot/stale"), Some(&true.into()));
    let whole = report.to_string();
    assert!(whole.contains("holds on these tables prove nothing about production's size"));
    // The role's password is ours, and as secret as the superuser's.
    assert!(
        whole.contains("app_owner postgresql://app_owner:***@"),
        "{whole}"
    );
    assert!(!whole.contains("SCRAM"));
    room.assert_clean();
}

#[test]
fn a_role_may_do_no_more_than_in_production() {
    if !has_server() {
        return;
    }
    let room = room(KEYS);
    let scenario =
        room.scenario("[[steps]]\nname = 'no'\nsql = 'ALTER SYSTEM SET work_mem = 1000'\n");
    let ran = finish(room.run_command(On::Local, &scenario, &[]));
    ran.expect(4, &["permission denied"]);
}

#[test]
fn a_snapshot_that_is_too_old_is_refused_before_anything_is_made() {
    if !has_server() {
        return;
    }
    let room = room(&format!("{KEYS}taken_at = '2026-01-01T00:00:00Z'\n"));
    let steps = "[[steps]]\nname = 'a'\nsql = 'ALTER TABLE items ADD COLUMN a int'\n";
    let scenario = room.scenario(steps);
    let ran = finish(room.run_command(On::Local, &scenario, &["--max-age", "30d"]));
    ran.expect(
        2,
        &[
            "the snapshot `small` is too old",
            "the limit is 30 days",
            "help: ",
        ],
    );
    let limited = room.scenario_named("limited", &format!("max_age = '7d'\n{steps}"));
    finish(room.run_command(On::Local, &limited, &[])).expect(2, &["the limit is 7 days"]);
    assert_eq!(room.names("cache/bases"), Vec::<String>::new());
    // The command line wins.
    let arguments = ["--max-age", "36500d", "--allow-unproven"];
    finish(room.run_command(On::Local, &limited, &arguments)).expect(0, &["days ago)"]);
}

#[test]
fn what_cannot_travel_is_refused_with_its_line() {
    let room = room(KEYS);
    let scenario = room.scenario("[[steps]]\nname = 'a'\nsql = 'SELECT 1'\n");
    room.file("snapshot/pg.conf", "work_mem = 1MB\nfsync = off\n");
    let refused = |words: &[&str]| {
        finish(room.run_command(On::Local, &scenario, &[])).expect(2, words);
    };
    refused(&["snapshot/pg.conf` line 2: `fsync` cannot be off"]);
    room.file("snapshot/pg.conf", "include_dir = 'conf.d'\n");
    refused(&["has an `include_dir` on line 1"]);
    std::fs::remove_file(room.path("snapshot/pg.conf")).expect("removed");
    refused(&["which `settings` of the snapshot names"]);
}
