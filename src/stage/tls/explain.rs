//! rustls' errors in words that name the way out.

use std::error::Error as StdError;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// What went wrong, and what to do about it.
pub(crate) struct Words {
    pub(crate) what: String,
    pub(crate) help: &'static str,
}

const ROOT: &str = "name the certificate of the authority that signed it with `sslrootcert`, or the server's own \
                    where it is self-signed";
const RENEW: &str = "have the server's owner renew it; the clock of this machine counts as well";
const CLIENT: &str =
    "name a certificate that the server trusts with `sslcert`, and its key with `sslkey`";

/// The error of rustls among the causes of another one.
pub(crate) fn alert_or_doubt<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut link = Some(error);
    while let Some(error) = link {
        // An `io::Error` does not count the error that it wraps among its causes.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|wrapped| wrapped.downcast_ref::<Error>());
        if let Some(found) = wrapped.or_else(|| error.downcast_ref::<Error>()) {
            return Some(found);
        }
        link = error.source();
    }
    None
}

/// What it means for whoever wants to connect to `host`.
pub(crate) fn words(error: &Error, host: &str) -> Words {
    let said = |what: String, help| Words { what, help };
    match error {
        Error::InvalidCertificate(doubt) => doubted(doubt, host),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError => said(
                format!("the server does not trust the client certificate ({alert:?})"),
                CLIENT,
            ),
            AlertDescription::CertificateRequired => said(
                "the server asks for a client certificate".to_owned(),
                CLIENT,
            ),
            _ => said(
                format!("the server broke the TLS handshake off ({alert:?})"),
                "see its log for the reason",
            ),
        },
        Error::InvalidMessage(_) => said(
            "what answers there does not speak TLS".to_owned(),
            "see whether host and port are those of a PostgreSQL server",
        ),
        other => said(
            format!("the TLS handshake failed: {other}"),
            "see the server's log; it has to offer TLS 1.2 or 1.3",
        ),
    }
}

fn doubted(doubt: &CertificateError, host: &str) -> Words {
    let (what, help) = match doubt {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("the server's certificate has expired".to_owned(), RENEW)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "the server's certificate is not valid yet".to_owned(),
            RENEW,
        ),
        CertificateError::UnknownIssuer => (
            "nobody who is trusted vouches for the server's certificate".to_owned(),
            ROOT,
        ),
        CertificateError::BadSignature => (
            "the server's certificate was not signed by the authority it names".to_owned(),
            ROOT,
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!(
                "the server's certificate is not for `{host}`{}",
                names(doubt)
            ),
            "connect by a name that it has, with `hostaddr` where that leads elsewhere, or check the authority \
             alone with `sslmode=verify-ca`",
        ),
        other if format!("{other:?}").contains("UnsupportedCertVersion") => (
            "the server's certificate is of version 1, which cannot be verified".to_owned(),
            "have it made anew with a name, such as `openssl x509 -req … -extfile` with `subjectAltName` does",
        ),
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "the server uses the certificate of an authority".to_owned(),
            ROOT,
        ),
        other => (
            format!("the server's certificate cannot be trusted: {other}"),
            ROOT,
        ),
    };
    Words { what, help }
}

/// The names that a certificate has instead; nothing where it has none.
fn names(doubt: &CertificateError) -> String {
    match doubt {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            format!(" but for `{}`", presented.join("`, `"))
        }
        _ => String::new(),
    }
}
