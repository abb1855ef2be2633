//! Everything that was said about a server → one `Endpoint`, by libpq's rules.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::parameters::{Given, Origin};
use super::passfile::{self, Login};
use super::{Around, service, url};
use crate::stage::endpoint::{Binding, Link};
use crate::stage::tls::{Indication, Mode, Negotiation, Oldest, Root, Tls, Wanted};
use crate::stage::{Endpoint, Host, Quiet, Secret};
use crate::{Error, Result};

const DEFAULT_PORT: u16 = 5432;
/// Folders of the socket that password files call `localhost`.
const DEFAULT_SOCKETS: [&str; 3] = ["/tmp", "/var/run/postgresql", "/run/postgresql"];

/// No message of it has a part of the text that could be the password.
pub(super) fn settle(typed: &str, around: &Around<'_>) -> Result<Endpoint> {
    let mut given = Given::default();
    // From the end: what is said first stays, and of two values for one key the last one counts.
    for (key, value) in url::read(typed)?.into_iter().rev() {
        given.add(&key, value, Origin::Url)?;
    }
    let service = given
        .get("service")
        .map(str::to_owned)
        .or_else(|| (around.variable)("PGSERVICE"));
    if let Some(service) = service {
        service::add(&mut given, &service, around)?;
    }
    given.add_environment(around)?;

    if given.get("gssencmode") == Some("require") {
        return Err(given
            .invalid("gssencmode", "encryption by GSSAPI is not built in")
            .help("use TLS with `sslmode`, or a tunnel"));
    }
    let port = match given.get("port") {
        None => DEFAULT_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| given.invalid("port", "the port is not a number from 1 to 65535"))?,
    };
    let (host, address) = host(&given)?;
    let user = given
        .get("user")
        .map(str::to_owned)
        .or_else(around.account)
        .ok_or_else(|| url::invalid("it names no user, and `PGUSER` is not set"))?;
    let database = given.get("dbname").unwrap_or(&user).to_owned();
    let mode = given.one_of("sslmode", &Mode::ALL.map(|mode| (mode.name(), mode)))?;
    let tls = match host {
        // libpq never encrypts what does not leave the machine.
        Host::Unix(_) => None,
        Host::Tcp(_) => Some(Tls::new(wanted(mode, &given, around)?)?),
    };
    let mut endpoint = Endpoint {
        host,
        port,
        user,
        password: given.get("password").map(Secret::new),
        database,
        link: Link {
            address,
            tls,
            binding: given
                .one_of(
                    "channel_binding",
                    &[
                        ("disable", Binding::Disable),
                        ("prefer", Binding::Prefer),
                        ("require", Binding::Require),
                    ],
                )?
                .unwrap_or_default(),
            options: given.get("options").map(str::to_owned),
            patience: patience(&given)?,
            quiet: Quiet::default(),
        },
    };
    if endpoint.password.is_none() {
        endpoint.password = from_file(&given, &endpoint, around)?;
    }
    endpoint.remember();
    Ok(endpoint)
}

/// The host by its name, and the address where it is connected to at another.
fn host(given: &Given) -> Result<(Host, Option<IpAddr>)> {
    let address = given
        .get("hostaddr")
        .map(|address| {
            address.parse::<IpAddr>().map_err(|_| {
                given.invalid("hostaddr", "`hostaddr` is no address such as `192.0.2.7`")
            })
        })
        .transpose()?;
    Ok(match (given.get("host"), address) {
        (Some(names), _) if names.contains(',') => {
            return Err(given
                .invalid("host", "it names several hosts")
                .help("name the one server that the migration is to be replayed on"));
        }
        (Some(folder), None) if folder.starts_with('/') => {
            (Host::Unix(PathBuf::from(folder)), None)
        }
        (Some(name), address) => (Host::Tcp(name.to_owned()), address),
        (None, Some(address)) => (Host::Tcp(address.to_string()), None),
        // libpq would look for a socket in a folder of its own making.
        (None, None) => (Host::Tcp("localhost".to_owned()), None),
    })
}

