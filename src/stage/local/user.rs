//! Who the server runs as: PostgreSQL refuses root, so root drops to another account.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, chown};

use crate::stage::NetworkFacts;
use crate::stage::enclosure::Enclosure;
use crate::{Error, Result};

/// The account that server programs run under, and that owns their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Some other account than ours: each program has to drop to it.
    dropped: bool,
}

impl Account {
    /// Ours, or, for root: the account named, else `postgres`, else `nobody`.
    pub fn choose(wanted: Option<&str>) -> Result<Self> {
        let ours = Uid::effective();
        if !ours.is_root() {
            let name = User::from_uid(ours)
                .ok()
                .flatten()
                .map_or_else(|| ours.to_string(), |user| user.name);
            if let Some(wanted) = wanted
                && wanted != name
            {
                return Err(Error::usage(format!(
                    "only root can run a server as `{wanted}`, and this is `{name}`"
                ))
                .help("unset `LOCKPROOF_PG_USER`"));
            }
            return Ok(Self {
                name,
                uid: ours.as_raw(),
                gid: Gid::effective().as_raw(),
                dropped: false,
            });
        }
        let candidates = match wanted {
            Some(wanted) => vec![wanted],
            None => vec!["postgres", "nobody"],
        };
        for candidate in &candidates {
            if let Ok(Some(user)) = User::from_name(candidate) {
                if user.uid.is_root() {
                    return Err(Error::usage("PostgreSQL does not run as root").help(
                        "set `LOCKPROOF_PG_USER` to an unprivileged account, such as `postgres`",
                    ));
                }
                return Ok(Self {
                    name: user.name,
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                    dropped: true,
                });
            }
        }
        Err(Error::stage(format!(
            "there is no account `{}` to run the server as, and PostgreSQL does not run as root",
            candidates.join("` or `")
        ))
        .help("create one with `useradd --system postgres`, or run lockproof as an ordinary user"))
    }

    /// The account's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program under this account, with nothing of our environment but the search path.
    ///
    /// `PGOPTIONS`, `PGDATA`, `PGPASSWORD` and their like of whoever called us must not reach it. As
    /// root, the standard library also clears the supplementary groups: a group such as `ssl-cert`
    /// that the account has at login is not there.
    pub(super) fn command(&self, program: &Path) -> tokio::process::Command {
        let mut command = self.bare(program);
        if self.dropped {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// The same, which reaches nothing but the sockets in these folders where the network is closed.
    pub(super) fn command_in(
        &self,
        program: &Path,
        network: &NetworkFacts,
        sockets: &[&Path],
    ) -> Result<tokio::process::Command> {
        if !network.is_closed() {
            return Ok(self.command(program));
        }
        let mut command = self.bare(program);
        let enclosure = Enclosure::new()
            .without_servers()
            // Only what is still root can make the namespaces.
            .under(self.dropped.then_some((self.uid, self.gid)));
        sockets
            .iter()
            .fold(enclosure, |enclosure, folder| enclosure.reaching(*folder))
            .around(&mut command)
            .map_err(|error| {
                Error::stage(format!(
                    "cannot close the network for `{}`",
                    program.display()
                ))
                .because(error)
            })?;
        Ok(command)
    }

    fn bare(&self, program: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program);
        command.env_clear();
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            // Ours may be a folder that the account cannot enter.
            .current_dir("/")
            // Ctrl-C on the terminal is for us; we then end our children in good order.
            .process_group(0);
        command
    }

    /// Hands a file or folder of ours to the account.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        if !self.dropped {
            return Ok(());
        }
        chown(
            path,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
        )
        .map_err(|error| {
            Error::stage(format!(
                "cannot give `{}` to the account `{}`",
                path.display(),
                self.name
            ))
            .because(error)
        })
    }

    /// True when the account can read this file, or this folder and every file in it.
    pub(super) async fn can_read(&self, path: &Path) -> bool {
        if !self.dropped {
            return true;
        }
        self.asks(
            r#"if [ -d "$1" ]; then for f in "$1"/*; do [ -r "$f" ] || exit 1; done; [ -x "$1" ]; else [ -r "$1" ]; fi"#,
            path,
        )
        .await
    }

    /// Refuses a folder that the account cannot pass through, naming the one in the way.
    pub(super) async fn must_enter(&self, folder: &Path, what: &str) -> Result<()> {
        if !self.dropped || self.asks(r#"[ -x "$1" ]"#, folder).await {
            return Ok(());
        }
        let obstacle = folder
            .ancestors()
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .find(|ancestor| !self.may_pass(ancestor))
            .map_or_else(|| folder.to_owned(), PathBuf::from);
        Err(Error::stage(format!(
            "the {what} `{}` cannot be reached by the account `{}`, which the server runs as: `{}` is closed to it",
            folder.display(),
            self.name,
            obstacle.display()
        ))
        .help(format!(
            "choose another folder with `--cache`, such as `/var/cache/lockproof`, or open that one with `chmod o+x {}`",
            obstacle.display()
        )))
    }

    /// True when the account can enter this folder.
    pub(super) async fn can_enter(&self, folder: &Path) -> bool {
        !self.dropped || self.asks(r#"[ -x "$1" ]"#, folder).await
    }

    /// Asks a shell of that account: mode bits alone know nothing of access lists and mounts.
    async fn asks(&self, question: &str, path: &Path) -> bool {
        self.command(Path::new("/bin/sh"))
            .args(["-c", question, "sh"])
            .arg(path)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .await
            .is_ok_and(|status| status.success())
    }

    /// What the mode bits say; only to name the folder that is in the way.
    fn may_pass(&self, folder: &Path) -> bool {
        let Ok(facts) = std::fs::metadata(folder) else {
            return false;
        };
        let mode = facts.permissions().mode();
        if facts.uid() == self.uid {
            mode & 0o100 != 0
        } else if facts.gid() == self.gid {
            mode & 0o010 != 0
        } else {
            mode & 0o001 != 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_never_the_server_s_account() {
        if !Uid::effective().is_root() {
            let account = Account::choose(None).expect("our own account");
            assert!(!account.dropped);
            return;
        }
        let refused = Account::choose(Some("root")).expect_err("root is refused");
        assert!(refused.to_string().contains("does not run as root"));
        let account = Account::choose(None).expect("postgres or nobody");
        assert!(account.dropped && account.uid != 0);
        let refused = Account::choose(Some("no-such-account-here")).expect_err("unknown");
        assert!(refused.to_string().contains("`no-such-account-here`"));
    }
}
