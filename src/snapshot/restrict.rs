//! What this stage's `psql` knows of `\restrict`, the command that closes it against all others.
//!
//! `pg_dump` writes it since August 2025; what stands in a dump can be lifted by the dump, so the reader of
//! [scripts](super::script) puts one of ours in its place.

use std::path::Path;

use tokio_postgres::Client;

use super::script::{Closed, Session};
use crate::stage::{Endpoint, Tools};
use crate::{Error, Result};

/// How a script will be run here. Asks the program itself: it may be older than the server.
pub(super) async fn session<T: Tools>(
    tools: &T,
    endpoint: &Endpoint,
    client: &Client,
) -> Result<Session> {
    let told = tools
        .run(endpoint, "psql", &["--version".to_owned()], None)
        .await?;
    let version = told.stdout.iter().find_map(|line| version(line));
    let failed = |error| Error::stage("the server does not tell its settings").because(error);
    let strings: String = client
        .query_one("SHOW standard_conforming_strings", &[])
        .await
        .map_err(failed)?
        .get(0);
    Ok(Session {
        standard_strings: strings == "on",
        knows_bodies: version.is_none_or(|(major, _)| major >= 14),
        closed_by: if version.is_some_and(knows_restrict) {
            Closed::Restrict
        } else {
            Closed::Asking
        },
    })
}

/// Without `\restrict` and past errors, the rows of a `COPY` that failed would be read as commands.
pub(super) fn cannot_tolerate(file: &Path) -> Error {
    Error::stage(format!(
        "the plain dump `{}` cannot be restored with `restore.tolerate` by this `psql`: it goes on after an error, \
         would take the rows of a `COPY` that failed for commands, and knows no `\\restrict` to prevent that",
        file.display()
    ))
    .help(
        "use client programs of a minor release since August 2025 (13.22, 14.19, 15.14, 16.10, 17.6, 18), or take \
         the dump with `pg_dump --format=custom`",
    )
}

/// Major and minor of `psql (PostgreSQL) 15.18 (Debian …)`; None where it is said in other words.
fn version(line: &str) -> Option<(u32, Option<u32>)> {
    let version = line.strip_prefix("psql (")?.split_once(") ")?.1;
    let number = |text: &str| {
        let end = text
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let minor = version
        .trim_start_matches(|letter: char| letter.is_ascii_digit())
        .strip_prefix('.')
        .and_then(number);
    Some((number(version)?, minor))
}

/// A version before its first release (`18beta1`) may or may not.
fn knows_restrict((major, minor): (u32, Option<u32>)) -> bool {
    let first = match major {
        13 => 22,
        14 => 19,
        15 => 14,
        16 => 10,
        17 => 6,
        18 => 0,
        _ => return major > 18,
    };
    minor.is_some_and(|minor| minor >= first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrict_is_known_since_its_minor_releases() {
        for (line, known) in [
            ("psql (PostgreSQL) 12.22", false),
            ("psql (PostgreSQL) 13.21", false),
            ("psql (PostgreSQL) 13.22 (Debian 13.22-1.pgdg120+1)", true),
            ("psql (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)", false),
            ("psql (PostgreSQL) 15.20", true),
            ("psql (EnterpriseDB) 16.10.0", true),
            ("psql (PostgreSQL) 17.5", false),
            ("psql (PostgreSQL) 18beta1", false),
            ("psql (PostgreSQL) 18.0", true),
            ("psql (PostgreSQL) 19devel", true),
        ] {
            let version = version(line).expect(line);
            assert_eq!(knows_restrict(version), known, "{line}");
        }
        for line in ["", "psql", "psql (PostgreSQL)", "psql (PostgreSQL) new"] {
            assert_eq!(version(line), None, "{line}");
        }
    }
}
