//! Certificates that are not in order, on either side.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::authority::{Authority, Signed, When, admit, private, show, with_tls};
use crate::support::server::Server;
use crate::support::{has_server, output, skipped};
use crate::{HOST, changed, marked, room, run};

fn full(server: &Server, user: &str, root: &str) -> String {
    format!(
        "postgres://{user}@{HOST}:{}/app?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={root}",
        server.port()
    )
}

#[test]
fn a_server_s_certificate_has_its_time_and_its_names() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let authority = Authority::new("authority");
    admit(&server);
    let root = private(&room, "root.crt", &authority.pem);
    let url = full(&server, "encrypted", &root);
    let not_for = "the server's certificate is not for `db.test`";
    for (signed, code, said) in [
        (
            authority.sign("server", &[HOST], When::Past),
            3,
            "the server's certificate has expired",
        ),
        (
            authority.sign("server", &[HOST], When::Future),
            3,
            "the server's certificate is not valid yet",
        ),
        (authority.sign("server", &["x.test"], When::Now), 3, not_for),
        (
            authority.sign("server", &["*.test"], When::Now),
            0,
            "verified",
        ),
        // The common name counts where there is no other, as with libpq, and only there.
        (authority.sign(HOST, &[], When::Now), 0, "verified"),
        (authority.sign("*.test", &[], When::Now), 0, "verified"),
        (authority.sign("x.test", &[], When::Now), 3, not_for),
        (authority.sign(HOST, &["x.test"], When::Now), 3, not_for),
    ] {
        server.app("ALTER TABLE items DROP COLUMN IF EXISTS b");
        show(&server, &signed, &authority);
        run(&room, &url, &[], &[]).expect(code, &[said]);
        assert_eq!(changed(&server), code == 0, "{said}");
    }

    // An address is a name as well.
    let signed = authority.sign("server", &["127.0.0.1"], When::Now);
    show(&server, &signed, &authority);
    let by_address = format!(
        "postgres://encrypted@127.0.0.1:{}/app?sslmode=verify-full&sslrootcert={root}",
        server.port()
    );
    run(&room, &by_address, &[], &[]).expect(0, &["verified"]);
    run(&room, &url, &[], &[]).expect(3, &[not_for]);
    room.assert_clean();
}

