//! VACUUM, the server's own and the migration's.

use crate::support::report::{ACCESS_EXCLUSIVE, Report, at_least, at_most, list, ran, script, sql};
use crate::support::{Ran, Room, has_server};
use crate::{BUDGET, WITH_BUDGET};

/// A table that no vacuum touches until it is told to; empty of rows, its pages are given back to
/// the disk by the first one.
const BIG: &str = "\
CREATE TABLE big (id int, filler text) WITH (autovacuum_enabled = off);
INSERT INTO big SELECT n, repeat('x', 100) FROM generate_series(1, 300000) AS n;
ALTER TABLE big ADD COLUMN more int;";

/// Waits for what a statistics view is to show of `big`, for half a minute at most.
fn waited_for(condition: &str) -> String {
    format!(
        "DO $$ BEGIN FOR time IN 1..600 LOOP EXIT WHEN {condition}; PERFORM pg_sleep(0.05); \
         PERFORM pg_stat_clear_snapshot(); END LOOP; END $$"
    )
}

fn ran_with_autovacuum(steps: &[String]) -> (Ran, Report) {
    let often = ["--set", "autovacuum_naptime=1s"];
    ran(
        &Room::with(BIG),
        &steps.concat(),
        &[WITH_BUDGET, &often].concat(),
    )
}

#[test]
fn autovacuum_truncation_is_not_charged_to_the_step() {
    if !has_server() {
        return;
    }
    let vacuumed =
        waited_for("(SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'big')");
    let steps = [
        sql("empties", "autocommit", "DELETE FROM big"),
        sql(
            "meanwhile",
            "autocommit",
            &format!(
                "ALTER TABLE big SET (autovacuum_enabled = on); {vacuumed}; SELECT count(*) FROM big"
            ),
        ),
        // Long enough for a poll before COMMIT, however busy the machine is.
        sql(
            "truncates",
            "transaction",
            "TRUNCATE big; SELECT pg_sleep(0.1)",
        ),
    ];
    // With nobody in its way it takes milliseconds, so on a busy machine it can come and go between two polls.
    let is_seen = (0..4).any(|_| {
        let (ran, report) = ran_with_autovacuum(&steps);
        assert!(ran.code.is_some(), "{ran:?}");
        assert_eq!(list(report.step(1), "holds").len(), 0, "{report}");
        // The migration's own is.
        report.hold(2, ACCESS_EXCLUSIVE, "big");
        let foreign = list(report.step(1), "foreign_holds");
        let truncation = foreign
            .iter()
            .find(|hold| hold["relation"] == "big" && hold["mode"] == ACCESS_EXCLUSIVE);
        assert!(
            truncation.is_none_or(|hold| hold["judged"] == false),
            "{report}"
        );
        truncation.is_some()
    });
    assert!(is_seen, "four truncations, and none was seen");
}

#[test]
fn autovacuum_in_the_way_is_waited_for_not_held() {
    if !has_server() {
        return;
    }
    // A page every 100 ms: it goes on until it is cancelled, after the server's `deadlock_timeout`.
    let slowly = "ALTER TABLE big SET (autovacuum_enabled = on, \
                  autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)";
    let at_work =
        waited_for("EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE relid = 'big'::regclass)");
    let steps = [
        sql(
            "begins",
            "autocommit",
            &format!("DELETE FROM big WHERE id % 2 = 0; {slowly}"),
        ),
        // A session tells of its rows when it ends: autovacuum would not hear of them before.
        sql("waits", "autocommit", &at_work),
        sql(
            "alters",
            "transaction",
            "ALTER TABLE big ADD COLUMN extra int; SELECT pg_sleep(0.1)",
        ),
    ];
    let (ran, report) = ran_with_autovacuum(&steps);
    ran.expect(0, &["verdict: within"]);
    let hold = report.hold(2, ACCESS_EXCLUSIVE, "big");
    assert!(at_least(&hold["wait_ms"]) > BUDGET, "{hold}");
    assert!(at_most(&hold["hold_ms"]) < BUDGET, "{hold}");
}

/// A table that takes 300 ms to be written anew: that of an index on its sleep.
const SLOW: &str = "\
CREATE TABLE slow AS SELECT n AS id FROM generate_series(1, 300) AS n;
CREATE FUNCTION slowly(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN $1; END $$;
CREATE INDEX ON slow (slowly(id));";

#[test]
fn vacuum_full_is_one_hold_and_two_of_them_are_two() {
    if !has_server() {
        return;
    }
    let steps = [
        sql("one", "autocommit", "VACUUM FULL slow"),
        sql("two", "autocommit", "VACUUM FULL slow; VACUUM FULL slow"),
        script(
            "program",
            "psql -Xq -c 'VACUUM FULL slow' -c 'VACUUM FULL slow'",
        ),
    ];
    let arguments = ["--budget", "60s"];
    let (ran, report) = ran(&Room::with(SLOW), &steps.concat(), &arguments);
    ran.expect(0, &["verdict: within"]);
    for (step, times) in [(0, 1), (1, 2), (2, 2)] {
        let mut holds = report.holds(step, ACCESS_EXCLUSIVE);
        holds.retain(|hold| hold["relation"] == "slow");
        assert_eq!(holds.len(), times, "{report}");
    }
}
