//! `DOCKER_TLS_VERIFY`: both sides prove who they are, by the environment or by a context.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::support::{On, Room, finish, output};
use crate::{SOCKET, has_engine, has_program, run_by, scenario};

/// An authority, a server's and a client's certificate in a folder, named as Docker names them.
fn certificates(room: &Room, folder: &str) {
    let at = |name: &str| room.path(&format!("{folder}/{name}")).display().to_string();
    room.file(&format!("{folder}/names"), "subjectAltName=IP:127.0.0.1\n");
    let openssl = |words: &[&str]| output("openssl", words);
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let ca = ["req", "-x509", "-subj", "/CN=authority", "-days", "2"];
    openssl(
        &[
            &ca[..],
            &key,
            &["-keyout", &at("ca.key"), "-out", &at("ca.pem")],
        ]
        .concat(),
    );
    for (name, subject) in [("server", "/CN=engine"), ("client", "/CN=user")] {
        let (request, file, signed) = (
            at(&format!("{name}.csr")),
            at(&format!("{name}.key")),
            at(&format!("{name}.pem")),
        );
        let ask = ["req", "-subj", subject, "-keyout", &file, "-out", &request];
        openssl(&[&ask[..1], &key, &ask[1..]].concat());
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &at("ca.pem"),
            "-CAkey",
            &at("ca.key"),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &at("names"),
            "-out",
            &signed,
        ]);
    }
    std::fs::rename(at("client.pem"), at("cert.pem")).expect("renamed");
    std::fs::rename(at("client.key"), at("key.pem")).expect("renamed");
}

/// The engine behind TLS, for those whom the folder's authority vouches for; its port. (socat breaks off
/// when a client resumes its session, which Docker's own server does not.)
fn serve(folder: &Path) -> u16 {
    let certificate =
        |name: &str| CertificateDer::from_pem_file(folder.join(name)).expect("a certificate");
    let mut authorities = RootCertStore::empty();
    authorities
        .add(certificate("ca.pem"))
        .expect("an authority");
    let clients = WebPkiClientVerifier::builder(Arc::new(authorities))
        .build()
        .expect("a verifier");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate("server.pem")], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("a port").port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut engine = UnixStream::connect(SOCKET).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut engine).await
                });
            }
        });
    });
    port
}

#[test]
fn an_engine_behind_tls_is_verified() {
    if !has_engine() || !has_program("openssl", "version") {
        return;
    }
    let room = Room::new();
    certificates(&room, "good");
    certificates(&room, "other");
    let at = |name: &str| room.path(name).display().to_string();
    let port = serve(&room.path("good"));
    let host = format!("tcp://127.0.0.1:{port}");
    let verified = |mut command: Command, folder: &str| {
        command.env("DOCKER_TLS_VERIFY", "1");
        command.env("DOCKER_CERT_PATH", room.path(folder));
        command
    };
    run_by(&room, &host, |command| verified(command, "good"));

    // Strangers on either side: another authority's engine, and another authority's user.
    let path = scenario(&room);
    let mut command = room.run_command(On::Container, &path, &[]);
    command.env("DOCKER_HOST", &host);
    finish(verified(command, "other")).expect(3, &["no container engine answers", "certificate"]);
    std::fs::copy(room.path("good/ca.pem"), room.path("other/ca.pem")).expect("copied");
    let mut command = room.run_command(On::Container, &path, &[]);
    command.env("DOCKER_HOST", &host);
    finish(verified(command, "other")).expect(3, &["no container engine answers"]);
    let mut command = room.run_command(On::Container, &path, &[]);
    command.env("DOCKER_HOST", &host);
    finish(verified(command, "nowhere"))
        .expect(3, &["nowhere/ca.pem`, which it is to be verified with"]);

    // As a context of Docker's client, which writes it.
    let configuration = room.path("configuration");
    let files = format!(
        "host={host},ca={},cert={},key={}",
        at("good/ca.pem"),
        at("good/cert.pem"),
        at("good/key.pem")
    );
    for words in [
        vec!["context", "create", "far", "--docker", &files],
        vec!["context", "use", "far"],
    ] {
        let made = Command::new("docker")
            .args(words)
            .env("DOCKER_CONFIG", &configuration)
            .output();
        assert!(made.expect("docker").status.success());
    }
    let mut doctor = room.command(&["doctor"]);
    doctor.env("DOCKER_CONFIG", &configuration);
    finish(doctor).expect(0, &[&host]);
}
