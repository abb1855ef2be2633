//! The list of production's servers, as whoever runs this typed it: every entry is understood, or refused.
//!
//! A server has many names: the one that is typed, each address that it resolves to, its socket's folder, what the
//! server says of itself. An entry has as many. They mean the same server where any two of them are equal.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::stage::{Endpoint, Host};
use crate::{Error, Result};

/// How long names may take to be resolved, all of them together.
const PATIENCE: Duration = Duration::from_secs(20);

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(Vec<Entry>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    typed: String,
    kind: Kind,
    port: Option<u16>,
    /// What it resolves to.
    addresses: BTreeSet<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A host, a database or a cluster, in small letters; with a port, a host alone.
    Name(String),
    /// A network and the length of its prefix.
    Network(IpAddr, u8),
    /// The folder of a Unix socket.
    Folder(PathBuf),
    /// Any text for each `*`.
    Pattern(String),
    /// A cluster's `system_identifier`.
    Identifier(u64),
}

/// A server's names.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// What each is, and itself.
    texts: Vec<(&'static str, String)>,
    /// Addresses, with all of this machine's where any of them is one.
    addresses: BTreeSet<IpAddr>,
    /// The port that is typed, and the one that the server has.
    ports: BTreeSet<u16>,
    folder: Option<PathBuf>,
    identifier: Option<u64>,
}

/// What the list says of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// What has the name: `host`, `address`, `socket`, `database`, `cluster` or `system identifier`.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// The entry, as it was typed.
    pub entry: String,
}

impl Names {
    /// Reads entries, each as it was typed.
    ///
    /// # Errors
    /// For the first that can never be a server's.
    pub fn read(typed: &[String]) -> Result<Self> {
        let mut entries = Vec::new();
        for typed in typed {
            let read = entries_of(typed.trim()).map_err(|why| {
                Error::usage(format!("`{}` of `--production` {why}", shown(typed.trim()))).help(
                    "an entry is a host, `host:port`, an address, a network such as `10.0.0.0/8`, a `postgres://` URL, \
                     a socket's folder, a database, a cluster, a system identifier, or a pattern with `*`",
                )
            })?;
            entries.extend(read);
        }
        Ok(Self(entries))
    }

    /// Finds the addresses of the entries; a line for each that has none, and is known by its text alone.
    pub async fn resolved(mut self) -> (Self, Vec<String>) {
        let mut notes = Vec::new();
        for entry in &mut self.0 {
            let Kind::Name(name) = &entry.kind else {
                continue;
            };
            entry.addresses = resolve(name, PATIENCE).await;
            // A word without a dot is more often a database's name.
            if entry.addresses.is_empty() && (name.contains('.') || entry.port.is_some()) {
                notes.push(format!(
                    "`{}` of `--production` has no address here: it is compared as it is typed",
                    entry.typed
                ));
            }
        }
        (self, notes)
    }

    /// The first entry for each of a server's names.
    pub fn matches(&self, server: &Server) -> Vec<Match> {
        self.0.iter().filter_map(|entry| entry.of(server)).collect()
    }
}

impl Server {
    /// By its address alone, before anything is sent there.
    pub async fn typed(endpoint: &Endpoint) -> Self {
        let mut server = Self {
            ports: BTreeSet::from([endpoint.port]),
            ..Self::default()
        };
        match &endpoint.host {
            Host::Tcp(host) => {
                server.texts.push(("host", plain(host)));
                server.addresses = resolve(host, PATIENCE).await;
            }
            Host::Unix(folder) => {
                server.texts.push(("host", folder.display().to_string()));
                server.folder = Some(real(folder));
                server.addresses.insert(IpAddr::V4(Ipv4Addr::LOCALHOST));
            }
        }
        server
            .addresses
            .extend(endpoint.link.address.map(canonical));
        server.texts.push(("database", endpoint.database.clone()));
        server.widen();
        server
    }

    /// The same, as entries of a list: where it is, with its port, whatever it is called.
    pub fn entries(&self) -> Vec<String> {
        let ports = || self.ports.iter();
        let mut entries = Vec::new();
        if let Some(folder) = &self.folder {
            entries.extend(ports().map(|port| format!("{}/.s.PGSQL.{port}", folder.display())));
        } else {
            let hosts = self.texts.iter().filter(|(what, _)| *what == "host");
            for (_, host) in hosts {
                let is_v6 = host.contains(':');
                entries.extend(ports().map(|port| match is_v6 {
                    true => format!("[{host}]:{port}"),
                    false => format!("{host}:{port}"),
                }));
            }
            let here = of_this_machine();
            let others = self
                .addresses
                .iter()
                .filter(|address| !here.contains(address));
            for address in others {
                entries.extend(
                    ports().map(|port| std::net::SocketAddr::new(*address, *port).to_string()),
                );
            }
        }
        entries.dedup();
        entries
    }

