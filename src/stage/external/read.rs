//! The files that connections are read from: no report is written over one.

use std::path::{Path, PathBuf};

use super::parameters::{Given, Origin};
use super::{Around, service, url};

/// Those that this text, the environment and the defaults lead to, whether they are there or not; each with what it is.
pub(super) fn files(typed: Option<&str>, around: &Around<'_>) -> Vec<(&'static str, PathBuf)> {
    let mut given = Given::default();
    // What cannot be read is complained of where it is used.
    let said = typed
        .map(url::read)
        .and_then(Result::ok)
        .unwrap_or_default();
    for (key, value) in said.into_iter().rev() {
        let _ = given.add(&key, value, Origin::Url);
    }
    let mut files: Vec<(&'static str, PathBuf)> = Vec::new();
    for file in service::all(&given, around) {
        files.push(("a service file", file));
    }
    let _ = given.add_environment(around);
    for (key, what) in [
        ("passfile", "the password file"),
        ("sslcert", "the client's certificate"),
        ("sslkey", "the client's private key"),
        ("sslrootcert", "the root certificates"),
        ("sslcrl", "the revoked certificates"),
    ] {
        files.extend(
            given
                .get(key)
                .map(|file| (what, Path::new(file).to_owned())),
        );
    }
    for (name, what) in [
        (".pgpass", "the password file"),
        (".postgresql", "certificates and keys"),
    ] {
        files.extend(around.at_home(name).map(|file| (what, file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_wherever_they_are_named() {
        let variable = |name: &str| {
            let value = match name {
                "HOME" => "/home/u",
                "PGSERVICEFILE" => "/s/env.conf",
                "PGPASSFILE" => "/p/env",
                "PGSSLKEY" => "/k",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let around = Around {
            variable: &variable,
            account: &|| None,
        };
        let found = |typed: Option<&str>| -> Vec<String> {
            let files = files(typed, &around).into_iter();
            files.map(|(_, file)| file.display().to_string()).collect()
        };
        let by_default = found(None);
        for file in [
            "/s/env.conf",
            "/p/env",
            "/k",
            "/home/u/.pgpass",
            "/home/u/.postgresql",
        ] {
            assert!(
                by_default.iter().any(|found| found == file),
                "{by_default:?}"
            );
        }
        let named = found(Some("postgres://u:p@h/d?passfile=/p/url&sslcert=/c"));
        for file in ["/p/url", "/c", "/k"] {
            assert!(named.iter().any(|found| found == file), "{named:?}");
        }
        assert!(!found(Some("nonsense")).is_empty());
    }
}
