//! What runs beside a migration, from what was written to what is decided.

use std::path::Path;
use std::time::Duration;

use lockproof::plan::traffic::{Distribution, Expression, Function, Instruction, Operation};
use lockproof::plan::{Arrivals, Front, Load, Traffic};

use super::Site;

/// A site whose scenario has this traffic.toml beside it.
fn with(traffic: &str) -> Site {
    let site = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
    site.file("s/traffic.toml", traffic);
    site
}

fn decided(site: &Site, arguments: &[&str]) -> Traffic {
    let mut all = vec!["s"];
    all.extend(arguments);
    site.good(&all).plan.traffic.expect("there is traffic")
}

fn sql(text: &str, parameters: &[&str], line: usize) -> Instruction {
    Instruction::Sql {
        text: text.to_owned(),
        parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
        line,
    }
}

fn set(variable: &str, value: Expression) -> Instruction {
    Instruction::Set {
        variable: variable.to_owned(),
        value,
    }
}

#[test]
fn a_description_becomes_traffic() {
    let site = with(
        r#"
rate = 250
arrivals = "uniform"
baseline = "2s"
settle = "1s"
seed = 7
[front]
pool = 5
acquire_timeout = "1s"
request_timeout = "10s"
slow = "200ms"
[[operations]]
name = "by-key"
weight = 9
sql = "SELECT * FROM listings WHERE id = :id AND note <> ':x' -- :y"
[operations.parameters]
id = { column = "listings.id", distribution = "zipf", exponent = 1.2 }
[[operations]]
name = "write"
sql = """
BEGIN;
UPDATE listings SET note = :note::text
WHERE id = :id OR id = :id;
END"""
[operations.parameters]
id = { random = [1, "${rows}"] }
note = { values = ["a", 2, 2.5, true] }
"#,
    );
    let traffic = decided(&site, &[]);
    assert_eq!(
        traffic.load,
        Load::Open {
            rate: 250.0,
            arrivals: Arrivals::Uniform
        }
    );
    assert_eq!(
        traffic.front,
        Front {
            pool: 5,
            acquire_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(10),
            slow: Duration::from_millis(200),
        }
    );
    assert_eq!(traffic.baseline, Duration::from_secs(2));
    assert_eq!(traffic.settle, Duration::from_secs(1));
    assert_eq!(traffic.seed, 7);
    let origin = site.path("s/traffic.toml").display().to_string();
    assert_eq!(
        traffic.operations,
        [
            Operation {
                name: "by-key".to_owned(),
                weight: 9.0,
                origin: origin.clone(),
                program: vec![
                    set(
                        "id",
                        Expression::Key {
                            relation: "listings".to_owned(),
                            column: "id".to_owned(),
                            distribution: Distribution::Zipf { exponent: 1.2 },
                        }
                    ),
                    sql(
                        "SELECT * FROM listings WHERE id = $1 AND note <> ':x'",
                        &["id"],
                        15
                    ),
                ],
            },
            Operation {
                name: "write".to_owned(),
                weight: 1.0,
                origin,
                program: vec![
                    set(
                        "id",
                        Expression::Call {
                            function: Function::Random,
                            arguments: vec![Expression::Integer(1), Expression::Integer(1_000_000)],
                        }
                    ),
                    set(
                        "note",
                        Expression::OneOf(vec![
                            Expression::Text("a".to_owned()),
                            Expression::Integer(2),
                            Expression::Double(2.5),
                            Expression::Text("true".to_owned()),
                        ])
                    ),
                    sql("BEGIN", &[], 21),
                    sql(
                        "UPDATE listings SET note = $1::text\nWHERE id = $2 OR id = $3",
                        &["note", "id", "id"],
                        22
                    ),
                    sql("END", &[], 24),
                ],
            },
        ]
    );
}

