//! Every query that lockproof itself sends, one file each, chosen by server version.

/// Lock rows; the only query of the hot loop.
pub const LOCKS: &str = include_str!("queries/locks.sql");
/// Relations with their files and their counters.
pub const RELATIONS: &str = include_str!("queries/relations.sql");
/// Settings that decide verdicts.
pub const SETTINGS: &str = include_str!("queries/settings.sql");

/// Who the server processes are and for whom they wait.
///
/// `leader_pid` exists since PostgreSQL 13.
pub fn activity(server_major: u32) -> &'static str {
    if server_major >= 13 {
        include_str!("queries/activity.sql")
    } else {
        include_str!("queries/activity_12.sql")
    }
}
/// Relations with what tells whether they were changed.
pub const EFFECTS: &str = include_str!("queries/effects.sql");
/// The system's own tables that tell of changes.
pub const CATALOGUES: &str = include_str!("queries/catalogues.sql");
/// How many sessions there ever were.
pub const SESSIONS: &str = include_str!("queries/sessions.sql");
/// Clients' sessions.
pub const CLIENTS: &str = include_str!("queries/clients.sql");
