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

#[test]
fn scripts_come_with_their_weights_and_are_named_after_their_files() {
    let site = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
    site.file(
        "load/reads.sql",
        "\\set id random(1, ${rows})\nSELECT * FROM listings WHERE id = :id;\n",
    );
    site.file(
        "load/writes.sql",
        "UPDATE listings SET note = 'x' WHERE id = :key;\n",
    );
    site.file("other/reads.sql", "SELECT 1;\n");
    site.file("load/a@b.sql", "SELECT 2;\n");
    let path = |name: &str| site.path(name).display().to_string();
    let traffic = |name: &str| format!("--traffic={}", path(name));
    let planned = site.good(&[
        "s",
        &traffic("load/reads.sql@9"),
        &traffic("load/writes.sql@0.5"),
        &traffic("other/reads.sql"),
        &traffic("load/a@b.sql"),
        "--var=key=7",
        "--rate=50",
    ]);
    assert_eq!(planned.notes, Vec::<String>::new());
    let operations = planned.plan.traffic.expect("there is traffic").operations;
    let shown: Vec<(&str, f64)> = operations
        .iter()
        .map(|operation| (operation.name.as_str(), operation.weight))
        .collect();
    let (first, second) = (path("load/reads.sql"), path("other/reads.sql"));
    assert_eq!(
        shown,
        [
            (first.as_str(), 9.0),
            ("writes", 0.5),
            (second.as_str(), 1.0),
            ("a@b", 1.0)
        ]
    );
    assert_eq!(
        operations[0].program,
        [
            set(
                "id",
                Expression::Call {
                    function: Function::Random,
                    arguments: vec![Expression::Integer(1), Expression::Integer(1_000_000)],
                }
            ),
            sql("SELECT * FROM listings WHERE id = $1", &["id"], 2),
        ]
    );
    assert_eq!(
        operations[1].program,
        [
            set("key", Expression::Integer(7)),
            sql("UPDATE listings SET note = 'x' WHERE id = $1", &["key"], 1),
        ]
    );
    // The same without the option: nothing gives it a value.
    let story = site.bad(&["s", &traffic("load/writes.sql")]);
    assert!(story.contains("`:key` has no value"), "{story}");
    let story = site.bad(&["s", &traffic("other/reads.sql"), "--var=key=7"]);
    assert!(story.contains("`--var key` sets nothing"), "{story}");
}

#[test]
fn plain_files_have_traffic_as_well() {
    let site = Site::new();
    site.file(
        "s/traffic.toml",
        "[variables]\nshare = 5\n[[operations]]\nscript = \"load/a.sql\"\nweight = 2\n",
    );
    site.file("s/load/a.sql", "SELECT 1;\n\nSELECT :share, ${share};\n");
    let planned = site.good(&["s", "--snapshot", "listings", "--var", "share=6"]);
    let [operation] = &planned.plan.traffic.expect("there is traffic").operations[..] else {
        panic!("one operation")
    };
    assert_eq!(operation.name, "a");
    assert_eq!(
        operation.origin,
        site.path("s/load/a.sql").display().to_string()
    );
    assert_eq!(
        operation.program,
        [
            set("share", Expression::Integer(6)),
            sql("SELECT 1", &[], 1),
            sql("SELECT $1, 6", &["share"], 3),
        ]
    );
}

#[test]
fn notes_tell_what_traffic_does_not_do() {
    let site = with(
        "[front]\nslow = \"1s\"\nrequest_timeout = \"1s\"\n[[operations]]\nname = \"a\"\n\
         sql = \"SELECT 1\"\nparameters = { id = { value = 1 } }",
    );
    let shown = |arguments: &[&str]| {
        let root = format!("{}/", site.root().display());
        let notes = site.good(arguments).notes;
        notes
            .iter()
            .map(|note| note.replace(&root, ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&["s"]),
        [
            "the traffic of `s/traffic.toml` runs beside the migration; `--no-traffic` leaves it out",
            "no answer can be slow: `front.slow` of `s/traffic.toml` is not shorter than its `request_timeout`",
            "`operations[0].sql` of `s/traffic.toml` gives `:id` a value that nothing uses",
        ]
    );
    assert_eq!(
        shown(&["s", "--no-traffic", "--rate=5"]),
        Vec::<String>::new()
    );
    let bare = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
    assert_eq!(
        bare.good(&["s", "--rate=5", "--seed=1"]).notes,
        [
            "`--rate` has no effect: there is no traffic",
            "`--seed` has no effect: there is no traffic",
        ]
    );
}

#[test]
fn traffic_on_a_server_of_somebody_else_is_told_to_stay() {
    let site = with("[[operations]]\nname = \"a\"\nsql = \"DELETE FROM listings\"");
    let stage = "--stage=postgres://u@localhost/staging";
    let notes = site.good(&["s", stage]).notes;
    let told = "what the traffic writes stays on the server, as the migration does";
    assert!(notes.iter().any(|note| note == told), "{notes:?}");
    let notes = site.good(&["s", stage, "--no-traffic"]).notes;
    assert!(!notes.iter().any(|note| note == told), "{notes:?}");
    let notes = site.good(&["s"]).notes;
    assert!(!notes.iter().any(|note| note == told), "{notes:?}");
}
