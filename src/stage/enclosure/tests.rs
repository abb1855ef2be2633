use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use super::*;

/// None, where this machine lets nobody enclose a process: never in CI.
fn enclosed() -> Option<Enclosure> {
    match Enclosure::possible() {
        Ok(()) => Some(Enclosure::new()),
        Err(why) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            None
        }
    }
}

/// A shell in the enclosure, and what it says.
async fn said(enclosure: Option<Enclosure>, script: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["-c", script]).stdin(Stdio::null());
    if let Some(enclosure) = enclosure {
        enclosure.around(&mut command).expect("enclosed");
    }
    let output = command.output().await.expect("a shell");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn a_port_of_this_machine_is_out_of_reach() {
    let Some(enclosure) = enclosed() else { return };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let script = format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo in || echo out");
    assert_eq!(said(None, &script).await, "in");
    assert_eq!(said(Some(enclosure), &script).await, "out");
}

#[tokio::test]
async fn a_unix_socket_is_out_of_reach_unless_it_is_named() {
    let Some(enclosure) = enclosed() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let _ = client.and_then(|mut client| {
                client.read_exact(&mut [0; 3])?;
                client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin")
            });
        }
    });
    let script = format!(
        "curl -s --max-time 20 --unix-socket {} http://h/ || echo out",
        path.display()
    );
    assert_eq!(said(None, &script).await, "in");
    assert_eq!(said(Some(enclosure), &script).await, "out");
    let reaching = Enclosure::new().reaching(folder.path());
    assert_eq!(said(Some(reaching), &script).await, "in");
}

#[tokio::test]
async fn the_door_leads_to_its_maker_at_whatever_address() {
    if enclosed().is_none() {
        return;
    }
    for address in ["127.0.0.1", "10.9.8.7", "[2001:db8::7]"] {
        let door: SocketAddr = format!("{address}:5432").parse().expect("an address");
        let mut command = Command::new("curl");
        let url = format!("http://{address}:5432/");
        command
            .args(["-s", "-g", "--noproxy", "*", "--max-time", "20", &url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let inside = Enclosure::new()
            .with_door(door)
            .around(&mut command)
            .expect("enclosed");
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{address}: {error}"));
        let listener = inside.door().expect("a listener");
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 3];
        stream.read_exact(&mut request).expect("a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .expect("answered");
        let output = child.wait_with_output().await.expect("its end");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "hello",
            "{address}"
        );
    }
}

#[tokio::test]
async fn a_host_has_the_name_that_it_was_given() {
    let Some(enclosure) = enclosed() else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "127.0.0.9 db.example.com\n").expect("written");
    let named = enclosure.with_hosts(file.path().to_owned());
    let answer = said(Some(named), "getent hosts db.example.com").await;
    assert!(answer.starts_with("127.0.0.9"), "{answer}");
}

#[tokio::test]
async fn root_drops_to_an_account_once_it_is_enclosed() {
    let Some(enclosure) = enclosed() else { return };
    let ours = nix::unistd::geteuid();
    if ours.is_root() {
        let dropped = enclosure.under(Some((65534, 65534)));
        assert_eq!(said(Some(dropped), "id -u; id -G").await, "65534\n65534");
    } else {
        assert_eq!(said(Some(enclosure), "id -u").await, ours.to_string());
    }
}
