//! Images: present, pulled, or an error that says how to get one.

use std::collections::HashMap;

use bollard::errors::Error as EngineError;
use bollard::models::{CreateImageInfo, ImageConfig};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{Stream, StreamExt};

use super::container;
use super::engine::{Engine, is_absent, is_lost, reason};
use super::owner;
use super::spec::Spec;
use crate::stage::{Unit, Watch};
use crate::{Error, Result};

/// An image that has a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// The name that was asked for.
    pub name: String,
    /// The digest; a tag may move, this does not.
    pub id: String,
    /// The major version of its server.
    pub postgres_major: u32,
    /// The entrypoint to go through, where it makes a data folder as the official image does.
    pub(super) entrypoint: Option<Vec<String>>,
    /// Whether it brings its own arguments for `initdb`.
    pub(super) own_initdb_args: bool,
}

/// The image, if the engine has it.
pub(super) async fn find(engine: &Engine, image: &str) -> Result<Option<ImageInfo>> {
    let inspected = match engine.api.inspect_image(image).await {
        Ok(inspected) => inspected,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(engine.failed(&format!("look for the image `{image}`"), error)),
    };
    let id = inspected.id.unwrap_or_else(|| image.to_owned());
    let config = inspected.config.unwrap_or_default();
    let environment = environment(&config);
    let postgres_major = match environment
        .get("PG_MAJOR")
        .and_then(|major| major_of(major))
    {
        Some(major) => major,
        None => probe(engine, image, &id).await?,
    };
    Ok(Some(ImageInfo {
        name: image.to_owned(),
        id,
        postgres_major,
        entrypoint: entrypoint(&config),
        own_initdb_args: environment.contains_key("POSTGRES_INITDB_ARGS"),
    }))
}

/// Whether the engine has it, whatever is in it.
pub(super) async fn exists(engine: &Engine, image: &str) -> Result<bool> {
    match engine.api.inspect_image(image).await {
        Ok(found) => Ok(is_called(image, &found.repo_tags.unwrap_or_default())),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(engine.failed(&format!("look for the image `{image}`"), error)),
    }
}

/// Whether one of its names is that one: Podman also finds `postgres:17` where there is only a
/// `somebody/postgres:17`, and that is another image.
fn is_called(image: &str, names: &[String]) -> bool {
    let wanted = short(image);
    names.iter().any(|name| short(name) == wanted)
}

/// Without what engines put in front of a name that says no registry.
fn short(name: &str) -> &str {
    ["docker.io/library/", "docker.io/", "localhost/"]
        .iter()
        .find_map(|registry| name.strip_prefix(registry))
        .unwrap_or(name)
}

/// Present, or pulled.
pub(super) async fn ensure(engine: &Engine, image: &str, watch: &dyn Watch) -> Result<ImageInfo> {
    if let Some(found) = find(engine, image).await? {
        return Ok(found);
    }
    watch.measured(&format!("pulling the image `{image}`"), Unit::Bytes);
    let options = CreateImageOptionsBuilder::default()
        .from_image(&with_tag(image))
        .build();
    let progress = engine.api.create_image(Some(options), None, None);
    engine
        .attended(follow(progress, engine, image, watch))
        .await??;
    find(engine, image)
        .await?
        .ok_or_else(|| unavailable(image, "it was pulled, but is not there"))
}

/// Tells how far a pull is, to its end. A registry that stalls is waited for, as Docker's own client does.
async fn follow(
    progress: impl Stream<Item = std::result::Result<CreateImageInfo, EngineError>>,
    engine: &Engine,
    image: &str,
    watch: &dyn Watch,
) -> Result<()> {
    tokio::pin!(progress);
    let mut is_retrying = false;
    // None until the engine tells a layer's size: before it knows all, there is no total.
    let mut layers: HashMap<String, Option<(u64, u64)>> = HashMap::new();
    while let Some(message) = progress.next().await {
        let message = message.map_err(|error| match &error {
            lost if is_lost(lost) => engine.failed(&format!("pull the image `{image}`"), error),
            told => unavailable(image, &reason(told)),
        })?;
        // An unpacked layer counts from zero again: only what comes over the wire is progress.
        let Some(layer) = message.id else {
            continue;
        };
        match (message.status.as_deref(), message.progress_detail) {
            (Some("Pulling fs layer"), _) => drop(layers.insert(layer, None)),
            (Some("Downloading"), Some(detail)) => {
                let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
                let done = bytes(detail.current).unwrap_or(0);
                layers.insert(layer, Some((done, bytes(detail.total).unwrap_or(done))));
                let done = layers.values().flatten().map(|(done, _)| done).sum();
                let total: Option<u64> = layers.values().map(|layer| Some((*layer)?.1)).sum();
                watch.advance(done, total);
                if std::mem::take(&mut is_retrying) {
                    watch.detail("");
                }
            }
            (Some("Extracting"), _) => watch.detail("unpacking"),
            (Some(status), _) if status.starts_with("Retrying") => {
                watch.detail("the registry broke off, the engine tries again");
                is_retrying = true;
            }
            _ => {}
        }
    }
    Ok(())
}

