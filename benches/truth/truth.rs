//! What a witness tells: holds as they really were.

use std::time::Duration;

/// A moment that lies between two, in nanoseconds of the witness's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Not before.
    pub from: u64,
    /// Not after.
    pub to: u64,
}

/// A hold of ACCESS EXCLUSIVE.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The relation's name.
    pub relation: String,
    /// When it was granted.
    pub granted: Moment,
    /// When it was released; None: the witness did not see it.
    pub released: Option<Moment>,
}

/// How long something lasted, to the width of what the witness itself does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lasted {
    /// Not shorter.
    pub least: Duration,
    /// Not longer.
    pub most: Duration,
}

impl Hold {
    /// How long it lasted.
    pub fn lasted(&self) -> Option<Lasted> {
        let released = self.released?;
        let between = |from: u64, to: u64| Duration::from_nanos(to.saturating_sub(from));
        Some(Lasted {
            least: between(self.granted.to, released.from),
            most: between(self.granted.from, released.to),
        })
    }
}

/// A mark that a step leaves, by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The lock is asked for next.
    Asking,
    /// It is held.
    Held,
    /// It is released next.
    Ending,
    /// It has been released.
    Ended,
}

impl Kind {
    /// All, in their order.
    pub const ALL: [Self; 4] = [Self::Asking, Self::Held, Self::Ending, Self::Ended];

    /// Its name in the table of marks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Held => "held",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}
