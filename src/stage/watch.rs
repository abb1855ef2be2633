//! How long work tells of its progress; the library itself prints nothing.

/// Receives progress. The command shows it on a terminal or as lines of a log, tests ignore it.
pub trait Watch: Send + Sync {
    /// A phase begins, in the words of a person: "restoring `listings`".
    fn phase(&self, _what: &str) {}
    /// A phase begins whose `advance` counts something.
    fn measured(&self, what: &str, _unit: Unit) {
        self.phase(what);
    }
    /// So much of the phase is done, and of how much in all, where that is known.
    fn advance(&self, _done: u64, _total: Option<u64>) {}
    /// So much of all the work of the phase, and of what follows from it, is done by weight: where
    /// this is told, percent and time left go by it, and not by what is counted.
    fn share(&self, _done: u64, _total: u64) {}
    /// What of the phase is at work right now, in a few words: "index `listings_pkey`".
    fn detail(&self, _what: &str) {}
    /// Something worth a line of its own, such as why a stage was chosen.
    fn note(&self, _text: &str) {}
}

/// What a phase counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, of a file or of a server's data.
    Bytes,
    /// Rows of a table.
    Rows,
    /// Statements of a file.
    Statements,
    /// Tables.
    Tables,
    /// Indexes, constraints and whatever else a database has.
    Objects,
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {}
