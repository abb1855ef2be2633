//! What a sample allocates.

use std::time::Duration;

use futures_util::TryStreamExt;
use lockproof::plan::Cadence;

use crate::ground::Ground;
use crate::table::{Bar, Table};
use crate::watching::Watching;
use crate::{Outcome, alloc};

/// What a sample allocates beyond what the driver does for the same query.
pub fn run(ground: &Ground, table: &mut Table) -> Outcome {
    const SAMPLES: u64 = 2_000;
    let watching = Watching::start(ground, Cadence::Fixed, Duration::from_secs(1))?;
    let sync = |samples: u64| -> Outcome<f64> {
        let before = alloc::count();
        for _ in 0..samples {
            ground.wait(watching.sampler.sync())?;
        }
        Ok((alloc::count() - before) as f64 / samples as f64)
    };
    sync(200)?;
    let idle = sync(SAMPLES)?;
    // Each `sync` makes a channel for its answer, on this side.
    let asking = {
        let before = alloc::count();
        for _ in 0..SAMPLES {
            let (answer, answered) = tokio::sync::oneshot::channel::<()>();
            let _ = answer.send(());
            let _ = ground.wait(answered);
        }
        (alloc::count() - before) as f64 / SAMPLES as f64
    };
    let held = ground.wait(async {
        let (client, connection) = ground
            .endpoint()
            .config("lockproof bench")
            .connect(tokio_postgres::NoTls)
            .await?;
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE held (a int)").await?;
        Ok::<_, tokio_postgres::Error>(client)
    })?;
    // The rest of the world counts, too: the locking session's own allocations are measured alone.
    let toggles = |with: bool| -> Outcome<f64> {
        let before = alloc::count();
        for _ in 0..200 {
            for sql in ["BEGIN; LOCK TABLE held", "COMMIT"] {
                ground.wait(held.batch_execute(sql))?;
                if with {
                    ground.wait(watching.sampler.sync())?;
                }
            }
        }
        Ok((alloc::count() - before) as f64 / 400.0)
    };
    toggles(true)?;
    let changed = toggles(true)? - toggles(false)?;
    watching.stop(ground);
    let (bare, bare_row) = (driver(ground, 0)?, driver(ground, 1)?);
    table.add(
        "allocations of our own in an idle sample",
        idle - asking - bare,
        format!("{:.2}  (driver: {bare:.1})", idle - asking - bare),
        Bar::AtMost(0.05),
    );
    table.info(
        "allocations of a sample that shows a change, half of them with a row",
        format!(
            "{:.1}  (driver: {:.1})",
            changed - asking,
            f64::midpoint(bare, bare_row)
        ),
    );
    Ok(())
}

/// What the driver allocates for such a query with so many rows.
fn driver(ground: &Ground, rows: i64) -> Outcome<f64> {
    const SAMPLES: u64 = 2_000;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, connection) =
            ground.endpoint().config("lockproof bench").connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let statement = client
            .prepare("SELECT 1, 2::oid, 'a'::text, true, '3/4'::text FROM generate_series(1, $1::bigint)")
            .await?;
        let mut before = 0;
        for number in 0..SAMPLES + 200 {
            if number == 200 {
                before = alloc::count();
            }
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&rows];
            let answer = client.query_raw(&statement, parameters).await?;
            futures_util::pin_mut!(answer);
            while let Some(row) = answer.try_next().await? {
                std::hint::black_box(row.get::<_, &str>(2));
            }
        }
        Ok((alloc::count() - before) as f64 / SAMPLES as f64)
    })
}
