//! Which roles a dump needs. `pg_dump` writes owners, grants and policies, but no roles.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::found::Found;
use crate::stage::Watch;
use crate::stage::connect::quoted;
use crate::{Error, Result};

/// Adds the roles that a statement of `pg_dump` names; other text adds nothing, or at the worst a
/// role that nobody needs.
pub(super) fn mentioned(statement: &str, roles: &mut BTreeSet<String>) {
    let starts = |word: &str| {
        statement
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if ![
        "ALTER ",
        "GRANT ",
        "REVOKE ",
        "CREATE POLICY ",
        "SET SESSION AUTHORIZATION ",
    ]
    .into_iter()
    .any(starts)
    {
        return;
    }
    let tokens = tokens(statement);
    let is = |at: usize, word: &str| matches!(tokens.get(at), Some(Token::Word(w)) if w == word);
    let mut list_from = |mut at: usize| {
        while let Some(name) = tokens.get(at).and_then(Token::name) {
            if is_role(tokens.get(at), name) {
                roles.insert(name.to_owned());
            }
            if !matches!(tokens.get(at + 1), Some(Token::Mark(','))) {
                break;
            }
            at += 2;
        }
    };
    let default = starts("ALTER DEFAULT PRIVILEGES ");
    for at in 0..tokens.len() {
        if starts("CREATE POLICY ") && (is(at, "using") || is(at, "with")) {
            // An expression follows.
            return;
        }
        let two_words = is(at, "owner") && is(at + 1, "to") || is(at, "for") && is(at + 1, "role");
        let one_word = is(at, "authorization")
            || is(at, "to") && (default || !starts("ALTER "))
            || is(at, "from") && (default || starts("REVOKE "));
        if two_words {
            list_from(at + 2);
        } else if one_word {
            list_from(at + 1);
        }
    }
}

/// Adds the role of `ALTER ROLE … IN DATABASE … SET`.
pub(super) fn mentioned_by_properties(statement: &str, roles: &mut BTreeSet<String>) {
    let tokens = tokens(statement);
    if let [Token::Word(alter), Token::Word(role), name, ..] = tokens.as_slice()
        && alter == "alter"
        && role == "role"
        && let Some(role) = name.name()
        && is_role(Some(name), role)
    {
        roles.insert(role.to_owned());
    }
}

fn is_role(token: Option<&Token>, name: &str) -> bool {
    let keyword = matches!(token, Some(Token::Word(word))
        if matches!(word.as_str(), "current_user" | "session_user" | "current_role" | "default"));
    // `public` is everybody and `none` nobody; no role can be called like that or `pg_…`.
    !keyword
        && !name.is_empty()
        && !matches!(name, "public" | "none")
        && !name.starts_with("pg_")
        && !name.contains(char::REPLACEMENT_CHARACTER)
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Mark(char),
}

impl Token {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Mark(_) => None,
        }
    }
}

fn tokens(statement: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut characters = statement.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '"' || character == '\'' {
            let mut name = String::new();
            while let Some(next) = characters.next() {
                if next == character && characters.next_if_eq(&character).is_none() {
                    break;
                }
                name.push(next);
            }
            tokens.push(Token::Quoted(name));
        } else if character.is_alphanumeric() || character == '_' {
            let mut word = character.to_lowercase().to_string();
            while let Some(next) =
                characters.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '$')
            {
                word.extend(next.to_lowercase());
            }
            tokens.push(Token::Word(word));
        } else if !character.is_whitespace() {
            tokens.push(Token::Mark(character));
        }
    }
    tokens
}

/// Makes those of the roles that the server does not have, without the right to log in.
pub(super) async fn create_missing(
    client: &Client,
    roles: &BTreeSet<String>,
    found: &Found,
    watch: &dyn Watch,
) -> Result<()> {
    if roles.is_empty() {
        return Ok(());
    }
    let failed = |error| Error::stage("cannot make the roles that the dump names").because(error);
    let present: BTreeSet<String> = client
        .query("SELECT rolname::text FROM pg_catalog.pg_roles", &[])
        .await
        .map_err(failed)?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let missing: Vec<&str> = roles
        .iter()
        .filter(|role| !present.contains(*role))
        .map(String::as_str)
        .collect();
    for role in &missing {
        client
            .batch_execute(&format!("CREATE ROLE {} NOLOGIN", quoted(role)))
            .await
            .map_err(failed)?;
    }
    if !missing.is_empty() {
        let names = missing.join("`, `");
        found.note(
            watch,
            format!("made roles that the dump names and the stage did not have: `{names}`"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(statement: &str) -> Vec<String> {
        let mut roles = BTreeSet::new();
        mentioned(statement, &mut roles);
        roles.into_iter().collect()
    }

    #[test]
    fn roles_are_found_where_pg_dump_writes_them() {
        for (statement, expected) in [
            ("ALTER TABLE public.a OWNER TO app;", vec!["app"]),
            (
                "ALTER FUNCTION f(a integer) OWNER TO \"The \"\"Boss\"\"\";",
                vec!["The \"Boss\""],
            ),
            ("GRANT SELECT,INSERT ON TABLE a TO reader;", vec!["reader"]),
            ("GRANT ALL ON SCHEMA s TO b WITH GRANT OPTION;", vec!["b"]),
            ("REVOKE ALL ON TABLE a FROM \"Größe\";", vec!["Größe"]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s GRANT SELECT ON TABLES TO r;",
                vec!["o", "r"],
            ),
            (
                "CREATE POLICY p ON a FOR SELECT TO r1, r2 USING ((x <> 'TO y'::text));",
                vec!["r1", "r2"],
            ),
            ("CREATE POLICY p ON a USING ((x = 1));", vec![]),
            ("SET SESSION AUTHORIZATION 'app';", vec!["app"]),
            ("GRANT USAGE ON SCHEMA s TO PUBLIC;", vec![]),
            ("GRANT pg_monitor TO x;", vec!["x"]),
            ("GRANT SELECT ON TABLE a TO pg_read_all_data;", vec![]),
            ("ALTER TABLE a RENAME TO b;", vec![]),
            ("CREATE TABLE a (b int);", vec![]),
            ("1\tGRANT x TO y", vec![]),
            ("é", vec![]),
        ] {
            assert_eq!(roles(statement), expected, "{statement}");
        }
    }

    #[test]
    fn settings_of_a_database_name_their_roles() {
        let mut roles = BTreeSet::new();
        for statement in [
            "ALTER ROLE \"The App\" IN DATABASE d SET work_mem TO '1MB';",
            "ALTER DATABASE d SET work_mem TO '1MB';",
        ] {
            mentioned_by_properties(statement, &mut roles);
        }
        assert_eq!(roles.iter().collect::<Vec<_>>(), ["The App"]);
    }

    proptest::proptest! {
        #[test]
        fn no_statement_makes_it_panic(rest in ".*") {
            for start in ["", "GRANT ", "ALTER DEFAULT PRIVILEGES ", "CREATE POLICY "] {
                let _ = roles(&format!("{start}{rest}"));
            }
        }
    }
}
