//! Traffic beside a migration, on real servers: that every request is counted with its whole delay, and that what
//! cannot run is refused before anything is measured.
//!
//! Delays are made on purpose and far from what a busy machine adds; no time is asserted closely.

#[path = "traffic/ground.rs"]
mod ground;
#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use ground::{Seen, begin, generator, operation, script, traffic, within_seconds};
use lockproof::plan::traffic::{Distribution, Expression, Instruction};
use lockproof::plan::{Arrivals, Load, Traffic};
use lockproof::recording::traffic::{Ending, Window};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::report::sql;
use support::server::Server;
use support::{On, Room, has_server};

const ITEMS: &str = "CREATE TABLE items (id bigint PRIMARY KEY, name text); \
                     INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) AS n; \
                     CREATE TABLE empty (id int)";

fn id(distribution: Distribution) -> Instruction {
    Instruction::Set {
        variable: "id".to_owned(),
        value: Expression::Key {
            relation: "items".to_owned(),
            column: "id".to_owned(),
            distribution,
        },
    }
}

/// Reads one item by its key, as often as that.
fn reads(rate: f64) -> Traffic {
    let zipf = Distribution::Zipf { exponent: 1.0 };
    let read = "SELECT * FROM items WHERE id = $1";
    traffic(
        Load::Open {
            rate,
            arrivals: Arrivals::Uniform,
        },
        vec![operation("read", vec![id(zipf), script(read, &["id"])])],
    )
}

#[test]
fn every_request_is_counted_to_its_window() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let mut traffic = reads(200.0);
    let write = "UPDATE items SET name = name WHERE id = $1";
    let uniform = Distribution::Uniform;
    traffic.operations.push(operation(
        "write",
        vec![
            id(uniform),
            script("BEGIN", &[]),
            script(write, &["id"]),
            script("COMMIT", &[]),
        ],
    ));
    let seen = begin(&server, &traffic, async |generator| {
        within_seconds(0.5).await;
        generator.marks().begin();
        // A column more changes what `SELECT *` answers, under statements that are prepared.
        server.app("ALTER TABLE items ADD COLUMN extra int");
        within_seconds(0.5).await;
        generator.marks().end();
        generator.marks().over();
        within_seconds(0.5).await;
        generator.stop().await;
    });
    let all = seen.count(|_| true);
    assert!(all >= 250, "{all} of 300");
    seen.is_whole();
    assert_eq!(
        seen.ended(Ending::Ok) + seen.ended(Ending::Slow),
        all,
        "{seen:?}"
    );
    for window in [Window::Baseline, Window::Step(0), Window::Settle] {
        let counted = seen.count(|requests| requests.window == window);
        assert!(counted >= 50, "{window:?}: {counted}");
    }
    for place in [0, 1] {
        let counted = seen.count(|requests| requests.operation == place);
        assert!(counted >= 50, "operation {place}: {counted}");
    }
    assert_eq!(seen.summary.error, None);
    assert!(seen.summary.cpu > Duration::ZERO && seen.summary.ran > Duration::from_secs(1));
    assert!(seen.slowest.len() <= 60, "{}", seen.slowest.len());
    // Nothing of it is left on the server.
    assert_eq!(ground::sessions(&server), "0");
}

#[test]
fn a_lock_delays_every_request_that_is_due_meanwhile() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let mut traffic = reads(100.0);
    traffic.front.pool = 5;
    let seen = begin(&server, &traffic, async |generator| {
        within_seconds(0.3).await;
        ground::locked(&server, 2.0).await;
        within_seconds(0.3).await;
        generator.stop().await;
    });
    seen.is_whole();
    // 200 were due meanwhile, whatever the pool: the later one was due, the shorter it waited. So 160 of them waited
    // for more than a fifth of it, and half of those for more than three fifths.
    let late = |longer: f64| seen.longer(Duration::from_secs_f64(longer));
    assert!((130..=240).contains(&late(0.4)), "{}: {seen:?}", late(0.4));
    let half = late(1.2) as f64 / late(0.4) as f64;
    assert!((0.35..0.75).contains(&half), "a ramp: {half}");
    // By slices of 0.1 s the longest wait falls from one to the next.
    let ramp = seen.longest_by_slice(Duration::from_millis(400));
    let falls = ramp.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    assert!(ramp.len() >= 12 && falls * 4 >= ramp.len() * 3, "{ramp:?}");
    // The slowest of all waited for as long as the lock was held.
    let slowest = &seen.slowest[0];
    assert!(slowest.ended.since(slowest.due) > Duration::from_millis(1900));
}

