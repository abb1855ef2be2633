//! Sessions of lockproof's own fire no event trigger: they ask for `event_triggers = off` as they log in,
//! which is before a trigger on `login` would fire.
//!
//! A server before PostgreSQL 17 does not know the setting, a role that is no superuser may not change it,
//! and a pooler may pass on no options: then the session opens without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::error::SqlState;

/// The first major with triggers on `login`, and with the setting.
pub(super) const SINCE: u32 = 17;

/// What a session asks for.
pub(super) const OPTION: &str = "-c event_triggers=off";

/// Whether event triggers fire for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Triggers {
    /// As for any application: the session stands for one.
    Fire,
    /// Not where it can be helped: the session is lockproof's own.
    Rest,
}

/// What is known of a server and a role: whether it takes the option. Shared by all copies.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    refused: Arc<AtomicBool>,
    taken: Arc<AtomicBool>,
}

impl Quiet {
    /// For a superuser of a server whose major is known.
    pub fn of_major(major: u32) -> Self {
        let quiet = Self::default();
        if major < SINCE {
            quiet.note_refused();
        } else {
            quiet.note_taken();
        }
        quiet
    }

    /// Whether it is known to be refused.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether it is known to be taken.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) && !self.is_refused()
    }

    pub(super) fn note_refused(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }
}

/// What was learned makes no other endpoint of it.
impl PartialEq for Quiet {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Quiet {}

/// The session's options with ours behind them: of two values for one setting the last one counts.
pub(super) fn with_ours(given: Option<&str>) -> String {
    match given {
        Some(given) => format!("{given} {OPTION}"),
        None => OPTION.to_owned(),
    }
}

/// Whether the option may be what a server, or a pooler before it, refused: not who connects, to which
/// database, or how many there are already.
pub(super) fn may_be_the_reason(code: Option<&SqlState>) -> bool {
    const OTHERS: [&str; 4] = ["28", "3D", "53", "57"];
    code.is_some_and(|code| !OTHERS.iter().any(|class| code.code().starts_with(class)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_option_cannot_cause_is_no_reason_to_try_without_it() {
        for (code, may_be) in [
            (SqlState::UNDEFINED_OBJECT, true),
            (SqlState::INSUFFICIENT_PRIVILEGE, true),
            (SqlState::INVALID_PARAMETER_VALUE, true),
            (SqlState::PROTOCOL_VIOLATION, true),
            (SqlState::INVALID_PASSWORD, false),
            (SqlState::INVALID_AUTHORIZATION_SPECIFICATION, false),
            (SqlState::INVALID_CATALOG_NAME, false),
            (SqlState::TOO_MANY_CONNECTIONS, false),
            (SqlState::CANNOT_CONNECT_NOW, false),
        ] {
            assert_eq!(may_be_the_reason(Some(&code)), may_be, "{code:?}");
        }
        assert!(!may_be_the_reason(None));
    }

    #[test]
    fn it_is_asked_for_last_and_only_where_it_exists() {
        assert_eq!(
            with_ours(Some("-c event_triggers=on")),
            "-c event_triggers=on -c event_triggers=off"
        );
        assert!(Quiet::of_major(16).is_refused() && !Quiet::of_major(16).is_taken());
        assert!(Quiet::of_major(17).is_taken() && !Quiet::of_major(17).is_refused());
        let unknown = Quiet::default();
        let copy = unknown.clone();
        copy.note_refused();
        assert!(unknown.is_refused() && !unknown.is_taken());
    }
}
