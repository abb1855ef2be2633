//! How production's database sorts text, beside how the stage's does: under another collation an index
//! on text takes another time to build.

use tokio_postgres::Client;

use crate::{Error, Result};

/// A note where the dumped database collates otherwise; None where it does not, or nobody says.
pub(super) async fn other_than_here(client: &Client, created: &str) -> Result<Option<String>> {
    let Some(there) = locale(created) else {
        return Ok(None);
    };
    // Where the provider is ICU or the server's own, LC_COLLATE is not what sorts: both are shown.
    let here: String = client
        .query_one(
            "SELECT datcollate::text FROM pg_catalog.pg_database
             WHERE datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(|error| Error::stage("the database does not tell its collation").because(error))?
        .get(0);
    Ok((normal(there) != normal(&here)).then(|| {
        format!(
            "the dumped database sorts text by `{there}`, the stage by `{here}`: an index on text \
             takes another time to build, and may be in another order"
        )
    }))
}

/// The locale of a CREATE DATABASE that decides how it sorts.
fn locale(created: &str) -> Option<&str> {
    let value = |key: &str| {
        let (_, rest) = created.split_once(&format!(" {key} = '"))?;
        rest.split('\'').next()
    };
    ["ICU_LOCALE", "BUILTIN_LOCALE", "LC_COLLATE", "LOCALE"]
        .into_iter()
        .find_map(value)
}

/// `de_DE.UTF-8` and `de_DE.utf8` are the same.
fn normal(locale: &str) -> String {
    locale.to_ascii_lowercase().replace('-', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_that_sorts_is_found_in_every_form() {
        for (created, expected) in [
            (
                "CREATE DATABASE a WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'de_DE.UTF-8';",
                Some("de_DE.UTF-8"),
            ),
            (
                "CREATE DATABASE a WITH ENCODING = 'UTF8' LOCALE_PROVIDER = icu LOCALE = 'C' ICU_LOCALE = 'de-DE';",
                Some("de-DE"),
            ),
            (
                "CREATE DATABASE a WITH ENCODING = 'UTF8' LC_COLLATE = 'C' LC_CTYPE = 'de_DE.utf8';",
                Some("C"),
            ),
            ("", None),
        ] {
            assert_eq!(locale(created), expected);
        }
        assert_eq!(normal("de_DE.UTF-8"), normal("de_DE.utf8"));
    }
}
