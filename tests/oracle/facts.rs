//! The table: rows as they are written, and what one of them says for a major.

use std::collections::{BTreeMap, BTreeSet};

use lockproof::pg::LockMode;
use serde::Deserialize;

/// `facts.toml`, whose head explains the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub rows: u32,
    pub rows_alone: u32,
    pub objects: BTreeMap<String, String>,
    pub facts: Vec<Fact>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    pub title: String,
    pub on: Vec<String>,
    pub sql: String,
    #[serde(default)]
    pub alone: bool,
    #[serde(default)]
    pub from: u32,
    #[serde(default)]
    pub remark: String,
    locks: Vec<String>,
    #[serde(default)]
    may: Vec<String>,
    #[serde(default)]
    rewritten: Vec<String>,
    #[serde(default)]
    scanned: Vec<String>,
    #[serde(default)]
    new: Vec<String>,
    #[serde(default)]
    unless: Vec<Unless>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unless {
    from: Option<u32>,
    until: Option<u32>,
    locks: Option<Vec<String>>,
    may: Option<Vec<String>>,
    rewritten: Option<Vec<String>>,
    scanned: Option<Vec<String>>,
    new: Option<Vec<String>>,
}

/// Who is locked in what.
pub type Locks = BTreeSet<(String, LockMode)>;
/// Relations.
pub type Names = BTreeSet<String>;
/// Locks of each mode.
pub type Counts = BTreeMap<LockMode, u64>;

/// The relations that were there before a row ran: each with its table, where it is an index of one.
pub type Relations = BTreeMap<String, Option<String>>;

/// What a row says for a major, each relation by its name.
#[derive(Debug)]
pub struct Expected {
    pub locks: Locks,
    pub may: Locks,
    pub rewritten: Names,
    pub scanned: Names,
    pub new: Counts,
}

impl Table {
    pub fn read() -> Self {
        let table: Self = toml::from_str(include_str!("facts.toml"))
            .unwrap_or_else(|error| panic!("facts.toml: {error}"));
        let titles: Names = table.facts.iter().map(|fact| fact.title.clone()).collect();
        assert_eq!(titles.len(), table.facts.len(), "a title stands twice");
        table
    }

    /// The rows of a major, each with the name of its schema.
    pub fn of(&self, major: u32) -> impl Iterator<Item = (String, &Fact)> {
        let rows = self.facts.iter().enumerate();
        rows.filter(move |(_, fact)| fact.from <= major)
            .map(|(index, fact)| (format!("r{:03}", index + 1), fact))
    }
}

impl Fact {
    /// What the row says for this major of these relations.
    pub fn expected(&self, major: u32, relations: &Relations) -> Expected {
        let differs: Vec<&Unless> = self
            .unless
            .iter()
            .filter(|unless| {
                unless.from.is_none_or(|from| from <= major)
                    && unless.until.is_none_or(|until| major <= until)
            })
            .collect();
        let pick = |usual: &Vec<String>, other: fn(&Unless) -> &Option<Vec<String>>| {
            let other = differs.iter().find_map(|unless| other(unless).clone());
            other.unwrap_or_else(|| usual.clone())
        };
        let names = |words: Vec<String>| -> Names {
            words
                .iter()
                .flat_map(|name| self.relations(name, relations))
                .collect()
        };
        let locks = |words: Vec<String>| -> Locks {
            words
                .iter()
                .flat_map(|text| self.locks(text, relations))
                .collect()
        };
        Expected {
            locks: locks(pick(&self.locks, |unless| &unless.locks)),
            may: locks(pick(&self.may, |unless| &unless.may)),
            rewritten: names(pick(&self.rewritten, |unless| &unless.rewritten)),
            scanned: names(pick(&self.scanned, |unless| &unless.scanned)),
            new: pick(&self.new, |unless| &unless.new)
                .iter()
                .map(|text| self.count(text))
                .collect(),
        }
    }

    /// `t SUE AEL`.
    fn locks(&self, text: &str, relations: &Relations) -> Vec<(String, LockMode)> {
        let (name, modes) = text
            .split_once(' ')
            .unwrap_or_else(|| panic!("{}: `{text}` names no mode", self.title));
        let modes: Vec<LockMode> = modes.split(' ').map(|word| self.mode(word)).collect();
        self.relations(name, relations)
            .into_iter()
            .flat_map(|name| modes.iter().map(move |mode| (name.clone(), *mode)))
            .collect()
    }

    /// `3 AEL`.
    fn count(&self, text: &str) -> (LockMode, u64) {
        let (number, mode) = text
            .split_once(' ')
            .unwrap_or_else(|| panic!("{}: `{text}` names no mode", self.title));
        let number = number.parse();
        let number = number.unwrap_or_else(|error| panic!("{}: `{text}`: {error}", self.title));
        (self.mode(mode), number)
    }

    /// The relations of a name, which may be `indexes(t)`.
    fn relations(&self, name: &str, relations: &Relations) -> Vec<String> {
        let table = name
            .strip_prefix("indexes(")
            .and_then(|rest| rest.strip_suffix(')'));
        let found: Vec<String> = match table {
            Some(table) => relations
                .iter()
                .filter(|(_, parent)| parent.as_deref() == Some(table))
                .map(|(name, _)| name.clone())
                .collect(),
            None => relations
                .contains_key(name)
                .then(|| name.to_owned())
                .into_iter()
                .collect(),
        };
        assert!(!found.is_empty(), "{}: there is no `{name}`", self.title);
        found
    }

    fn mode(&self, word: &str) -> LockMode {
        LockMode::ALL
            .into_iter()
            .find(|mode| short(*mode) == word)
            .unwrap_or_else(|| panic!("{}: `{word}` is no mode", self.title))
    }
}

/// The mode as the table writes it.
pub fn short(mode: LockMode) -> &'static str {
    match mode {
        LockMode::AccessShareLock => "AS",
        LockMode::RowShareLock => "RS",
        LockMode::RowExclusiveLock => "RE",
        LockMode::ShareUpdateExclusiveLock => "SUE",
        LockMode::ShareLock => "S",
        LockMode::ShareRowExclusiveLock => "SRE",
        LockMode::ExclusiveLock => "E",
        LockMode::AccessExclusiveLock => "AEL",
    }
}
