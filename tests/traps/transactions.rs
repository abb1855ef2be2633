//! Transactions that are not one BEGIN and one COMMIT of one session.

use crate::support::report::{ACCESS_EXCLUSIVE, at_least, at_most, list, ran, ran_on, sql};
use crate::support::server::Server;
use crate::support::{Room, has_server};
use crate::{BUDGET, LONG, WITH_BUDGET};

#[test]
fn a_prepared_transaction_keeps_its_sessions_lock() {
    if !has_server() {
        return;
    }
    let step = sql(
        "it",
        "as-written",
        &format!("BEGIN; LOCK TABLE items; PREPARE TRANSACTION 'it'; {LONG}; COMMIT PREPARED 'it'"),
    );
    let prepared = ["--set", "max_prepared_transactions=2"];
    let (ran, report) = ran(&Room::new(), &step, &[WITH_BUDGET, &prepared].concat());
    ran.expect(1, &["LOCK TABLE items"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert_eq!(hold["granted_by"], "LOCK TABLE items");
    assert!(at_least(&hold["hold_ms"]) >= 800.0, "{hold}");
    assert!(hold["hold_ms"]["at_most"].is_number(), "{hold}");
}

#[test]
fn other_databases_locks_are_not_seen() {
    if !has_server() {
        return;
    }
    let server =
        Server::with_app("CREATE TABLE items AS SELECT n AS id FROM generate_series(1, 9) n");
    // A copy's relations have the oids of the original's.
    server.psql("CREATE DATABASE twin TEMPLATE app");
    let oid = "SELECT 'items'::regclass::oid";
    assert_eq!(server.of("twin", oid), server.app(oid));
    let locks = "BEGIN; LOCK TABLE items; SELECT pg_sleep(60)";
    let mut busy = server.busy_in("twin", locks);
    server.sleeps();
    let mut waits = server.busy_in("twin", "SELECT count(*) FROM items");
    let step = sql(
        "it",
        "transaction",
        "ALTER TABLE items ADD COLUMN extra int; SELECT pg_sleep(0.1)",
    );
    let (ran, report) = ran_on(&Room::new(), &server, &step, WITH_BUDGET);
    server.wake();
    let _ = (busy.wait(), waits.wait());
    ran.expect(0, &["verdict: within"]);
    let hold = report.hold(0, ACCESS_EXCLUSIVE, "items");
    assert!(at_most(&hold["hold_ms"]) < BUDGET, "{hold}");
    for nobodys in ["foreign_holds", "blocked"] {
        assert_eq!(list(report.step(0), nobodys).len(), 0, "{report}");
    }
}

/// A procedure that holds a lock for 100 ms, `times` times, and rests in between for `rest` seconds.
const PROCEDURE: &str = "\
CREATE PROCEDURE lock_often(times int, rest float) LANGUAGE plpgsql AS $$ BEGIN
  FOR time IN 1..times LOOP
    LOCK TABLE items; PERFORM pg_sleep(0.1); COMMIT; PERFORM pg_sleep(rest); COMMIT;
  END LOOP; END $$;";

#[test]
fn commits_inside_of_a_block_end_its_locks() {
    if !has_server() {
        return;
    }
    let steps = [
        sql("procedure", "autocommit", "CALL lock_often(2, 0.8)"),
        sql(
            "block",
            "autocommit",
            "DO $$ BEGIN LOCK TABLE items; PERFORM pg_sleep(0.1); COMMIT; PERFORM pg_sleep(0.8); \
             LOCK TABLE items; PERFORM pg_sleep(0.1); COMMIT; END $$",
        ),
        // Between two of these holds there is less time than between two polls.
        sql("back-to-back", "autocommit", "CALL lock_often(8, 0)"),
        sql(
            "long",
            "autocommit",
            "DO $$ BEGIN LOCK TABLE items; PERFORM pg_sleep(0.8); COMMIT; END $$",
        ),
    ];
    let (ran, report) = ran(&Room::with(PROCEDURE), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["ACCESS EXCLUSIVE"]);
    let verdicts = ["within", "within", "within", "exceeded"];
    assert_eq!(report.verdicts(), verdicts, "{report}");
    for (step, times) in [(0, 2), (1, 2), (2, 8)] {
        let holds = report.holds(step, ACCESS_EXCLUSIVE);
        // A busy machine may miss one.
        assert!((times / 2..=times).contains(&holds.len()), "{report}");
        for hold in holds {
            assert!(at_most(&hold["hold_ms"]) < BUDGET, "{hold}");
        }
    }
}

#[test]
fn subtransactions_rolled_back_end_their_locks() {
    if !has_server() {
        return;
    }
    let steps = [
        sql(
            "rolled-back",
            "transaction",
            &format!("SAVEPOINT a; LOCK TABLE items; SELECT pg_sleep(0.1); ROLLBACK TO a; {LONG}"),
        ),
        sql(
            "caught",
            "transaction",
            &format!(
                "DO $$ BEGIN BEGIN LOCK TABLE items; PERFORM pg_sleep(0.1); RAISE 'no'; \
                 EXCEPTION WHEN OTHERS THEN NULL; END; PERFORM pg_sleep(0.8); END $$; {LONG}"
            ),
        ),
        sql(
            "released",
            "transaction",
            &format!("SAVEPOINT a; LOCK TABLE items; RELEASE a; {LONG}"),
        ),
    ];
    let (ran, report) = ran(&Room::new(), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["LOCK TABLE items"]);
    let verdicts = ["within", "within", "exceeded"];
    assert_eq!(report.verdicts(), verdicts, "{report}");
    for step in 0..2 {
        let hold = report.hold(step, ACCESS_EXCLUSIVE, "items");
        assert!(at_most(&hold["hold_ms"]) < BUDGET, "{hold}");
    }
    let kept = report.hold(2, ACCESS_EXCLUSIVE, "items");
    assert!(at_least(&kept["hold_ms"]) > BUDGET, "{kept}");
}

#[test]
fn a_lock_taken_again_after_a_rollback_is_another_one() {
    if !has_server() {
        return;
    }
    // The savepoints in between use up what may be spent on polls.
    let round = format!(
        "LOCK TABLE items; SELECT pg_sleep(0.03); {} ROLLBACK TO a;",
        "SAVEPOINT b; RELEASE b;".repeat(20)
    );
    let step = sql(
        "it",
        "transaction",
        &format!("SAVEPOINT a; {}", round.repeat(16)),
    );
    let (ran, report) = ran(&Room::new(), &step, WITH_BUDGET);
    ran.expect(0, &["verdict: within"]);
    let holds = report.holds(0, ACCESS_EXCLUSIVE);
    assert!((12..=16).contains(&holds.len()), "{report}");
    for hold in holds {
        assert!(at_most(&hold["hold_ms"]) < BUDGET, "{hold}");
    }
}

#[test]
fn locks_that_a_block_rolled_back_unseen_are_not_excluded() {
    if !has_server() {
        return;
    }
    let hides = "DO $$ BEGIN LOCK TABLE items; PERFORM pg_sleep(0.8); RAISE 'no'; \
                 EXCEPTION WHEN OTHERS THEN NULL; END $$";
    let steps = [
        sql(
            "hides",
            "transaction",
            &format!("{hides}; ALTER TABLE items ADD COLUMN a int"),
        ),
        sql(
            "hides-nothing",
            "transaction",
            "CREATE TABLE t AS SELECT 1 AS a FROM pg_sleep(0.8); \
             ALTER TABLE items ADD COLUMN b int",
        ),
    ];
    // With one poll a second the lock in the block is seen once at most.
    let seldom = ["--interval", "1s", "--cadence", "fixed"];
    let (ran, report) = ran(
        &Room::new(),
        &steps.concat(),
        &[WITH_BUDGET, &seldom].concat(),
    );
    ran.expect(5, &["verdict: unproven"]);
    assert_eq!(report.verdicts(), ["unproven", "within"], "{report}");
}
