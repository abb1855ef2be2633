//! Live traffic beside the migration, decided: what is asked, how often, and the application in front.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests are counted together over so long, for the picture of a run.
pub const SLICE: Duration = Duration::from_millis(100);

/// What runs beside the migration.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// What is asked; at least one.
    pub operations: Vec<Operation>,
    /// How often.
    pub load: Load,
    /// The application in front of the server.
    pub front: Front,
    /// How long it runs before the first step: what is usual.
    pub baseline: Duration,
    /// How long it goes on after the last step.
    pub settle: Duration,
    /// The same seed asks for the same keys in the same order.
    pub seed: u64,
}

/// When requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Load {
    /// At a rate, whether earlier ones were answered or not, as users do.
    Open {
        /// Requests a second.
        rate: f64,
        /// The distances between them.
        arrivals: Arrivals,
    },
    /// By so many clients, each of which waits for its answer first: a stall hides what it delays.
    Closed {
        /// Clients.
        clients: u32,
        /// Each one's rest after an answer.
        #[serde(with = "crate::clock::nanos", rename = "think_ns")]
        #[schemars(with = "u64")]
        think: Duration,
    },
}

/// The distances between requests of an open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Exponentially distributed, as independent users make them.
    #[default]
    Poisson,
    /// All the same.
    Uniform,
}

/// A model of the application in front of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Front {
    /// Connections in its pool.
    pub pool: u32,
    /// A request that gets no connection for so long is refused: the 502.
    #[serde(with = "crate::clock::nanos", rename = "acquire_timeout_ns")]
    #[schemars(with = "u64")]
    pub acquire_timeout: Duration,
    /// A request that is not answered for so long, from when it was due, is given up: the 504.
    #[serde(with = "crate::clock::nanos", rename = "request_timeout_ns")]
    #[schemars(with = "u64")]
    pub request_timeout: Duration,
    /// An answer that takes longer than this is slow.
    #[serde(with = "crate::clock::nanos", rename = "slow_ns")]
    #[schemars(with = "u64")]
    pub slow: Duration,
}

impl Default for Front {
    fn default() -> Self {
        Self {
            pool: 20,
            acquire_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            slow: Duration::from_millis(500),
        }
    }
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its name, unique.
    pub name: String,
    /// How often it comes, beside the others' weights; more than 0.
    pub weight: f64,
    /// Where it was written, for messages: `traffic.toml` or a script's name.
    pub origin: String,
    /// What one request does, in order, on one connection.
    pub program: Vec<Instruction>,
}

/// A line of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Instruction {
    /// A variable gets a value, anew in each request.
    Set {
        /// Its name.
        variable: String,
        /// Its value.
        value: Expression,
    },
    /// A statement.
    Sql {
        /// What is prepared, with `$1`, `$2` in place of variables.
        text: String,
        /// The variables in the order of their numbers; their values are sent as text.
        parameters: Vec<String>,
        /// The line in its file, from 1.
        line: usize,
    },
    /// The connection is kept and nothing is asked for so many microseconds.
    Sleep(Expression),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Double(f64),
    /// A word, a date: whatever is sent as it stands.
    Text(String),
    /// What a variable holds.
    Variable(String),
    /// One of the values that a column has in the snapshot.
    Key {
        /// The table, as SQL has it.
        relation: String,
        /// A column of whole numbers, such as its key.
        column: String,
        /// Which of them.
        distribution: Distribution,
    },
    /// A function or an operator of pgbench.
    Call {
        /// Which.
        function: Function,
        /// On what.
        arguments: Vec<Expression>,
    },
}

/// How keys are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Each as often as any other.
    Uniform,
    /// Few of them often: the k-th most frequent comes with a weight of 1 / k^s. Which those are is scattered over
    /// the range.
    Zipf {
        /// More than 0; the larger, the fewer keys get most of the requests.
        exponent: f64,
    },
}

/// Functions and operators of pgbench that requests are written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `random(lb, ub)`, both ends included.
    Random,
    /// `random_exponential(lb, ub, parameter)`.
    RandomExponential,
    /// `random_gaussian(lb, ub, parameter)`.
    RandomGaussian,
    /// `random_zipfian(lb, ub, parameter)`.
    RandomZipfian,
    /// `abs(x)`.
    Abs,
    /// `int(x)`.
    Int,
    /// `double(x)`.
    Double,
    /// `greatest(…)`.
    Greatest,
    /// `least(…)`.
    Least,
    /// `mod(a, b)`, `a % b`.
    Mod,
    /// `hash(a)`, `hash_fnv1a(a)`, `hash_murmur2(a)`: which one is no promise of ours.
    Hash,
    /// `a + b`.
    Add,
    /// `a - b`; with one argument `-a`.
    Subtract,
    /// `a * b`.
    Multiply,
    /// `a / b`, of whole numbers towards zero.
    Divide,
}
