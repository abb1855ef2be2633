//! Whether something of ours reaches the network, and what says so.

use serde::{Deserialize, Serialize};

/// What a stage's server, or a program of a step, may reach.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The stage and nothing else.
    #[default]
    Closed,
    /// Whatever this machine, or the container's network, reaches.
    Open,
}

/// What was in force, and what made it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// What was in force.
    pub is: Network,
    /// How it was closed, or why it was open.
    pub by: String,
}

impl NetworkFacts {
    /// It reaches nothing, by these means.
    pub fn closed(by: impl Into<String>) -> Self {
        Self {
            is: Network::Closed,
            by: by.into(),
        }
    }

    /// It reaches everything, for this reason.
    pub fn open(why: impl Into<String>) -> Self {
        Self {
            is: Network::Open,
            by: why.into(),
        }
    }

    /// What was asked for, where it could be had on this machine by namespaces.
    pub fn on_this_machine(wanted: Network) -> Self {
        match wanted {
            Network::Open => Self::open("`network = \"open\"` asks for it"),
            Network::Closed => match super::enclosure::Enclosure::possible() {
                Ok(()) => Self::closed("a network namespace of its own"),
                Err(why) => Self::open(why),
            },
        }
    }

    /// True where nothing can get out.
    pub fn is_closed(&self) -> bool {
        self.is == Network::Closed
    }
}
