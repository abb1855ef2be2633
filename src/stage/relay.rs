//! Carries connections from a listener to a server, byte for byte: the one way from an enclosed program to the stage.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{Endpoint, Host};

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guests {
    /// Everything that reaches the listener.
    All,
    /// Processes of this user id and of root: the listener is on this machine's own loopback interface.
    OfUser(u32),
}

/// A relay at work; its connections end with it.
#[derive(Debug)]
pub struct Relay {
    task: JoinHandle<()>,
}

impl Relay {
    /// Takes connections from the listener and makes one to the endpoint's server for each.
    ///
    /// # Errors
    /// The listener cannot be used by this runtime.
    pub fn start(
        listener: std::net::TcpListener,
        to: &Endpoint,
        guests: Guests,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let target = Target::of(to);
        Ok(Self {
            task: tokio::spawn(serve(listener, target, guests)),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where the server listens.
#[derive(Debug, Clone)]
enum Target {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Target {
    fn of(endpoint: &Endpoint) -> Self {
        match (&endpoint.link.address, &endpoint.host) {
            (Some(address), _) => Self::Tcp(address.to_string(), endpoint.port),
            (None, Host::Tcp(host)) => Self::Tcp(host.clone(), endpoint.port),
            (None, Host::Unix(folder)) => {
                Self::Unix(folder.join(format!(".s.PGSQL.{}", endpoint.port)))
            }
        }
    }
}

async fn serve(listener: TcpListener, target: Target, guests: Guests) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, peer)) = listener.accept().await else {
            // No descriptors are left, for instance: those that are open may end.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        if !may_enter(guests, &listener, peer) {
            continue;
        }
        while connections.try_join_next().is_some() {}
        connections.spawn(carry(client, target.clone()));
    }
}

async fn carry(client: TcpStream, target: Target) {
    // What is small must not wait for more.
    let _ = client.set_nodelay(true);
    match target {
        Target::Tcp(host, port) => {
            if let Ok(server) = TcpStream::connect((host.as_str(), port)).await {
                let _ = server.set_nodelay(true);
                join(client, server).await;
            }
        }
        Target::Unix(path) => {
            if let Ok(server) = UnixStream::connect(path).await {
                join(client, server).await;
            }
        }
    }
}

async fn join(mut client: TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin) {
    // Either side may break off: the other one sees its end.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

fn may_enter(guests: Guests, listener: &TcpListener, peer: SocketAddr) -> bool {
    let Guests::OfUser(wanted) = guests else {
        return true;
    };
    let Ok(local) = listener.local_addr() else {
        return false;
    };
    let table = match peer {
        SocketAddr::V4(_) => "/proc/self/net/tcp",
        SocketAddr::V6(_) => "/proc/self/net/tcp6",
    };
    let Ok(text) = std::fs::read_to_string(table) else {
        return false;
    };
    owner(&text, peer.port(), local.port()).is_some_and(|user| user == wanted || user == 0)
}

/// The user of the socket of this machine that is connected from one port to the other, as `/proc/net/tcp` lists it.
fn owner(table: &str, from: u16, to: u16) -> Option<u32> {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        let is_it = port(local) == Some(from) && port(remote) == Some(to);
        // st, queues, timer and retransmits stand before it.
        is_it.then(|| fields.nth(4)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Link;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn the_owner_of_a_connection_is_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   110 0 1\n\
            1: 0100007F:C000 0100007F:1538 01 00000000:00000000 00:00000000 00000000  1000 0 2\n";
        assert_eq!(owner(table, 0xC000, 0x1538), Some(1000));
        assert_eq!(owner(table, 0x1538, 0xC000), None);
    }

    fn endpoint(port: u16) -> Endpoint {
        Endpoint {
            host: Host::Tcp("127.0.0.1".into()),
            port,
            user: "u".into(),
            password: None,
            database: "d".into(),
            link: Link::default(),
        }
    }

    async fn answer_of(guests: Guests) -> Vec<u8> {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.expect("a server");
        let port = server.local_addr().expect("its address").port();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
        let at = listener.local_addr().expect("its address");
        let relay = Relay::start(listener, &endpoint(port), guests).expect("a relay");
        let echo = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.expect("a client");
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.expect("read");
            stream.write_all(&bytes).await.expect("written");
        });
        let mut client = TcpStream::connect(at).await.expect("connected");
        client.write_all(b"ping").await.ok();
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.ok();
        echo.abort();
        drop(relay);
        back
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_the_end_is_seen() {
        assert_eq!(answer_of(Guests::All).await, b"ping");
        let ours = nix::unistd::geteuid().as_raw();
        assert_eq!(answer_of(Guests::OfUser(ours)).await, b"ping");
    }

    #[tokio::test]
    async fn another_user_s_process_is_not_let_in() {
        // Root may enter in any case.
        if !nix::unistd::geteuid().is_root() {
            assert_eq!(answer_of(Guests::OfUser(u32::MAX)).await, b"");
        }
    }
}
