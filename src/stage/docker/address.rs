//! Where an engine is: what `DOCKER_HOST` and Docker's contexts say, read as Docker's own client reads them.
//!
//! Asks no engine; `engine` does.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::stage::whole;
use crate::{Error, Result};

/// One place where an engine may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// As `DOCKER_HOST` would say it.
    pub(super) host: String,
    /// None: the connection is not encrypted, or ssh does it.
    pub(super) certificates: Option<Certificates>,
}

/// The files that prove either side to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificates {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What the environment says of engines.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    host: Option<String>,
    context: Option<String>,
    tls: bool,
    certificates: Option<PathBuf>,
    /// `DOCKER_CONFIG`, else `~/.docker`.
    configuration: Option<PathBuf>,
    runtime_folder: Option<String>,
}

/// Which engine is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one and no other.
    Named(Address),
    /// Nobody said: the first of these that answers.
    FirstOf(Vec<Address>),
}

impl Address {
    /// Without certificates.
    pub(super) fn plain(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            certificates: None,
        }
    }
}

impl Certificates {
    fn in_folder(folder: &Path) -> Self {
        Self {
            ca: folder.join("ca.pem"),
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }
}

impl Surroundings {
    pub(super) fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self {
            host: text("DOCKER_HOST"),
            context: text("DOCKER_CONTEXT"),
            tls: text("DOCKER_TLS_VERIFY").is_some(),
            certificates: text("DOCKER_CERT_PATH").map(PathBuf::from),
            configuration: text("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| text("HOME").map(|home| Path::new(&home).join(".docker"))),
            runtime_folder: text("XDG_RUNTIME_DIR"),
        }
    }

    /// The address with the certificates that the environment names for it.
    pub(super) fn address(&self, host: &str) -> Address {
        let folder = self.certificates.as_ref().or(self.configuration.as_ref());
        let encrypted = (host.starts_with("tcp://") && self.tls) || host.starts_with("https://");
        Address {
            host: host.to_owned(),
            certificates: folder
                .filter(|_| encrypted)
                .map(|folder| Certificates::in_folder(folder)),
        }
    }

    /// `DOCKER_HOST` before `DOCKER_CONTEXT` before the current context before the usual sockets.
    pub(super) fn choose(&self) -> Result<Choice> {
        if let Some(host) = &self.host {
            return Ok(Choice::Named(self.address(host)));
        }
        let context = match &self.context {
            Some(name) => Some(name.clone()),
            None => self.current_context()?,
        };
        match (context, &self.configuration) {
            (Some(name), Some(folder)) if name != "default" => {
                context_address(&name, folder).map(Choice::Named)
            }
            _ => Ok(Choice::FirstOf(sockets(self.runtime_folder.as_deref()))),
        }
    }

    fn current_context(&self) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Configuration {
            #[serde(rename = "currentContext")]
            current: Option<String>,
        }
        let Some(file) = self
            .configuration
            .as_ref()
            .map(|folder| folder.join("config.json"))
        else {
            return Ok(None);
        };
        // Most have none, and one that nobody may read is somebody else's.
        let Ok(text) = whole::bytes(&file, whole::DESCRIPTION) else {
            return Ok(None);
        };
        let read: Configuration = serde_json::from_slice(&text).map_err(|error| {
            Error::stage(format!("`{}` cannot be understood", file.display()))
                .because(error)
                .help("mend it, or name the engine by DOCKER_HOST")
        })?;
        Ok(read.current.filter(|name| !name.is_empty()))
    }
}

/// Where a context says that its engine is.
fn context_address(name: &str, configuration: &Path) -> Result<Address> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Meta {
        endpoints: Endpoints,
    }
    #[derive(Deserialize)]
    struct Endpoints {
        docker: Option<Engine>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Engine {
        #[serde(default)]
        host: String,
        #[serde(default, rename = "SkipTLSVerify")]
        skip_verification: bool,
    }
    let help = "`docker context ls` shows those that there are; `DOCKER_CONTEXT=default` takes this machine's";
    let id: String = Sha256::digest(name)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let contexts = configuration.join("contexts");
    let file = contexts.join("meta").join(&id).join("meta.json");
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::stage(format!(
            "the docker context `{name}` cannot be read from `{}`",
            file.display()
        ))
        .because(cause)
        .help(help)
    };
    let text = whole::bytes(&file, whole::DESCRIPTION).map_err(|error| failed(error.into()))?;
    let meta: Meta = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    let engine = meta
        .endpoints
        .docker
        .filter(|engine| !engine.host.is_empty())
        .ok_or_else(|| {
            Error::stage(format!("the docker context `{name}` names no engine")).help(help)
        })?;
    if engine.skip_verification {
        return Err(Error::stage(format!(
            "the docker context `{name}` does not verify who answers, which lockproof always does"
        ))
        .help("make the context anew with the engine's own `ca.pem`, or reach it by ssh://"));
    }
    let folder = contexts.join("tls").join(&id).join("docker");
    let encrypted = engine.host.starts_with("tcp://") && folder.join("ca.pem").exists();
    Ok(Address {
        certificates: encrypted.then(|| Certificates::in_folder(&folder)),
        host: engine.host,
    })
}

