//! Whether the request that a lock keeps waiting longest is reported with the time that it really waited: a session of
//! the bench's own holds ACCESS EXCLUSIVE, and its clock bounds the truth from both sides.

use std::time::Duration;

use lockproof::clock::{Clock, Mono};
use lockproof::pg::Session;
use lockproof::plan::{Arrivals, Load};
use lockproof::recording::traffic::Window;

use crate::ground::Ground;
use crate::numbers::{median, setting};
use crate::requests::{Told, start};
use crate::table::{Bar, Table};
use crate::{Outcome, pgbench};

/// Requests a second: one is due within a millisecond of each lock.
const RATE: f64 = 1000.0;

/// When a lock was held, by the holder's clock.
struct Held {
    asked: Mono,
    granted: Mono,
    releasing: Mono,
    released: Mono,
}

pub fn run(table: &mut Table) -> Outcome {
    let ground = Ground::start()?;
    pgbench::prepare(&ground)?;
    let trials: usize = setting("TRIALS", 200);
    let clock = Clock::start();
    let load = Load::Open {
        rate: RATE,
        arrivals: Arrivals::Uniform,
    };
    let (generator, events) = start(&ground, load, 50, clock)?;
    let held = ground.wait(async {
        let session = Session::open(ground.endpoint(), "bench").await?;
        let run = async |sql: &str| session.client.batch_execute(sql).await;
        let mut held = Vec::new();
        for _ in 0..trials {
            tokio::time::sleep(Duration::from_millis(60)).await;
            let millis = 5 + rand::random::<u64>() % 196;
            // Its slowest requests are told as those of a step.
            generator.marks().begin();
            run("BEGIN").await?;
            let asked = clock.now();
            run("LOCK TABLE pgbench_accounts").await?;
            let granted = clock.now();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            let releasing = clock.now();
            run("COMMIT").await?;
            let released = clock.now();
            generator.marks().end();
            held.push(Held {
                asked,
                granted,
                releasing,
                released,
            });
        }
        generator.stop().await;
        Ok::<_, Box<dyn std::error::Error>>(held)
    })?;
    let told = Told::of(events);
    let mut off = Vec::new();
    let mut missed = 0_u32;
    for (step, held) in held.iter().enumerate() {
        let longest = told
            .slowest
            .iter()
            .filter(|slow| slow.window == Window::Step(step))
            .map(|slow| slow.ended.since(slow.due).as_secs_f64() * 1e3)
            .max_by(f64::total_cmp);
        let Some(longest) = longest else {
            missed += 1;
            continue;
        };
        let millis = |from: Mono, to: Mono| to.since(from).as_secs_f64() * 1e3;
        // One that was due just before the lock was granted may have come too late for it.
        let least = millis(held.granted, held.releasing) - 1e3 / RATE;
        let most = millis(held.asked, held.released);
        off.push((least - longest).max(longest - most).max(0.0));
    }
    off.sort_by(f64::total_cmp);
    let at = |share: f64| off[((off.len() - 1) as f64 * share) as usize];
    let what = format!(
        "longest-blocked request, outside of the lock's bounds ({trials} locks of 5 to 200 ms), ms"
    );
    table.info(format!("{what}: p50"), format!("{:.2}", median(&off)));
    table.add(
        format!("{what}: p99"),
        at(0.99),
        format!("{:.2}, at the most {:.2}", at(0.99), at(1.0)),
        Bar::AtMost(5.0),
    );
    table.add(
        "locks that no request was seen behind",
        f64::from(missed),
        missed.to_string(),
        Bar::AtMost(0.0),
    );
    ground.stop()
}
