//! Why a server was not reached, in words: the thing, the cause, and what to do about it.

use std::io;
use std::time::Duration;

use tokio_postgres::Error as DriverError;
use tokio_postgres::error::DbError;

use super::tls;
use crate::plan::Literals;
use crate::stage::{Endpoint, Host};
use crate::{Error, redact};

/// How a connection is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Without TLS.
    Plain,
    /// With TLS where the server has it.
    EncryptedIfOffered,
    /// With TLS.
    Encrypted,
}

/// Why a try failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver or the server said so.
    Driver {
        error: DriverError,
        /// The version of TLS that had been agreed on; None: there was none.
        encryption: Option<&'static str>,
    },
    /// There was no answer for so long.
    Silent(Duration),
}

impl Failure {
    /// libpq's rule for `allow` and `prefer`: what TLS or its absence may have caused is tried the
    /// other way. A server that says that there is no such database has let us in.
    pub(super) fn lets_try_otherwise(&self, way: Way) -> bool {
        match self {
            Self::Driver { error, encryption } => match error.code() {
                // What was offered no TLS was tried without already.
                Some(code) => {
                    code.code().starts_with("28")
                        && (way != Way::EncryptedIfOffered || encryption.is_some())
                }
                None => !is_unreachable(error),
            },
            Self::Silent(_) => false,
        }
    }

    fn words(&self, endpoint: &Endpoint) -> Words {
        match self {
            Self::Driver { error, encryption } => of_driver(error, *encryption, endpoint),
            Self::Silent(patience) => Words::new(
                format!("no answer within {} s", patience.as_secs()),
                "see whether host and port are those of a PostgreSQL server and no firewall or proxy \
                 stands between; `connect_timeout` in the URL gives it more time",
            ),
        }
    }
}

struct Words {
    what: String,
    help: Option<String>,
}

impl Words {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: Some(help.into()),
        }
    }
}

/// The error about all tries; the one with TLS comes first, since that was wanted if possible.
pub(super) fn error(endpoint: &Endpoint, failures: &[(Way, Failure)]) -> Error {
    let error = Error::stage(format!("cannot connect to `{}`", endpoint.shown()));
    let (plain, encrypted): (Vec<_>, Vec<_>) =
        failures.iter().partition(|(way, _)| *way == Way::Plain);
    let mut told = encrypted
        .iter()
        .chain(&plain)
        .map(|(_, failure)| failure.words(endpoint));
    let Some(Words { what, help }) = told.next() else {
        return error;
    };
    let error = match told.next() {
        Some(other) if other.what != what => {
            error.details([format!("without TLS: {}", other.what)])
        }
        _ => error,
    };
    let error = error.because(Told(what));
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

fn of_driver(error: &DriverError, encryption: Option<&'static str>, endpoint: &Endpoint) -> Words {
    if let Some(db) = error.as_db_error() {
        return Words {
            what: tell(error),
            help: of_server(db.code().code(), db.message(), encryption, endpoint),
        };
    }
    if let Some(doubt) = tls::alert_or_doubt(error) {
        let host = match &endpoint.host {
            Host::Tcp(host) => host.as_str(),
            Host::Unix(_) => "localhost",
        };
        let tls::Words { what, help } = tls::words(doubt, host);
        return Words::new(what, help);
    }
    let told = tell(error);
    if told.contains("server does not support TLS") {
        return Words::new(
            "the server does not offer TLS",
            "have its owner turn `ssl` on, or go through a tunnel (`ssh -L 15432:localhost:5432 HOST`) and \
             say `sslmode=disable`",
        );
    }
    if told.contains("password missing") {
        return Words::new(
            "the server asks for a password, and there is none",
            PASSWORD,
        );
    }
    if told.contains("channel binding") {
        return Words::new(
            told,
            "`channel_binding=require` needs TLS, a password of SCRAM-SHA-256, and a certificate that is not \
             signed by Ed25519",
        );
    }
    if error.is_closed() || io_error(error).is_some_and(is_cut) {
        return Words::new(
            "the server closed the connection before it let us in",
            "see its log for the reason; a port of something that is not PostgreSQL does the same",
        );
    }
    Words {
        what: told,
        help: None,
    }
}

const PASSWORD: &str = "put the password into `PGPASSWORD`, into `LOCKPROOF_STAGE` as part of the URL, or into the \
                        password file `~/.pgpass`";

/// What to do about a refusal of the server's own.
fn of_server(
    code: &str,
    message: &str,
    encryption: Option<&'static str>,
    endpoint: &Endpoint,
) -> Option<String> {
    let user = &endpoint.user;
    Some(match code {
        "28P01" => format!("the password of `{user}` is another one, or it has none: {PASSWORD}"),
        "28000" if message.contains("client certificate") => {
            "name a certificate that the server trusts with `sslcert`, and its key with `sslkey`"
                .to_owned()
        }
        "28000" if message.contains("pg_hba.conf") && encryption.is_none() => format!(
            "its `pg_hba.conf` lets `{user}` in from elsewhere or with TLS alone: try `sslmode=require`"
        ),
        "28000" if message.contains("pg_hba.conf") => {
            format!("its `pg_hba.conf` has no line that lets `{user}` in from here")
        }
        _ => return None,
    })
}

/// Nobody was there: with or without TLS is all the same.
fn is_unreachable(error: &DriverError) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, InvalidInput, NetworkUnreachable,
        NotFound, PermissionDenied, TimedOut,
    };
    io_error(error).is_some_and(|error| {
        matches!(
            error.kind(),
            AddrNotAvailable
                | ConnectionRefused
                | HostUnreachable
                | InvalidInput
                | NetworkUnreachable
                | NotFound
                | PermissionDenied
                | TimedOut
        )
    })
}

/// Somebody was there, and left.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn io_error(error: &DriverError) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// A server's message as it is, unless that is longer than anybody reads: a migration's own may be megabytes.
fn short(message: &str) -> String {
    const LONGEST: usize = 2000;
    match message.char_indices().nth(LONGEST) {
        None => message.to_owned(),
        Some((end, _)) => {
            let more = message[end..].chars().count();
            format!("{} … ({more} more characters)", &message[..end])
        }
    }
}

/// The driver's error in one line, without values: it prints only the first link of its chain by itself.
pub fn tell(error: &DriverError) -> String {
    tell_about(error, None, Literals::Hidden)
}

/// The same of what this statement met; values in it are shown if its literals are.
pub fn tell_about(error: &DriverError, statement: Option<&str>, literals: Literals) -> String {
    if let Some(db) = error.as_db_error() {
        let told = short(&said(db).shown(statement, literals));
        return format!("{told} (SQLSTATE {})", db.code().code());
    }
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(link) = cause {
        told = format!("{told}: {link}");
        cause = link.source();
    }
    redact::hide(&told)
}

/// What the server said, for [`redact`] to decide what of it may be shown.
pub fn said(db: &DbError) -> redact::Said<'_> {
    let names = [
        db.schema(),
        db.table(),
        db.column(),
        db.datatype(),
        db.constraint(),
    ];
    redact::Said {
        code: db.code().code(),
        message: db.message(),
        routine: db.routine(),
        names: names.into_iter().flatten().collect(),
    }
}

/// A cause that was already put into words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Told(pub String);