/// Where an engine listens when nobody says: Docker, rootless Docker, Podman.
fn sockets(runtime_folder: Option<&str>) -> Vec<Address> {
    let mut sockets = vec![Address::plain("unix:///var/run/docker.sock")];
    if let Some(folder) = runtime_folder {
        sockets.push(Address::plain(format!("unix://{folder}/docker.sock")));
        sockets.push(Address::plain(format!(
            "unix://{folder}/podman/podman.sock"
        )));
    }
    sockets.push(Address::plain("unix:///run/podman/podman.sock"));
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(choice: Result<Choice>) -> Vec<String> {
        match choice {
            Ok(Choice::Named(address)) => vec![address.host],
            Ok(Choice::FirstOf(addresses)) => addresses.into_iter().map(|a| a.host).collect(),
            Err(error) => vec![error.story()],
        }
    }

    #[test]
    fn sockets_are_tried_in_a_fixed_order() {
        let surroundings = Surroundings {
            runtime_folder: Some("/run/user/7".into()),
            ..Surroundings::default()
        };
        assert_eq!(
            hosts(surroundings.choose()),
            [
                "unix:///var/run/docker.sock",
                "unix:///run/user/7/docker.sock",
                "unix:///run/user/7/podman/podman.sock",
                "unix:///run/podman/podman.sock",
            ]
        );
        assert_eq!(hosts(Surroundings::default().choose()).len(), 2);
    }

    #[test]
    fn certificates_are_for_tcp_that_is_to_be_verified() {
        let mut surroundings = Surroundings {
            tls: true,
            configuration: Some("/c".into()),
            ..Surroundings::default()
        };
        let ca = |surroundings: &Surroundings, host: &str| {
            surroundings
                .address(host)
                .certificates
                .map(|files| files.ca)
        };
        assert_eq!(ca(&surroundings, "tcp://h:2376"), Some("/c/ca.pem".into()));
        assert_eq!(ca(&surroundings, "unix:///s"), None);
        assert_eq!(ca(&surroundings, "ssh://h"), None);
        surroundings.certificates = Some("/d".into());
        assert_eq!(ca(&surroundings, "tcp://h:2376"), Some("/d/ca.pem".into()));
        surroundings.tls = false;
        assert_eq!(ca(&surroundings, "tcp://h:2376"), None);
    }

    #[test]
    fn a_context_is_read_as_docker_writes_it() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let write = |file: &str, text: &str| -> std::io::Result<()> {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
            std::fs::write(path, text)
        };
        let id = |name: &str| -> String {
            Sha256::digest(name)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        write("config.json", r#"{"auths":{},"currentContext":"far"}"#)?;
        write(
            &format!("contexts/meta/{}/meta.json", id("far")),
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#,
        )?;
        write(
            &format!("contexts/meta/{}/meta.json", id("lax")),
            r#"{"Name":"lax","Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":true}}}"#,
        )?;
        let mut surroundings = Surroundings {
            configuration: Some(folder.path().to_owned()),
            ..Surroundings::default()
        };
        assert_eq!(hosts(surroundings.choose()), ["tcp://far:2376"]);
        write(&format!("contexts/tls/{}/docker/ca.pem", id("far")), "")?;
        let Ok(Choice::Named(address)) = surroundings.choose() else {
            return Err(std::io::Error::other("one is named"));
        };
        assert!(address.certificates.is_some());

        surroundings.context = Some("default".into());
        assert_eq!(hosts(surroundings.choose()).len(), 2);
        for (name, words) in [
            ("lax", "does not verify who answers"),
            ("gone", "the docker context `gone` cannot be read"),
        ] {
            surroundings.context = Some(name.into());
            let story = hosts(surroundings.choose()).concat();
            assert!(story.contains(words) && story.contains("help: "), "{story}");
        }
        // What DOCKER_HOST says wins.
        surroundings.host = Some("unix:///mine".into());
        assert_eq!(hosts(surroundings.choose()), ["unix:///mine"]);

        surroundings.host = None;
        surroundings.context = None;
        write("config.json", "{")?;
        let story = hosts(surroundings.choose()).concat();
        assert!(story.contains("cannot be understood"), "{story}");
        Ok(())
    }
}
