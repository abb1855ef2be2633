//! libpq's password file: `host:port:database:user:password` a line, `*` for any.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::stage::Secret;
use crate::stage::whole;
use crate::{Error, Result};

/// Whom a password is looked for.
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password of the first line that fits; None: none does, or there is no such file.
///
/// # Errors
/// Others can read the file. libpq leaves it aside with a warning, and then says that a password is
/// missing.
pub(super) fn find(file: &Path, login: &Login<'_>) -> Result<Option<Secret>> {
    let Ok(about) = fs::metadata(file) else {
        return Ok(None);
    };
    let shown = file.display();
    if !about.is_file() {
        return Err(
            Error::usage(format!("the password file `{shown}` is no file"))
                .help("name another one in `PGPASSFILE`"),
        );
    }
    if about.mode() & 0o077 != 0 {
        return Err(Error::usage(format!(
            "the password file `{shown}` can be read by others: its mode is {:04o}",
            about.mode() & 0o7777
        ))
        .help(format!("take their rights away with `chmod 600 {shown}`")));
    }
    let text = whole::bytes(file, whole::DESCRIPTION).map_err(|error| {
        Error::usage(format!("cannot read the password file `{shown}`"))
            .because(error)
            .help("name another one in `PGPASSFILE`")
    })?;
    Ok(look(&String::from_utf8_lossy(&text), login).map(Secret::new))
}

fn look(text: &str, login: &Login<'_>) -> Option<String> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.database, login.user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line.trim_end_matches('\r');
            for wanted in wanted {
                let (field, behind) = field(rest)?;
                if field != "*" && unescaped(field) != wanted {
                    return None;
                }
                rest = behind;
            }
            // What stands behind the fifth field is nothing.
            let password = field_or_rest(rest);
            (!password.is_empty()).then(|| unescaped(password))
        })
}

/// Up to the next `:` that has no `\` before it, and what is behind it.
fn field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn field_or_rest(text: &str) -> &str {
    field(text).map_or(text, |(field, _)| field)
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        look(
            text,
            &Login {
                host: "h:1",
                port: 5432,
                database: "d",
                user: "u",
            },
        )
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        for (text, password) in [
            ("h\\:1:5432:d:u:secret", Some("secret")),
            ("*:*:*:*:any", Some("any")),
            ("#*:*:*:*:no\nh\\:1:*:d:*:yes\n*:*:*:*:late", Some("yes")),
            ("h:1:5432:d:u:shifted", None),
            ("*:5433:*:*:port\n*:*:e:*:database\n*:*:*:v:user", None),
            ("*:*:*:*:a\\:b\\\\c:behind", Some("a:b\\c")),
            ("*:*:*:*:crlf\r\n", Some("crlf")),
            ("*:*:*:*:", None),
            ("*:*:*", None),
            ("\\*:*:*:*:not any", None),
            ("", None),
        ] {
            assert_eq!(found(text).as_deref(), password, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[:*\\\\a-z\n]*") {
            let _ = found(&text);
        }
    }
}
