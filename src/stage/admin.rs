//! The role that may do everything on a stage of ours.

/// The superuser of every cluster that we make.
pub(super) const SUPERUSER: &str = "postgres";

/// Who may do everything, and in which database that can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admin {
    pub superuser: String,
    pub database: String,
}

impl Admin {
    /// Those of a cluster that we made.
    pub fn ours() -> Self {
        Self {
            superuser: SUPERUSER.to_owned(),
            database: "postgres".to_owned(),
        }
    }
}
