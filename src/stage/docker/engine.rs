//! Finds the container engine and words its errors.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as EngineError;

use super::address::{Address, Certificates, Choice, Surroundings};
use super::ssh::Tunnel;
use crate::{Error, Result};

/// Long enough for a loaded machine, short enough to go on to the next socket.
const ANSWER: Duration = Duration::from_secs(15);

/// For a request that is answered at once, in seconds.
const TIMEOUT: u64 = 120;

/// Uploads and clean shutdowns answer only when they are done; bollard's two minutes would cut them.
const UNHURRIED: Duration = Duration::from_secs(7 * 24 * 3600);

/// What answers behind the socket; for `lockproof doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// `Docker Engine` or `Podman Engine`.
    pub name: String,
    /// The engine's own version.
    pub version: String,
    /// The API version that was agreed on.
    pub api_version: String,
    /// The socket or address.
    pub host: String,
}

/// An engine that answered.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) api: bollard::Docker,
    /// As `DOCKER_HOST` would say it.
    pub(super) host: String,
    pub(super) reach: Reach,
}

/// How the ports of its containers are reached from here.
#[derive(Clone)]
pub(super) enum Reach {
    /// On this machine's loopback.
    Here,
    /// On an address of another machine, by this name.
    Network(String),
    /// Through the connection that the engine itself is reached by.
    Tunnel(Arc<Tunnel>),
}

impl Engine {
    /// The one that the environment or Docker's current context names; otherwise the first socket that
    /// answers.
    pub(super) async fn connect() -> Result<Self> {
        let addresses = match Surroundings::read().choose()? {
            Choice::Named(address) => vec![address],
            Choice::FirstOf(addresses) => addresses,
        };
        let mut failures = Vec::new();
        for address in addresses {
            match open(&address).await {
                Ok(engine) => return Ok(engine),
                Err(error) => failures.push((address.host, error)),
            }
        }
        Err(unanswered(&failures))
    }

    /// The engine at this address and no other.
    pub(super) async fn connect_to(host: &str) -> Result<Self> {
        open(&Surroundings::read().address(host))
            .await
            .map_err(|error| unanswered(&[(host.to_owned(), error)]))
    }

    /// For requests that take as long as their work.
    pub(super) fn unhurried(&self) -> bollard::Docker {
        self.api.clone().with_timeout(UNHURRIED)
    }

    /// The engine refused or failed to do something, or is not there any more.
    pub(super) fn failed(&self, what: &str, error: EngineError) -> Error {
        let why = reason(&error);
        if is_lost(&error) {
            return self.lost(&format!("when it was to {what}: {why}"));
        }
        let failure = Error::stage(format!("the container engine could not {what}: {why}"));
        if why.contains("no space left on device") {
            return failure
                .help("free disk space; `lockproof clean --all` removes cached bases too");
        }
        match error {
            EngineError::DockerResponseServerError { .. }
            | EngineError::DockerStreamError { .. } => failure,
            _ => failure.help("see whether the engine still runs: `lockproof doctor`"),
        }
    }

    /// The engine answered before, and now nobody does. What it still holds of ours, it has again when
    /// it is back.
    pub(super) fn lost(&self, when_and_why: &str) -> Error {
        Error::stage(format!(
            "the container engine at `{}` was lost {when_and_why}",
            self.host
        ))
        .help(
            "start it again (`lockproof doctor` says whether it answers), then `lockproof clean` removes \
             what is left on it",
        )
    }

    pub(super) async fn describe(&self) -> Result<EngineInfo> {
        let version = self
            .api
            .version()
            .await
            .map_err(|error| self.failed("say its version", error))?;
        let component = version
            .components
            .unwrap_or_default()
            .into_iter()
            .next()
            .map(|component| component.name);
        Ok(EngineInfo {
            name: match component.as_deref() {
                Some("Engine") | None => "Docker Engine".to_owned(),
                Some(name) => name.to_owned(),
            },
            version: version.version.unwrap_or_default(),
            api_version: self.api.client_version().to_string(),
            host: self.host.clone(),
        })
    }
}

