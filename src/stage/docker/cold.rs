//! Takes a running stage's files out of the kernel's memory, from within its container.

use super::container::Container;
use super::engine::Engine;
use super::exec::ContainerTools;
use crate::stage::{Endpoint, Tools};
use crate::{Error, Result};

/// Drops every page of the data that the kernel has.
pub(super) async fn chill(
    engine: &Engine,
    container: &Container,
    endpoint: &Endpoint,
) -> Result<()> {
    let tools = ContainerTools { engine, container };
    let script = ["-eu", "-c", include_str!("scripts/cold.sh")].map(str::to_owned);
    let output = tools.run(endpoint, "sh", &script, None).await?;
    match output.status {
        Some(0) => Ok(()),
        status => Err(Error::stage(format!(
            "a stage of the image `{}` cannot be made cold (status {})",
            container.image,
            status.unwrap_or(-1)
        ))
        .details(output.stderr)
        .help(
            "take an image with GNU coreutils (Alpine's have none), a local stage \
             (`--stage local`), or `--warmth as-is`",
        )),
    }
}
