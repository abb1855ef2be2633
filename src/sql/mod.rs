//! Where statements begin and end in the user's bytes, and what kind each one is.
//!
//! Our own lexer follows PostgreSQL's `scan.l` and psql's `psqlscan.l`, so that a file is cut where
//! psql would cut it. Everything here is pure: no I/O, no panic on any input, and the user's SQL is
//! never rewritten ([`normalise()`] makes a copy to show, not one to run).

pub mod kind;
mod label;
pub mod lex;
pub mod normalise;
mod outside;
pub mod split;
pub mod timeout;
mod verb;
mod words;

pub use kind::Kind;
pub use lex::{Lexer, Token, TokenKind, Unterminated, lex};
pub use normalise::{is_cut, normalise, told};
pub use split::{SplitError, SplitErrorKind, Statement, line_column, split};
pub use timeout::{SetsLockTimeout, Timeout, Until};
pub use verb::{Object, TransactionControl, Verb};
