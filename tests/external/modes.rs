//! The six modes of TLS, each with what it takes and what it refuses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::authority::{Authority, private, with_tls};
use crate::support::has_server;
use crate::{HOST, changed, room, run};

#[test]
fn every_mode_does_what_libpq_does() {
    if !has_server() {
        return;
    }
    let room = room();
    let (server, authority) = with_tls();
    let stranger = Authority::new("stranger");
    let right = private(&room, "right.crt", &authority.pem);
    let wrong = private(&room, "wrong.crt", &stranger.pem);
    let url = |user: &str, host: &str, rest: &str| {
        format!(
            "postgres://{user}@{host}:{}/app?hostaddr=127.0.0.1&{rest}",
            server.port()
        )
    };
    let over = "the server was reached over TLSv1.3";
    let without = "the server was reached without TLS";
    for (user, host, rest, code, words) in [
        ("plain", HOST, "sslmode=disable", 0, vec![without]),
        (
            "encrypted",
            HOST,
            "sslmode=disable",
            3,
            vec!["no encryption", "help:", "try `sslmode=require`"],
        ),
        ("plain", HOST, "sslmode=allow", 0, vec![without]),
        ("encrypted", HOST, "sslmode=allow", 0, vec![over]),
        ("plain", HOST, "sslmode=prefer", 0, vec![without]),
        (
            "encrypted",
            HOST,
            "",
            0,
            vec![over, "its certificate was not verified"],
        ),
        (
            "encrypted",
            HOST,
            "sslmode=require",
            0,
            vec![over, "its certificate was not verified"],
        ),
        (
            "plain",
            HOST,
            "sslmode=require",
            3,
            vec![
                "no pg_hba.conf entry",
                "has no line that lets `plain` in from here",
            ],
        ),
        (
            "encrypted",
            "other.test",
            &format!("sslmode=verify-ca&sslrootcert={right}"),
            0,
            vec![over, "its certificate was verified, not its name"],
        ),
        (
            "encrypted",
            HOST,
            &format!("sslmode=verify-ca&sslrootcert={wrong}"),
            3,
            vec![
                "nobody who is trusted vouches for the server's certificate",
                "help: name the certificate of the authority that signed it with `sslrootcert`",
            ],
        ),
        (
            "encrypted",
            HOST,
            &format!("sslmode=verify-full&sslrootcert={right}"),
            0,
            vec![over, "its certificate and its name were verified"],
        ),
        (
            "encrypted",
            "other.test",
            &format!("sslmode=verify-full&sslrootcert={right}"),
            3,
            vec![
                "the server's certificate is not for `other.test` but for `db.test`",
                "sslmode=verify-ca",
            ],
        ),
        (
            "encrypted",
            HOST,
            &format!("sslmode=verify-full&sslrootcert={wrong}"),
            3,
            vec!["nobody who is trusted"],
        ),
        // Where there are root certificates, `require` is `verify-ca`; `prefer` goes on without.
        (
            "encrypted",
            HOST,
            &format!("sslmode=require&sslrootcert={wrong}"),
            3,
            vec!["nobody who is trusted"],
        ),
        (
            "plain",
            HOST,
            &format!("sslmode=prefer&sslrootcert={wrong}"),
            0,
            vec![without],
        ),
        (
            "encrypted",
            HOST,
            &format!("sslmode=prefer&sslrootcert={wrong}"),
            3,
            vec!["nobody who is trusted", "without TLS: no pg_hba.conf entry"],
        ),
        (
            "encrypted",
            HOST,
            "sslmode=verify-full&sslrootcert=system",
            3,
            vec!["nobody who is trusted"],
        ),
        (
            "encrypted",
            HOST,
            "sslmode=verify-full",
            2,
            vec!["needs root certificates", "~/.postgresql/root.crt"],
        ),
    ] {
        server.app("ALTER TABLE items DROP COLUMN IF EXISTS b");
        let url = url(user, host, rest);
        run(&room, &url, &[], &[]).expect(code, &words);
        assert_eq!(changed(&server), code == 0, "{url}");
    }

    // By libpq's variables and its own places.
    let bare = url("encrypted", HOST, "");
    let by_variable = [("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", &*right)];
    run(&room, &bare, &by_variable, &[]).expect(0, &["its name were verified"]);
    private(&room, "home/.postgresql/root.crt", &authority.pem);
    let by_place = [("PGSSLMODE", "verify-full")];
    run(&room, &bare, &by_place, &[]).expect(0, &["its name were verified"]);
    private(&room, "home/.postgresql/root.crt", &stranger.pem);
    run(&room, &bare, &by_place, &[]).expect(3, &["nobody who is trusted"]);

    // The authorities of the machine, as OpenSSL finds them.
    let system = url("encrypted", HOST, "sslrootcert=system");
    run(&room, &system, &[("SSL_CERT_FILE", &right)], &[])
        .expect(0, &["its certificate and its name were verified"]);
    run(&room, &system, &[("SSL_CERT_FILE", &wrong)], &[]).expect(3, &["nobody who is trusted"]);
    room.assert_clean();
}

