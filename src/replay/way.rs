//! How a program gets to the stage: by a relay inside a network of its own, or over this machine's network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::process::Command;

use super::Scene;
use crate::plan::CommandWork;
use crate::stage::enclosure::{Enclosure, Inside};
use crate::stage::relay::{Guests, Relay};
use crate::stage::{Endpoint, Host, NetworkFacts};
use crate::{Error, Result};

/// The server's usual port: nothing else listens in a network of the program's own.
const PORT: u16 = 5432;

/// A way that was laid; it ends with this value.
#[derive(Debug)]
pub(super) struct Way {
    /// What the program is told of the server.
    pub endpoint: Endpoint,
    /// What it may reach.
    pub network: NetworkFacts,
    enclosure: Option<Enclosure>,
    inside: Option<Inside>,
    relay: Option<Relay>,
    /// What names the server inside.
    _hosts: Option<tempfile::NamedTempFile>,
}

impl Way {
    /// Lays the way for a step's program.
    ///
    /// # Errors
    /// No listener or file can be made for it.
    pub(super) fn lay(scene: &Scene<'_>, work: &CommandWork) -> Result<Self> {
        let network = NetworkFacts::on_this_machine(work.network);
        if network.is_closed() {
            return Self::closed(scene.endpoint, network);
        }
        let endpoint = scene.endpoint;
        let (endpoint, relay) = match &endpoint.host {
            Host::Tcp(_) => (endpoint.clone(), None),
            // Programs need not know Unix sockets, and the one of a stage of ours may be closed to their account.
            Host::Unix(_) if scene.is_ours => {
                let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
                let listener = listener.map_err(cannot)?;
                let port = listener.local_addr().map_err(cannot)?.port();
                let user = nix::unistd::Uid::effective().as_raw();
                let relay = Relay::start(listener, endpoint, Guests::OfUser(user));
                (at_loopback(endpoint, port), Some(relay.map_err(cannot)?))
            }
            Host::Unix(_) => (endpoint.clone(), None),
        };
        Ok(Self {
            endpoint,
            network,
            enclosure: None,
            inside: None,
            relay,
            _hosts: None,
        })
    }

    /// Into a network of the program's own. There the server keeps its name or address, so that its certificate can
    /// be verified.
    fn closed(endpoint: &Endpoint, network: NetworkFacts) -> Result<Self> {
        let mut enclosure = Enclosure::new();
        let mut hosts = None;
        let mut door = IpAddr::from(Ipv4Addr::LOCALHOST);
        let told = match &endpoint.host {
            Host::Unix(_) => at_loopback(endpoint, PORT),
            Host::Tcp(host) => {
                let mut told = endpoint.clone();
                told.link.address = told.link.address.map(|_| Ipv4Addr::LOCALHOST.into());
                if let (Ok(address), None) = (host.parse(), told.link.address) {
                    door = address;
                } else if host != "localhost" {
                    let file = named(host).map_err(cannot)?;
                    enclosure = enclosure.with_hosts(file.path().to_owned());
                    hosts = Some(file);
                }
                told
            }
        };
        let enclosure = enclosure.with_door(SocketAddr::from((door, told.port)));
        Ok(Self {
            endpoint: told,
            network,
            enclosure: Some(enclosure),
            inside: None,
            relay: None,
            _hosts: hosts,
        })
    }

    /// Has the command begin on this way.
    pub(super) fn enter(&mut self, command: &mut Command) -> std::io::Result<()> {
        if let Some(enclosure) = self.enclosure.take() {
            self.inside = Some(enclosure.around(command)?);
        }
        Ok(())
    }

    /// Opens it, once the program was started.
    pub(super) fn open(&mut self, scene: &Scene<'_>) -> std::io::Result<()> {
        if let Some(inside) = self.inside.take() {
            let listener = inside.door()?;
            self.relay = Some(Relay::start(listener, scene.endpoint, Guests::All)?);
        }
        Ok(())
    }
}

/// The same server at the loopback interface.
fn at_loopback(endpoint: &Endpoint, port: u16) -> Endpoint {
    let mut told = endpoint.clone();
    told.host = Host::Tcp(Ipv4Addr::LOCALHOST.to_string());
    told.port = port;
    told.link.address = None;
    told
}

/// A file like `/etc/hosts` in which this name is the loopback interface.
fn named(host: &str) -> std::io::Result<tempfile::NamedTempFile> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let mut file = tempfile::NamedTempFile::new()?;
    writeln!(file, "127.0.0.1 localhost {host}\n::1 localhost")?;
    // For programs that drop to another account as well.
    let everybody = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(everybody)?;
    Ok(file)
}

fn cannot(error: std::io::Error) -> Error {
    Error::stage("no way from the program to the stage can be laid").because(error)
}
