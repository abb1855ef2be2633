//! What stands in `schema/` is what the program writes by: it is current, and real reports and comparisons obey it.
//!
//! `INSTA_UPDATE=always cargo test --test schema` writes the files anew.

use std::path::Path;

use assert_cmd::Command;
use lockproof::report::json;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_schemas_in_the_tree_are_current() {
    for (name, current) in [
        ("report", json::schema()),
        ("compare", json::comparison_schema()),
    ] {
        let current = current.expect("a schema");
        let name = format!("schema/{name}.schema.json");
        let file = root().join(&name);
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::write(&file, &current).expect("written");
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == current,
            "`{name}` is not what the code writes: INSTA_UPDATE=always cargo test --test schema, \
             and read the difference; a changed or removed key needs another `schema_version`"
        );
    }
}

#[test]
fn comparisons_obey_their_schema() {
    let schema = parsed(json::comparison_schema());
    for names in [["published", "redesigned"], ["traffic", "traffic-quick"]] {
        let recordings = names.map(|name| root().join(format!("tests/recordings/{name}.jsonl")));
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
        let comparison = said(
            command
                .args(["compare", "--quiet", "--json", "-"])
                .args(recordings),
        );
        let complaints = complaints(&comparison, &schema);
        assert!(complaints.is_empty(), "{names:?}: {complaints:#?}");
    }
}

#[test]
fn every_stored_recording_gives_a_report_that_obeys_the_schema() {
    let schema = schema();
    let mut seen = 0;
    for entry in root().join("tests/recordings").read_dir().expect("there") {
        let path = entry.expect("readable").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let report = judged(&path);
        let complaints = complaints(&report, &schema);
        assert!(complaints.is_empty(), "{}: {complaints:#?}", path.display());
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} recordings");
}

/// The names that scripts outside rely on, independent of the schema that the code derives.
#[test]
fn the_names_that_scripts_rely_on_are_there() {
    let report = judged(&root().join("tests/recordings/published.jsonl"));
    for pointer in [
        "/$schema",
        "/schema_version",
        "/tool/name",
        "/tool/version",
        "/run/id",
        "/run/started_at",
        "/run/finished_at",
        "/scenario/name",
        "/scenario/digest",
        "/snapshot/name",
        "/snapshot/digest",
        "/snapshot/taken_at",
        "/snapshot/tables/0/name",
        "/snapshot/tables/0/rows",
        "/snapshot/tables/0/bytes",
        "/stage/kind",
        "/stage/image",
        "/stage/server_version",
        "/stage/settings/fsync",
        "/policy/budgets/0/mode",
        "/policy/budgets/0/counts",
        "/policy/budgets/0/limit_ms",
        "/verdict",
        "/steps/2/name",
        "/steps/2/kind",
        "/steps/2/verdict",
        "/steps/2/elapsed_ms",
        "/steps/2/attempts",
        "/steps/2/statements/0/sql",
        "/steps/2/statements/0/started_ms",
        "/steps/2/statements/0/elapsed_ms",
        "/steps/2/statements/0/rows",
        "/steps/2/holds/0/relation",
        "/steps/2/holds/0/parent",
        "/steps/2/holds/0/mode",
        "/steps/2/holds/0/pid",
        "/steps/2/holds/0/hold_ms/at_least",
        "/steps/2/holds/0/hold_ms/at_most",
        "/steps/2/holds/0/wait_ms/at_least",
        "/steps/2/holds/0/wait_ms/at_most",
        "/steps/2/holds/0/granted_by",
        "/steps/2/holds/0/lengthened_by",
        "/steps/2/holds/0/judged",
        "/steps/2/ignored_holds",
        "/steps/2/foreign_holds",
        "/steps/2/blocked",
        "/steps/2/evidence/rewritten",
        "/steps/2/evidence/scanned",
        "/findings/0/rule",
        "/findings/0/step",
        "/findings/0/relation",
        "/findings/0/mode",
        "/findings/0/message",
        "/findings/0/advice",
        "/traffic",
        "/sampling/interval_ms",
        "/sampling/samples",
        "/sampling/gap_ms/p50",
        "/sampling/gap_ms/p99",
        "/sampling/gap_ms/max",
        "/sampling/round_trip_ms/p99",
        "/sampling/blind_ms_max",
        "/sampling/dropped",
        "/limits/0",
    ] {
        assert!(report.pointer(pointer).is_some(), "{pointer} is not there");
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let schema = schema();
    let good = judged(&root().join("tests/recordings/published.jsonl"));
    let broken = |pointer: &str, value: Value| {
        let mut report = good.clone();
        *report.pointer_mut(pointer).expect("there") = value;
        complaints(&report, &schema)
    };
    for (pointer, value) in [
        ("/verdict", Value::from("good")),
        ("/run/replays", Value::from("1")),
        ("/steps/0/holds", Value::Null),
        ("/steps/0/kind", Value::from(3)),
        ("/run/replays", Value::from(-1)),
        ("/sampling", Value::from(1)),
    ] {
        assert!(!broken(pointer, value).is_empty(), "{pointer}");
    }
    let mut short = good.clone();
    short.as_object_mut().expect("an object").remove("verdict");
    assert_eq!(complaints(&short, &schema), ["/: lacks `verdict`"]);
}

fn schema() -> Value {
    parsed(json::schema())
}

fn parsed(schema: Result<String, serde_json::Error>) -> Value {
    serde_json::from_str(&schema.expect("a schema")).expect("JSON")
}

fn judged(recording: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
    said(
        command
            .args(["judge", "--quiet", "--json", "-"])
            .arg(recording)
            .env_remove("LOCKPROOF_BUDGET"),
    )
}

/// What a command says in JSON.
fn said(command: &mut Command) -> Value {
    let output = command.output().expect("it runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        panic!("{command:?}: {error}\n{complaint}")
    })
}

