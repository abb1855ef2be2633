//! The one place that decides what may be shown, recorded or written anywhere.
//!
//! Passwords never are: what was typed, what the environment has, what a scenario, a snapshot or a
//! statement gives away by its place or its name is remembered for the life of the process and hidden in
//! whatever leaves. Literals of SQL and values in a server's words are hidden unless they were asked for.
//! What a terminal would obey is shown as text. Everything but the list of what is known is pure.

mod arguments;
mod escape;
pub mod event;
pub mod foreign;
mod known;
pub mod pattern;
mod server;
pub mod sql;

use std::path::Path;

pub use arguments::{arguments, command_line};
pub use escape::{escape, escape_json, escape_name};
pub use known::{MASK, hide_cut, remember};
pub use pattern::looks_secret;
pub use server::{Said, context};

/// `text` without what is known to be secret, and without what looks it.
pub fn hide(text: &str) -> String {
    let mut shown = known::hide(text);
    for place in pattern::find(&shown).into_iter().rev() {
        shown.replace_range(place, MASK);
    }
    shown
}

/// Remembers what is secret in a text of any sort: passwords of URLs, values of names that say so.
pub fn learn(text: &str) {
    for place in pattern::find(text) {
        let is_bare = text[..place.start].ends_with(['=', ' ', '>']);
        let value = &text[place];
        // An expression is no value.
        let is_expression = value.starts_with(['$', '%', '{', '('])
            || value.contains('(') && value.ends_with([')', ',', ';']);
        if !(is_bare && is_expression) {
            known::remember(value);
            for plain in unquoted(value) {
                known::remember(&plain);
            }
        }
    }
}

/// What a value that stood in quotes may stand for: quotes are doubled, or have a backslash before them.
fn unquoted(value: &str) -> Vec<String> {
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(c) = letters.next() {
        match c {
            '\\' => plain.extend(letters.next()),
            c => plain.push(c),
        }
    }
    vec![value.replace("''", "'"), value.replace("\"\"", "\""), plain]
}

/// Remembers what is secret in a file of the user's: in SQL by what it means, else by how it looks.
pub fn learn_file(path: &Path, text: &str) {
    if path.extension().is_some_and(|extension| extension == "sql") {
        sql::learn(text);
    } else {
        learn(text);
    }
}

/// Remembers a variable, if its name or its value tells that it is secret.
pub fn learn_variable(name: &str, value: &str) {
    if looks_secret(name) {
        known::remember(value);
    }
    learn(value);
}

/// Remembers what is secret on a command line.
pub fn learn_arguments(words: &[String]) {
    for secret in arguments::secrets(words) {
        known::remember(&secret);
    }
    for word in words {
        // Whole, blanks and all: in a sentence its end could not be seen.
        if let Some((before, _)) = word.rsplit_once('@')
            && let Some((_, behind)) = before.split_once(":/")
            && let Some((_, password)) = behind.split_once(':')
        {
            known::remember(password);
        }
        learn(word);
        if sql::is_sql(word) {
            sql::learn(word);
        }
        if let Some((name, value)) = word.split_once('=') {
            learn_variable(name.trim_start_matches('-'), value);
        }
    }
}

/// Remembers what this process was started with: programs that it starts may repeat it.
pub fn learn_environment(variables: impl Iterator<Item = (String, String)>) {
    for (name, value) in variables {
        // A path is no secret, nor is a switch.
        if looks_secret(&name)
            && (value.chars().count() >= 4 || name == "PGPASSWORD")
            && !value.starts_with('/')
        {
            known::remember(&value);
        }
        if value.contains("://") || name.starts_with("LOCKPROOF_") || name == "PGPASSWORD" {
            learn_arguments(&value.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }
}
