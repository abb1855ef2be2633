//! What a program did to the stage, as far as the server's own counters tell: lockproof drives none of its sessions.

use serde::{Deserialize, Serialize};

/// What a program did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// Whether a session of it came; None: nothing tells.
    #[serde(default)]
    pub came: Option<bool>,
    /// How many came, where they could be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// Relations that it surely changed, and committed, by name.
    #[serde(default)]
    pub changed: Vec<Changed>,
    /// The system's own tables of which the same is true, by name.
    #[serde(default)]
    pub catalogues: Vec<String>,
    /// True where a transaction of it was seen that wrote and was committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wrote: bool,
    /// Relations that were changed and nothing tells by whom, or whether it was committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclear: Vec<String>,
    /// True where others write on the same server meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub others: bool,
    /// Why the server did not tell; None: it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// A relation that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its name.
    pub relation: String,
    /// Rows that were changed and committed; None: it was made, dropped, altered or vacuumed, or they cannot be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl Effects {
    /// True where something was surely changed.
    pub fn any(&self) -> bool {
        self.wrote || !self.changed.is_empty() || !self.catalogues.is_empty()
    }
}
