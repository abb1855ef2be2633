//! Containers: made from a small description, inspected, read and removed.

use std::time::Duration;

use bollard::models::ContainerState;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder,
    DownloadFromContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::engine::{Engine, Reach, is_absent, is_conflict, reason};
use super::image::without_server;
use super::last_words::{advice, exit};
use super::spec::{PORT, Spec};
use super::tail::Tail;
use crate::stage::Host;
use crate::{Error, Result, redact};

/// How much of a log an error shows.
const LOG_LINES: usize = 20;

/// A container that was made.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) id: String,
    /// The image's name, for errors.
    pub(super) image: String,
}

/// Makes a container; nothing runs yet.
pub(super) async fn create(engine: &Engine, spec: Spec) -> Result<Container> {
    let image = spec.body.image.as_deref().unwrap_or_default();
    // An image that is gone is told of by the container that cannot be made.
    let declared = match engine.api.inspect_image(image).await {
        Ok(found) => found.config.and_then(|config| config.volumes),
        Err(_) => None,
    };
    let spec = spec.own_volumes(&declared.unwrap_or_default());
    let options = spec
        .name
        .as_deref()
        .map(|name| CreateContainerOptionsBuilder::default().name(name).build());
    let made = engine
        .api
        .create_container(options, spec.body)
        .await
        .map_err(|error| {
            engine.failed(
                &format!("make a container of the image `{}`", spec.image),
                error,
            )
        })?;
    Ok(Container {
        id: made.id,
        image: spec.image,
    })
}

/// Runs a script to its end and removes the container; its output when it ended with success.
pub(super) async fn run_to_end(engine: &Engine, spec: Spec) -> Result<Vec<String>> {
    let container = create(engine, spec).await?;
    let ended = container.run(engine).await;
    let result = match ended {
        Ok(state) if state.exit_code == Some(0) => Ok(container.log(engine, LOG_LINES).await),
        Ok(_) => Err(container.ended(engine, "the container").await),
        Err(error) => Err(error),
    };
    container.remove(engine).await.ok();
    result
}

impl Container {
    /// Starts it and waits for its end; how it ended.
    pub(super) async fn run(&self, engine: &Engine) -> Result<ContainerState> {
        self.start(engine).await?;
        loop {
            let state = self.state(engine).await?;
            if state.running != Some(true) {
                return Ok(state);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    pub(super) async fn start(&self, engine: &Engine) -> Result<()> {
        engine
            .api
            .start_container(&self.id, None::<StartContainerOptions>)
            .await
            .map_err(|error| {
                let why = reason(&error);
                // Not even a shell.
                if why.contains("/bin/sh") && why.contains("no such file") {
                    return without_server(&self.image);
                }
                let failure = engine.failed(&format!("start a container of the image `{}`", self.image),
                    error,
                );
                if why.contains("port is already allocated") || why.contains("address already in use")
                {
                    return failure.help(
                        "the engine found no free port: end what holds them, `lockproof clean` first",
                    );
                }
                failure
            })
    }

    pub(super) async fn state(&self, engine: &Engine) -> Result<ContainerState> {
        let look = || {
            engine
                .api
                .inspect_container(&self.id, None::<InspectContainerOptions>)
        };
        let mut inspected = look().await;
        // Podman calls a container `stopped` until it has cleaned up behind it, a state that Docker's
        // interface does not have.
        for _ in 0..100 {
            if !matches!(inspected, Err(bollard::errors::Error::JsonDataError { .. })) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            inspected = look().await;
        }
        let inspected = inspected.map_err(|error| {
            if is_absent(&error) {
                return Error::stage(format!(
                    "the container of the image `{}` was removed from outside",
                    self.image
                ));
            }
            engine.failed("say how the container is", error)
        })?;
        Ok(inspected.state.unwrap_or_default())
    }

    /// Where the server is reached from here: the published port; from inside another container of
    /// the same engine also the address on the engine's network, since 127.0.0.1 is not the same.
    pub(super) async fn addresses(&self, engine: &Engine) -> Result<Vec<(Host, u16)>> {
        let inspected = engine
            .api
            .inspect_container(&self.id, None::<InspectContainerOptions>)
            .await
            .map_err(|error| engine.failed("say where the container listens", error))?;
        let network = inspected.network_settings.unwrap_or_default();
        let mut addresses = Vec::new();
        let published = network
            .ports
            .as_ref()
            .and_then(|ports| ports.get(PORT)?.as_ref())
            .and_then(|bindings| {
                bindings
                    .iter()
                    .find_map(|binding| binding.host_port.as_ref()?.parse().ok())
            });
        if let Some(port) = published {
            addresses.push(match &engine.reach {
                Reach::Here => (Host::Tcp("127.0.0.1".to_owned()), port),
                Reach::Network(name) => (Host::Tcp(name.clone()), port),
                Reach::Tunnel(tunnel) => {
                    let folder = tunnel.forward(port).await.map_err(|why| {
                        Error::stage(format!("ssh does not forward to the server's port: {why}"))
                            .help("the machine of the engine has to allow forwarding (`AllowTcpForwarding`)")
                    })?;
                    // In the socket's name, whatever the port over there.
                    (Host::Unix(folder), 5432)
                }
            });
        }
        let contained = ["/.dockerenv", "/run/.containerenv"]
            .iter()
            .any(|file| std::path::Path::new(file).exists());
        if contained && engine.host.starts_with("unix://") {
            let inner = network
                .networks
                .unwrap_or_default()
                .into_values()
                .filter_map(|network| network.ip_address)
                .filter(|address| !address.is_empty());
            addresses.extend(inner.map(|address| (Host::Tcp(address), 5432)));
        }
        Ok(addresses)
    }

    /// Whether a file is there, whether the container runs or not.
    pub(super) async fn has(&self, engine: &Engine, path: &str) -> Result<bool> {
        let options = ContainerArchiveInfoOptionsBuilder::default()
            .path(path)
            .build();
        match engine
            .api
            .get_container_archive_info(&self.id, Some(options))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(engine.failed("look into the container", error)),
        }
    }

    /// A small text, whether the container runs or not; None: it is not there.
    pub(super) async fn read(&self, engine: &Engine, path: &str) -> Result<Option<String>> {
        let bytes = self.read_bytes(engine, path).await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A small file, whether the container runs or not; None: it is not there.
    pub(super) async fn read_bytes(&self, engine: &Engine, path: &str) -> Result<Option<Vec<u8>>> {
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(path)
            .build();
        let mut pieces = engine.api.download_from_container(&self.id, Some(options));
        let mut archive = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => {
                    archive.extend_from_slice(&piece);
                    if archive.len() as u64 > crate::stage::whole::LIST {
                        return Err(Error::stage(format!(
                            "`{path}` in the container is larger than anything that is read of it"
                        )));
                    }
                }
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => {
                    return Err(engine.failed(&format!("read `{path}` in the container"), error));
                }
            }
        }
        let unreadable = |error: std::io::Error| {
            Error::stage(format!("cannot read `{path}` in the container")).because(error)
        };
        let mut bytes = Vec::new();
        let mut archive = tar::Archive::new(archive.as_slice());
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            std::io::Read::read_to_end(&mut entry, &mut bytes).map_err(unreadable)?;
        }
        Ok(Some(bytes))
    }

