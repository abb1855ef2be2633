//! `pg_dumpall --globals-only`, as far as a stage takes it over: roles without their passwords, what
//! they are members of, and their settings. What else is in such a file stays behind, by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::carried::{Fate, Written, fate, is_list_of_names};
use crate::config::units::Unfit;
use crate::sql::{TokenKind, lex, split};

/// Roles that a stage makes, and settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globals {
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// What stays behind: names of settings, attributes and objects, never a value.
    pub left_out: BTreeSet<String>,
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Attributes that are taken over, such as `NOINHERIT`.
    pub attributes: BTreeSet<&'static str>,
    /// The roles that it is a member of.
    pub member_of: BTreeSet<String>,
    /// Its settings, for every database.
    pub settings: BTreeMap<String, String>,
    /// Its settings in one database, by the database's name.
    pub in_database: BTreeMap<String, BTreeMap<String, String>>,
}

/// Attributes that decide what a role may do to other objects of the stage, and no more than that.
const ATTRIBUTES: &[&str] = &["NOINHERIT", "CREATEROLE", "CREATEDB", "BYPASSRLS"];

/// Predefined roles that reach out of the database.
const REACHING_OUT: &[&str] = &[
    "pg_execute_server_program",
    "pg_read_server_files",
    "pg_write_server_files",
];

/// What `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET` of a dump say of its database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties {
    /// Of the database.
    pub settings: BTreeMap<String, String>,
    /// Of roles in it.
    pub of_roles: BTreeMap<String, BTreeMap<String, String>>,
    /// What stays behind.
    pub left_out: BTreeSet<String>,
}

/// Reads a file of `pg_dumpall --globals-only`.
///
/// # Errors
/// What is wrong, worded to follow the file's name.
pub fn parse(text: &str) -> Result<Globals, Unfit> {
    let mut globals = Globals::default();
    for statement in statements(text)? {
        globals.take(&statement)?;
    }
    Ok(globals)
}

/// Reads the `DATABASE PROPERTIES` of an archive.
pub(super) fn properties(text: &str) -> Result<Properties, Unfit> {
    let mut properties = Properties::default();
    for words in statements(text)? {
        let target = match words.as_slice() {
            [alter, database, _, set, rest @ ..]
                if alter.is("alter") && database.is("database") && set.is("set") =>
            {
                Some((&mut properties.settings, rest))
            }
            [alter, role, name, is_in, database, _, set, rest @ ..]
                if alter.is("alter")
                    && role.is("role")
                    && is_in.is("in")
                    && database.is("database")
                    && set.is("set") =>
            {
                let settings = properties.of_roles.entry(name.text.clone()).or_default();
                Some((settings, rest))
            }
            _ => None,
        };
        if let Some((settings, rest)) = target {
            put(settings, &mut properties.left_out, rest)?;
        }
    }
    properties
        .of_roles
        .retain(|_, settings| !settings.is_empty());
    Ok(properties)
}

impl Globals {
    fn take(&mut self, words: &[Word]) -> Result<(), Unfit> {
        match words {
            [create, role, name, ..] if create.is("create") && is_role(role) => {
                self.roles.entry(name.text.clone()).or_default();
            }
            [alter, role, name, is_in, database, place, set, rest @ ..]
                if alter.is("alter")
                    && is_role(role)
                    && is_in.is("in")
                    && database.is("database")
                    && set.is("set") =>
            {
                let role = self.roles.entry(name.text.clone()).or_default();
                let settings = role.in_database.entry(place.text.clone()).or_default();
                put(settings, &mut self.left_out, rest)?;
            }
            [alter, role, name, set, rest @ ..]
                if alter.is("alter") && is_role(role) && set.is("set") =>
            {
                let role = self.roles.entry(name.text.clone()).or_default();
                put(&mut role.settings, &mut self.left_out, rest)?;
            }
            [alter, role, name, rest @ ..] if alter.is("alter") && is_role(role) => {
                self.attributes(&name.text, rest);
            }
            [grant, granted, to, member, ..] if grant.is("grant") && to.is("to") => {
                if REACHING_OUT.contains(&granted.text.as_str()) {
                    self.left_out
                        .insert(format!("membership in `{}`", granted.text));
                } else {
                    let role = self.roles.entry(member.text.clone()).or_default();
                    role.member_of.insert(granted.text.clone());
                }
            }
            [create, tablespace, name, ..]
                if create.is("create") && tablespace.is("tablespace") =>
            {
                self.left_out.insert(format!("tablespace `{}`", name.text));
            }
            // SET of the file's own session, comments, security labels, grants on tablespaces.
            _ => {}
        }
        Ok(())
    }

