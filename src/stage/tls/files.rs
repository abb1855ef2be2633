//! Certificates and keys, read from the files that libpq would read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Root;
use crate::stage::whole;
use crate::{Error, Result};

/// The certificates of those who vouch for servers.
pub(super) fn anchors(root: &Root) -> Result<Vec<CertificateDer<'static>>> {
    let found = match root {
        Root::File(file) => return certificates(file, "root certificates", "sslrootcert"),
        Root::System => rustls_native_certs::load_native_certs(),
    };
    if found.certs.is_empty() {
        return Err(Error::usage(
            "this machine has no root certificates for `sslrootcert=system`",
        )
        .details(found.errors.iter().map(ToString::to_string))
        .help("install them (`apt install ca-certificates`), or name a file with `sslrootcert`"));
    }
    Ok(found.certs)
}

/// The client's certificate, with those that lead to its authority, and its key.
pub(super) fn client(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    Ok((
        certificates(certificate, "the client certificate", "sslcert")?,
        private_key(key)?,
    ))
}

fn certificates(file: &Path, what: &str, parameter: &str) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(file, what, parameter)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| no_pem(file, what).because(error))?;
    if found.is_empty() {
        return Err(no_pem(file, what));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = read(file, "the client's private key", "sslkey")?;
    private(file)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = matches!(error, pem::Error::NoItemsFound)
            && String::from_utf8_lossy(&text).contains("ENCRYPTED PRIVATE KEY");
        if encrypted {
            return Error::usage(format!(
                "the client's private key in `{}` is encrypted, which cannot be read",
                file.display()
            ))
            .help("name a key without a password, such as `openssl pkey -in KEY -out PLAIN_KEY` makes, with mode 0600");
        }
        no_pem(file, "the client's private key").because(error)
    })
}

/// libpq's rule: nobody else's, except that the group may read what root owns.
fn private(file: &Path) -> Result<()> {
    let about = fs::metadata(file).map_err(|error| {
        Error::usage(format!("cannot look at `{}`", file.display())).because(error)
    })?;
    let forbidden = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.mode() & forbidden == 0 {
        return Ok(());
    }
    Err(Error::usage(format!(
        "the private key `{}` can be read by others: its mode is {:04o}",
        file.display(),
        about.mode() & 0o7777
    ))
    .help(format!(
        "take their rights away with `chmod 600 {}`",
        file.display()
    )))
}

fn read(file: &Path, what: &str, parameter: &str) -> Result<Vec<u8>> {
    whole::bytes(file, whole::DESCRIPTION).map_err(|error| {
        Error::usage(format!("cannot read {what} in `{}`", file.display()))
            .because(error)
            .help(format!("name the file with `{parameter}`"))
    })
}

fn no_pem(file: &Path, what: &str) -> Error {
    Error::usage(format!("`{}` does not hold {what}", file.display()))
        .help("it has to be in PEM form: between `-----BEGIN …-----` and `-----END …-----`")
}