/// An image that is neither here nor can be had.
pub(super) fn unavailable(image: &str, why: &str) -> Error {
    let make = image
        .strip_prefix("lockproof/postgres:")
        .map(|major| format!(", make it (`make image PG={major}`)"))
        .unwrap_or_else(|| {
            ", make one (`make image PG=17`, then --image lockproof/postgres:17)".to_owned()
        });
    Error::stage(format!(
        "the image `{image}` is not on this machine and cannot be pulled: {why}"
    ))
    .help(format!(
        "pull it by hand (`docker pull {image}`){make}, name another with --image, or use --stage local"
    ))
}

/// An image that lockproof cannot use.
pub(super) fn without_server(image: &str) -> Error {
    Error::stage(format!("the image `{image}` has no PostgreSQL server")).help(
        "name an image with --image that has `postgres`, `initdb` and a shell, such as `postgres:17`",
    )
}

/// Asks the server binary itself, in a container of a moment.
async fn probe(engine: &Engine, image: &str, id: &str) -> Result<u32> {
    let spec = Spec::script(image, id, include_str!("scripts/probe.sh"), Vec::new())
        .labels(owner::labels("probe", ""));
    let lines = container::run_to_end(engine, spec).await?;
    lines
        .iter()
        .find_map(|line| major_of(line.split("(PostgreSQL)").nth(1)?))
        .ok_or_else(|| without_server(image).details(lines))
}

/// The image's entrypoint, when it is the official one or one that goes through it: descendants of
/// the official image rely on `/docker-entrypoint-initdb.d` being run.
fn entrypoint(config: &ImageConfig) -> Option<Vec<String>> {
    let words = config.entrypoint.as_ref()?;
    words
        .iter()
        .any(|word| word.rsplit('/').next() == Some("docker-entrypoint.sh"))
        .then(|| words.clone())
}

fn environment(config: &ImageConfig) -> HashMap<&str, &str> {
    config
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.split_once('='))
        .collect()
}

/// The leading number of a version.
fn major_of(version: &str) -> Option<u32> {
    let version = version.trim();
    let end = version
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(version.len());
    version[..end].parse().ok()
}

/// Without a tag the engine would pull every tag that there is.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_names() {
        assert_eq!(major_of(" 17.11 (Debian 17.11-0+deb13u1)"), Some(17));
        assert_eq!(major_of("18beta1"), Some(18));
        assert_eq!(major_of("devel"), None);
        assert_eq!(with_tag("postgres"), "postgres:latest");
        assert_eq!(with_tag("postgres:17"), "postgres:17");
        assert_eq!(with_tag("here:5000/postgres"), "here:5000/postgres:latest");
        assert_eq!(with_tag("postgres@sha256:00"), "postgres@sha256:00");
    }

    #[test]
    fn an_image_goes_by_its_own_names_only() {
        let called = |image: &str, name: &str| is_called(image, &[name.to_owned()]);
        assert!(called("postgres:17", "postgres:17"));
        assert!(called("postgres:17", "docker.io/library/postgres:17"));
        assert!(called(
            "lockproof/postgres:17",
            "localhost/lockproof/postgres:17"
        ));
        assert!(called("docker.io/library/postgres:17", "postgres:17"));
        assert!(!called("postgres:17", "localhost/lockproof/postgres:17"));
        assert!(!called("postgres:17", "postgres:15"));
    }

    #[test]
    fn the_official_entrypoint_is_recognised_behind_an_init() {
        let config = |words: &[&str]| ImageConfig {
            entrypoint: Some(words.iter().map(|&word| word.to_owned()).collect()),
            ..ImageConfig::default()
        };
        assert!(entrypoint(&config(&["docker-entrypoint.sh"])).is_some());
        assert!(
            entrypoint(&config(&[
                "/tini",
                "--",
                "/usr/local/bin/docker-entrypoint.sh"
            ]))
            .is_some()
        );
        assert!(entrypoint(&config(&["/opt/bitnami/entrypoint.sh"])).is_none());
        assert!(entrypoint(&ImageConfig::default()).is_none());
    }

    #[test]
    fn a_missing_image_names_the_ways_out() {
        insta::assert_snapshot!(
            unavailable("lockproof/postgres:17", "connection refused").story(),
            @"
        the image `lockproof/postgres:17` is not on this machine and cannot be pulled: connection refused
          help: pull it by hand (`docker pull lockproof/postgres:17`), make it (`make image PG=17`), name another with --image, or use --stage local
        "
        );
    }
}