    fn attributes(&mut self, name: &str, words: &[Word]) {
        let role = self.roles.entry(name.to_owned()).or_default();
        for word in words {
            let said = ATTRIBUTES
                .iter()
                .find(|known| word.is(&known.to_ascii_lowercase()));
            role.attributes.extend(said);
            if word.is("superuser") && name != "postgres" {
                self.left_out.insert(format!("SUPERUSER of `{name}`"));
            }
        }
    }
}

fn is_role(word: &Word) -> bool {
    word.is("role") || word.is("user")
}

/// `name TO value, …` after SET.
fn put(
    settings: &mut BTreeMap<String, String>,
    left_out: &mut BTreeSet<String>,
    words: &[Word],
) -> Result<(), Unfit> {
    let equals = |word: &Word| word.is("to") || word.text == "=";
    let Some(at) = words.iter().position(equals) else {
        return Ok(());
    };
    let name: String = words[..at].iter().map(|word| word.text.as_str()).collect();
    let items: Vec<&str> = words[at + 1..]
        .iter()
        .filter(|word| word.kind != TokenKind::Punctuation)
        .map(|word| word.text.as_str())
        .collect();
    let value = if is_list_of_names(&name) {
        let quoted = |item: &&str| format!("\"{}\"", item.replace('"', "\"\""));
        items.iter().map(quoted).collect::<Vec<_>>().join(", ")
    } else {
        items.join(", ")
    };
    let decided = fate(&name, &value, Written::InProduction).map_err(|unfit| {
        Unfit::new(
            format!("sets `{name}`, which {}", unfit.message),
            unfit.help,
        )
    })?;
    match decided {
        Fate::Carried => drop(settings.insert(name.to_ascii_lowercase(), value)),
        Fate::LeftOut => drop(left_out.insert(format!("`{name}`"))),
    }
    Ok(())
}

/// A word of a statement, without quotes.
#[derive(Debug)]
struct Word {
    kind: TokenKind,
    text: String,
}

impl Word {
    /// True for this keyword; a name in quotes is none.
    fn is(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Identifier && self.text == keyword
    }
}

