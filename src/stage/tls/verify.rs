//! Whether a server is who it should be: what each of libpq's modes asks for.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::certificate::{self, Time};

/// Whether the name in the certificate has to be the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Checked,
    Ignored,
}

/// Checks as much as was asked for; that the server has the key of its certificate always.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    /// None: nobody has to vouch for the server.
    trust: Option<Trust>,
    name: Name,
}

#[derive(Debug)]
struct Trust {
    anchors: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        anchors: Option<Vec<CertificateDer<'static>>>,
        name: Name,
    ) -> Result<Self, VerifierBuilderError> {
        let trust = anchors
            .map(|anchors| -> Result<Trust, VerifierBuilderError> {
                let mut roots = RootCertStore::empty();
                // One that cannot be read vouches for nobody.
                roots.add_parsable_certificates(anchors.iter().cloned());
                let chains = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                )
                .build()?;
                Ok(Trust { anchors, chains })
            })
            .transpose()?;
        Ok(Self {
            provider,
            trust,
            name,
        })
    }
}

impl Trust {
    /// Whether somebody who is trusted vouches for the certificate, whatever name it has.
    fn vouches(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        // A self-signed certificate that is trusted as such, which webpki takes for an authority's.
        if self.anchors.iter().any(|anchor| anchor == end_entity) {
            let bad = |error| Err(Error::InvalidCertificate(error));
            return match certificate::read(end_entity).map(|read| certificate::time(&read, now)) {
                Some(Time::Valid) => Ok(()),
                Some(Time::Over) => bad(CertificateError::Expired),
                Some(Time::NotYet) => bad(CertificateError::NotValidYet),
                None => bad(CertificateError::BadEncoding),
            };
        }
        let checked = self
            .chains
            .verify_server_cert(end_entity, intermediates, name, &[], now);
        match checked {
            // The name comes last: by then the rest is in order.
            Err(error) if !is_about_name(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_about_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

/// Whether the certificate is for the host. By libpq's rule, not webpki's, which knows no common
/// names and no `*` before a domain of one label, such as `*.internal`.
fn is_named(end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let read = certificate::read(end_entity)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    if certificate::is_for(&read, &name.to_str()) {
        return Ok(());
    }
    Err(Error::InvalidCertificate(
        CertificateError::NotValidForNameContext {
            expected: name.to_owned(),
            presented: certificate::names(&read),
        },
    ))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trust) = &self.trust {
            trust.vouches(end_entity, intermediates, server_name, now)?;
        }
        if self.name == Name::Checked {
            is_named(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // By the key alone: webpki cannot read a certificate of version 1, which
        // `openssl x509 -req` makes and which nobody may have asked to be verified.
        let key = certificate::read(cert)
            .and_then(|read| certificate::public_key(&read))
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key),
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