/// Seconds, as libpq has them: 0 is no limit there and the usual one here, 1 is 2.
fn patience(given: &Given) -> Result<Option<Duration>> {
    given
        .get("connect_timeout")
        .map(|text| {
            text.trim().parse::<i32>().map_err(|_| {
                given.invalid(
                    "connect_timeout",
                    "`connect_timeout` is no number of seconds",
                )
            })
        })
        .transpose()
        .map(|seconds| {
            let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok())?;
            (seconds > 0).then(|| Duration::from_secs(seconds.max(2)))
        })
}

fn wanted(mode: Option<Mode>, given: &Given, around: &Around<'_>) -> Result<Wanted> {
    let root = root(given, around)?;
    let system = root == Some(Root::System);
    let mode = match mode {
        None if system => Mode::VerifyFull,
        None => Mode::Prefer,
        Some(mode) if system && mode < Mode::VerifyFull => {
            return Err(given.invalid(
                "sslmode",
                &format!(
                    "`sslmode={}` is too weak for `sslrootcert=system`, with which any host that anybody vouches \
                     for would do: use `verify-full`",
                    mode.name()
                ),
            ));
        }
        Some(mode) => mode,
    };
    let negotiation = given
        .one_of(
            "sslnegotiation",
            &[
                ("postgres", Negotiation::Postgres),
                ("direct", Negotiation::Direct),
            ],
        )?
        .unwrap_or_default();
    if negotiation == Negotiation::Direct && mode < Mode::Require {
        return Err(given.invalid(
            "sslnegotiation",
            &format!(
                "`sslmode={}` is too weak for `sslnegotiation=direct`: use `require` or stronger",
                mode.name()
            ),
        ));
    }
    if mode >= Mode::VerifyCa && root.is_none() {
        return Err(Error::usage(format!(
            "`sslmode={}` needs root certificates, and there is no `~/.postgresql/root.crt`",
            mode.name()
        ))
        .help("name a file with `sslrootcert`, or this machine's own with `sslrootcert=system`"));
    }
    if mode == Mode::VerifyFull && given.get("host").is_none() && given.get("hostaddr").is_some() {
        return Err(given
            .invalid(
                "hostaddr",
                "`sslmode=verify-full` needs the name of the host beside `hostaddr`",
            )
            .help("add `host`: the name that the server's certificate is for"));
    }
    Ok(Wanted {
        mode,
        root,
        client: client(given, around)?,
        negotiation,
        indication: given
            .one_of(
                "sslsni",
                &[("1", Indication::Told), ("0", Indication::Kept)],
            )?
            .unwrap_or_default(),
        oldest: given
            .one_of(
                "ssl_min_protocol_version",
                &[
                    ("TLSv1", Oldest::V12),
                    ("TLSv1.1", Oldest::V12),
                    ("TLSv1.2", Oldest::V12),
                    ("TLSv1.3", Oldest::V13),
                ],
            )?
            .unwrap_or_default(),
    })
}

/// A file that is there by default counts in every mode, as with libpq.
fn root(given: &Given, around: &Around<'_>) -> Result<Option<Root>> {
    Ok(match given.get("sslrootcert") {
        Some("system") => Some(Root::System),
        Some(file) => Some(Root::File(absolute(file)?)),
        None => default_file(around, "root.crt").map(Root::File),
    })
}

/// As with libpq, a certificate alone makes it; the key is then where it was named, or in its place.
fn client(given: &Given, around: &Around<'_>) -> Result<Option<(PathBuf, PathBuf)>> {
    let named = |key: &str| given.get(key).map(absolute).transpose();
    let certificate = named("sslcert")?.or_else(|| default_file(around, "postgresql.crt"));
    let key = named("sslkey")?.or_else(|| around.at_home(".postgresql/postgresql.key"));
    Ok(certificate.zip(key))
}