#[test]
fn what_is_not_said_has_a_default() {
    let traffic = decided(
        &with("[[operations]]\nname = \"a\"\nsql = \"SELECT 1\""),
        &[],
    );
    assert_eq!(
        traffic.load,
        Load::Open {
            rate: 100.0,
            arrivals: Arrivals::Poisson
        }
    );
    assert_eq!(traffic.front, Front::default());
    assert_eq!(traffic.baseline, Duration::from_secs(5));
    assert_eq!(traffic.settle, Duration::from_secs(3));
    assert_eq!(traffic.seed, 42);
}

#[test]
fn clients_make_a_closed_loop_unless_a_rate_is_typed() {
    let site =
        with("clients = 10\nthink = \"10ms\"\n[[operations]]\nname = \"a\"\nsql = \"SELECT 1\"");
    assert_eq!(
        decided(&site, &[]).load,
        Load::Closed {
            clients: 10,
            think: Duration::from_millis(10)
        }
    );
    let typed = decided(&site, &["--rate", "0.5", "--seed", "0"]);
    assert_eq!(
        typed.load,
        Load::Open {
            rate: 0.5,
            arrivals: Arrivals::Poisson
        }
    );
    assert_eq!(typed.seed, 0);
}

#[test]
fn typed_traffic_wins_over_the_scenario_s_and_that_over_what_lies_beside_it() {
    let operation = |name: &str| format!("[[operations]]\nname = \"{name}\"\nsql = \"SELECT 1\"");
    let site = Site::with(
        "snapshot = \"listings\"\ntraffic = \"../shared.toml\"\n[[steps]]\nfile = \"01.sql\"\n",
    );
    site.file("shared.toml", operation("shared"));
    site.file("s/traffic.toml", operation("beside"));
    site.file("typed.toml", operation("typed"));
    let typed = format!("--traffic={}", site.path("typed.toml").display());
    let name = |arguments: &[&str]| {
        let planned = site.good(arguments);
        planned
            .plan
            .traffic
            .map(|traffic| traffic.operations[0].name.clone())
    };
    assert_eq!(name(&["s"]).as_deref(), Some("shared"));
    assert_eq!(name(&["s", &typed]).as_deref(), Some("typed"));
    assert_eq!(name(&["s", "--no-traffic"]), None);
    assert_eq!(name(&["s", &typed, "--no-traffic"]), None);

    let beside = with(&operation("beside"));
    let planned = beside.good(&["s"]);
    assert!(planned.plan.traffic.is_some());
    let [note] = planned.notes.as_slice() else {
        panic!("{:?}", planned.notes)
    };
    assert!(note.contains("`--no-traffic` leaves it out"), "{note}");
}

#[test]
fn traffic_is_a_part_of_the_scenario_s_digest() {
    let toml = |rate: u32, extra: &str| {
        format!("rate = {rate}\n[[operations]]\nname = \"a\"\nsql = \"SELECT 1{extra}\"")
    };
    let digest = |site: &Site, arguments: &[&str]| site.good(arguments).plan.scenario.digest;
    let site = with(&toml(200, ""));
    let bare = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
    let with_traffic = digest(&site, &["s"]);
    assert_ne!(with_traffic, digest(&bare, &["s"]));
    assert_eq!(digest(&site, &["s", "--no-traffic"]), digest(&bare, &["s"]));
    assert_eq!(with_traffic, digest(&with(&toml(200, "")), &["s"]));
    assert_eq!(with_traffic, digest(&with(&toml(200, " -- why")), &["s"]));
    assert_ne!(with_traffic, digest(&with(&toml(201, "")), &["s"]));
    assert_ne!(with_traffic, digest(&with(&toml(200, " + 1")), &["s"]));
    assert_ne!(with_traffic, digest(&site, &["s", "--seed", "1"]));
}

#[test]
fn the_marketplace_s_traffic_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let site = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
    let typed = format!(
        "--traffic={}",
        root.join("scenarios/traffic/listings.toml").display()
    );
    let planned = site.good(&["s", &typed]);
    assert_eq!(planned.notes, Vec::<String>::new());
    let traffic = planned.plan.traffic.expect("there is traffic");
    let weights: f64 = traffic.operations.iter().map(|one| one.weight).sum();
    assert!((weights - 100.0).abs() < 1e-9, "{weights}");
}