    /// With what it says of itself.
    pub fn says(
        &mut self,
        cluster: &str,
        address: Option<IpAddr>,
        port: Option<u16>,
        identifier: Option<u64>,
    ) {
        if !cluster.is_empty() {
            self.texts.push(("cluster", cluster.to_owned()));
        }
        self.addresses.extend(address.map(canonical));
        self.ports.extend(port);
        self.identifier = identifier;
        self.widen();
    }

    /// What one address of this machine reaches, its others and its sockets do.
    fn widen(&mut self) {
        let here = of_this_machine();
        if self.addresses.iter().any(|address| here.contains(address)) {
            self.addresses.extend(here);
        }
    }
}

impl Entry {
    fn of(&self, server: &Server) -> Option<Match> {
        let found = |what: &'static str, name: String| {
            Some(Match {
                what,
                name,
                entry: self.typed.clone(),
            })
        };
        if self.port.is_some_and(|port| !server.ports.contains(&port)) {
            return None;
        }
        let text = |fits: &dyn Fn(&str) -> bool| {
            let mut texts = server.texts.iter();
            // With a port it is a host, not a database.
            texts.find(|(what, name)| (self.port.is_none() || *what == "host") && fits(name))
        };
        let address = |fits: &dyn Fn(&IpAddr) -> bool| server.addresses.iter().find(|at| fits(at));
        match &self.kind {
            Kind::Name(wanted) => {
                if let Some((what, name)) = text(&|name| plain(name) == *wanted) {
                    return found(what, name.clone());
                }
                let address = address(&|address| self.addresses.contains(address))?;
                found("address", address.to_string())
            }
            Kind::Network(network, prefix) => {
                let address = address(&|address| is_in(*address, *network, *prefix))?;
                found("address", address.to_string())
            }
            Kind::Folder(folder) => {
                let here = of_this_machine();
                let is_there = server.folder.as_ref() == Some(&real(folder));
                let is_here = server
                    .addresses
                    .iter()
                    .any(|address| here.contains(address));
                let ports = ports_in(folder);
                // Of an entry with a port it was compared already.
                let listens =
                    self.port.is_some() || ports.iter().any(|port| server.ports.contains(port));
                (is_there || is_here && server.folder.is_none() && listens)
                    .then(|| found("socket", folder.display().to_string()))?
            }
            Kind::Pattern(pattern) => {
                if let Some((what, name)) = text(&|name| fits(pattern, name)) {
                    return found(what, name.clone());
                }
                let address = address(&|address| fits(pattern, &address.to_string()))?;
                found("address", address.to_string())
            }
            Kind::Identifier(identifier) => {
                let is_it = server.identifier == Some(*identifier)
                    || text(&|name| *name == identifier.to_string()).is_some();
                is_it.then(|| found("system identifier", identifier.to_string()))?
            }
        }
    }
}

/// What an entry means; several, where a URL has several hosts.
fn entries_of(typed: &str) -> Result<Vec<Entry>, &'static str> {
    let entry = |kind, port| Entry {
        typed: shown(typed),
        kind,
        port,
        addresses: BTreeSet::new(),
    };
    let one = |kind| Ok(vec![entry(kind, None)]);
    if typed.is_empty() {
        return Err("is empty");
    }
    if typed.contains(|c: char| c.is_whitespace() || c.is_control() || ";\"'`|\\".contains(c)) {
        return Err("is not the name of a server");
    }
    if let Some((scheme, rest)) = typed.split_once("://") {
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err("is not a `postgres://` URL");
        }
        return of_url(rest, &entry);
    }
    if typed.starts_with('/') {
        let path = Path::new(typed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return match name.strip_prefix(".s.PGSQL.").map(str::parse) {
            Some(Ok(port)) => {
                let folder = path.parent().unwrap_or(path).to_owned();
                Ok(vec![entry(Kind::Folder(folder), Some(port))])
            }
            _ => one(Kind::Folder(path.to_owned())),
        };
    }
    if let Some((address, prefix)) = typed.split_once('/') {
        let (Ok(address), Ok(prefix)) = (address.parse::<IpAddr>(), prefix.parse::<u8>()) else {
            return Err("is not a network");
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err("is not a network: its prefix is too long");
        }
        return one(Kind::Network(address, prefix));
    }
    if let Ok(address) = typed.parse::<IpAddr>() {
        return one(Kind::Name(canonical(address).to_string()));
    }
    // Larger than an address in one number, and not in octal digits.
    if typed.len() > 10
        && !typed.starts_with('0')
        && typed.bytes().all(|byte| byte.is_ascii_digit())
    {
        let identifier = typed.parse().map_err(|_| "is not a system identifier")?;
        return one(Kind::Identifier(identifier));
    }
    let (host, port) = host_and_port(typed)?;
    let kind = if host.contains('*') {
        Kind::Pattern(host.to_lowercase())
    } else {
        Kind::Name(plain(host))
    };
    Ok(vec![entry(kind, port)])
}

