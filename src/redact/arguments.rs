//! What of a program's command line may be shown. Pure.

use super::pattern::looks_secret;
use super::sql::{is_sql, shown as shown_sql};
use super::{MASK, hide, known};
use crate::plan::Literals;

/// The words, each as far as it may be shown.
pub fn arguments(words: &[String], literals: Literals) -> Vec<String> {
    let mut shown = Vec::with_capacity(words.len());
    let mut is_value = false;
    for word in words {
        if std::mem::take(&mut is_value) && !word.starts_with("--") {
            shown.push(MASK.to_owned());
            continue;
        }
        is_value = word.starts_with('-')
            && !word.contains('=')
            && looks_secret(word.trim_start_matches('-'));
        shown.push(argument(word, literals));
    }
    shown
}

/// On one line, as a shell would be told it, without its quoting.
pub fn command_line(words: &[String], literals: Literals) -> String {
    arguments(words, literals).join(" ")
}

/// Values on a command line that are secret by what they stand behind.
pub fn secrets(words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_value = false;
    for word in words {
        if std::mem::take(&mut is_value) && !word.starts_with("--") {
            found.push(word.clone());
        }
        let name = word.trim_start_matches('-');
        match name.split_once('=') {
            Some((name, value)) if looks_secret(name) => found.push(value.to_owned()),
            Some(_) => {}
            None => is_value = word.starts_with('-') && looks_secret(name),
        }
    }
    found
}

fn argument(word: &str, literals: Literals) -> String {
    // Whole first: of one that was torn up nothing would be known.
    let word = &known::hide(word);
    let word = if is_sql(word.trim_start()) {
        shown_sql(word, literals)
    } else if literals == Literals::Hidden && word.contains(char::is_whitespace) {
        without_quoted(word)
    } else {
        word.to_owned()
    };
    hide(&word)
}

/// A script: what stands in quotes may be a literal of SQL.
fn without_quoted(script: &str) -> String {
    let mut shown = String::with_capacity(script.len());
    let mut letters = script.chars();
    while let Some(c) = letters.next() {
        if !matches!(c, '\'' | '"') {
            shown.push(c);
            continue;
        }
        while let Some(inner) = letters.next() {
            match inner {
                '\\' if c == '"' => drop(letters.next()),
                _ if inner == c => break,
                _ => {}
            }
        }
        shown.push('?');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str], literals: Literals) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        command_line(&words, literals)
    }

    #[test]
    fn values_of_secret_options_and_literals_are_hidden() {
        for (words, hidden, open) in [
            (
                &["psql", "-c", "ALTER USER x PASSWORD 'p1'; SELECT 'l1'"][..],
                "psql -c ALTER USER x PASSWORD ?; SELECT ?",
                "psql -c ALTER USER x PASSWORD '***'; SELECT 'l1'",
            ),
            (
                &["m", "--password", "p1", "up"],
                "m --password *** up",
                "m --password *** up",
            ),
            (
                &["m", "--api-token=p1", "up"],
                "m --api-token=*** up",
                "m --api-token=*** up",
            ),
            (
                &["m", "postgres://u:p1@h/db"],
                "m postgres://u:***@h/db",
                "m postgres://u:***@h/db",
            ),
            (
                &["sh", "-c", "echo 'l1' \"l2\"; x"],
                "sh -c echo ? ?; x",
                "sh -c echo 'l1' \"l2\"; x",
            ),
            (
                &["python", "manage.py", "migrate"],
                "python manage.py migrate",
                "python manage.py migrate",
            ),
        ] {
            assert_eq!(line(words, Literals::Hidden), hidden);
            assert_eq!(line(words, Literals::Shown), open);
        }
    }
}