    /// The last lines of what it wrote; nothing when the engine cannot say.
    pub(super) async fn log(&self, engine: &Engine, lines: usize) -> Vec<String> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let mut tail = Tail::new(lines);
        let mut log = engine.api.logs(&self.id, Some(options));
        while let Some(Ok(output)) = log.next().await {
            tail.push(&output.into_bytes());
        }
        tail.lines()
    }

    /// Ends the server cleanly and waits for it: SIGINT, a fast shutdown.
    pub(super) async fn stop(&self, engine: &Engine, patience: Duration) -> Result<()> {
        let seconds = i32::try_from(patience.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let api = engine.unhurried();
        engine
            .attended(api.stop_container(&self.id, Some(options)))
            .await?
            .map_err(|error| engine.failed("stop the container", error))
    }

    /// Removes it with its own volumes, running or not. Gone already is as good.
    pub(super) async fn remove(&self, engine: &Engine) -> Result<()> {
        remove(engine, &self.id).await
    }

    /// The error for a container that ended: its status, its last words and, where known, the way out.
    pub(super) async fn ended(&self, engine: &Engine, who: &str) -> Error {
        let state = match self.state(engine).await {
            Ok(state) => state,
            Err(error) => return error,
        };
        let log = self.log(engine, LOG_LINES).await;
        let code = state.exit_code.unwrap_or(-1);
        if code == 78 {
            return without_server(&self.image);
        }
        let error = Error::stage(format!("{who} ended: {}", exit(&state)));
        match advice(&self.image, &state, &log) {
            Some(help) => error.help(help),
            None => error,
        }
        .details(redact::foreign::log(log))
    }
}

/// Removes a container by id or name. Gone already is as good.
pub(super) async fn remove(engine: &Engine, id: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    for _ in 0..50 {
        let api = engine.unhurried();
        let removing = api.remove_container(id, Some(options.clone()));
        match engine.attended(removing).await? {
            Ok(()) => return Ok(()),
            Err(error) if is_absent(&error) => return Ok(()),
            // "Removal is already in progress": somebody else's, or an abandoned request of ours.
            Err(error) if is_conflict(&error) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => {
                return Err(engine
                    .failed(&format!("remove the container `{id}`"), error)
                    .or_help("`lockproof clean` tries again"));
            }
        }
    }
    Err(Error::stage(format!(
        "the container engine does not come to an end of removing `{id}`"
    ))
    .help("`lockproof clean` tries again"))
}