#[test]
fn a_password_is_bound_to_the_session() {
    if !has_server() {
        return;
    }
    let room = room();
    let (server, _) = with_tls();
    let url = |rest: &str| {
        format!(
            "postgres://known:s3cret@127.0.0.1:{}/app?{rest}",
            server.port()
        )
    };
    let bound = url("sslmode=require&channel_binding=require");
    run(&room, &bound, &[], &[]).expect(0, &["TLSv1.3"]);
    let loose = url("sslmode=disable&channel_binding=require");
    run(&room, &loose, &[], &[]).expect(3, &["channel binding", "needs TLS"]);
    let never = url("sslmode=require&channel_binding=disable");
    run(&room, &never, &[], &[]).expect(0, &["TLSv1.3"]);
    room.assert_clean();
}

/// Hands every connection on to the port and keeps its first eight bytes.
fn listening_in(port: u16) -> (u16, Arc<Mutex<Vec<[u8; 8]>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let own = listener.local_addr().expect("its address").port();
    let kept = Arc::clone(&heard);
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    };
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let mut server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
            let mut first = [0; 8];
            if client.read_exact(&mut first).is_err() {
                continue;
            }
            kept.lock().expect("kept").push(first);
            server.write_all(&first).expect("handed on");
            copy(
                client.try_clone().expect("a client"),
                server.try_clone().expect("a server"),
            );
            copy(server, client);
        }
    });
    (own, heard)
}

#[test]
fn no_session_and_no_request_to_cancel_goes_without() {
    /// Length 8, code 80877103.
    const ASKS_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    /// Length 16, code 80877102.
    const CANCELS: [u8; 8] = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];
    if !has_server() {
        return;
    }
    let room = room();
    let (server, _) = with_tls();
    room.file(
        "scenario/scenario.toml",
        "[[steps]]\nname = \"long\"\nsql = \"SELECT pg_sleep(600)\"\ntimeout = \"1s\"\n",
    );
    let (port, heard) = listening_in(server.port());
    for (mode, user) in [("require", "encrypted"), ("disable", "plain")] {
        heard.lock().expect("heard").clear();
        let url = format!("postgres://{user}@127.0.0.1:{port}/app?sslmode={mode}");
        run(&room, &url, &[], &[]).expect(4, &["the step's time-out struck"]);
        let heard = heard.lock().expect("heard");
        // The door, an observer, a sampler and its inquiry, the step, the request to cancel it.
        assert!(heard.len() >= 6, "{heard:?}");
        let all_ask = heard.iter().all(|first| *first == ASKS_FOR_TLS);
        let one_cancels = heard.contains(&CANCELS);
        assert_eq!(
            (all_ask, one_cancels),
            (mode == "require", mode != "require")
        );
        let left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
        assert_eq!(server.psql(left), "0");
    }
    room.assert_clean();
}
