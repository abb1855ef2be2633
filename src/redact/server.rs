//! What of a server's message is a value, and is hidden as the literals of statements are.
//!
//! Decided by SQLSTATE and by quoting. A message of classes 22 and alike repeats values; one of class 23
//! quotes names alone, which the error's own fields have once more; all others quote names, unless what
//! they quote is a string of the statement. What code of the user's raises is shown as far as the
//! statement itself has its words. Pure.

use super::sql::{self, Said as Statement};
use super::{known, pattern};
use crate::plan::Literals;

/// What stands in a value's place.
const VALUE: &str = "?";

/// An error as the server's fields have it.
#[derive(Debug, Clone, Default)]
pub struct Said<'a> {
    /// SQLSTATE.
    pub code: &'a str,
    /// The message.
    pub message: &'a str,
    /// The function of the server that raised it.
    pub routine: Option<&'a str>,
    /// Objects that the error's own fields name: schema, table, column, data type, constraint.
    pub names: Vec<&'a str>,
}

impl Said<'_> {
    /// Its message, as far as it may be shown.
    pub fn shown(&self, statement: Option<&str>, literals: Literals) -> String {
        self.filter(self.message, statement, literals)
    }

    /// The same of another text of it, such as its hint.
    pub fn filter(&self, text: &str, statement: Option<&str>, literals: Literals) -> String {
        // Whole first: of one that was torn up nothing would be known.
        let text = &known::hide(text);
        let text = match literals {
            Literals::Shown => {
                let secrets = statement.map(sql::passwords).unwrap_or_default();
                known::hide_these(text, &secrets)
            }
            Literals::Hidden => self.without_values(
                text,
                &statement.map(sql::said).unwrap_or_default(),
                statement,
            ),
        };
        super::hide(&text)
    }

    fn without_values(&self, text: &str, statement: &Statement, sql: Option<&str>) -> String {
        if self.is_user_s() {
            return raised(text, sql.unwrap_or_default());
        }
        match self.code.get(..2).unwrap_or_default() {
            "22" | "38" | "39" | "HV" | "08" | "XX" | "F0"
                if self.code != "XX001" && self.code != "XX002" =>
            {
                values(text)
            }
            "23" => self.quoted(text, |name| {
                self.names.contains(&name) || statement.names.contains(name)
            }),
            "42" if self.code == "42601" => self.near(text, statement),
            _ => {
                let is_value = |quoted: &str| {
                    statement.values.iter().any(|value| value == quoted)
                        && !statement.names.contains(quoted)
                };
                let text = without_strings(text, statement);
                self.quoted(&text, |name| !is_value(name))
            }
        }
    }

    /// Whether code of the user's says it, in whatever words.
    fn is_user_s(&self) -> bool {
        let by_code = self.routine.is_some_and(|routine| {
            ["exec_stmt_raise", "exec_stmt_assert"].contains(&routine)
                || ["PLy_", "plperl", "pltcl", "plv8", "throw_"]
                    .iter()
                    .any(|begin| routine.starts_with(begin))
        });
        by_code || self.code == "P0001" || self.code == "P0004"
    }

    /// `"…"` stays where it is a name.
    fn quoted(&self, text: &str, is_name: impl Fn(&str) -> bool) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('"') {
            shown.push_str(before);
            // A name may have quotes in it, which the message repeats as they are.
            let whole = self.names.iter().filter(|name| {
                behind
                    .strip_prefix(**name)
                    .is_some_and(|after| after.starts_with('"'))
            });
            let longest = whole.map(|name| name.len()).max();
            let Some(length) = longest.or_else(|| behind.find('"')) else {
                shown.push_str(VALUE);
                return shown;
            };
            let inner = &behind[..length];
            if longest.is_some() || is_name(inner) || inner.split('.').all(&is_name) {
                shown.push('"');
                shown.push_str(inner);
                shown.push('"');
            } else {
                shown.push_str(VALUE);
            }
            rest = &behind[length + 1..];
        }
        shown.push_str(rest);
        shown
    }

    /// `syntax error at or near "…"`: a word of the statement stays, a literal does not.
    fn near(&self, text: &str, statement: &Statement) -> String {
        let Some((before, behind)) = text.split_once("at or near \"") else {
            let text = without_strings(text, statement);
            return self.quoted(&text, |name| statement.names.contains(name));
        };
        let token = behind.strip_suffix('"').unwrap_or(behind);
        let bare = token
            .strip_prefix('"')
            .and_then(|token| token.strip_suffix('"'))
            .unwrap_or(token);
        let is_value = statement
            .values
            .iter()
            .any(|value| value == bare || value == token);
        let is_sign =
            token.chars().all(|c| c.is_ascii_punctuation()) && !token.contains(['\'', '"', '$']);
        if (statement.names.contains(bare) && !is_value) || is_sign {
            format!("{before}at or near \"{token}\"")
        } else {
            format!("{before}at or near {VALUE}")
        }
    }
}

