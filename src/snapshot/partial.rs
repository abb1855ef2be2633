//! What a snapshot leaves out of its source: `partial` in the description.

/// A table that is not there as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// Its name, with its schema unless that is `public`.
    pub table: String,
    /// The condition that its rows meet; None: it has no rows, or is not there at all.
    pub condition: Option<String>,
}
