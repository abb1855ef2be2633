//! One statement, many relations.

use crate::support::report::{ACCESS_EXCLUSIVE, at_least, list, ran, sql};
use crate::support::{Room, has_server};
use crate::{BUDGET, LONG, WITH_BUDGET};

const PARTITIONS: &str = "\
CREATE TABLE parted (id int) PARTITION BY LIST (id);
DO $$ BEGIN FOR n IN 1..1000 LOOP
  EXECUTE format('CREATE TABLE part_%s PARTITION OF parted FOR VALUES IN (%s)', n, n);
END LOOP; END $$;";

#[test]
fn a_lock_on_a_thousand_partitions_is_one_thing_to_say() {
    if !has_server() {
        return;
    }
    let step = sql(
        "it",
        "transaction",
        &format!("ALTER TABLE parted ADD COLUMN extra int; {LONG}"),
    );
    let (ran, report) = ran(&Room::with(PARTITIONS), &step, WITH_BUDGET);
    ran.expect(1, &["like 1000 more relations"]);
    let holds = report.holds(0, ACCESS_EXCLUSIVE);
    assert_eq!(holds.len(), 1001, "{:?}", report.step(0)["verdict"]);
    for hold in &holds {
        assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
        assert_eq!(
            hold["granted_by"],
            "ALTER TABLE parted ADD COLUMN extra int"
        );
    }
    assert!(holds.iter().any(|hold| hold["relation"] == "parted"));
    assert!(holds.iter().any(|hold| hold["relation"] == "part_1000"));
    assert_eq!(report.findings("hold-exceeded").len(), 1);
}

#[test]
fn inheritance_locks_every_child() {
    if !has_server() {
        return;
    }
    let children = "CREATE TABLE child () INHERITS (items); \
                    CREATE TABLE grandchild () INHERITS (child);";
    let steps = [
        sql("all", "transaction", &format!("LOCK TABLE items; {LONG}")),
        sql(
            "one",
            "transaction",
            &format!("LOCK TABLE ONLY items; {LONG}"),
        ),
    ];
    let (ran, report) = ran(&Room::with(children), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["like 2 more relations"]);
    for child in ["child", "grandchild"] {
        let hold = report.hold(0, ACCESS_EXCLUSIVE, child);
        assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
    }
    let only: Vec<_> = report
        .holds(1, ACCESS_EXCLUSIVE)
        .iter()
        .map(|hold| &hold["relation"])
        .collect();
    assert_eq!(only, ["items"], "{report}");
}

#[test]
fn materialised_views_block_readers_unless_refreshed_concurrently() {
    if !has_server() {
        return;
    }
    let view = "CREATE MATERIALIZED VIEW totals AS \
                SELECT id, count(*) FROM items, pg_sleep(0.8) GROUP BY id; \
                CREATE UNIQUE INDEX ON totals (id);";
    let steps = [
        sql("plain", "autocommit", "REFRESH MATERIALIZED VIEW totals"),
        sql(
            "concurrently",
            "autocommit",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
        ),
    ];
    let (ran, report) = ran(&Room::with(view), &steps.concat(), WITH_BUDGET);
    ran.expect(1, &["`totals` was held in ACCESS EXCLUSIVE"]);
    assert_eq!(report.verdicts(), ["exceeded", "within"], "{report}");
    let plain = report.hold(0, ACCESS_EXCLUSIVE, "totals");
    assert!(at_least(&plain["hold_ms"]) > BUDGET, "{plain}");
    // Its new content is in a table of its own at first, locked for as long.
    assert!(
        report.step(1)["ignored_holds"].as_u64() >= Some(1),
        "{report}"
    );
    let modes: Vec<_> = list(report.step(1), "holds")
        .iter()
        .map(|hold| &hold["mode"])
        .collect();
    assert_eq!(modes, ["ExclusiveLock"], "{report}");
}
