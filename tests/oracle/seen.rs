//! What was seen of a row: by the server in its own transaction, and by lockproof from outside.

use std::collections::BTreeMap;

use lockproof::pg::LockMode;
use serde_json::Value;

use crate::facts::{Counts, Locks, Names, Relations};

/// What was seen of one row.
#[derive(Debug, Default)]
pub struct Seen {
    pub locks: Locks,
    pub rewritten: Names,
    pub scanned: Names,
    pub new: Counts,
}

/// What the server noted of all rows, by the names of their schemas.
pub struct Server {
    relations: BTreeMap<String, Relations>,
    seen: BTreeMap<String, Seen>,
}

impl Server {
    /// Reads what `answer.sql` printed.
    pub fn read(answer: &str) -> Self {
        let answer: Value = serde_json::from_str(answer).expect("the server's answer is JSON");
        let mut relations: BTreeMap<String, Relations> = BTreeMap::new();
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        for row in list(&answer["relations"]) {
            let name = text(&row["name"]);
            // An index of a TOAST table has its own word.
            let index =
                ["i", "I"].contains(&text(&row["kind"])) && !name.starts_with("toast_index(");
            let parent = index.then(|| text(&row["parent"]).to_owned());
            relations
                .entry(text(&row["fact"]).to_owned())
                .or_default()
                .insert(name.to_owned(), parent);
        }
        for row in list(&answer["locks"])
            .iter()
            .chain(list(&answer["witnessed"]))
        {
            let seen = seen.entry(text(&row["fact"]).to_owned()).or_default();
            let mode = mode(&row["mode"]);
            match row["name"].as_str() {
                Some(name) => {
                    seen.locks.insert((name.to_owned(), mode));
                }
                None => *seen.new.entry(mode).or_default() += 1,
            }
        }
        for row in list(&answer["traces"]) {
            let seen = seen.entry(text(&row["fact"]).to_owned()).or_default();
            let name = || text(&row["name"]).to_owned();
            seen.rewritten.extend((row["rewritten"] == true).then(name));
            seen.scanned.extend((row["scanned"] == true).then(name));
        }
        Self { relations, seen }
    }

    /// The relations that a row found; a type's row has none.
    pub fn relations(&self, schema: &str) -> Relations {
        self.relations.get(schema).cloned().unwrap_or_default()
    }

    /// What the server noted; nothing: the row locked nothing and did nothing to any table.
    pub fn seen(&self, schema: &str) -> Option<&Seen> {
        self.seen.get(schema)
    }
}

/// What lockproof reports of a step, and whatever there is in it that has to be nowhere.
pub fn by_lockproof(schema: &str, step: &Value) -> (Seen, Vec<String>) {
    let mut seen = Seen::default();
    let mut oddities = Vec::new();
    for hold in list(&step["holds"]) {
        let lock = (relation(schema, hold), mode(&hold["mode"]));
        let shown = format!("{} {}", lock.0, lock.1);
        if !seen.locks.insert(lock) {
            oddities.push(format!("one hold is reported as two: {shown}"));
        }
        if hold["hold_ms"]["at_most"].is_null() {
            oddities.push(format!("the end was not seen: {shown}"));
        }
    }
    for hold in list(&step["foreign_holds"]) {
        oddities.push(format!("put down to others: {hold}"));
    }
    let own = |name: &Value| own(schema, text(name));
    let evidence = &step["evidence"];
    seen.rewritten = list(&evidence["rewritten"]).iter().map(own).collect();
    seen.scanned = list(&evidence["scanned"])
        .iter()
        .map(|scan| own(&scan["relation"]))
        // The notes themselves, which the test makes.
        .filter(|name| !name.starts_with("oracle."))
        .collect();
    (seen, oddities)
}

/// The table's name for the relation of a hold.
fn relation(schema: &str, hold: &Value) -> String {
    let name = text(&hold["relation"]);
    match (name.strip_prefix("pg_toast."), hold["parent"].as_str()) {
        (Some(toast), Some(parent)) => {
            let word = if toast.ends_with("_index") {
                "toast_index"
            } else {
                "toast"
            };
            format!("{word}({})", own(schema, parent))
        }
        _ => own(schema, name),
    }
}

/// The name without the row's schema; another schema stays, and is nowhere in the table.
fn own(schema: &str, name: &str) -> String {
    let rest = name
        .strip_prefix(schema)
        .and_then(|rest| rest.strip_prefix('.'));
    rest.unwrap_or(name).to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

fn mode(value: &Value) -> LockMode {
    let name = text(value).parse();
    name.unwrap_or_else(|error| panic!("{value}: {error}"))
}