/// Everything that is quoted, and everything behind a colon, but the name of a parameter.
fn values(text: &str) -> String {
    for begin in [
        "invalid value for parameter \"",
        "missing data for column \"",
        "value for domain ",
    ] {
        if let Some(behind) = text.strip_prefix(begin) {
            let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            let end = behind.find(|c| !name(c)).unwrap_or(behind.len());
            let end = end + usize::from(behind[end..].starts_with('"'));
            return format!("{begin}{}{}", &behind[..end], values(&behind[end..]));
        }
    }
    let quote = text.find('"');
    let colon = text.find(": ");
    match (quote, colon) {
        (Some(quote), colon) if colon.is_none_or(|colon| quote < colon) => {
            let last = text.rfind('"').filter(|last| *last > quote);
            let rest = last.map_or("", |last| &text[last + 1..]);
            // Behind the value only words of the server's own stand.
            let rest = rest.split(": ").next().unwrap_or_default();
            format!("{}{VALUE}{rest}", &text[..quote])
        }
        (_, Some(colon)) => format!("{}: {VALUE}", &text[..colon]),
        _ => text.to_owned(),
    }
}

/// Without the contents of the statement's strings, where they stand between quotes.
fn without_strings(text: &str, statement: &Statement) -> String {
    let mut text = text.to_owned();
    for value in &statement.values {
        if statement.names.contains(value.as_str()) {
            continue;
        }
        text = text
            .replace(&format!("\"{value}\""), VALUE)
            .replace(&format!("'{value}'"), VALUE);
        let is_word = value
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c == ' ');
        if value.chars().count() >= 4 && !is_word {
            text = text.replace(value.as_str(), VALUE);
        }
    }
    text
}

/// What `RAISE` says: the words that the statement has for it, without what was put in for `%`.
fn raised(text: &str, sql: &str) -> String {
    let formats = sql::said(sql).formats;
    let mut best: Option<String> = None;
    for format in formats {
        let parts: Vec<&str> = format.split('%').collect();
        if parts.iter().all(|part| part.trim().is_empty()) || !fits(text, &parts) {
            continue;
        }
        let shown = parts.join(VALUE);
        if best.as_ref().is_none_or(|best| best.len() < shown.len()) {
            best = Some(shown);
        }
    }
    best.unwrap_or_else(|| format!("{VALUE} (raised by code; `--literals` shows what it says)"))
}

