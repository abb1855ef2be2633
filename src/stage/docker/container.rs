//! Containers: made from a small description, inspected, read and removed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerState, HealthConfig, HostConfig, Mount, MountType,
    MountVolumeOptions, PortBinding,
};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder,
    DownloadFromContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::engine::{Engine, Reach, is_absent, is_conflict, reason};
use super::image::without_server;
use super::limits::Limits;
use crate::stage::Host;
use crate::{Error, Result};

const PRELUDE: &str = include_str!("scripts/prelude.sh");

/// The port of the server inside its container.
const PORT: &str = "5432/tcp";

/// Parallel queries share memory through /dev/shm, and the engine's 64 MB make them fail. It is a
/// limit, not a reservation.
const SHM_BYTES: i64 = 1 << 30;

/// How much of a log an error shows.
const LOG_LINES: usize = 20;

/// A longer line is cut: one statement in a server log can be megabytes.
const LINE_BYTES: usize = 2000;

/// A container to be made.
pub(super) struct Spec {
    /// The image's name, for errors.
    image: String,
    body: ContainerCreateBody,
    name: Option<String>,
}

impl Spec {
    /// Runs a script of ours with these arguments, as root, which then becomes `postgres`.
    pub(super) fn script(image: &str, id: &str, script: &str, arguments: Vec<String>) -> Self {
        let mut command = vec![format!("{PRELUDE}\n{script}"), "lockproof".to_owned()];
        command.extend(arguments);
        Self {
            image: image.to_owned(),
            name: None,
            body: ContainerCreateBody {
                image: Some(id.to_owned()),
                user: Some("0".to_owned()),
                entrypoint: Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
                cmd: Some(command),
                // What an image may say otherwise, and we rely on.
                env: Some(vec!["PGPORT=5432".to_owned()]),
                stop_signal: Some("SIGINT".to_owned()),
                // An image's own check would ask its questions in the middle of a measurement.
                healthcheck: Some(HealthConfig {
                    test: Some(vec!["NONE".to_owned()]),
                    ..HealthConfig::default()
                }),
                host_config: Some(HostConfig {
                    mounts: Some(Vec::new()),
                    ..HostConfig::default()
                }),
                ..ContainerCreateBody::default()
            },
        }
    }

    pub(super) fn named(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    pub(super) fn labels(mut self, labels: HashMap<String, String>) -> Self {
        self.body.labels = Some(labels);
        self
    }

    pub(super) fn environment(mut self, variables: &[(&str, &str)]) -> Self {
        let environment = self.body.env.get_or_insert_default();
        environment.extend(
            variables
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        self
    }

    /// Mounts a volume; without a name a new one, removed with the container.
    pub(super) fn volume(
        mut self,
        source: Option<&str>,
        target: &str,
        access: Access,
        labels: HashMap<String, String>,
    ) -> Self {
        let host = self.body.host_config.get_or_insert_default();
        host.mounts.get_or_insert_default().push(Mount {
            target: Some(target.to_owned()),
            source: source.map(str::to_owned),
            typ: Some(MountType::VOLUME),
            read_only: Some(access == Access::ReadOnly),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                labels: Some(labels),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        });
        self
    }

    /// Labels the volumes that the image itself asks for, as its containers are labelled. The engine makes
    /// them in any case; one that it lost sight of would be nobody's for ever.
    fn own_volumes(mut self, declared: &[String]) -> Self {
        let labels = self.body.labels.clone().unwrap_or_default();
        let host = self.body.host_config.get_or_insert_default();
        let mounts = host.mounts.get_or_insert_default();
        for path in declared {
            let path = path.trim_end_matches('/');
            let is_mounted = |mount: &Mount| mount.target.as_deref() == Some(path);
            if path.is_empty() || mounts.iter().any(is_mounted) {
                continue;
            }
            // With what the image has there: no `no_copy`.
            mounts.push(Mount {
                target: Some(path.to_owned()),
                typ: Some(MountType::VOLUME),
                volume_options: Some(MountVolumeOptions {
                    labels: Some(labels.clone()),
                    ..MountVolumeOptions::default()
                }),
                ..Mount::default()
            });
        }
        self
    }

    pub(super) fn limits(mut self, limits: &Limits) -> Self {
        let host = self.body.host_config.get_or_insert_default();
        #[expect(clippy::cast_possible_truncation, reason = "a count of processors")]
        let nano_cpus = limits.cpus.map(|cpus| (cpus * 1e9) as i64);
        host.nano_cpus = nano_cpus;
        host.memory = limits.memory_bytes;
        // The same number: memory and swap together. Otherwise the engine adds as much swap.
        host.memory_swap = limits.memory_bytes;
        host.shm_size = Some(limits.shm_bytes.unwrap_or(SHM_BYTES));
        self
    }

    /// On the network of the engine's own machine: what that reaches, it reaches.
    pub(super) fn on_the_host_s_network(mut self) -> Self {
        let host = self.body.host_config.get_or_insert_default();
        host.network_mode = Some("host".to_owned());
        self
    }

    /// Publishes the server's port under a number that the engine picks.
    pub(super) fn published(mut self, engine: &Engine) -> Self {
        let address = match engine.reach {
            Reach::Here | Reach::Tunnel(_) => "127.0.0.1",
            // Which of its addresses leads here, only its own network knows. The server's password is
            // random, and nobody is let in without.
            Reach::Network(_) => "",
        };
        self.body.exposed_ports = Some(vec![PORT.to_owned()]);
        let host = self.body.host_config.get_or_insert_default();
        host.port_bindings = Some(HashMap::from([(
            PORT.to_owned(),
            Some(vec![PortBinding {
                host_ip: Some(address.to_owned()),
                host_port: Some(String::new()),
            }]),
        )]));
        self
    }
}

/// Whether a mounted volume can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

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
                Ok(piece) => archive.extend_from_slice(&piece),
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
        .details(log)
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

/// How it ended, in words.
fn exit(state: &ContainerState) -> String {
    let mut words = format!("exit status {}", state.exit_code.unwrap_or(-1));
    if state.oom_killed == Some(true) {
        words.push_str(", killed because it used more memory than it may");
    } else if state.exit_code == Some(137) {
        words.push_str(", killed from outside");
    }
    if let Some(error) = state.error.as_deref().filter(|error| !error.is_empty()) {
        words.push_str(&format!(", {error}"));
    }
    words
}

/// The way out that the last words point to.
fn advice(image: &str, state: &ContainerState, log: &[String]) -> Option<String> {
    let says = |text: &str| log.iter().any(|line| line.contains(text));
    let help = if state.oom_killed == Some(true) {
        "give the stage more memory, or lower `shared_buffers` and `maintenance_work_mem`"
            .to_owned()
    } else if says("No space left on device") {
        "free disk space; `lockproof clean --all` removes cached bases too".to_owned()
    } else if says("database files are incompatible with server") {
        format!(
            "the data folder is another major's than the server of `{image}`: name an image of that major with --image, or remove the base with `lockproof clean --all`"
        )
    } else if says("unrecognized configuration parameter") || says("invalid value for parameter") {
        "the scenario's settings name something that this server does not know".to_owned()
    } else if says("could not access file") {
        format!(
            "the settings name a library that `{image}` does not have: use an image that has it, or leave the setting out"
        )
    } else if says("exec format error") {
        format!("`{image}` is for another processor: pull it for this one")
    } else if state.exit_code == Some(137) {
        "if nobody ended it, `dmesg` tells whether memory ran out; then run again".to_owned()
    } else if state.exit_code == Some(80) {
        "`lockproof snapshot rm` removes the base that was changed, and the next run makes it anew"
            .to_owned()
    } else if state.exit_code == Some(79) {
        "`lockproof clean --all` removes the damaged base, the next run makes it anew".to_owned()
    } else {
        return None;
    };
    Some(help)
}

/// The last lines of a stream, in bounded memory.
pub(super) struct Tail {
    limit: usize,
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            lines: VecDeque::new(),
            open: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = LINE_BYTES.saturating_sub(self.open.len());
            self.open.extend_from_slice(&piece[..piece.len().min(room)]);
            if pieces.peek().is_some() {
                self.close();
            }
        }
    }

