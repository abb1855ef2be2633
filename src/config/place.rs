//! Where a path leads, so that two names of one file are known for one: links are followed, and hard links, a folder
//! under another name and a name in other letters are told by the file's number.

use std::fs::Metadata;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// As many links as the kernel follows.
const MOST_LINKS: u32 = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file itself, behind every link.
    pub path: PathBuf,
    /// What is there.
    pub kind: Kind,
    /// Device and number of what is there; None: nothing, or a terminal and the like, which many share.
    node: Option<(u64, u64)>,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing yet; its folder is there.
    Nothing,
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A disk.
    Disk,
    /// A pipe, a terminal, a device, or what this process has open already: it cannot be replaced, only written to.
    Channel,
}

impl Place {
    /// Looks at it.
    ///
    /// # Errors
    ///
    /// If its folder does not exist or cannot be looked into, and if links lead round.
    pub fn of(path: &Path) -> Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Some(name) = path.file_name() else {
                // `/`, and what ends in `..`.
                let path = path.canonicalize()?;
                let node = node(&path.metadata()?);
                return Ok(Self {
                    path,
                    kind: Kind::Folder,
                    node,
                });
            };
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            }
            .canonicalize()?;
            let full = folder.join(name);
            // Its links are no paths: `pipe:[4711]`.
            let open_already = holds_open_files(&folder);
            let facts = if open_already {
                std::fs::metadata(&full)
            } else {
                std::fs::symlink_metadata(&full)
            };
            let facts = match facts {
                Ok(facts) => facts,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Self {
                        path: full,
                        kind: Kind::Nothing,
                        node: None,
                    });
                }
                Err(error) => return Err(error),
            };
            if facts.is_symlink() {
                path = folder.join(std::fs::read_link(&full)?);
                continue;
            }
            let kind = match facts.file_type() {
                _ if open_already => Kind::Channel,
                kind if kind.is_file() => Kind::File,
                kind if kind.is_dir() => Kind::Folder,
                kind if kind.is_block_device() => Kind::Disk,
                _ => Kind::Channel,
            };
            return Ok(Self {
                path: full,
                kind,
                node: node(&facts),
            });
        }
        Err(Error::other("too many levels of symbolic links"))
    }

    /// True where both are one file.
    pub fn is(&self, other: &Self) -> bool {
        match (self.node, other.node) {
            (Some(one), Some(two)) => one == two,
            // What may be shared is shared: `/dev/null`.
            _ if self.kind == Kind::Channel => false,
            _ => self.path == other.path || self.differs_only_in_case(other),
        }
    }

    /// True if it is that folder or in it.
    pub fn is_within(&self, folder: &Self) -> bool {
        self.is(folder) || self.path.starts_with(&folder.path)
    }

    /// Two files that are not there yet are one where the folder takes `a` and `A` for the same.
    fn differs_only_in_case(&self, other: &Self) -> bool {
        let lower = |place: &Self| place.path.to_string_lossy().to_lowercase();
        self.node.is_none()
            && other.node.is_none()
            && self.path.parent() == other.path.parent()
            && lower(self) == lower(other)
            && self.path.parent().is_some_and(ignores_case)
    }
}

/// None for what has one number for many: terminals and other devices of characters, and sockets.
fn node(facts: &Metadata) -> Option<(u64, u64)> {
    let kind = facts.file_type();
    (!kind.is_char_device() && !kind.is_socket()).then(|| (facts.dev(), facts.ino()))
}

/// `/proc/PID/fd`, where `/dev/fd`, `/dev/stdout` and process substitution lead; elsewhere than on Linux, `/dev/fd`.
fn holds_open_files(folder: &Path) -> bool {
    folder == Path::new("/dev/fd") || (folder.starts_with("/proc") && folder.ends_with("fd"))
}

/// Asked of what is there: a name that has a letter is looked for in the other case.
fn ignores_case(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else {
        return false;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let other: String = name
            .chars()
            .map(|letter| match letter {
                'a'..='z' => letter.to_ascii_uppercase(),
                _ => letter.to_ascii_lowercase(),
            })
            .collect();
        if other == name {
            continue;
        }
        let number = |name: &str| std::fs::symlink_metadata(folder.join(name)).ok();
        return match (number(&name), number(&other)) {
            (Some(one), Some(two)) => (one.dev(), one.ino()) == (two.dev(), two.ino()),
            _ => false,
        };
    }
    cfg!(target_os = "macos")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn place(path: &Path) -> Place {
        Place::of(path).expect("a place")
    }

    #[test]
    fn a_file_is_known_under_each_of_its_names() {
        let room = tempfile::tempdir().expect("a folder");
        let at = |name: &str| room.path().join(name);
        std::fs::create_dir(at("b")).expect("made");
        std::fs::write(at("a"), "").expect("written");
        std::fs::write(at("other"), "").expect("written");
        std::fs::hard_link(at("a"), at("hard")).expect("linked");
        symlink("a", at("soft")).expect("linked");
        symlink("../soft", at("b/twice")).expect("linked");
        symlink(room.path(), at("b/folder")).expect("linked");
        let a = place(&at("a"));
        for name in ["hard", "soft", "b/twice", "b/folder/a", "b/../a", "./a"] {
            assert!(a.is(&place(&at(name))), "{name}");
        }
        for name in ["other", "b", "A", "b/a"] {
            assert!(!a.is(&place(&at(name))), "{name}");
        }
        assert!(a.is_within(&place(room.path())));
        assert!(place(&at("b/folder/new")).is_within(&place(room.path())));
        assert!(!a.is_within(&place(&at("b"))));
    }

    #[test]
    fn what_is_not_there_yet_has_a_place_too() {
        let room = tempfile::tempdir().expect("a folder");
        let at = |name: &str| room.path().join(name);
        symlink("new", at("dangling")).expect("linked");
        symlink("round", at("round")).expect("linked");
        let new = place(&at("new"));
        assert_eq!(new.kind, Kind::Nothing);
        assert!(new.is(&place(&at("dangling"))));
        assert!(!new.is(&place(&at("newer"))));
        assert!(Place::of(&at("round")).is_err());
        assert!(Place::of(&at("nowhere/new")).is_err());
    }

    #[test]
    fn what_cannot_be_replaced_is_a_channel() {
        let room = tempfile::tempdir().expect("a folder");
        let file = std::fs::File::create(room.path().join("a")).expect("made");
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        let open = place(Path::new(&format!("/dev/fd/{number}")));
        assert_eq!(open.kind, Kind::Channel);
        assert!(open.is(&place(&room.path().join("a"))));
        let null = place(Path::new("/dev/null"));
        assert_eq!(null.kind, Kind::Channel);
        assert!(!null.is(&null.clone()), "it takes everything");
        assert_eq!(place(room.path()).kind, Kind::Folder);
    }
}
