//! `traffic.toml` as typed: its keys and their shapes, no decision.
//!
//! Values with a unit, and numbers that a variable may stand for, stay `toml::Value` here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Value;

use crate::plan::Arrivals;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficText {
    /// For people.
    #[serde(rename = "description")]
    pub _description: Option<String>,
    /// Requests a second.
    pub rate: Option<Value>,
    /// The distances between them.
    pub arrivals: Option<Arrivals>,
    /// Or: so many clients.
    pub clients: Option<Value>,
    /// Each one's rest after an answer.
    pub think: Option<Value>,
    /// How long it runs before the first step.
    pub baseline: Option<Value>,
    /// How long it goes on after the last one.
    pub settle: Option<Value>,
    /// Which keys are asked for.
    pub seed: Option<Value>,
    /// `${name}` and `:name`, and what they stand for.
    #[serde(default, rename = "variables")]
    pub _variables: BTreeMap<String, Value>,
    /// The application.
    #[serde(default)]
    pub front: FrontText,
    /// What is asked.
    #[serde(default)]
    pub operations: Vec<OperationText>,
}

/// `[front]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontText {
    /// Connections.
    pub pool: Option<Value>,
    /// How long a request waits for one of them.
    pub acquire_timeout: Option<Value>,
    /// How long a request waits for its answer.
    pub request_timeout: Option<Value>,
    /// From when on an answer is slow.
    pub slow: Option<Value>,
}

/// One of `[[operations]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationText {
    /// None: the stem of the file or the script.
    pub name: Option<String>,
    /// None: 1.
    pub weight: Option<Value>,
    /// The SQL itself.
    pub sql: Option<String>,
    /// The SQL's file, from the folder of traffic.toml.
    pub file: Option<PathBuf>,
    /// A script of pgbench, from the same folder.
    pub script: Option<PathBuf>,
    /// What `:name` stands for in each request.
    #[serde(default)]
    pub parameters: BTreeMap<String, ParameterText>,
}

/// What one parameter stands for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterText {
    /// The values that this column has: `table.column`.
    pub column: Option<String>,
    /// How often each of them; None: all the same.
    pub distribution: Option<DistributionText>,
    /// Of `zipf`.
    pub exponent: Option<Value>,
    /// A whole number from the first to the second.
    pub random: Option<Vec<Value>>,
    /// Always the same.
    pub value: Option<Value>,
    /// One of these.
    pub values: Option<Vec<Value>>,
}

/// How often each of a column's values is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistributionText {
    /// All the same.
    Uniform,
    /// Few of them often.
    Zipf,
}
