//! What a statement does to `lock_timeout`, as far as its text tells.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Kind;
use super::lex::{TokenKind, lex};
use super::verb::Verb;

/// A statement that sets `lock_timeout`, or may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetsLockTimeout {
    /// To what.
    pub to: Timeout,
    /// Until when.
    pub until: Until,
}

/// What a time-out is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timeout {
    /// So many milliseconds; 0 is none at all.
    Millis(u64),
    /// What the session began with, before anybody set anything.
    Default,
    /// The text does not tell.
    Unclear,
}

/// How long a setting lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// `SET LOCAL`: the end of the transaction.
    Transaction,
    /// The end of the session, unless the transaction is rolled back.
    Session,
}

impl SetsLockTimeout {
    /// What a statement does to it; None: nothing.
    ///
    /// Code that is only called may do anything. It is taken at its word: where `lock_timeout` is not named, it
    /// is left alone.
    pub fn by(statement: &str) -> Option<Self> {
        let kind = Kind::of(statement);
        let session = |to| {
            Some(Self {
                to,
                until: Until::Session,
            })
        };
        match kind.verb() {
            Verb::Set { local } if kind.sets_lock_timeout() => Some(Self {
                to: value(statement),
                until: if local {
                    Until::Transaction
                } else {
                    Until::Session
                },
            }),
            Verb::Reset if names(statement, &["lock_timeout", "all"]) => session(Timeout::Default),
            Verb::Discard if names(statement, &["all"]) => session(Timeout::Default),
            Verb::Select | Verb::With | Verb::Do | Verb::Call | Verb::Execute
                if statement.to_ascii_lowercase().contains("lock_timeout") =>
            {
                session(Timeout::Unclear)
            }
            _ => None,
        }
    }
}

/// Whether one of these is the second word.
fn names(statement: &str, words: &[&str]) -> bool {
    lex(statement)
        .filter(|token| !token.kind.is_trivia())
        .nth(1)
        .is_some_and(|token| {
            let word = statement[token.span].trim_matches('"');
            words.iter().any(|name| name.eq_ignore_ascii_case(word))
        })
}

/// The value behind `=` or `TO`.
fn value(statement: &str) -> Timeout {
    let mut tokens = lex(statement)
        .filter(|token| !token.kind.is_trivia() && token.kind != TokenKind::Semicolon)
        .skip_while(|token| {
            let text = &statement[token.span.clone()];
            text != "=" && !text.eq_ignore_ascii_case("to")
        })
        .skip(1);
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return Timeout::Unclear;
    };
    let text = &statement[token.span];
    let millis = match token.kind {
        TokenKind::Identifier if text.eq_ignore_ascii_case("default") => return Timeout::Default,
        TokenKind::Number => millis(text),
        TokenKind::String => text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''))
            .and_then(millis),
        _ => None,
    };
    millis.map_or(Timeout::Unclear, Timeout::Millis)
}

/// A time as the server's settings have it, in its own unit of milliseconds: `500`, `0.5s`, `2 min`.
///
/// The server's units are in `src/backend/utils/misc/guc.c`, `time_unit_conversion_table`.
fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let millis = (number.parse::<f64>().ok()? * factor).round();
    // The server keeps it in 32 bits.
    (0.0..=f64::from(i32::MAX))
        .contains(&millis)
        .then_some(millis as u64)
}

/// A setting as `pg_settings` has it with its unit, such as `0ms`; None: it is no time.
pub fn setting(text: &str) -> Option<Duration> {
    millis(text).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(to: Timeout) -> Option<SetsLockTimeout> {
        Some(SetsLockTimeout {
            to,
            until: Until::Session,
        })
    }

    #[test]
    fn a_value_is_read_as_the_server_reads_it() {
        for (sql, ms) in [
            ("SET lock_timeout = 500", 500),
            ("set session Lock_Timeout to '2s';", 2_000),
            ("SET lock_timeout = '1.5s' -- a while", 1_500),
            ("SET lock_timeout TO '2 min'", 120_000),
            ("SET \"lock_timeout\" = 0", 0),
            ("SET lock_timeout = '700us'", 1),
        ] {
            assert_eq!(
                SetsLockTimeout::by(sql),
                session(Timeout::Millis(ms)),
                "{sql}"
            );
        }
        assert_eq!(
            SetsLockTimeout::by("SET LOCAL lock_timeout = '5s'"),
            Some(SetsLockTimeout {
                to: Timeout::Millis(5_000),
                until: Until::Transaction
            })
        );
        assert_eq!(setting("0ms"), Some(Duration::ZERO));
        assert_eq!(setting("soon"), None);
    }

    #[test]
    fn what_takes_it_back_is_known_and_what_cannot_be_read_is_unclear() {
        for sql in [
            "SET lock_timeout TO DEFAULT",
            "RESET lock_timeout",
            "RESET ALL",
            "DISCARD ALL",
        ] {
            assert_eq!(SetsLockTimeout::by(sql), session(Timeout::Default), "{sql}");
        }
        for sql in [
            "SET lock_timeout = E'5s'",
            "SET lock_timeout = ?",
            "SET lock_timeout = '5 parsecs'",
            "SET lock_timeout = -1",
            "SELECT set_config('lock_timeout', '1s', false)",
            "DO $$BEGIN SET lock_timeout = '1s'; END$$",
        ] {
            assert_eq!(SetsLockTimeout::by(sql), session(Timeout::Unclear), "{sql}");
        }
    }

    #[test]
    fn other_statements_leave_it_alone() {
        for sql in [
            "SET statement_timeout = '5s'",
            "RESET work_mem",
            "DISCARD PLANS",
            "SELECT 1",
            "ALTER DATABASE shop SET lock_timeout = '1s'",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET lock_timeout = 0 AS 'SELECT 1'",
            "COMMENT ON TABLE t IS 'lock_timeout'",
        ] {
            assert_eq!(SetsLockTimeout::by(sql), None, "{sql}");
        }
    }
}
