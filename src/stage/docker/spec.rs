//! What a container is to be made of.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType, MountVolumeOptions,
    PortBinding,
};

use super::engine::{Engine, Reach};
use super::limits::Limits;
use crate::stage::Network;

const PRELUDE: &str = include_str!("scripts/prelude.sh");

/// The port of the server inside its container.
pub(super) const PORT: &str = "5432/tcp";

/// Parallel queries share memory through /dev/shm, and the engine's 64 MB make them fail. It is a
/// limit, not a reservation.
const SHM_BYTES: i64 = 1 << 30;

/// A container to be made.
pub(super) struct Spec {
    /// The image's name, for errors.
    pub(super) image: String,
    pub(super) body: ContainerCreateBody,
    pub(super) name: Option<String>,
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
                    // What a snapshot or a migration connects to is production more often than not.
                    network_mode: Some("none".to_owned()),
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
    pub(super) fn own_volumes(mut self, declared: &[String]) -> Self {
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

    /// Mounts a folder of the engine's machine.
    pub(super) fn folder(mut self, source: Option<&Path>, target: &str) -> Self {
        if let Some(source) = source {
            let host = self.body.host_config.get_or_insert_default();
            host.mounts.get_or_insert_default().push(Mount {
                target: Some(target.to_owned()),
                source: Some(source.display().to_string()),
                typ: Some(MountType::BIND),
                ..Mount::default()
            });
        }
        self
    }

    /// Where the network is open: on the engine's usual one, with the server's port published under a number that the
    /// engine picks.
    pub(super) fn network(self, engine: &Engine, network: Network) -> Self {
        match network {
            Network::Closed => self,
            Network::Open => self.published(engine),
        }
    }

    fn published(mut self, engine: &Engine) -> Self {
        let address = match engine.reach {
            Reach::Here | Reach::Tunnel(_) => "127.0.0.1",
            // Which of its addresses leads here, only its own network knows. The server's password is
            // random, and nobody is let in without.
            Reach::Network(_) => "",
        };
        self.body.exposed_ports = Some(vec![PORT.to_owned()]);
        let host = self.body.host_config.get_or_insert_default();
        host.network_mode = None;
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

#[cfg(test)]
mod tests {
    use super::*;

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