/// The hosts of a URL behind its scheme; the rest of it names no server.
fn of_url(
    rest: &str,
    entry: &dyn Fn(Kind, Option<u16>) -> Entry,
) -> Result<Vec<Entry>, &'static str> {
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.split('/').next().unwrap_or_default();
    let hosts = authority
        .rsplit_once('@')
        .map_or(authority, |(_, hosts)| hosts);
    let asked = |key: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    let hosts = asked("hostaddr").or(asked("host")).unwrap_or(hosts);
    let hosts = hosts.replace("%2F", "/").replace("%2f", "/");
    let asked_port = match asked("port").map(str::parse) {
        Some(Ok(port)) => Some(port),
        Some(Err(_)) => return Err("has no port that a server can have"),
        None => None,
    };
    let mut entries = Vec::new();
    for host in hosts.split(',').filter(|host| !host.is_empty()) {
        if host.starts_with('/') {
            entries.push(entry(Kind::Folder(PathBuf::from(host)), asked_port));
            continue;
        }
        let (host, port) = host_and_port(host)?;
        // As in libpq: the port of a URL is 5432 unless it says another.
        let port = port.or(asked_port).or(Some(5432));
        entries.push(entry(Kind::Name(plain(host)), port));
    }
    if entries.is_empty() {
        return Err("names no host");
    }
    Ok(entries)
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    const WRONG: &str = "has no port that a server can have";
    let port = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or(WRONG)
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, behind) = rest.split_once(']').ok_or("lacks its `]`")?;
        host.parse::<IpAddr>().map_err(|_| "is not an address")?;
        return match behind.strip_prefix(':') {
            Some(number) => Ok((host, Some(port(number)?))),
            None if behind.is_empty() => Ok((host, None)),
            None => Err(WRONG),
        };
    }
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text, None));
    }
    match text.rsplit_once(':') {
        Some(("", _)) => Err("names no host"),
        Some((host, _)) if host.contains(':') => Err("is not an address"),
        Some((host, number)) => Ok((host, Some(port(number)?))),
        None => Ok((text, None)),
    }
}

/// Without what a URL may hold of a password.
fn shown(typed: &str) -> String {
    match (typed.split_once("://"), typed.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => typed.to_owned(),
    }
}

/// A host in one spelling: small letters, no dot at the end, an address as it is always written.
fn plain(host: &str) -> String {
    let host = host.trim_end_matches('.').to_lowercase();
    match host.parse::<IpAddr>() {
        Ok(address) => canonical(address).to_string(),
        Err(_) => host,
    }
}

/// All of 127.0.0.0/8 and `::1` are one; IPv4 within IPv6 is IPv4.
fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address if address.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        // What a client connects to by it is its own machine.
        address if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        address => address,
    }
}

/// Every address that the C library finds for a host, in whatever spelling it takes one: `127.1`, `0x7f000001`.
async fn resolve(host: &str, patience: Duration) -> BTreeSet<IpAddr> {
    let host = host.trim_end_matches('.').to_owned();
    let asked = tokio::task::spawn_blocking(move || (host.as_str(), 0).to_socket_addrs());
    let found = tokio::time::timeout(patience, asked).await;
    let Ok(Ok(Ok(found))) = found else {
        return BTreeSet::new();
    };
    found.map(|found| canonical(found.ip())).collect()
}

fn of_this_machine() -> BTreeSet<IpAddr> {
    let mut here = BTreeSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address else {
            continue;
        };
        let v4 = address
            .as_sockaddr_in()
            .map(|address| IpAddr::V4(address.ip()));
        let v6 = address
            .as_sockaddr_in6()
            .map(|address| IpAddr::V6(address.ip()));
        here.extend(v4.or(v6).map(canonical));
    }
    here
}

/// The ports of the sockets in a folder.
fn ports_in(folder: &Path) -> Vec<u16> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let port = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok()
    };
    entries.filter_map(port).collect()
}

fn real(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

fn is_in(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, true),
        IpAddr::V6(address) => (u128::from(address), false),
    };
    let ((address, is_v4), (network, of_v4)) = (bits(address), bits(network));
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    is_v4 == of_v4 && address & mask == network & mask
}

/// Whether a name is a pattern's, in whatever case; `*` is any text, also none.
fn fits(pattern: &str, name: &str) -> bool {
    let name = plain(name);
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, name, entry } = self;
        write!(f, "its {what}, `{name}`, is on the list as `{entry}`")
    }
}

#[cfg(test)]
mod tests;
