//! Finds the container engine and words its errors.

use std::path::Path;
use std::time::Duration;

use bollard::errors::Error as EngineError;

use crate::{Error, Result};

/// Long enough for a loaded machine, short enough to go on to the next socket.
const ANSWER: Duration = Duration::from_secs(15);

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
}

impl Engine {
    /// `DOCKER_HOST`; otherwise the first socket that answers.
    pub(super) async fn connect() -> Result<Self> {
        if let Some(host) = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.is_empty())
        {
            return Self::connect_to(&host).await;
        }
        let mut failures = Vec::new();
        for socket in sockets(std::env::var("XDG_RUNTIME_DIR").ok().as_deref()) {
            match open(&socket).await {
                Ok(engine) => return Ok(engine),
                Err(error) => failures.push((socket, error)),
            }
        }
        Err(unanswered(&failures))
    }

    /// The engine at this address and no other.
    pub(super) async fn connect_to(host: &str) -> Result<Self> {
        open(host)
            .await
            .map_err(|error| unanswered(&[(host.to_owned(), error)]))
    }

    /// For requests that take as long as their work.
    pub(super) fn unhurried(&self) -> bollard::Docker {
        self.api.clone().with_timeout(UNHURRIED)
    }

    pub(super) async fn describe(&self) -> Result<EngineInfo> {
        let version = self
            .api
            .version()
            .await
            .map_err(|error| failed("say its version", error))?;
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

    /// The other machine that published ports are reached on; None: this one.
    pub(super) fn remote_host(&self) -> Option<String> {
        remote_host(&self.host)
    }
}

/// Where an engine listens when nobody says: Docker, rootless Docker, Podman.
fn sockets(runtime_folder: Option<&str>) -> Vec<String> {
    let mut sockets = vec!["unix:///var/run/docker.sock".to_owned()];
    if let Some(folder) = runtime_folder.filter(|folder| !folder.is_empty()) {
        sockets.push(format!("unix://{folder}/docker.sock"));
        sockets.push(format!("unix://{folder}/podman/podman.sock"));
    }
    sockets.push("unix:///run/podman/podman.sock".to_owned());
    sockets
}

async fn open(host: &str) -> std::result::Result<Engine, String> {
    if let Some(path) = host.strip_prefix("unix://") {
        // bollard says "not found" for a socket that it may not see; the system says which it is.
        Path::new(path)
            .metadata()
            .map_err(|error| lowercase(error.to_string()))?;
    }
    let api = bollard::Docker::connect_with_host(host).map_err(|error| match error {
        EngineError::UnsupportedURISchemeError { .. } => {
            "only unix://, tcp:// and http:// are understood; for ssh, forward the engine's socket and name it"
                .to_owned()
        }
        error => reason(&error),
    })?;
    match tokio::time::timeout(ANSWER, api.negotiate_version()).await {
        Ok(Ok(api)) => Ok(Engine {
            api,
            host: host.to_owned(),
        }),
        Ok(Err(error)) => Err(reason(&error)),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

fn unanswered(failures: &[(String, String)]) -> Error {
    let denied = failures
        .iter()
        .any(|(_, why)| why.contains("ermission denied"));
    let help = if denied {
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

/// The engine refused or failed to do something.
pub(super) fn failed(what: &str, error: EngineError) -> Error {
    let why = reason(&error);
    let failure = Error::stage(format!("the container engine could not {what}: {why}"));
    if why.contains("no space left on device") {
        return failure.help("free disk space; `lockproof clean --all` removes cached bases too");
    }
    match error {
        EngineError::DockerResponseServerError { .. } | EngineError::DockerStreamError { .. } => {
            failure
        }
        _ => failure.help("see whether the engine still runs: `lockproof doctor`"),
    }
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
        .or_else(|| host.strip_prefix("http://"))?;
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

    #[test]
    fn sockets_are_tried_in_a_fixed_order() {
        assert_eq!(
            sockets(Some("/run/user/7")),
            [
                "unix:///var/run/docker.sock",
                "unix:///run/user/7/docker.sock",
                "unix:///run/user/7/podman/podman.sock",
                "unix:///run/podman/podman.sock",
            ]
        );
        assert_eq!(sockets(None).len(), 2);
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
        let error = Engine::connect_to("ssh://there").await.err();
        let story = error.map(|error| error.story()).unwrap_or_default();
        assert!(story.contains("forward the engine's socket"), "{story}");
    }
}
