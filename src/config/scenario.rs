//! `scenario.toml` as typed: its keys and their shapes, no decision.
//!
//! Values with a unit stay `toml::Value` here, so that a missing unit is told with the key's path and
//! a variable may stand for a number.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Value;

use super::disturbances::DisturbanceText;
use super::units;
use crate::plan::{Level, StepKind, Warmth, Wrap};
use crate::stage::Network;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// None: the folder's name.
    pub name: Option<String>,
    /// For people.
    #[serde(rename = "description")]
    pub _description: Option<String>,
    /// A name or a path.
    pub snapshot: Option<String>,
    /// A traffic.toml, from the scenario's folder.
    pub traffic: Option<PathBuf>,
    /// The oldest that the snapshot may be.
    pub max_age: Option<Value>,
    /// What is in memory when a replay begins.
    pub warmth: Option<Warmth>,
    /// At most so many replays.
    pub replays: Option<Value>,
    /// Between two samples.
    pub interval: Option<Value>,
    /// `lock_timeout` of the steps' sessions.
    pub lock_timeout: Option<Value>,
    /// When it strikes.
    pub retry: Option<RetryText>,
    /// `${name}` and what it stands for.
    #[serde(default, rename = "variables")]
    pub _variables: BTreeMap<String, Value>,
    /// For every step.
    #[serde(default)]
    pub budgets: BTreeMap<String, BudgetText>,
    /// Where it runs.
    #[serde(default)]
    pub stage: StageText,
    /// What is replayed.
    #[serde(default)]
    pub steps: Vec<StepText>,
    /// Who is in the way.
    #[serde(default)]
    pub disturbances: Vec<DisturbanceText>,
}

/// `[stage]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageText {
    /// The container image.
    pub image: Option<String>,
    /// Processors.
    pub cpus: Option<Value>,
    /// Memory.
    pub memory: Option<Value>,
    /// Shared memory.
    pub shm: Option<Value>,
    /// The PostgreSQL major.
    pub pg: Option<Value>,
    /// What the server and the programs of steps may reach.
    pub network: Option<Network>,
    /// Production's servers, on top of those of `--production`.
    #[serde(default)]
    pub production: Vec<String>,
    /// Server settings.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
}

/// One of `[[steps]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepText {
    /// None: the file's stem.
    pub name: Option<String>,
    /// None: told by the other keys.
    pub kind: Option<StepKind>,
    /// The SQL's file, from the scenario's folder.
    pub file: Option<PathBuf>,
    /// The SQL itself.
    pub sql: Option<String>,
    /// How the statements are put into transactions.
    pub wrap: Option<Wrap>,
    /// `lock_timeout` of the session.
    pub lock_timeout: Option<Value>,
    /// `statement_timeout` of the session.
    pub statement_timeout: Option<Value>,
    /// For the whole step.
    pub timeout: Option<Value>,
    /// Rows a batch.
    pub batch_size: Option<Value>,
    /// Rest between two batches.
    pub sleep: Option<Value>,
    /// The key to start after.
    pub after: Option<Value>,
    /// Give up after so many.
    pub max_batches: Option<Value>,
    /// The program and its arguments.
    pub run: Option<Vec<String>>,
    /// Where it runs, from the scenario's folder.
    pub cwd: Option<PathBuf>,
    /// Its environment.
    pub env: Option<BTreeMap<String, Value>>,
    /// What it may reach; None: as `[stage]` says.
    pub network: Option<Network>,
    /// Whether the program may find nothing to change.
    pub may_do_nothing: Option<bool>,
    /// When `lock_timeout` strikes.
    pub retry: Option<RetryText>,
    /// Its own budgets.
    #[serde(default)]
    pub budgets: BTreeMap<String, BudgetText>,
    /// Why a budget of its own is looser.
    pub reason: Option<String>,
}

/// `retry`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryText {
    /// Attempts in all.
    pub attempts: Option<Value>,
    /// Rest before the second one.
    pub backoff: Option<Value>,
    /// The longest of the rests, which double.
    pub max_backoff: Option<Value>,
    /// By which share chance makes them shorter or longer.
    pub jitter: Option<Value>,
}

/// A budget: the limit alone, or with what breaking it does.
#[derive(Debug, Clone)]
pub enum BudgetText {
    /// `"50ms"`, `0`, `"20%"`.
    Limit(Value),
    /// `{ limit = "50ms", level = "warn" }`.
    Detailed(DetailedBudget),
}

/// `{ limit = "50ms", level = "warn" }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailedBudget {
    /// The longest hold.
    pub limit: Option<Value>,
    /// None: it fails.
    pub level: Option<Level>,
}

// By hand: an untagged enum would lose the place of what is wrong within the table.
impl<'de> Deserialize<'de> for BudgetText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Budget;
        impl<'de> Visitor<'de> for Budget {
            type Value = BudgetText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration or a table with `limit` and `level`")
            }

            fn visit_str<E>(self, text: &str) -> Result<BudgetText, E> {
                Ok(BudgetText::Limit(Value::String(text.to_owned())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<BudgetText, E> {
                Ok(BudgetText::Limit(Value::Integer(number)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<BudgetText, E> {
                Ok(BudgetText::Limit(Value::Float(number)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BudgetText, A::Error> {
                DetailedBudget::deserialize(MapAccessDeserializer::new(map))
                    .map(BudgetText::Detailed)
            }
        }
        deserializer.deserialize_any(Budget)
    }
}

impl StepText {
    /// The kind that is said, or told by the keys that are there.
    pub fn kind(&self) -> StepKind {
        self.kind.unwrap_or(if self.run.is_some() {
            StepKind::Command
        } else if self.batch_size.is_some() {
            StepKind::Batch
        } else {
            StepKind::Sql
        })
    }

    /// The first key that is there and means nothing for the step's kind, and the kinds it is for.
    pub fn foreign_key(&self) -> Option<(&'static str, &'static [StepKind])> {
        use StepKind::{Batch, Command, Sql};
        let keys: [(&str, bool, &[StepKind]); 14] = [
            ("run", self.run.is_some(), &[Command]),
            ("cwd", self.cwd.is_some(), &[Command]),
            ("env", self.env.is_some(), &[Command]),
            ("network", self.network.is_some(), &[Command]),
            ("may_do_nothing", self.may_do_nothing.is_some(), &[Command]),
            ("batch_size", self.batch_size.is_some(), &[Batch]),
            ("sleep", self.sleep.is_some(), &[Batch]),
            ("after", self.after.is_some(), &[Batch]),
            ("max_batches", self.max_batches.is_some(), &[Batch]),
            ("file", self.file.is_some(), &[Sql, Batch]),
            ("sql", self.sql.is_some(), &[Sql, Batch]),
            ("wrap", self.wrap.is_some(), &[Sql]),
            (
                "statement_timeout",
                self.statement_timeout.is_some(),
                &[Sql, Batch],
            ),
            ("retry", self.retry_of_a_program(), &[Sql, Batch]),
        ];
        let kind = self.kind();
        keys.into_iter()
            .find(|(_, present, kinds)| *present && !kinds.contains(&kind))
            .map(|(key, _, kinds)| (key, kinds))
    }

    /// Whether a program is to be started again: one attempt is what it has anyhow.
    fn retry_of_a_program(&self) -> bool {
        let once = |retry: &RetryText| {
            let attempts = retry.attempts.as_ref();
            attempts.is_some_and(|attempts| units::count(attempts).is_ok_and(|count| count == 1))
        };
        self.retry.as_ref().is_some_and(|retry| !once(retry))
    }
}
