//! TLS to a server that somebody else runs, with libpq's modes in libpq's meaning.
//!
//! Files are read once, when the way to the server is described; every session then uses the same.

mod certificate;
mod explain;
mod files;
mod stream;
mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::{self, ClientConfig};

pub(super) use explain::{Words, alert_or_doubt, words};
pub(super) use stream::Connector;

use crate::{Error, Result};

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Never.
    Disable,
    /// Only if the server refuses without.
    Allow,
    /// If the server has it, else without.
    Prefer,
    /// In any case, from whomever.
    Require,
    /// In any case, from a server whose certificate an authority vouches for.
    VerifyCa,
    /// The same, and the certificate is for this host.
    VerifyFull,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 6] = [
        Self::Disable,
        Self::Allow,
        Self::Prefer,
        Self::Require,
        Self::VerifyCa,
        Self::VerifyFull,
    ];

    /// As libpq writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Who vouches for the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The authorities that this machine trusts.
    System,
    /// Those of this file.
    File(PathBuf),
}

/// How a TLS session begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Negotiation {
    /// It is asked for first.
    #[default]
    Postgres,
    /// At once; servers from 17 on.
    Direct,
}

/// Whether the server's name is told in the clear before the session is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Indication {
    /// It is, so that a proxy can find the server.
    #[default]
    Told,
    /// It is not.
    Kept,
}

/// The oldest version of TLS that will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Oldest {
    /// 1.2.
    #[default]
    V12,
    /// 1.3.
    V13,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// libpq's `sslmode`.
    pub mode: Mode,
    /// Who vouches for the server; None: nobody has to.
    pub root: Option<Root>,
    /// The client's certificate and its key; None: the client shows none.
    pub client: Option<(PathBuf, PathBuf)>,
    /// How a session begins.
    pub negotiation: Negotiation,
    /// Whether the server's name is told in the clear.
    pub indication: Indication,
    /// The oldest version that will do.
    pub oldest: Oldest,
}

/// The description of a TLS connection, ready for use.
#[derive(Clone)]
pub struct Tls(Arc<Described>);

struct Described {
    wanted: Wanted,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the files that it needs.
    ///
    /// # Errors
    /// A file cannot be read, holds something else, or others can read a private key.
    pub fn new(wanted: Wanted) -> Result<Self> {
        let config = configured(&wanted)?;
        Ok(Self(Arc::new(Described {
            wanted,
            config: Arc::new(config),
        })))
    }

    /// What was asked for.
    pub fn wanted(&self) -> &Wanted {
        &self.0.wanted
    }

    /// What is checked of the server, as the end of a sentence.
    pub fn checks(&self) -> &'static str {
        match (self.0.wanted.mode, &self.0.wanted.root) {
            (Mode::VerifyFull, _) => "its certificate and its name were verified",
            (_, Some(_)) => "its certificate was verified, not its name",
            (_, None) => "its certificate was not verified",
        }
    }

    /// libpq's environment for a child process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.parameters()
            .into_iter()
            .map(|(_, variable, value)| (variable, value))
            .collect()
    }

    /// libpq's parameters for a URL; none where all is as it is without.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        self.parameters()
            .into_iter()
            .filter(|(key, _, value)| (*key, value.as_str()) != ("sslmode", "prefer"))
            .map(|(key, _, value)| (key, value))
            .collect()
    }

    fn parameters(&self) -> Vec<(&'static str, &'static str, String)> {
        let Wanted {
            mode,
            root,
            client,
            negotiation,
            ..
        } = &self.0.wanted;
        let mut all = vec![("sslmode", "PGSSLMODE", mode.name().to_owned())];
        if *mode == Mode::Disable {
            return all;
        }
        match root {
            Some(Root::System) => all.push(("sslrootcert", "PGSSLROOTCERT", "system".to_owned())),
            Some(Root::File(file)) => {
                all.push(("sslrootcert", "PGSSLROOTCERT", file.display().to_string()));
            }
            None => {}
        }
        if let Some((certificate, key)) = client {
            all.push(("sslcert", "PGSSLCERT", certificate.display().to_string()));
            all.push(("sslkey", "PGSSLKEY", key.display().to_string()));
        }
        if *negotiation == Negotiation::Direct {
            all.push(("sslnegotiation", "PGSSLNEGOTIATION", "direct".to_owned()));
        }
        all
    }

    /// For one connection.
    pub(super) fn connector(&self) -> Connector {
        Connector::new(Arc::clone(&self.0.config))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.wanted.fmt(f)
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.0.wanted == other.0.wanted
    }
}

impl Eq for Tls {}

fn configured(wanted: &Wanted) -> Result<ClientConfig> {
    // Where TLS is never used, its files need not be there.
    let (root, client) = match wanted.mode {
        Mode::Disable => (None, None),
        _ => (wanted.root.as_ref(), wanted.client.as_ref()),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anchors = root.map(files::anchors).transpose()?;
    let name = match wanted.mode {
        Mode::VerifyFull => verify::Name::Checked,
        _ => verify::Name::Ignored,
    };
    let verifier = verify::Verifier::new(Arc::clone(&provider), anchors, name).map_err(unusable)?;
    let versions: &[&rustls::SupportedProtocolVersion] = match wanted.oldest {
        Oldest::V12 => rustls::ALL_VERSIONS,
        Oldest::V13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, secret) = files::client(certificate, key)?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| {
                    Error::usage(format!(
                        "the client certificate `{}` and the key `{}` cannot be used",
                        certificate.display(),
                        key.display()
                    ))
                    .because(error)
                    .help("name a certificate and the private key that it was made for")
                })?
        }
    };
    config.enable_sni = wanted.indication == Indication::Told;
    // A server that is not asked first can tell by this alone what is to be spoken.
    if wanted.negotiation == Negotiation::Direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::usage("TLS cannot be set up").because(error)
}