async fn open(address: &Address) -> std::result::Result<Engine, String> {
    let host = address.host.as_str();
    let (api, reach) = if host.starts_with("ssh://") {
        let tunnel = Tunnel::open(host).await?;
        let api = unix(&tunnel.socket())?;
        (api, Reach::Tunnel(Arc::new(tunnel)))
    } else if let Some(path) = host.strip_prefix("unix://") {
        (unix(Path::new(path))?, Reach::Here)
    } else {
        let api = match &address.certificates {
            Some(certificates) => encrypted(host, certificates)?,
            None if host.starts_with("tcp://") || host.starts_with("http://") => {
                bollard::Docker::connect_with_http(host, TIMEOUT, bollard::API_DEFAULT_VERSION)
                    .map_err(|error| reason(&error))?
            }
            None => return Err("only unix://, tcp:// and ssh:// are understood".to_owned()),
        };
        (api, remote_host(host).map_or(Reach::Here, Reach::Network))
    };
    match tokio::time::timeout(ANSWER, api.negotiate_version()).await {
        Ok(Ok(api)) => Ok(Engine {
            api,
            host: host.to_owned(),
            reach,
        }),
        // What a server with certificates says to somebody without, and the reverse.
        Ok(Err(error)) => Err(match reason(&error) {
            why if why.contains("HTTP request to an HTTPS server") => format!(
                "{why} DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH make the connection an encrypted one"
            ),
            why => why,
        }),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

fn unix(path: &Path) -> std::result::Result<bollard::Docker, String> {
    // bollard says "not found" for a socket that it may not see; the system says which it is.
    path.metadata()
        .map_err(|error| lowercase(error.to_string()))?;
    bollard::Docker::connect_with_unix(
        &path.to_string_lossy(),
        TIMEOUT,
        bollard::API_DEFAULT_VERSION,
    )
    .map_err(|error| reason(&error))
}

fn encrypted(host: &str, files: &Certificates) -> std::result::Result<bollard::Docker, String> {
    // bollard reads two of them at the first handshake, where it can only say that it failed.
    for file in [&files.ca, &files.certificate, &files.key] {
        std::fs::File::open(file).map_err(|error| {
            let error = lowercase(error.to_string());
            format!(
                "`{}`, which it is to be verified with: {error}",
                file.display()
            )
        })?;
    }
    bollard::Docker::connect_with_ssl(
        host,
        &files.key,
        &files.certificate,
        &files.ca,
        TIMEOUT,
        bollard::API_DEFAULT_VERSION,
    )
    .map_err(|error| reason(&error))
}

fn unanswered(failures: &[(String, String)]) -> Error {
    let denied = failures
        .iter()
        .any(|(_, why)| why.contains("ermission denied"));
    let by_ssh = matches!(failures, [(host, _)] if host.starts_with("ssh://"));
    let help = if by_ssh {
        "`ssh` has to connect without a question: a key in an agent, a known host; what follows the host in the URL is the engine's socket over there"
    } else if denied {
        "add yourself to the group that owns the socket (`docker`), or use --stage local or --stage postgres://…"
    } else {
        "start Docker or Podman, or set DOCKER_HOST (`docker context inspect` shows it), or use --stage local"
    };
    let error = match failures {
        [(host, why)] => Error::stage(format!("no container engine answers at `{host}`: {why}")),
        _ => Error::stage("no container engine answers")
            .details(failures.iter().map(|(host, why)| format!("{host}: {why}"))),
    };
    error.help(help)
}

/// The engine's own words, without bollard's around them, and every cause below.
pub(super) fn reason(error: &EngineError) -> String {
    match error {
        EngineError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        EngineError::DockerStreamError { error } => error.trim().to_owned(),
        // Three layers that only say that something is below them.
        EngineError::HyperLegacyError { err } => {
            let mut deepest: &dyn std::error::Error = err;
            while let Some(below) = deepest.source() {
                deepest = below;
            }
            lowercase(deepest.to_string())
        }
        _ => {
            let mut text = lowercase(error.to_string());
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                let words = error.to_string();
                if !text.ends_with(&words) {
                    text = format!("{text}: {words}");
                }
                cause = error.source();
            }
            text
        }
    }
}

/// Whether nobody answered: the connection was refused or broke off, or nothing came through it.
pub(super) fn is_lost(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::HyperLegacyError { .. }
            | EngineError::HyperResponseError { .. }
            | EngineError::IOError { .. }
            | EngineError::RequestTimeoutError
    )
}

/// Whether the engine says that there is no such thing.
pub(super) fn is_absent(error: &EngineError) -> bool {
    status(error) == Some(404)
}

/// Whether the engine says that it is at it already, or that something still uses the thing.
pub(super) fn is_conflict(error: &EngineError) -> bool {
    status(error) == Some(409)
}

fn status(error: &EngineError) -> Option<u16> {
    match error {
        EngineError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

fn lowercase(text: String) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text,
    }
}

fn remote_host(host: &str) -> Option<String> {
    let rest = host
        .strip_prefix("tcp://")
        .or_else(|| host.strip_prefix("http://"))
        .or_else(|| host.strip_prefix("https://"))?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let name = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.split(':').next().unwrap_or(authority),
    };
    let here = name.is_empty()
        || name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    (!here).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_reached_on_the_machine_of_the_engine() {
        assert_eq!(remote_host("unix:///var/run/docker.sock"), None);
        assert_eq!(remote_host("tcp://127.0.0.1:2375"), None);
        assert_eq!(remote_host("tcp://localhost:2375"), None);
        assert_eq!(remote_host("tcp://[::1]:2375"), None);
        assert_eq!(remote_host("tcp://docker:2375/"), Some("docker".to_owned()));
        assert_eq!(
            remote_host("http://[fd00::2]:2375"),
            Some("fd00::2".to_owned())
        );
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named_with_its_cause() {
        let error = Engine::connect_to("unix:///nowhere/docker.sock")
            .await
            .err();
        let story = error.map(|error| error.story()).unwrap_or_default();
        assert!(
            story.starts_with(
                "no container engine answers at `unix:///nowhere/docker.sock`: no such file"
            ),
            "{story}"
        );
        assert!(story.contains("help: start Docker or Podman"), "{story}");
        let error = Engine::connect_to("tcp://127.0.0.1:9").await.err();
        let story = error.map(|error| error.story()).unwrap_or_default();
        assert!(
            story.starts_with(
                "no container engine answers at `tcp://127.0.0.1:9`: connection refused"
            ),
            "{story}"
        );
        let error = Engine::connect_to("npipe://there").await.err();
        let story = error.map(|error| error.story()).unwrap_or_default();
        assert!(story.contains("are understood"), "{story}");
        let error = Engine::connect_to("ssh://nobody@127.0.0.1:1").await.err();
        let story = error.map(|error| error.story()).unwrap_or_default();
        assert!(story.contains("ssh ended: "), "{story}");
        assert!(story.contains("without a question"), "{story}");
    }
}
