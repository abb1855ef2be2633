//! Whoever listens there breaks off, keeps silent or is somebody else: told, and nothing hangs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::authority::admit;
use crate::support::has_server;
use crate::{marked, room, run};

/// A listener that treats each client so; its port.
fn listener(treat: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            treat(client.expect("a client"));
        }
    });
    port
}

/// Reads what a client asks first.
fn asked(client: &mut TcpStream) {
    let _ = client.read(&mut [0; 1024]);
}

#[test]
fn a_handshake_that_is_cut_or_makes_no_sense() {
    let room = room();
    let cut = listener(|mut client| asked(&mut client));
    let cut_later = listener(|mut client| {
        asked(&mut client);
        let _ = client.write_all(b"S");
        asked(&mut client);
    });
    let no_tls = listener(|mut client| {
        asked(&mut client);
        let _ = client.write_all(b"SHTTP/1.1 400 Bad Request\r\n\r\n");
        asked(&mut client);
    });
    let refuses = listener(|mut client| {
        asked(&mut client);
        let _ = client.write_all(b"N");
        asked(&mut client);
    });
    for (port, mode, words) in [
        (
            cut,
            "require",
            ["closed the connection before it let us in", "see its log"],
        ),
        (cut, "prefer", ["closed the connection", "see its log"]),
        (cut, "disable", ["closed the connection", "see its log"]),
        (
            cut_later,
            "require",
            ["closed the connection", "see its log"],
        ),
        (no_tls, "require", ["does not speak TLS", "host and port"]),
        (refuses, "require", ["does not offer TLS", "turn `ssl` on"]),
        (
            refuses,
            "verify-ca&sslrootcert=system",
            ["too weak", "verify-full"],
        ),
    ] {
        let code = if mode.contains('&') { 2 } else { 3 };
        let url = format!("postgres://me:s3cret@127.0.0.1:{port}/app?sslmode={mode}");
        let ran = run(&room, &url, &[], &[]);
        ran.expect(code, &words);
        assert!(!ran.said().contains("s3cret"), "{ran:?}");
    }
}

#[test]
fn one_that_never_answers_is_given_up() {
    let room = room();
    let (keep, kept) = std::sync::mpsc::channel();
    let silent = listener(move |client| keep.send(client).expect("kept"));
    // Its queue of one is full: whoever comes later is not even let in.
    for mode in ["disable", "prefer", "require"] {
        let url = format!("postgres://me@127.0.0.1:{silent}/app?sslmode={mode}&connect_timeout=2");
        run(&room, &url, &[], &[]).expect(3, &["no answer within 4 s", "`connect_timeout`"]);
    }
    drop(kept);
}

#[test]
fn a_server_without_tls_is_not_enough_where_it_is_required() {
    if !has_server() {
        return;
    }
    let room = room();
    let server = marked();
    let url = |rest: &str| format!("{}?{rest}", server.url("postgres"));
    run(&room, &url("sslmode=require"), &[], &[]).expect(
        3,
        &["the server does not offer TLS", "turn `ssl` on", "ssh -L"],
    );
    run(&room, &url("sslmode=prefer"), &[], &[]).expect(0, &["was reached without TLS"]);
    // One try is all that it takes to be told of another cause.
    admit(&server);
    let no_database = server.url("postgres").replace("/app", "/nowhere");
    run(&room, &no_database, &[], &[]).expect(3, &["database \"nowhere\" does not exist", "help:"]);
    room.assert_clean();
}