#[test]
fn the_front_refuses_and_gives_up_as_applications_do() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let mut traffic = reads(100.0);
    traffic.front.pool = 2;
    traffic.front.acquire_timeout = Duration::from_millis(700);
    let refused = begin(&server, &traffic, async |generator| {
        ground::locked(&server, 2.0).await;
        within_seconds(0.3).await;
        generator.stop().await;
    });
    // Two wait for the lock; of the others those that were due in its first 1.3 s have waited for them in vain.
    refused.is_whole();
    let count = refused.ended(Ending::Refused);
    assert!((80..=220).contains(&count), "{count}: {refused:?}");
    assert_eq!(refused.ended(Ending::TimedOut), 0, "{refused:?}");
    assert!(
        refused
            .slowest
            .iter()
            .filter(|slow| ground::got_none(slow))
            .count()
            > 5
    );

    traffic.front.pool = 10;
    traffic.front.acquire_timeout = Duration::from_secs(5);
    traffic.front.request_timeout = Duration::from_secs(1);
    let given_up = begin(&server, &traffic, async |generator| {
        within_seconds(0.5).await;
        ground::locked(&server, 3.0).await;
        // Nobody who gave up still stands in the queue.
        assert_eq!(ground::waiting(&server), "0");
        within_seconds(2.0).await;
        generator.stop().await;
    });
    given_up.is_whole();
    let count = given_up.ended(Ending::TimedOut);
    assert!((120..=320).contains(&count), "{count}: {given_up:?}");
    assert_eq!(given_up.ended(Ending::Refused), 0, "{given_up:?}");
    assert_eq!(given_up.ended(Ending::Failed), 0, "{given_up:?}");
    // Nobody waited to the end of the lock, and the connections are of use again.
    assert_eq!(
        given_up.longer(Duration::from_millis(2500)),
        0,
        "{given_up:?}"
    );
    let last = given_up.requests.iter().max_by_key(|line| line.slice);
    let last = &last.expect("some").endings.counts;
    assert!(!last.contains_key(&Ending::TimedOut), "{last:?}");
}

#[test]
fn deadlocks_and_failures_are_told_apart() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    server.psql("ALTER DATABASE app SET deadlock_timeout = '50ms'");
    let pair = |name, first: &str, second: &str| {
        let update = |id| {
            script(
                &format!("UPDATE items SET name = name WHERE id = {id}"),
                &[],
            )
        };
        operation(
            name,
            vec![
                script("BEGIN", &[]),
                update(first),
                Instruction::Sleep(Expression::Integer(20_000)),
                update(second),
                script("COMMIT", &[]),
            ],
        )
    };
    let bad = operation("bad", vec![script("INSERT INTO items VALUES (1)", &[])]);
    let clients = Load::Closed {
        clients: 6,
        think: Duration::from_millis(5),
    };
    let traffic = traffic(
        clients,
        vec![pair("up", "1", "2"), pair("down", "2", "1"), bad],
    );
    let seen = begin(&server, &traffic, async |generator| {
        within_seconds(3.0).await;
        generator.stop().await;
    });
    let [deadlocked, failed] =
        [Ending::Deadlocked, Ending::Failed].map(|ending| seen.ended(ending));
    assert!(deadlocked > 0 && failed > 0, "{seen:?}");
    // A key that is there already fails at its trial as well, and is no reason not to run.
    assert_eq!(seen.failures("23505"), failed);
    assert_eq!(seen.failures("40P01"), deadlocked);
    // The connections are not left in a transaction that was aborted.
    assert_eq!(seen.failures("25P02"), 0);
    assert!(seen.ended(Ending::Ok) > 0);
}

#[test]
fn what_cannot_run_is_refused_at_once() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    server.psql("CREATE ROLE reader LOGIN");
    server.app("GRANT SELECT ON empty TO reader");
    let load = Load::Open {
        rate: 10.0,
        arrivals: Arrivals::Poisson,
    };
    let one = |program| traffic(load, vec![operation("it", program)]);
    let key = |relation: &str, column: &str| Instruction::Set {
        variable: "k".to_owned(),
        value: Expression::Key {
            relation: relation.to_owned(),
            column: column.to_owned(),
            distribution: Distribution::Uniform,
        },
    };
    let select = |sql: &str| one(vec![script(sql, &[])]);
    let mut large = reads(10.0);
    large.front.pool = 98;
    for (user, traffic, words) in [
        (
            "postgres",
            select("SELECT nothing FROM items"),
            &[
                "the operation `it` (traffic.toml:7) cannot run",
                "SQLSTATE 42703",
            ][..],
        ),
        ("postgres", select("BEGIN; SELECT 1"), &["42601"]),
        ("reader", select("SELECT * FROM items"), &["42501", "role"]),
        (
            "postgres",
            one(vec![key("empty", "id")]),
            &["`empty`", "the table is empty"],
        ),
        (
            "postgres",
            one(vec![key("items", "name")]),
            &["of type text"],
        ),
        ("postgres", one(vec![key("gone", "id")]), &["42P01"]),
        (
            "postgres",
            large,
            &["pool of 98", "`max_connections` is 100", "3 are reserved"],
        ),
    ] {
        let story = match generator(&server, user, &traffic) {
            Ok(_) => panic!("it ran: {words:?}"),
            Err(error) => {
                assert_eq!(error.exit_code().number(), 2, "{}", error.story());
                error.story()
            }
        };
        for word in words.iter().chain(&["help: "]) {
            assert!(story.contains(word), "no {word:?} in {story}");
        }
    }
    // A trial changes nothing, and what cannot be in a transaction is not tried.
    let insert = script("INSERT INTO empty VALUES (1)", &[]);
    let vacuum = script("VACUUM empty", &[]);
    let fine = traffic(
        load,
        vec![
            operation("insert", vec![insert]),
            operation("vacuum", vec![vacuum]),
        ],
    );
    let seen = begin(&server, &fine, async |generator| generator.stop().await);
    let inserted = seen.count(|requests| requests.operation == 0);
    let rows = server.app("SELECT count(*) FROM empty");
    assert_eq!(rows, inserted.to_string());
}