    pub(super) fn lines(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.close();
        }
        self.lines.into()
    }

    fn close(&mut self) {
        if self.lines.len() == self.limit {
            self.lines.pop_front();
        }
        let line = String::from_utf8_lossy(&self.open);
        self.lines.push_back(line.trim_end_matches('\r').to_owned());
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_whole_lines_in_bounded_memory() {
        let mut tail = Tail::new(2);
        tail.push(b"one\ntwo\r\nth");
        tail.push(b"ree\nfour");
        assert_eq!(tail.lines(), ["three", "four"]);
        let mut tail = Tail::new(2);
        for _ in 0..1000 {
            tail.push(&[b'x'; 1000]);
        }
        assert_eq!(tail.lines(), ["x".repeat(LINE_BYTES)]);
    }

    #[test]
    fn last_words_point_to_a_way_out() {
        let state = ContainerState {
            exit_code: Some(1),
            ..ContainerState::default()
        };
        let help = |words: &str| advice("i", &state, &[words.to_owned()]).unwrap_or_default();
        assert!(help("FATAL:  database files are incompatible with server").contains("--image"));
        assert!(help("FATAL:  unrecognized configuration parameter \"x\"").contains("settings"));
        assert_eq!(help("LOG:  all is well"), "");
        let killed = ContainerState {
            exit_code: Some(137),
            oom_killed: Some(true),
            ..ContainerState::default()
        };
        assert_eq!(
            exit(&killed),
            "exit status 137, killed because it used more memory than it may"
        );
        assert!(advice("i", &killed, &[]).is_some());
    }

    #[test]
    fn an_image_s_own_volumes_are_labelled_like_their_container() {
        let labels = HashMap::from([("lockproof.role".to_owned(), "run".to_owned())]);
        let spec = Spec::script("i", "i", "", Vec::new())
            .labels(labels.clone())
            .volume(Some("base"), "/base", Access::ReadOnly, HashMap::new())
            .own_volumes(&["/base".to_owned(), "/data/".to_owned()]);
        let mounts = spec.body.host_config.unwrap_or_default().mounts;
        let mounts = mounts.unwrap_or_default();
        let shown: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.target.as_deref(), mount.source.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [(Some("/base"), Some("base")), (Some("/data"), None)]
        );
        let options = mounts[1].volume_options.clone().unwrap_or_default();
        assert_eq!((options.labels, options.no_copy), (Some(labels), None));
    }

    #[test]
    fn limits_allow_no_swap_and_enough_shared_memory() {
        let spec = Spec::script("i", "i", "", Vec::new()).limits(&Limits {
            cpus: Some(1.5),
            memory_bytes: Some(1 << 28),
            shm_bytes: None,
        });
        let host = spec.body.host_config.unwrap_or_default();
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.memory_swap, host.memory);
        assert_eq!(host.shm_size, Some(1 << 30));
    }
}
