//! An authority that vouches for servers and clients, and a server that shows what it signed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::support::Room;
use crate::support::server::Server;
use crate::{HOST, marked};

/// When a certificate is valid.
#[derive(Debug, Clone, Copy)]
pub enum When {
    Now,
    Past,
    Future,
}

/// One that signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key.
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// For a host by its alternative name, or for a role by the common one.
    pub fn sign(&self, common: &str, hosts: &[&str], when: When) -> Signed {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        (params.not_before, params.not_after) = match when {
            When::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2199, 1, 1)),
            When::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            When::Future => (date_time_ymd(2198, 1, 1), date_time_ymd(2199, 1, 1)),
        };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A file that nobody else can read; its path.
pub fn private(room: &Room, name: &str, content: &str) -> String {
    let path = room.file(name, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
    path.display().to_string()
}

/// A stage that lets in those of `admit`, and whose certificate for `HOST` is the authority's.
pub fn with_tls() -> (Server, Authority) {
    let (server, authority) = (marked(), Authority::new("authority"));
    admit(&server);
    let signed = authority.sign("server", &[HOST], When::Now);
    show(&server, &signed, &authority);
    (server, authority)
}

/// Has the server show this certificate; clients' have to be from `clients`.
pub fn show(server: &Server, signed: &Signed, clients: &Authority) {
    server.file("server.crt", &signed.certificate);
    server.file("server.key", &signed.key);
    server.file("clients.crt", &clients.pem);
    server.psql("ALTER SYSTEM SET ssl_ca_file = 'clients.crt'");
    server.psql("ALTER SYSTEM SET ssl = on");
    server.reload();
}

/// Roles that are let in with TLS alone, without it alone, by a password, by a certificate.
pub fn admit(server: &Server) {
    server.psql(
        "CREATE ROLE encrypted LOGIN SUPERUSER; CREATE ROLE plain LOGIN SUPERUSER; \
         CREATE ROLE certified LOGIN SUPERUSER; \
         CREATE ROLE known LOGIN SUPERUSER PASSWORD 's3cret'",
    );
    server.file(
        "pg_hba.conf",
        "host all postgres 127.0.0.1/32 trust\n\
         hostssl all encrypted 127.0.0.1/32 trust\n\
         hostnossl all plain 127.0.0.1/32 trust\n\
         host all known 127.0.0.1/32 scram-sha-256\n\
         hostssl all certified 127.0.0.1/32 cert\n",
    );
    server.reload();
}
