//! `lock_timeout` and `retry`, of the scenario and of its steps.

use std::time::Duration;

use toml::Value;

use super::document::{Document, KeyPath};
use super::scenario::{RetryText, Scenario, StepText};
use super::units;
use crate::Result;
use crate::plan::{Retry, StepKind};

/// How long the steps wait for a lock, and what they do then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// `lock_timeout` of their sessions; None: the server's own.
    pub lock_timeout: Option<Duration>,
    /// What happens when it strikes; None: it fails the step.
    pub retry: Option<Retry>,
}

impl Patience {
    /// What the scenario says of all of its steps.
    ///
    /// # Errors
    ///
    /// For a value that cannot be.
    pub fn of_scenario(document: &Document<'_>, typed: &Scenario) -> Result<Self> {
        let top = KeyPath::default();
        Ok(Self {
            lock_timeout: timeout(document, &top, &typed.lock_timeout)?,
            retry: retry(document, &top, &typed.retry)?,
        })
    }

    /// The same for one step, which has the last word.
    ///
    /// # Errors
    ///
    /// For a value that cannot be.
    pub fn of_step(
        self,
        document: &Document<'_>,
        at: &KeyPath,
        typed: &StepText,
    ) -> Result<(Option<Duration>, Retry)> {
        let own = timeout(document, at, &typed.lock_timeout)?;
        let retry = match (retry(document, at, &typed.retry)?, typed.kind()) {
            (Some(own), _) => own,
            // A program's retries are its own.
            (None, StepKind::Command) => {
                if self.retry.is_some_and(|retry| retry.attempts > 1) {
                    return Err(document
                        .error(at, "is a program, which the scenario's `retry` cannot start again")
                        .help(
                            "a program may have done half of its work when `lock_timeout` strikes: let it try \
                             again by itself and write `retry = { attempts = 1 }` here, or set `retry` at the \
                             steps of kind `sql` and `batch` alone",
                        ));
                }
                Retry::default()
            }
            (None, _) => self.retry.unwrap_or_default(),
        };
        Ok((own.or(self.lock_timeout), retry))
    }
}

fn timeout(
    document: &Document<'_>,
    at: &KeyPath,
    value: &Option<Value>,
) -> Result<Option<Duration>> {
    document.unit(&at.key("lock_timeout"), value, units::server_timeout)
}

fn retry(
    document: &Document<'_>,
    at: &KeyPath,
    typed: &Option<RetryText>,
) -> Result<Option<Retry>> {
    let Some(typed) = typed else { return Ok(None) };
    let at = at.key("retry");
    let Some(attempts) = &typed.attempts else {
        return Err(document
            .error(&at, "lacks its `attempts`")
            .help("write it like `retry = { attempts = 5, backoff = \"200ms\" }`"));
    };
    let attempts = units::count(attempts)
        .map_err(|unfit| document.unfit(&at.key("attempts"), unfit))
        .and_then(|attempts| {
            let fits = u32::try_from(attempts).ok().filter(|count| *count <= 100);
            fits.ok_or_else(|| {
                let message = format!("has to be from 1 to 100, not {attempts}");
                document.error(&at.key("attempts"), &message)
            })
        })?;
    let usual = Retry::default();
    let backoff = document.unit(&at.key("backoff"), &typed.backoff, units::rest)?;
    let backoff = backoff.unwrap_or(usual.backoff);
    let max_backoff = document.unit(&at.key("max_backoff"), &typed.max_backoff, units::rest)?;
    if let Some(max) = max_backoff.filter(|max| *max < backoff) {
        let message =
            format!("is shorter than the first rest: {max:?}, and `backoff` is {backoff:?}");
        return Err(document
            .error(&at.key("max_backoff"), &message)
            .help("rests double from `backoff` up to `max_backoff`"));
    }
    let jitter = match &typed.jitter {
        None => usual.jitter,
        Some(value) => {
            units::share(value).map_err(|unfit| document.unfit(&at.key("jitter"), unfit))?
        }
    };
    Ok(Some(Retry {
        attempts,
        backoff,
        max_backoff: max_backoff.unwrap_or(usual.max_backoff.max(backoff)),
        jitter,
    }))
}
