//! libpq's parameters: their variables, what becomes of them here, and where a value came from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Around, url};
use crate::{Error, Result};

/// What becomes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is followed.
    Taken,
    /// It is ours to set, or means nothing here.
    Ignored,
    /// It asks for a check or a way that there is not: to go on without would be less than was asked.
    Refused,
}

/// One of libpq's parameters.
#[derive(Debug)]
pub(super) struct Parameter {
    key: &'static str,
    variable: Option<&'static str>,
    becomes: Use,
}

const fn taken(key: &'static str, variable: &'static str) -> Parameter {
    Parameter {
        key,
        variable: Some(variable),
        becomes: Use::Taken,
    }
}

const fn ignored(key: &'static str) -> Parameter {
    Parameter {
        key,
        variable: None,
        becomes: Use::Ignored,
    }
}

const fn refused(key: &'static str, variable: Option<&'static str>) -> Parameter {
    Parameter {
        key,
        variable,
        becomes: Use::Refused,
    }
}

/// Those of libpq 18. What it knows only for Kerberos and OAuth is not known here.
const PARAMETERS: [Parameter; 44] = [
    taken("host", "PGHOST"),
    taken("hostaddr", "PGHOSTADDR"),
    taken("port", "PGPORT"),
    taken("user", "PGUSER"),
    taken("password", "PGPASSWORD"),
    taken("passfile", "PGPASSFILE"),
    taken("dbname", "PGDATABASE"),
    taken("service", "PGSERVICE"),
    taken("servicefile", "PGSERVICEFILE"),
    taken("options", "PGOPTIONS"),
    taken("connect_timeout", "PGCONNECT_TIMEOUT"),
    taken("channel_binding", "PGCHANNELBINDING"),
    taken("gssencmode", "PGGSSENCMODE"),
    taken("sslmode", "PGSSLMODE"),
    taken("sslnegotiation", "PGSSLNEGOTIATION"),
    taken("sslrootcert", "PGSSLROOTCERT"),
    taken("sslcert", "PGSSLCERT"),
    taken("sslkey", "PGSSLKEY"),
    taken("sslsni", "PGSSLSNI"),
    taken("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ignored("application_name"),
    ignored("fallback_application_name"),
    ignored("client_encoding"),
    ignored("target_session_attrs"),
    ignored("load_balance_hosts"),
    ignored("keepalives"),
    ignored("keepalives_idle"),
    ignored("keepalives_interval"),
    ignored("keepalives_count"),
    ignored("tcp_user_timeout"),
    ignored("sslcompression"),
    ignored("gssdelegation"),
    ignored("krbsrvname"),
    ignored("gsslib"),
    ignored("min_protocol_version"),
    refused("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    refused("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    refused("sslcertmode", Some("PGSSLCERTMODE")),
    refused("sslcrl", Some("PGSSLCRL")),
    refused("sslcrldir", Some("PGSSLCRLDIR")),
    refused("sslpassword", None),
    refused("requirepeer", Some("PGREQUIREPEER")),
    refused("require_auth", Some("PGREQUIREAUTH")),
    refused("replication", None),
];

/// None: libpq has no such parameter.
pub(super) fn find(key: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.key == key)
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was typed.
    Url,
    /// A service file.
    Service { file: PathBuf, line: usize },
    /// A variable of the environment.
    Environment(&'static str),
}

impl Origin {
    /// An error about a value from there.
    pub(super) fn invalid(&self, what: &str) -> Error {
        match self {
            Self::Url => url::invalid(what),
            Self::Service { file, line } => {
                Error::usage(format!("`{}`, line {line}: {what}", file.display()))
                    .help("mend the service file, or give the parameter in the URL")
            }
            Self::Environment(variable) => {
                Error::usage(format!("`{variable}` is not valid: {what}")).help(format!(
                    "mend or unset `{variable}`, or give the parameter in the URL"
                ))
            }
        }
    }
}

#[derive(Debug)]
struct Value {
    text: String,
    origin: Origin,
}

/// Everything that is said about a connection; who says it first is right.
#[derive(Default)]
pub(super) struct Given(BTreeMap<&'static str, Value>);

impl Given {
    /// Takes a value unless there is one.
    pub(super) fn add(&mut self, key: &str, text: String, origin: Origin) -> Result<()> {
        let Some(parameter) = find(key) else {
            return Err(unknown(key, &origin));
        };
        match parameter.becomes {
            _ if text.is_empty() => {}
            Use::Ignored => {}
            Use::Refused => {
                return Err(origin
                    .invalid(&format!("`{key}` asks for what lockproof cannot do"))
                    .help(format!("leave out `{key}`")));
            }
            Use::Taken => {
                self.0
                    .entry(parameter.key)
                    .or_insert(Value { text, origin });
            }
        }
        Ok(())
    }

    /// Takes what the environment says, where nobody said anything.
    pub(super) fn add_environment(&mut self, around: &Around<'_>) -> Result<()> {
        for parameter in &PARAMETERS {
            let Some(variable) = parameter.variable else {
                continue;
            };
            if let Some(text) = (around.variable)(variable) {
                self.add(parameter.key, text, Origin::Environment(variable))?;
            }
        }
        Ok(())
    }

    /// The value; None: nobody said anything.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| value.text.as_str())
    }

    /// An error about the value that was given.
    pub(super) fn invalid(&self, key: &str, what: &str) -> Error {
        self.0
            .get(key)
            .map_or(&Origin::Url, |value| &value.origin)
            .invalid(what)
    }

    /// The value among these words; None: nobody said anything.
    pub(super) fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        match found {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let known: Vec<String> =
                    words.iter().map(|(word, _)| format!("`{word}`")).collect();
                Err(self.invalid(key, &format!("`{key}` is one of {}", known.join(", "))))
            }
        }
    }
}

/// The key is repeated only where it cannot be part of a password that was written badly.
fn unknown(key: &str, origin: &Origin) -> Error {
    let readable = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let known: Vec<String> = PARAMETERS
        .iter()
        .filter(|parameter| parameter.becomes == Use::Taken)
        .map(|parameter| format!("`{}`", parameter.key))
        .collect();
    let help = format!("known are {}", known.join(", "));
    match origin {
        Origin::Url if !readable => url::invalid("the name of a parameter is not readable"),
        Origin::Url => Error::usage(format!(
            "the parameter `{key}` in the URL of the stage is not known"
        ))
        .help(help),
        other => other
            .invalid(&format!(
                "the parameter `{}` is not known",
                key.escape_debug()
            ))
            .help(help),
    }
}
