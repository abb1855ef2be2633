//! What rustls does not tell of a certificate: its common names, its dates, how it was signed.

use std::time::Duration;

use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A certificate's time, seen from a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    NotYet,
    Valid,
    Over,
}

/// None: it cannot be read.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
    Certificate::from_der(der).ok()
}

pub(super) fn time(certificate: &Certificate, now: UnixTime) -> Time {
    let validity = certificate.tbs_certificate().validity();
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        Time::NotYet
    } else if now > validity.not_after.to_unix_duration() {
        Time::Over
    } else {
        Time::Valid
    }
}

/// The public key in its own encoding.
pub(super) fn public_key(certificate: &Certificate) -> Option<Vec<u8>> {
    certificate
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .ok()
}

/// Whether the certificate names hosts or addresses where names belong today. libpq looks at the
/// common name only where it does not.
pub(super) fn names_hosts(certificate: &Certificate) -> bool {
    let Ok(Some((_, names))) = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
    else {
        return false;
    };
    names
        .0
        .iter()
        .any(|name| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_)))
}

/// Its common names, as far as they are text.
pub(super) fn common_names(certificate: &Certificate) -> Vec<String> {
    certificate
        .tbs_certificate()
        .subject()
        .iter()
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .filter_map(|attribute| {
            let value = &attribute.value;
            Utf8StringRef::try_from(value)
                .map(|text| text.as_str().to_owned())
                .or_else(|_| {
                    PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned())
                })
                .or_else(|_| Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned()))
                .or_else(|_| TeletexStringRef::try_from(value).map(|text| text.as_str().to_owned()))
                .ok()
        })
        .collect()
}

/// libpq's rule: `*.example.org` is for one more label in front, and case does not count.
pub(super) fn is_for(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(domain) = pattern.strip_prefix("*.") else {
        return false;
    };
    host.split_once('.')
        .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain))
}

/// `tls-server-end-point` of RFC 5929: the certificate's digest by the hash it was signed with. None:
/// it was signed in a way that has no such hash.
pub(super) fn end_point(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = read(der)?;
    let algorithm = certificate.signature_algorithm();
    Some(match algorithm.oid.to_string().as_str() {
        // MD5 and SHA-1 count as SHA-256.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1"
        // RSA, ECDSA.
        | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(der).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(der).to_vec(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        for (pattern, host, fits) in [
            ("db.example.org", "DB.example.org", true),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "a.db.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*", "localhost", false),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(is_for(pattern, host), fits, "{pattern} {host}");
        }
    }
}
