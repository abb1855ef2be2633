//! Servers that are full of something: tables, locks, connections. What a look costs there, and what it
//! costs the clients.

use lockproof::clock::{Clock, Mono};
use lockproof::pg::Session;
use lockproof::pg::catalog::Catalog;
use lockproof::plan::Cadence;
use tokio_postgres::NoTls;

use crate::Outcome;
use crate::ground::Ground;
use crate::numbers::median;
use crate::table::Table;
use crate::watching::Watching;

const TABLES: u32 = 10_000;
const LOCKS: u32 = 8_000;
const CONNECTIONS: u32 = 300;

/// Fills the server with one after the other, and has `clients` measure theirs.
pub fn run(
    ground: &Ground,
    table: &mut Table,
    clients: impl Fn(&mut Table, &str) -> Outcome,
) -> Outcome {
    look(ground, table, "an empty server")?;
    let idle = ground.wait(connections(ground, CONNECTIONS))?;
    look(ground, table, "300 connections")?;
    clients(table, "adaptive, 300 connections")?;
    drop(idle);
    // A transaction for some hundred: each table's locks are kept until its end.
    ground.sql(
        "bench",
        &format!(
            "DO $$ BEGIN FOR n IN 1..{TABLES} LOOP EXECUTE format('CREATE TABLE many_%s (a int)', n); \
             IF n % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$"
        ),
    )?;
    look(ground, table, "10,000 tables")?;
    catalogue(ground, table)?;
    clients(table, "adaptive, 10,000 tables")?;
    let locker = ground.wait(connections(ground, 1))?;
    ground.wait(locker[0].batch_execute("BEGIN"))?;
    ground.wait(locker[0].batch_execute(&format!(
        "DO $$ BEGIN FOR n IN 1..{LOCKS} LOOP EXECUTE format('LOCK TABLE many_%s IN ACCESS SHARE MODE', n); \
         END LOOP; END $$"
    )))?;
    look(ground, table, "8,000 lock rows")?;
    clients(table, "adaptive, 8,000 lock rows")?;
    drop(locker);
    Ok(())
}

/// The median time of a poll that was asked for, with all that it tells.
fn look(ground: &Ground, table: &mut Table, name: &str) -> Outcome {
    const LOOKS: usize = 200;
    let watching = Watching::start(ground, Cadence::Fixed, std::time::Duration::from_secs(1))?;
    let mut times = Vec::with_capacity(LOOKS);
    for _ in 0..LOOKS {
        let clock = Clock::start();
        ground.wait(watching.sampler.sync())?;
        times.push(clock.now().since(Mono(0)).as_secs_f64() * 1e3);
    }
    watching.stop(ground);
    times.sort_by(f64::total_cmp);
    table.info(
        format!("a look at the locks: {name}"),
        format!(
            "{:.2} ms, p99 {:.2} ms",
            median(&times),
            times[LOOKS * 99 / 100]
        ),
    );
    Ok(())
}

/// What each step reads between two of its looks, for names and traces.
fn catalogue(ground: &Ground, table: &mut Table) -> Outcome {
    let took = ground.wait(async {
        let session = Session::open(ground.endpoint(), "lockproof bench").await?;
        let mut times = Vec::new();
        for _ in 0..10 {
            let clock = Clock::start();
            std::hint::black_box(Catalog::read(&session.client).await?);
            times.push(clock.now().since(Mono(0)).as_secs_f64() * 1e3);
        }
        Ok::<_, Box<dyn std::error::Error>>(median(&times))
    })?;
    table.info(
        "reading the catalogue, once a step: 10,000 tables",
        format!("{took:.0} ms"),
    );
    Ok(())
}

/// Sessions that do nothing, closed when dropped.
async fn connections(ground: &Ground, count: u32) -> Outcome<Vec<tokio_postgres::Client>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let (client, connection) = ground
            .endpoint()
            .config("lockproof bench")
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        clients.push(client);
    }
    Ok(clients)
}