#[test]
fn certificates_as_postgresql_s_manual_makes_them() {
    if !has_server() {
        return;
    }
    if Command::new("openssl").arg("version").output().is_err() {
        return skipped("no `openssl`");
    }
    let room = room();
    let server = marked();
    let clients = Authority::new("clients");
    admit(&server);
    let path = |name: &str| room.path(name).display().to_string();
    let openssl = |arguments: &str| {
        let arguments: Vec<String> = arguments
            .split(' ')
            .map(|word| match word.strip_prefix('@') {
                Some(name) => path(name),
                None => word.to_owned(),
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        output("openssl", &arguments)
    };

    // Self-signed, RSA, no name but the common one: its own root.
    openssl(
        "req -new -x509 -days 365 -nodes -text -out @self.crt -keyout @self.key -subj /CN=db.test",
    );
    let signed = Signed {
        certificate: room.read("self.crt"),
        key: room.read("self.key"),
    };
    show(&server, &signed, &clients);
    let itself = full(&server, "encrypted", &path("self.crt"));
    run(&room, &itself, &[], &[]).expect(0, &["its certificate and its name were verified"]);
    let other = itself.replace(HOST, "other.test");
    run(&room, &other, &[], &[]).expect(3, &["is not for `other.test` but for `db.test`"]);
    let stranger = private(&room, "stranger.crt", &clients.pem);
    run(&room, &full(&server, "encrypted", &stranger), &[], &[])
        .expect(3, &["cannot connect", "certificate", "`sslrootcert`"]);
    let bound = "sslmode=require&channel_binding=require";
    let bound = format!(
        "postgres://known:s3cret@127.0.0.1:{}/app?{bound}",
        server.port()
    );
    run(&room, &bound, &[], &[]).expect(0, &["TLSv1.3"]);

    // Signed by an authority, as version 1: good enough unless it has to be verified.
    openssl("req -new -x509 -days 365 -nodes -out @root.crt -keyout @root.key -subj /CN=root");
    openssl("req -new -nodes -out @leaf.csr -keyout @leaf.key -subj /CN=db.test");
    openssl(
        "x509 -req -in @leaf.csr -days 365 -CA @root.crt -CAkey @root.key -CAcreateserial -out @leaf.crt",
    );
    if !openssl("x509 -in @leaf.crt -noout -text").contains("Version: 1") {
        return skipped("this `openssl` makes no certificate of version 1");
    }
    let signed = Signed {
        certificate: room.read("leaf.crt"),
        key: room.read("leaf.key"),
    };
    show(&server, &signed, &clients);
    run(
        &room,
        &full(&server, "encrypted", &path("root.crt")),
        &[],
        &[],
    )
    .expect(
        3,
        &[
            "is of version 1, which cannot be verified",
            "subjectAltName",
        ],
    );
    let unverified = format!(
        "postgres://encrypted@127.0.0.1:{}/app?sslmode=require",
        server.port()
    );
    run(&room, &unverified, &[], &[]).expect(0, &["its certificate was not verified"]);
    room.assert_clean();
}

#[test]
fn a_client_shows_its_own() {
    if !has_server() {
        return;
    }
    let room = room();
    let (server, authority) = with_tls();
    let stranger = Authority::new("stranger");
    let root = private(&room, "root.crt", &authority.pem);
    let own = authority.sign("certified", &[], When::Now);
    let certificate = private(&room, "own.crt", &own.certificate);
    let key = private(&room, "own.key", &own.key);
    let foreign = stranger.sign("certified", &[], When::Now);
    let foreign_certificate = private(&room, "foreign.crt", &foreign.certificate);
    let foreign_key = private(&room, "foreign.key", &foreign.key);
    let url = full(&server, "certified", &root);
    let with = |certificate: &str, key: &str| format!("{url}&sslcert={certificate}&sslkey={key}");

    run(&room, &with(&certificate, &key), &[], &[]).expect(0, &["verified"]);
    let variables = [("PGSSLCERT", &*certificate), ("PGSSLKEY", &*key)];
    run(&room, &url, &variables, &[]).expect(0, &["verified"]);
    run(&room, &url, &[], &[]).expect(
        3,
        &[
            "valid client certificate",
            "help: name a certificate",
            "`sslcert`",
        ],
    );
    run(&room, &with(&foreign_certificate, &foreign_key), &[], &[]).expect(
        3,
        &[
            "the server does not trust the client certificate",
            "`sslcert`",
        ],
    );

    // What is wrong with the files is told before anybody is asked.
    run(&room, &with(&certificate, &foreign_key), &[], &[])
        .expect(2, &["own.crt", "foreign.key", "cannot be used"]);
    run(&room, &with(&certificate, "/nowhere.key"), &[], &[]).expect(
        2,
        &["cannot read the client's private key in `/nowhere.key`"],
    );
    run(&room, &with(&certificate, &certificate), &[], &[])
        .expect(2, &["own.crt` does not hold the client's private key"]);
    run(&room, &with(&key, &key), &[], &[])
        .expect(2, &["own.key` does not hold the client certificate"]);
    let mode = |bits| fs::set_permissions(&key, fs::Permissions::from_mode(bits)).expect("set");
    for open in [0o604, 0o620, 0o644] {
        mode(open);
        run(&room, &with(&certificate, &key), &[], &[]).expect(
            2,
            &["can be read by others", &format!("{open:04o}"), "chmod 600"],
        );
    }
    mode(0o600);

    // In libpq's own places.
    for (name, content) in [
        ("postgresql.crt", &own.certificate),
        ("postgresql.key", &own.key),
    ] {
        private(&room, &format!("home/.postgresql/{name}"), content);
    }
    run(&room, &url, &[], &[]).expect(0, &["verified"]);
    room.assert_clean();
}
