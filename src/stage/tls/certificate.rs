//! What rustls does not tell of a certificate: its common names, its dates, how it was signed.

use std::net::IpAddr;
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

/// libpq's rule: the host is one of the alternative names, or the common name of a certificate that
/// has no alternative ones of the host's kind.
pub(super) fn is_for(certificate: &Certificate, host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    let names = alternative_names(certificate);
    let of_its_kind = |name: &GeneralName| match name {
        GeneralName::DnsName(_) => address.is_none(),
        GeneralName::IpAddress(_) => address.is_some(),
        _ => false,
    };
    let same = |name: &GeneralName| match (name, address) {
        (GeneralName::DnsName(name), _) => fits(name.as_str(), host),
        (GeneralName::IpAddress(bytes), Some(IpAddr::V4(address))) => {
            bytes.as_bytes() == address.octets()
        }
        (GeneralName::IpAddress(bytes), Some(IpAddr::V6(address))) => {
            bytes.as_bytes() == address.octets()
        }
        _ => false,
    };
    names.iter().any(same)
        || !names.iter().any(of_its_kind)
            && common_names(certificate)
                .iter()
                .any(|name| fits(name, host))
}

/// The names that it has instead, to be told.
pub(super) fn names(certificate: &Certificate) -> Vec<String> {
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    };
    let alternative: Vec<String> = alternative_names(certificate)
        .iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
            GeneralName::IpAddress(bytes) => Some(address(bytes.as_bytes())?.to_string()),
            _ => None,
        })
        .collect();
    if alternative.is_empty() {
        common_names(certificate)
    } else {
        alternative
    }
}

fn alternative_names(certificate: &Certificate) -> Vec<GeneralName> {
    certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .ok()
        .flatten()
        .map_or_else(Vec::new, |(_, names)| names.0)
}

/// Its common names, as far as they are text.
fn common_names(certificate: &Certificate) -> Vec<String> {
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

/// `*.example.org` is for one more label in front, and case does not count.
fn fits(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(domain) = pattern.strip_prefix("*.") else {
        return false;
    };
    // An address has no labels.
    host.parse::<IpAddr>().is_err()
        && host
            .split_once('.')
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
    use super::fits;

    #[test]
    fn a_star_is_one_label() {
        for (pattern, host, is) in [
            ("db.example.org", "DB.example.org", true),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "a.db.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*", "localhost", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("*.0.0.1", "127.0.0.1", false),
        ] {
            assert_eq!(fits(pattern, host), is, "{pattern} {host}");
        }
    }
}
