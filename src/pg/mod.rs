//! PostgreSQL's vocabulary: lock modes, the catalogue, sessions. Judges nothing.

pub mod lock_mode;

pub use lock_mode::LockMode;
