//! `[source] kind = "hooks"`: programs that make and end a server that holds the data.

use std::path::Path;
use std::time::Duration;

use super::manifest::{Defect, Keys};
use crate::config::units;
use crate::config::vars::is_name;
use crate::stage::hooked::Hooks;
use crate::{Error, Result};

/// How long a hook may take unless the description says otherwise.
const TIMEOUT: Duration = Duration::from_secs(600);

pub(super) fn parse(keys: &Keys<'_>) -> Result<Hooks, Defect> {
    keys.only(&["kind", "provision", "teardown", "timeout", "env", "confirm"])?;
    let program = |key: &str| -> Result<Vec<String>, Defect> {
        let words = keys.strings(key)?.unwrap_or_default();
        if words
            .first()
            .is_none_or(|program| program.trim().is_empty())
        {
            return Err(Defect::new(format!("`source.{key}` names no program")).help(
                "write `provision = [\"./clone.sh\"]` and `teardown = [\"./drop.sh\"]`, each with its arguments",
            ));
        }
        Ok(words)
    };
    let timeout = match keys.string("timeout")? {
        None => TIMEOUT,
        Some(text) => units::duration(&text).map_err(|unfit| {
            Defect::new(format!("`source.timeout` {}", unfit.message)).help(unfit.help)
        })?,
    };
    let environment = keys.texts("env")?;
    if let Some(name) = environment.keys().find(|name| !is_name(name)) {
        return Err(
            Defect::new(format!("`source.env.{name}` is not a valid name"))
                .help("a name has letters, digits and `_`, and no digit first"),
        );
    }
    Ok(Hooks {
        provision: program("provision")?,
        teardown: program("teardown")?,
        timeout,
        environment,
        confirmation: keys.string("confirm")?,
    })
}

/// Refuses programs beside the description that are not there.
pub(super) fn refuse_missing(hooks: &Hooks, folder: &Path) -> Result<()> {
    for (key, words) in [
        ("provision", &hooks.provision),
        ("teardown", &hooks.teardown),
    ] {
        let program = &words[0];
        if program.contains('/') && !folder.join(program).is_file() {
            return Err(Error::usage(format!(
                "`source.{key}` names `{program}`, which is not in `{}`",
                folder.display()
            ))
            .help("a path is relative to the folder of `snapshot.toml`; a name without `/` is looked for in `PATH`"));
        }
    }
    Ok(())
}
