//! `application_name` of lockproof's sessions, by which they are told apart in `pg_stat_activity`.

/// Sessions that run the migration begin so; the step's name follows.
pub const MIGRATION_PREFIX: &str = "lockproof:";
/// Sessions that watch begin so.
pub const WATCHER_PREFIX: &str = "lockproof ";
/// The sampler's session.
pub const SAMPLER: &str = "lockproof sampler";
/// The sampler's second session, which asks who the sessions are.
pub const INQUIRY: &str = "lockproof inquiry";
/// The session that reads the catalogue around a step.
pub const OBSERVER: &str = "lockproof observer";
/// Sessions of the traffic.
pub const TRAFFIC: &str = "lockproof/traffic";
/// Sessions of a disturbance begin so; its name follows.
pub const DISTURBANCE_PREFIX: &str = "lockproof/disturbance ";
