//! Where statements begin and end in the user's bytes, and what kind each one is.

use std::ops::Range;

/// Placeholder shape until the splitter lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The bytes.
    pub text: String,
    /// Where.
    pub span: Range<usize>,
    /// Inline COPY data.
    pub copy_data: Option<Range<usize>>,
}