/// Whether `text` is these parts with anything between them.
fn fits(text: &str, parts: &[&str]) -> bool {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    if parts.len() == 1 {
        return rest.is_empty();
    }
    for part in &parts[1..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A message of which nothing but its words is known, as programs print it.
pub(super) fn loose(message: &str) -> String {
    const VALUES: [&str; 26] = [
        "invalid input",
        "invalid value",
        "invalid byte sequence",
        "invalid regular",
        "invalid hexadecimal",
        "invalid character",
        "invalid name syntax",
        "invalid URL",
        "invalid JSON",
        "invalid XML",
        "out of range",
        "malformed ",
        "syntax error at or near",
        "syntax error at end",
        "unterminated ",
        "trailing junk",
        "is not a valid",
        "cannot parse",
        "could not parse",
        "value too long",
        "could not convert",
        "could not establish connection",
        "invalid connection",
        "missing \"=\"",
        "extra data after",
        "could not determine",
    ];
    // Only the server's own words decide, not what they quote.
    let words = message.split('"').next().unwrap_or_default();
    let begins = message.split('"').nth(2).unwrap_or_default();
    if VALUES
        .iter()
        .any(|value| words.contains(value) || begins.contains(value) || message.starts_with(value))
    {
        values(message)
    } else {
        message.to_owned()
    }
}

/// CONTEXT, line by line: where it was, not what was there.
pub fn context(text: &str) -> String {
    let line = |line: &str| {
        let line = line.trim();
        if line.starts_with("COPY ") {
            let place = line.split(['"']).next().unwrap_or_default();
            let place = place.trim_end_matches([' ', ':']);
            return place.split(": ").next().unwrap_or_default().to_owned();
        }
        if line.starts_with("PL/pgSQL function ") && pattern::find(line).is_empty() {
            return line.to_owned();
        }
        VALUE.to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(code: &str, message: &str, names: &[&str], sql: &str) -> String {
        Said {
            code,
            message,
            routine: Some("x"),
            names: names.to_vec(),
        }
        .shown(Some(sql), Literals::Hidden)
    }

    #[test]
    fn values_go_and_names_stay() {
        for (code, message, sql, expected) in [
            (
                "22P02",
                "invalid input syntax for type integer: \"v@1\"",
                "",
                "invalid input syntax for type integer: ?",
            ),
            (
                "22P02",
                "invalid input syntax for type integer: \"a\" and \"b: c\"",
                "",
                "invalid input syntax for type integer: ?",
            ),
            (
                "22P02",
                "invalid input value for enum mood: \"v\"",
                "",
                "invalid input value for enum mood: ?",
            ),
            (
                "22003",
                "value \"99: 9\" is out of range for type integer",
                "",
                "value ? is out of range for type integer",
            ),
            (
                "22003",
                "value \"t\" v \"t\" is out of range for type integer",
                "select t",
                "value ? is out of range for type integer",
            ),
            (
                "22001",
                "value too long for type character varying(5)",
                "",
                "value too long for type character varying(5)",
            ),
            (
                "22008",
                "date/time field value out of range: \"v\"",
                "",
                "date/time field value out of range: ?",
            ),
            (
                "22023",
                "invalid value for parameter \"work_mem\": \"v\"",
                "",
                "invalid value for parameter \"work_mem\": ?",
            ),
            ("22012", "division by zero", "", "division by zero"),
            (
                "42P01",
                "relation \"nosuch\" does not exist",
                "",
                "relation \"nosuch\" does not exist",
            ),
            (
                "42P01",
                "relation \"v\" does not exist",
                "SELECT 'v'::regclass",
                "relation ? does not exist",
            ),
            (
                "42P01",
                "relation \"a.v9\" does not exist",
                "SELECT 'a.v9'::regclass",
                "relation ? does not exist",
            ),
            (
                "42P01",
                "relation \"gone\" does not exist",
                "DO $$ BEGIN EXECUTE 'drop table gone'; END $$",
                "relation \"gone\" does not exist",
            ),
            (
                "42601",
                "syntax error at or near \"ALTR\"",
                "ALTR TABLE x",
                "syntax error at or near \"ALTR\"",
            ),
            (
                "42601",
                "syntax error at or near \"'v'\"",
                "ALTER TABLE 'v'",
                "syntax error at or near ?",
            ),
            (
                "42601",
                "syntax error at or near \"\"v\"\"",
                "ALTER USER x PASSWORD \"v\"",
                "syntax error at or near ?",
            ),
            (
                "42601",
                "syntax error at or near \"v\"",
                "ALTER USER x PASSWORD v",
                "syntax error at or near ?",
            ),
            (
                "42601",
                "syntax error at or near \")\"",
                "SELECT )",
                "syntax error at or near \")\"",
            ),
            (
                "42601",
                "unterminated quoted string at or near \"'v\"w\"",
                "SELECT 'v\"w",
                "unterminated quoted string at or near ?",
            ),
            (
                "42601",
                "syntax error at end of input",
                "SELECT (",
                "syntax error at end of input",
            ),
            (
                "55P03",
                "canceling statement due to lock timeout",
                "",
                "canceling statement due to lock timeout",
            ),
            (
                "58P01",
                "could not open file \"/tmp/v\" for reading",
                "COPY t FROM '/tmp/v'",
                "could not open file ? for reading",
            ),
        ] {
            assert_eq!(shown(code, message, &[], sql), expected);
        }
    }

    #[test]
    fn the_error_s_own_fields_say_what_is_a_name() {
        let message = "duplicate key value violates unique constraint \"items \"x\" key\"";
        assert_eq!(shown("23505", message, &["items \"x\" key"], ""), message);
        let message = "null value in column \"a\" of relation \"b\" violates not-null constraint";
        assert_eq!(shown("23502", message, &["a", "b"], ""), message);
        assert_eq!(shown("23514", "bad \"v\"", &["b"], ""), "bad ?");
    }

    #[test]
    fn what_code_raises_is_shown_as_far_as_the_statement_has_it() {
        let said = |message, sql: &str| {
            Said {
                code: "23514",
                message,
                routine: Some("exec_stmt_raise"),
                names: Vec::new(),
            }
            .shown(Some(sql), Literals::Hidden)
        };
        let sql = "DO $$ BEGIN RAISE EXCEPTION 'no room for % in %', a, b; END $$";
        assert_eq!(said("no room for v1 in v2", sql), "no room for ? in ?");
        let hidden = said("customer v1 is bad", sql);
        assert!(hidden.starts_with("? ("), "{hidden}");
    }

    #[test]
    fn shown_literals_keep_everything_but_passwords() {
        let said = Said {
            code: "42601",
            message: "syntax error at or near \"pw88\", \"v\"",
            routine: None,
            names: Vec::new(),
        };
        assert_eq!(
            said.shown(Some("ALTER USER x PASSWORD pw88"), Literals::Shown),
            "syntax error at or near \"***\", \"v\""
        );
    }

    #[test]
    fn loose_messages_lose_their_values() {
        for (message, expected) in [
            (
                "invalid input syntax for type integer: \"v\"",
                "invalid input syntax for type integer: ?",
            ),
            (
                "value \"v\" is out of range for type integer",
                "value ? is out of range for type integer",
            ),
            (
                "relation \"x\" does not exist",
                "relation \"x\" does not exist",
            ),
            (
                "role \"out of range\" does not exist",
                "role \"out of range\" does not exist",
            ),
        ] {
            assert_eq!(loose(message), expected);
        }
        assert_eq!(
            context("COPY t, line 3, column a: \"v\""),
            "COPY t, line 3, column a"
        );
        assert_eq!(
            context("SQL statement \"SELECT 'v'\"\nPL/pgSQL function f() line 2 at PERFORM"),
            "?\nPL/pgSQL function f() line 2 at PERFORM"
        );
    }
}
