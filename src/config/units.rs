//! Durations, sizes and counts: text with its unit → a typed value.
//!
//! Says what is wrong without its place: the caller knows the key or the option and puts it in front.

use std::time::Duration;

use jiff::SignedDuration;
use toml::Value;

/// Why a value does not fit, worded to follow the name of its key: `has no unit: \`50\``.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unfit {
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: String,
}

impl Unfit {
    /// What is wrong, and the way out.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

const DURATION_HELP: &str = "write it with its unit, such as `50ms`, `1.5s` or `2m`";
const SIZE_HELP: &str = "write it with its unit, such as `512MB` or `2GiB`";
/// The server keeps its timeouts in a 32-bit number of milliseconds.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// A duration longer than nothing.
pub fn duration(text: &str) -> Result<Duration, Unfit> {
    let duration = rest(text)?;
    if duration.is_zero() {
        return Err(Unfit::new(
            format!("has to be longer than nothing, not `{}`", text.trim()),
            DURATION_HELP,
        ));
    }
    Ok(duration)
}

/// A duration that may be nothing, such as a rest between two batches.
pub fn rest(text: &str) -> Result<Duration, Unfit> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Unfit::new("is empty", DURATION_HELP));
    }
    if text.parse::<f64>().is_ok() {
        return Err(Unfit::new(format!("has no unit: `{text}`"), DURATION_HELP));
    }
    let Ok(signed) = text.parse::<SignedDuration>() else {
        return Err(Unfit::new(
            format!("is no duration: `{text}`"),
            DURATION_HELP,
        ));
    };
    let Ok(duration) = Duration::try_from(signed) else {
        return Err(Unfit::new(
            format!("has to be longer than nothing, not `{text}`"),
            DURATION_HELP,
        ));
    };
    if duration > LONGEST {
        return Err(Unfit::new(
            format!("is too long: `{text}`"),
            "the longest is 24 days",
        ));
    }
    Ok(duration)
}

/// The oldest that something may be, which is longer than nothing.
pub fn max_age(text: &str) -> Result<Duration, Unfit> {
    match age(text)? {
        Duration::ZERO => Err(Unfit::new(
            format!("is no possible age: `{}`", text.trim()),
            AGE_HELP,
        )),
        age => Ok(age),
    }
}

const AGE_HELP: &str = "write it with its unit, such as `30d`, `2w` or `12h`";

/// An age, for which a day is 24 hours and a week seven days: `30d`, `12h`, `2w 3d`.
pub fn age(text: &str) -> Result<Duration, Unfit> {
    let text = text.trim();
    if text.parse::<f64>().is_ok() {
        return Err(Unfit::new(format!("has no unit: `{text}`"), AGE_HELP));
    }
    let span: jiff::Span = text
        .parse()
        .map_err(|_| Unfit::new(format!("is no age: `{text}`"), AGE_HELP))?;
    // A month has no length of its own.
    let longest = jiff::Unit::Week;
    let duration = Some(span)
        .filter(|span| span.get_months() == 0 && span.get_years() == 0)
        .and_then(|span| {
            span.total((longest, jiff::SpanRelativeTo::days_are_24_hours()))
                .ok()
        })
        .filter(|weeks| *weeks >= 0.0)
        .and_then(|weeks| Duration::try_from_secs_f64(weeks * 7.0 * 86_400.0).ok());
    duration.ok_or_else(|| Unfit::new(format!("is no possible age: `{text}`"), AGE_HELP))
}

/// A timeout that the server keeps in whole milliseconds, and for which 0 means none.
pub fn server_timeout(text: &str) -> Result<Duration, Unfit> {
    let timeout = duration(text)?;
    if timeout.subsec_nanos() % 1_000_000 != 0 {
        return Err(Unfit::new(
            format!("has to be whole milliseconds, not `{}`", text.trim()),
            "the server knows nothing shorter, and takes 0 for no timeout at all",
        ));
    }
    Ok(timeout)
}

/// A number of bytes: `MB` is a million, `MiB` is 1024 × 1024.
pub fn size(text: &str) -> Result<u64, Unfit> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim() {
        "" if !number.is_empty() => {
            return Err(Unfit::new(format!("has no unit: `{text}`"), SIZE_HELP));
        }
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(Unfit::new(format!("is no size: `{text}`"), SIZE_HELP)),
    };
    let Ok(number) = number.parse::<f64>() else {
        return Err(Unfit::new(format!("is no size: `{text}`"), SIZE_HELP));
    };
    let bytes = number * factor as f64;
    // 2^53: beyond it a float no longer counts every byte, and no machine has as much.
    if !(1.0..=9_007_199_254_740_992.0).contains(&bytes) {
        return Err(Unfit::new(
            format!("is no possible size: `{text}`"),
            SIZE_HELP,
        ));
    }
    Ok(bytes as u64)
}

/// A whole number of at least 1, as an integer or, out of a variable, as text.
pub fn count(value: &Value) -> Result<u64, Unfit> {
    let number = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.trim().replace('_', "").parse().ok(),
        other => {
            return Err(Unfit::new(
                format!("has to be a whole number, not {}", kind_of(other)),
                "write it without quotes and without a fraction, such as `5000`",
            ));
        }
    };
    number.filter(|&number| number > 0).ok_or_else(|| {
        Unfit::new(
            format!(
                "has to be a whole number of at least 1, not `{}`",
                shown(value)
            ),
            "write it without quotes and without a fraction, such as `5000`",
        )
    })
}

