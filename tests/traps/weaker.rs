//! Modes below ACCESS EXCLUSIVE: those that block writes are measured, those that block neither are
//! not even asked for, since their rows are no consistent picture.

use crate::support::report::{at_least, list, ran, sql};
use crate::support::{Room, has_server};
use crate::{BUDGET, LONG, WITH_BUDGET};

#[test]
fn modes_that_block_writes_are_measured_and_fail_only_when_asked_to() {
    if !has_server() {
        return;
    }
    let room = Room::with("CREATE TABLE orders (item bigint);");
    let steps = [
        sql(
            "index",
            "transaction",
            &format!("CREATE INDEX ON items (name); {LONG}"),
        ),
        sql(
            "key",
            "transaction",
            &format!("ALTER TABLE orders ADD FOREIGN KEY (item) REFERENCES items; {LONG}"),
        ),
    ]
    .concat();
    let (warned, report) = ran(&room, &steps, WITH_BUDGET);
    warned.expect(
        0,
        &[
            "held in SHARE",
            "held in SHARE ROW EXCLUSIVE",
            "that blocks writes",
            "verdict: within",
        ],
    );
    let holds = [
        report.hold(0, "ShareLock", "items"),
        report.hold(1, "ShareRowExclusiveLock", "orders"),
        report.hold(1, "ShareRowExclusiveLock", "items"),
    ];
    for hold in holds {
        assert!(at_least(&hold["hold_ms"]) > BUDGET, "{hold}");
    }
    let findings = report.findings("writes-blocked");
    assert_eq!(findings.len(), 2, "{report}");
    assert!(
        findings.iter().all(|finding| finding["level"] == "warn"),
        "{report}"
    );
    let scanned = &report.step(0)["evidence"]["scanned"][0]["relation"];
    assert_eq!(scanned, "items", "{report}");

    let budgets = "[budgets]\nshare = \"400ms\"\n\"SHARE ROW EXCLUSIVE\" = \"400ms\"\n";
    let (budgeted, report) = ran(&room, &format!("{budgets}{steps}"), &[]);
    budgeted.expect(1, &["verdict: exceeded"]);
    assert_eq!(report.verdicts(), ["exceeded", "exceeded"], "{report}");
    let (strict, _) = ran(&room, &steps, &[WITH_BUDGET, &["--strict"]].concat());
    strict.expect(1, &["verdict: exceeded"]);
}

#[test]
fn weak_modes_that_take_the_fast_path_are_not_watched() {
    if !has_server() {
        return;
    }
    let step = sql(
        "it",
        "transaction",
        &format!(
            "SELECT count(*) FROM items; UPDATE items SET note = '' WHERE id = 1; \
             SELECT id FROM items WHERE id = 2 FOR UPDATE; ANALYZE items; {LONG}"
        ),
    );
    let (ran, report) = ran(&Room::new(), &step, WITH_BUDGET);
    ran.expect(0, &["none seen", "verdict: within"]);
    assert_eq!(list(report.step(0), "holds").len(), 0, "{report}");
    assert_eq!(list(report.step(0), "foreign_holds").len(), 0, "{report}");
}