/// The words of each statement; psql's own commands (`\restrict`) are none.
fn statements(text: &str) -> Result<Vec<Vec<Word>>, Unfit> {
    let sql: String = text
        .lines()
        .filter(|line| !line.starts_with('\\'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let statements = split(&sql).map_err(|error| {
        Unfit::new(
            format!("is no SQL: {error}"),
            "write it with `pg_dumpall --globals-only --no-role-passwords`",
        )
    })?;
    Ok(statements
        .iter()
        .map(|statement| words(&statement.text))
        .collect())
}

fn words(statement: &str) -> Vec<Word> {
    lex(statement)
        .filter(|token| !token.kind.is_trivia())
        .map(|token| {
            let typed = &statement[token.span];
            Word {
                kind: token.kind,
                text: match token.kind {
                    TokenKind::Identifier => typed.to_lowercase(),
                    TokenKind::QuotedIdentifier => unquoted(typed, '"'),
                    TokenKind::String => unquoted(typed, '\''),
                    _ => typed.to_owned(),
                },
            }
        })
        .collect()
}

/// Without its quotes; of an `E'…'` string, as `pg_dump` writes it, with `\\` as one.
fn unquoted(typed: &str, quote: char) -> String {
    let escapes = typed.starts_with(['E', 'e']);
    let from = typed.find(quote).map_or(0, |at| at + 1);
    let inner = typed[from..].strip_suffix(quote).unwrap_or(&typed[from..]);
    let inner = inner.replace(&format!("{quote}{quote}"), &quote.to_string());
    if escapes {
        inner.replace("\\\\", "\\")
    } else {
        inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 17 writes it.
    const FILE: &str = r#"--
-- PostgreSQL database cluster dump
--

\restrict abc

SET default_transaction_read_only = off;
SET client_encoding = 'UTF8';

CREATE ROLE app_admin;
ALTER ROLE app_admin WITH NOSUPERUSER NOINHERIT CREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE "App ""O""";
ALTER ROLE "App ""O""" WITH SUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS PASSWORD 'SCRAM-SHA-256$4096:secret';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;

ALTER ROLE "App ""O""" SET lock_timeout TO '2s';
ALTER ROLE "App ""O""" SET search_path TO 'My app', 'public';
ALTER ROLE "App ""O""" SET "TimeZone" TO 'Europe/Berlin';
ALTER ROLE "App ""O""" SET "app.secret" TO 'hunter2';
ALTER ROLE "App ""O""" SET log_statement TO 'all';
ALTER ROLE "App ""O""" IN DATABASE shop SET statement_timeout TO '5min';

GRANT app_admin TO "App ""O""" WITH INHERIT TRUE GRANTED BY postgres;
GRANT pg_read_server_files TO app_admin GRANTED BY postgres;
CREATE TABLESPACE fast OWNER postgres LOCATION '/srv/fast';
"#;

    #[test]
    fn roles_come_without_their_passwords_and_with_their_settings() {
        let globals = parse(FILE).expect("valid");
        let names: Vec<&str> = globals.roles.keys().map(String::as_str).collect();
        assert_eq!(names, ["App \"O\"", "app_admin", "postgres"]);
        let owner = &globals.roles["App \"O\""];
        assert_eq!(owner.settings["lock_timeout"], "2s");
        assert_eq!(owner.settings["search_path"], "\"My app\", \"public\"");
        assert_eq!(owner.settings["timezone"], "Europe/Berlin");
        assert_eq!(owner.settings.len(), 3);
        assert_eq!(owner.in_database["shop"]["statement_timeout"], "5min");
        assert!(owner.member_of.contains("app_admin") && owner.attributes.is_empty());
        let admin = &globals.roles["app_admin"].attributes;
        assert_eq!(
            admin.iter().collect::<Vec<_>>(),
            [&"CREATEROLE", &"NOINHERIT"]
        );
        let left: Vec<&str> = globals.left_out.iter().map(String::as_str).collect();
        assert_eq!(
            left,
            [
                "SUPERUSER of `App \"O\"`",
                "`app.secret`",
                "`log_statement`",
                "membership in `pg_read_server_files`",
                "tablespace `fast`"
            ]
        );
        let all = format!("{globals:?}");
        assert!(!all.contains("SCRAM") && !all.contains("hunter2"), "{all}");
    }

    #[test]
    fn the_properties_of_a_database_are_read_whatever_its_name() {
        let properties = properties(
            "ALTER DATABASE \"the db\" SET \"TimeZone\" TO 'UTC';\n\
             ALTER DATABASE \"the db\" SET \"app.key\" TO 'x';\n\
             ALTER ROLE app IN DATABASE \"the db\" SET work_mem TO '1GB';\n\
             ALTER ROLE app IN DATABASE \"the db\" SET log_statement TO 'all';\n\
             ALTER DATABASE \"the db\" CONNECTION LIMIT = 3;\n",
        )
        .expect("valid");
        assert_eq!(properties.settings["timezone"], "UTC");
        assert_eq!(properties.settings.len(), 1);
        assert_eq!(properties.of_roles["app"]["work_mem"], "1GB");
        assert_eq!(properties.left_out.len(), 2);
    }

    #[test]
    fn what_falsifies_holds_and_what_is_no_sql_is_refused() {
        let unfit = parse("ALTER ROLE a SET fsync TO 'off';").expect_err("refused");
        assert!(unfit.message.contains("`fsync`"), "{}", unfit.message);
        assert!(parse("ALTER ROLE a SET x TO 'open").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            for start in ["", "ALTER ROLE a SET ", "GRANT a TO ", "ALTER DATABASE d SET "] {
                let _ = parse(&format!("{start}{text}"));
                let _ = properties(&format!("{start}{text}"));
            }
        }
    }
}