/// A part of a whole, from 0 to 1.
pub fn share(value: &Value) -> Result<f64, Unfit> {
    let number = match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| {
            Unfit::new(
                format!("has to be a number from 0 to 1, not `{}`", shown(value)),
                "write it without quotes, such as `0.5`",
            )
        })
}

/// A whole number that may be 0.
pub fn number(value: &Value) -> Result<u64, Unfit> {
    match value {
        Value::Integer(0) => Ok(0),
        Value::String(text) if text.trim() == "0" => Ok(0),
        other => count(other).map_err(|unfit| {
            let message = unfit.message.replace("at least 1", "at least 0");
            Unfit::new(
                message,
                "write it without quotes and without a fraction, such as `0`",
            )
        }),
    }
}

/// The text of a value that has to carry a unit.
pub fn with_unit(value: &Value) -> Result<String, Unfit> {
    match value {
        // Numbers go on as text, to be told that they have no unit.
        Value::String(_) | Value::Integer(_) | Value::Float(_) => Ok(shown(value)),
        other => Err(Unfit::new(
            format!("has to be text with a unit, not {}", kind_of(other)),
            "write it in quotes, such as `\"50ms\"` or `\"2GiB\"`",
        )),
    }
}

/// A scalar as it is put into SQL or handed to the server; None for arrays, tables and dates.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Boolean(_) => Some(shown(value)),
        _ => None,
    }
}

/// What a value is, with its article.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_days_and_weeks() {
        let hours = |hours: u64| Ok(Duration::from_secs(hours * 3600));
        assert_eq!(age("30d"), hours(30 * 24));
        assert_eq!(age(" 2w "), hours(14 * 24));
        assert_eq!(age("12h"), hours(12));
        assert_eq!(age("0d"), hours(0));
        for wrong in ["", "30", "d", "-1d", "-3h", "99999999999999999999d", "soon"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    fn message<T: std::fmt::Debug>(result: Result<T, Unfit>) -> String {
        match result {
            Ok(value) => panic!("{value:?}"),
            Err(unfit) => unfit.message,
        }
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration(" 1.5s "), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(message(duration("50")), "has no unit: `50`");
        assert_eq!(message(duration("0")), "has no unit: `0`");
        assert_eq!(message(duration("")), "is empty");
        assert_eq!(message(duration("soon")), "is no duration: `soon`");
        assert_eq!(
            message(duration("50 lightyears")),
            "is no duration: `50 lightyears`"
        );
        assert_eq!(
            message(duration("0s")),
            "has to be longer than nothing, not `0s`"
        );
        assert_eq!(
            message(duration("-5ms")),
            "has to be longer than nothing, not `-5ms`"
        );
        assert_eq!(
            message(duration("5ms ago")),
            "has to be longer than nothing, not `5ms ago`"
        );
        assert_eq!(message(duration("9999h")), "is too long: `9999h`");
        assert_eq!(rest("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn the_oldest_that_is_allowed_is_longer_than_nothing() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(age("30d"), Ok(days(30)));
        assert_eq!(age("2w 1d"), Ok(days(15)));
        assert_eq!(age("12h"), Ok(days(1) / 2));
        assert_eq!(message(age("30")), "has no unit: `30`");
        assert_eq!(message(age("soon")), "is no age: `soon`");
        for impossible in ["1mo", "1y", "0d", "-3d", "3d ago"] {
            assert_eq!(
                message(max_age(impossible)),
                format!("is no possible age: `{impossible}`")
            );
        }
    }

    #[test]
    fn a_timeout_that_the_server_would_round_to_none_is_refused() {
        assert_eq!(server_timeout("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(
            message(server_timeout("400us")),
            "has to be whole milliseconds, not `400us`"
        );
    }

    #[test]
    fn sizes_need_their_unit() {
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("512MB"), Ok(512_000_000));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        assert_eq!(message(size("512")), "has no unit: `512`");
        assert_eq!(message(size("")), "is no size: ``");
        assert_eq!(message(size("MB")), "is no size: `MB`");
        assert_eq!(message(size("1.2.3MB")), "is no size: `1.2.3MB`");
        assert_eq!(message(size("-2GB")), "is no size: `-2GB`");
        assert_eq!(message(size("0GB")), "is no possible size: `0GB`");
        assert_eq!(
            message(size("9999999TB")),
            "is no possible size: `9999999TB`"
        );
    }

    #[test]
    fn shares_are_parts_of_one() {
        for (value, expected) in [(Value::Float(0.5), 0.5), (Value::Integer(1), 1.0)] {
            assert_eq!(share(&value), Ok(expected));
        }
        for wrong in [
            Value::Float(1.1),
            Value::Float(f64::NAN),
            Value::Integer(-1),
        ] {
            assert!(message(share(&wrong)).starts_with("has to be a number from 0 to 1"));
        }
        assert_eq!(number(&Value::Integer(0)), Ok(0));
        assert!(number(&Value::Integer(-1)).is_err());
    }

    #[test]
    fn counts_are_whole_and_positive() {
        assert_eq!(count(&Value::Integer(5)), Ok(5));
        assert_eq!(count(&Value::String("5_000".into())), Ok(5000));
        for bad in [
            Value::Integer(0),
            Value::Integer(-1),
            Value::String("x".into()),
        ] {
            assert!(message(count(&bad)).starts_with("has to be a whole number of at least 1"));
        }
        assert_eq!(
            message(count(&Value::Float(1.5))),
            "has to be a whole number, not a float"
        );
    }
}
