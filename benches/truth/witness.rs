//! Who tells the truth: probes where the kernel allows them, else the server's clock.

use crate::Outcome;
use crate::cases::Marks;
use crate::compare::Sight;
use crate::ground::Ground;
use crate::marks;
use crate::probes::Probes;
use crate::server::Catalogue;
use crate::truth::Hold;

/// Who is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Probes, if it can be.
    Probes,
    /// The clock.
    Clock,
}

/// Who it is.
pub enum Witness {
    /// Probes.
    Probes(Probes),
    /// The clock, and why.
    Clock(String),
}

impl Witness {
    /// Calls it.
    pub fn call(ground: &Ground, server: Option<u32>, wanted: Wanted) -> Self {
        let attached = match (wanted, server) {
            (Wanted::Clock, _) => Err("asked for".into()),
            (Wanted::Probes, None) => {
                Err("the server's process is not seen on this machine".into())
            }
            (Wanted::Probes, Some(server)) => Probes::attach(ground, server),
        };
        match attached {
            Ok(probes) => Self::Probes(probes),
            Err(why) => Self::Clock(why.to_string()),
        }
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Self::Probes(_) => {
                "kernel uprobes on LockAcquireExtended, GrantLock, LockRelease and LockReleaseAll"
                    .to_owned()
            }
            Self::Clock(why) => format!(
                "the server's clock around and inside each hold, NOT kernel uprobes ({why})"
            ),
        }
    }

    /// What the steps have to do for it.
    pub fn marks(&self) -> Marks {
        match self {
            Self::Probes(_) => Marks::None,
            Self::Clock(_) => Marks::Left,
        }
    }

    /// What it sees.
    pub fn sight(&self) -> Sight {
        match self {
            Self::Probes(_) => Sight::Whole,
            Self::Clock(_) => Sight::Marked,
        }
    }

    /// The holds since the last time that this was asked.
    pub fn holds(&mut self, ground: &Ground, catalogue: &Catalogue) -> Outcome<Vec<Hold>> {
        match self {
            Self::Probes(probes) => probes.holds(ground, catalogue),
            Self::Clock(_) => marks::holds(ground),
        }
    }
}