fn complaints(report: &Value, schema: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    validate(report, schema, schema, "", &mut complaints);
    complaints
}

/// As much of JSON Schema as the derived schema uses; another keyword is a failure, not a pass.
fn validate(value: &Value, schema: &Value, root: &Value, at: &str, complaints: &mut Vec<String>) {
    let keywords = schema.as_object().expect("a schema is an object");
    let mut wrong = |what: String| {
        let at = if at.is_empty() { "/" } else { at };
        complaints.push(format!("{at}: {what}"));
    };
    for (keyword, rule) in keywords {
        match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" | "default" => {}
            "type" => {
                let wanted: Vec<&str> = match rule {
                    Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !wanted.iter().any(|wanted| is(value, wanted)) {
                    wrong(format!("is not {}", wanted.join(" or ")));
                }
            }
            "const" if value != rule => wrong(format!("is not {rule}")),
            "enum" if !rule.as_array().expect("a list").contains(value) => {
                wrong(format!("is none of {rule}"));
            }
            "const" | "enum" => {}
            "minimum" => {
                let least = rule.as_f64().expect("a number");
                if value.as_f64().is_some_and(|number| number < least) {
                    wrong(format!("is below {rule}"));
                }
            }
            "maximum" => {
                let most = rule.as_f64().expect("a number");
                if value.as_f64().is_some_and(|number| number > most) {
                    wrong(format!("is above {rule}"));
                }
            }
            "required" => {
                for name in rule.as_array().expect("a list") {
                    let name = name.as_str().expect("a name");
                    if value.as_object().is_some_and(|o| !o.contains_key(name)) {
                        wrong(format!("lacks `{name}`"));
                    }
                }
            }
            "$ref" => {
                let pointer = rule.as_str().and_then(|at| at.strip_prefix('#'));
                let target = root.pointer(pointer.expect("of this file")).expect("there");
                validate(value, target, root, at, complaints);
                return others(value, schema, root, at, complaints);
            }
            "minItems" | "maxItems" => {
                let count = value.as_array().map(|items| items.len() as u64);
                let limit = rule.as_u64().expect("a number");
                let fits = |count| match keyword.as_str() {
                    "minItems" => count >= limit,
                    _ => count <= limit,
                };
                if !count.is_none_or(fits) {
                    wrong(format!("breaks `{keyword}` of {rule}"));
                }
            }
            "properties" | "additionalProperties" | "items" | "prefixItems" | "anyOf" | "oneOf" => {
            }
            unknown => panic!("{at}: the validator does not know `{unknown}`"),
        }
    }
    others(value, schema, root, at, complaints);
}

/// The keywords that lead further down.
fn others(value: &Value, schema: &Value, root: &Value, at: &str, complaints: &mut Vec<String>) {
    let known = schema.get("properties");
    if let Value::Object(members) = value {
        for (name, member) in members {
            let rule = known
                .and_then(|known| known.get(name))
                .or_else(|| schema.get("additionalProperties"));
            match rule {
                Some(Value::Bool(true)) => {}
                Some(rule) => validate(member, rule, root, &format!("{at}/{name}"), complaints),
                // What the code writes beyond its schema is not documented.
                None if known.is_some() => complaints.push(format!("{at}/{name}: is unknown")),
                None => {}
            }
        }
    }
    if let (Value::Array(items), Some(rule)) = (value, schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            validate(item, rule, root, &format!("{at}/{index}"), complaints);
        }
    }
    if let (Value::Array(items), Some(Value::Array(rules))) = (value, schema.get("prefixItems")) {
        for (index, (item, rule)) in items.iter().zip(rules).enumerate() {
            validate(item, rule, root, &format!("{at}/{index}"), complaints);
        }
    }
    for keyword in ["anyOf", "oneOf"] {
        let Some(Value::Array(choices)) = schema.get(keyword) else {
            continue;
        };
        let mut nearest: Option<Vec<String>> = None;
        for choice in choices {
            let mut found = Vec::new();
            validate(value, choice, root, at, &mut found);
            if nearest
                .as_ref()
                .is_none_or(|least| found.len() < least.len())
            {
                nearest = Some(found);
            }
        }
        complaints.extend(nearest.unwrap_or_default());
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match wanted {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the validator does not know the type `{other}`"),
    }
}