#[test]
fn a_server_that_goes_away_ends_it_with_a_word() {
    if !has_server() {
        return;
    }
    let server = Server::with_app(ITEMS);
    let seen: Seen = {
        let traffic = reads(100.0);
        let (runtime, generator, told) = generator(&server, "postgres", &traffic).expect("it runs");
        runtime.block_on(async {
            within_seconds(0.3).await;
            // Those that are ended are replaced.
            let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE application_name = 'lockproof/traffic'";
            server.psql(ended);
            within_seconds(1.0).await;
            assert_eq!(ground::sessions(&server), "20");
            drop(server);
            within_seconds(0.5).await;
            generator.abort().await;
        });
        Seen::of(told)
    };
    let error = seen.summary.error.clone().expect("an error");
    assert!(error.contains("no connection"), "{error}");
    // About 80 of those due before the end were answered.
    assert!(
        seen.ended(Ending::Ok) + seen.ended(Ending::Slow) >= 60,
        "{seen:?}"
    );
}

/// Traffic for a room's scenario.
const TOML: &str = "\
rate = 100
baseline = \"1s\"
settle = \"500ms\"
[front]
pool = 5
[[operations]]
name = \"read\"
sql = \"SELECT name FROM items WHERE id = :id\"
parameters = { id = { column = \"items.id\" } }
";

fn room(toml: &str, step: &str) -> (Room, std::path::PathBuf) {
    let room = Room::new();
    let scenario = room.scenario(&sql("it", "transaction", step));
    room.file("scenario/traffic.toml", toml);
    (room, scenario)
}

#[test]
fn a_run_has_traffic_from_before_its_first_step_until_after_its_last() {
    if !has_server() {
        return;
    }
    let (room, scenario) = room(TOML, "LOCK TABLE items; SELECT pg_sleep(0.5)");
    let recording = room.path("run.jsonl").display().to_string();
    let ran = room.run(&scenario, &["--record", &recording]);
    ran.expect(1, &[]);
    room.assert_clean();
    let lines: Vec<serde_json::Value> = room
        .read("run.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let at = |event: &str| lines.iter().position(|line| line["event"] == event);
    let order = [
        "traffic_started",
        "step_started",
        "step_finished",
        "traffic_ended",
        "sampling",
    ];
    let places = order.map(|event| at(event).unwrap_or_else(|| panic!("no {event}")));
    assert!(places.is_sorted(), "{places:?}");
    let windows = ["baseline", "settle"].map(|name| serde_json::json!(name));
    let step = serde_json::json!({ "step": 0 });
    for window in windows.iter().chain([&step]) {
        let counted = lines
            .iter()
            .filter(|line| line["event"] == "requests" && line["window"] == *window);
        assert!(counted.count() >= 3, "{window}");
    }
    // Requests that met the step waited for it.
    let slow = lines
        .iter()
        .find(|line| line["event"] == "request" && line["window"] == step);
    let slow = slow.expect("a slow one");
    let moment = |key: &str| slow[key].as_u64().expect("a moment");
    assert!(moment("ended") - moment("due") > 300_000_000, "{slow}");
    let summary = &lines[places[3]];
    assert_eq!(summary["error"], serde_json::Value::Null);
}

#[test]
fn a_run_whose_traffic_cannot_run_measures_nothing() {
    if !has_server() {
        return;
    }
    let wrong = TOML.replace("SELECT name", "SELECT names");
    let (room, scenario) = room(&wrong, "SELECT 1");
    let ran = room.run(&scenario, &[]);
    ran.expect(
        2,
        &["the operation `read`", "traffic.toml:8", "SQLSTATE 42703"],
    );
    assert!(!ran.stdout.contains("verdict"), "{ran:?}");
    room.assert_clean();
}

#[test]
fn a_signal_and_a_lost_server_end_traffic_with_the_run() {
    if !has_server() {
        return;
    }
    let long = TOML.replace("baseline = \"1s\"", "baseline = \"60s\"");
    let (room, scenario) = room(&long, "SELECT 1");
    let mut running = room.start(room.run_command(On::Local, &scenario, &[]));
    running.says("traffic: baseline");
    running.signalled(Signal::SIGINT).expect(130, &["signal 2"]);
    room.assert_clean();

    let (room, scenario) = self::room(TOML, "SELECT pg_sleep(60)");
    let mut running = room.start(room.run_command(On::Local, &scenario, &[]));
    running.says("step 1 of 1");
    let postmaster = room.postmaster().expect("a server");
    kill(Pid::from_raw(postmaster), Signal::SIGKILL).expect("killed");
    running.end().expect(3, &["the server"]);
    room.assert_clean();
}
