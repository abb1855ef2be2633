//! PostgreSQL's vocabulary: lock modes, the catalogue, sessions. Judges nothing.

pub mod catalog;
pub mod effects;
pub mod lock_mode;
pub mod names;
pub mod queries;
pub mod session;

pub use lock_mode::LockMode;
pub use session::Session;

/// The oldest server that is supported.
pub const OLDEST_MAJOR: u32 = 12;
/// The newest server that was tested.
pub const NEWEST_MAJOR: u32 = 18;