fn default_file(around: &Around<'_>, name: &str) -> Option<PathBuf> {
    around
        .at_home(&format!(".postgresql/{name}"))
        .filter(|file| file.exists())
}

/// A program of a step starts in another folder.
fn absolute(file: &str) -> Result<PathBuf> {
    std::path::absolute(file)
        .map_err(|error| Error::usage(format!("`{file}` is no path")).because(error))
}

fn from_file(given: &Given, endpoint: &Endpoint, around: &Around<'_>) -> Result<Option<Secret>> {
    let Some(file) = given
        .get("passfile")
        .map(PathBuf::from)
        .or_else(|| around.at_home(".pgpass"))
    else {
        return Ok(None);
    };
    let host = match &endpoint.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => {
            let folder = folder.display().to_string();
            if DEFAULT_SOCKETS.contains(&folder.trim_end_matches('/')) {
                "localhost".to_owned()
            } else {
                folder
            }
        }
    };
    passfile::find(
        &file,
        &Login {
            host: &host,
            port: endpoint.port,
            database: &endpoint.database,
            user: &endpoint.user,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(typed: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Endpoint> {
        settle(
            typed,
            &Around {
                variable: &variable,
                account: &|| Some("me".to_owned()),
            },
        )
    }

    fn parsed(url: &str) -> Result<Endpoint> {
        settled(url, |_| None)
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        for (url, shown, password) in [
            ("postgres://a:b@h:6/d", "postgres://a@h:6/d", Some("b")),
            (
                "postgresql://a%40x:p%2F%3A%25@h/G%C3%B6%20e",
                "postgres://a%40x@h:5432/G%C3%B6%20e",
                Some("p/:%"),
            ),
            ("postgres://", "postgres://me@localhost:5432/me", None),
            ("postgres://h", "postgres://me@h:5432/me", None),
            ("postgres://a@/d", "postgres://a@localhost:5432/d", None),
            ("postgres://[::1]:7/d", "postgres://me@[::1]:7/d", None),
            ("postgres://h:/d", "postgres://me@h:5432/d", None),
            (
                "postgres:///d?host=/run/pg&port=99&user=u&password=x%26y",
                "postgres://u@%2Frun%2Fpg:99/d",
                Some("x&y"),
            ),
            (
                "postgres://%2Frun%2Fpg/d?sslmode=prefer",
                "postgres://me@%2Frun%2Fpg:5432/d",
                None,
            ),
        ] {
            let endpoint = parsed(url).expect(url);
            assert_eq!(endpoint.shown(), shown, "{url}");
            assert_eq!(endpoint.password.as_ref().map(Secret::reveal), password);
        }
    }

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        for (pairs, shown, password) in [
            ("host=h port=6 user=a dbname=d", "postgres://a@h:6/d", None),
            (
                "host=h  password='a b\\'c\\\\' user = u",
                "postgres://u@h:5432/u",
                Some("a b'c\\"),
            ),
            (
                "user=u password=a\\ b host=h",
                "postgres://u@h:5432/u",
                Some("a b"),
            ),
            ("dbname=d host=h host=i", "postgres://me@i:5432/d", None),
            ("host='' dbname=d", "postgres://me@localhost:5432/d", None),
        ] {
            let endpoint = parsed(pairs).expect(pairs);
            assert_eq!(endpoint.shown(), shown, "{pairs}");
            assert_eq!(endpoint.password.as_ref().map(Secret::reveal), password);
        }
        for pairs in [
            "password=hunt er2=x",
            "password='hunter2",
            "host=h hunter2",
            "host=h password=hunter2 sslmode=hunter2",
        ] {
            let story = parsed(pairs).expect_err(pairs).story();
            assert!(!story.contains("hunt") && !story.contains("er2"), "{story}");
        }
    }

    #[test]
    fn what_is_typed_wins_over_the_service_over_the_environment_over_the_file() {
        let home = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt;
            let path = home.path().join(name);
            std::fs::write(&path, text).expect("written");
            let own = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(path, own).expect("its own");
        };
        file(
            ".pg_service.conf",
            "# a comment\n[other]\nhost=elsewhere\n\n[shop]\nhost=service\nport=1111\nuser=served\n\
             application_name=x\nport=2222\n[shop]\nhost=second\n",
        );
        file(".pgpass", "*:*:*:*:from the file\n");
        let variable = |name: &str| {
            let value = match name {
                "HOME" => return Some(home.path().display().to_string()),
                "PGHOST" => "environment",
                "PGPORT" => "9999",
                "PGUSER" => "variable",
                "PGDATABASE" => "data",
                "PGOPTIONS" => "-c jit=off",
                "PGCONNECT_TIMEOUT" => "1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        for (typed, shown) in [
            (
                "postgres://typed:7/d?service=shop",
                "postgres://served@typed:7/d",
            ),
            ("service=shop", "postgres://served@service:1111/data"),
            (
                "service=shop user=typed",
                "postgres://typed@service:1111/data",
            ),
            ("postgres://", "postgres://variable@environment:9999/data"),
        ] {
            let endpoint = settled(typed, variable).expect(typed);
            assert_eq!(endpoint.shown(), shown, "{typed}");
            let password = endpoint.password.as_ref().map(Secret::reveal);
            assert_eq!(password, Some("from the file"));
            assert_eq!(endpoint.link.options.as_deref(), Some("-c jit=off"));
            assert_eq!(endpoint.patience(), Duration::from_secs(2));
        }
        let by_variable = |name: &str| match name {
            "PGSERVICE" => Some("shop".to_owned()),
            "PGPASSWORD" => Some("from the variable".to_owned()),
            other => variable(other),
        };
        let endpoint = settled("postgres://", by_variable).expect("a service");
        assert_eq!(endpoint.shown(), "postgres://served@service:1111/data");
        assert_eq!(
            endpoint.password.as_ref().map(Secret::reveal),
            Some("from the variable")
        );

        // What is wrong in the file is told by its line.
        let path = home.path().join(".pg_service.conf").display().to_string();
        for (text, said) in [
            (
                "[shop]\nhost=h\ncolour=red\n",
                "line 3: the parameter `colour` is not known",
            ),
            ("[shop]\nhost\n", "line 2: there is no `=`"),
            ("[shop]\nport=x\n", "line 2: the port is not a number"),
            ("[shop]\nsslmode=no\n", "line 2: `sslmode` is one of"),
            ("[shop]\nservice=b\n", "line 2: a service cannot lead"),
            (
                "[shop]\nrequire_auth=none\n",
                "line 2: `require_auth` asks for what lockproof cannot do",
            ),
            ("[other]\nhost\n", "there is no service `shop`"),
        ] {
            file(".pg_service.conf", text);
            let story = settled("service=shop", variable).expect_err(text).story();
            assert!(story.contains(said) && story.contains(&path), "{story}");
        }
        std::fs::remove_file(home.path().join(".pg_service.conf")).expect("removed");
        let system = |name: &str| match name {
            "PGSYSCONFDIR" => Some(format!("{}/etc", home.path().display())),
            other => variable(other),
        };
        std::fs::create_dir(home.path().join("etc")).expect("a folder");
        file("etc/pg_service.conf", "[shop]\nhost=system\n");
        let endpoint = settled("service=shop", system).expect("the machine's own");
        assert_eq!(endpoint.shown(), "postgres://variable@system:9999/data");
    }

    #[test]
    fn the_modes_of_tls_are_libpq_s() {
        let mode = |typed: &str| {
            let endpoint = parsed(typed).expect(typed);
            endpoint.link.tls.map(|tls| tls.wanted().mode)
        };
        assert_eq!(mode("postgres://h/d"), Some(Mode::Prefer));
        for known in Mode::ALL.into_iter().filter(|mode| *mode < Mode::VerifyCa) {
            let url = format!("postgres://h/d?sslmode={}", known.name());
            assert_eq!(mode(&url), Some(known));
        }
        assert_eq!(mode("postgres:///d?host=/run&sslmode=require"), None);
        for (typed, said) in [
            (
                "postgres://h/d?sslmode=verify-ca",
                "`sslmode=verify-ca` needs root certificates",
            ),
            (
                "postgres://h/d?sslmode=require&sslrootcert=system",
                "too weak for `sslrootcert=system`",
            ),
            (
                "postgres://h/d?sslnegotiation=direct",
                "too weak for `sslnegotiation=direct`",
            ),
            (
                "postgres://h/d?sslmode=require&sslrootcert=/nowhere/root.crt",
                "cannot read root certificates in `/nowhere/root.crt`",
            ),
            (
                "postgres://h/d?sslcert=/nowhere/me.crt&sslkey=/nowhere/me.key",
                "cannot read the client certificate in `/nowhere/me.crt`",
            ),
            ("postgres://h/d?sslcrl=/x", "`sslcrl` asks for what"),
            ("postgres://h/d?gssencmode=require", "GSSAPI"),
            ("postgres://h/d?hostaddr=name", "`hostaddr` is no address"),
            (
                "postgres://h/d?connect_timeout=soon",
                "no number of seconds",
            ),
        ] {
            let error = parsed(typed).expect_err(typed);
            assert_eq!(error.trouble(), crate::error::Trouble::Usage);
            let story = error.story();
            assert!(story.contains(said) && story.contains("help: "), "{story}");
        }
    }

    #[test]
    fn a_program_is_told_the_same_way() {
        let url = "postgres://u:p@name/d?hostaddr=192.0.2.7&sslmode=require&options=-c%20jit%3Doff&\
                   channel_binding=require";
        let endpoint = parsed(url).expect(url);
        let environment = endpoint.environment();
        for (name, value) in [
            ("PGHOST", "name"),
            ("PGHOSTADDR", "192.0.2.7"),
            ("PGSSLMODE", "require"),
            ("PGOPTIONS", "-c jit=off"),
            ("PGCHANNELBINDING", "require"),
            ("PGPASSWORD", "p"),
        ] {
            assert!(
                environment.contains(&(name, value.to_owned())),
                "{environment:?}"
            );
        }
        let again = parsed(endpoint.url().reveal()).expect("its own URL");
        assert_eq!(again, endpoint);
        assert_eq!(endpoint.shown(), "postgres://u@name:5432/d");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, message) in [
            ("mysql://u:hunter2@h/d", "`postgres://`"),
            ("postgres://u:hunter2%zz@h/d", "password is wrongly"),
            ("postgres://u:hunter2@h:port/d", "port is not a number"),
            ("postgres://u:hunter2@h:0/d", "port is not a number"),
            ("postgres://u:hunter2@h:99999/d", "port is not a number"),
            ("postgres://u:hunter2@h,i/d", "several hosts"),
            ("postgres://u:hunt@er2@h/d", "`%40`"),
            ("postgres://u:hunter2#x@h/d", "`%23`"),
            ("postgres://u:hunter2@[::1/d", "host is not readable"),
            ("postgres://u:hunter2@::1/d", "host is not readable"),
            ("postgres://u:hunter2@h/d?sslmode", "no value"),
            ("postgres://u:hunter2@h/d?sslmode=sometimes", "`sslmode`"),
            (
                "postgres://u:hunter2@h/d?require_auth=scram",
                "`require_auth`",
            ),
            ("postgres://u:hunter2@h/d?colour=red", "`colour`"),
        ] {
            let story = parsed(url).expect_err(url).story();
            assert!(story.contains(message), "{story}");
            assert!(!story.contains("hunt") && !story.contains("er2"), "{story}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(rest in ".*") {
            let _ = parsed(&format!("postgres://{rest}"));
            let _ = parsed(&format!("host={rest}"));
        }
    }
}
