//! How long work tells of its progress; the library itself prints nothing.

/// Receives progress. The command shows it on a terminal, tests and pipes ignore it.
pub trait Watch: Send + Sync {
    /// A phase begins, in the words of a person: "restoring `listings`".
    fn phase(&self, _what: &str) {}
    /// So much of the phase is done, and of how much in all, where that is known.
    fn advance(&self, _done: u64, _total: Option<u64>) {}
    /// Something worth a line of its own, such as why a stage was chosen.
    fn note(&self, _text: &str) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {}
