//! `checksums` of the description: what `sha256sum` said of the files when they were whole.
//!
//! A plain dump and a tar have no checksums of their own: a byte that changed on its way would be restored
//! without a word, as other data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::reading::Content;
use crate::stage::physical::unreadable;
use crate::stage::whole;
use crate::{Error, Result};

/// Compares what was read with the list; paths in it begin where the list lies.
pub(super) fn compare(list: &Path, contents: &BTreeMap<PathBuf, Content>) -> Result<()> {
    let text = whole::text(list, whole::LIST).map_err(|error| unreadable(list, error))?;
    let folder = list.parent().unwrap_or_else(|| Path::new(""));
    let mut listed = BTreeMap::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        // `digest  name`, or `digest *name` of a file read as binary.
        let (digest, name) = line
            .split_once(' ')
            .filter(|(digest, _)| {
                digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit())
            })
            .ok_or_else(|| {
                Error::usage(format!(
                    "`{}`, line {}: no SHA-256 and a name",
                    list.display(),
                    number + 1
                ))
                .help("write it with `sha256sum FILE… > SHA256SUMS`")
            })?;
        let name = name.strip_prefix([' ', '*']).unwrap_or(name);
        let name = name.strip_prefix("./").unwrap_or(name);
        listed.insert(folder.join(name), digest.to_ascii_lowercase());
    }
    for (path, content) in contents {
        match listed.get(path) {
            Some(digest) if *digest == content.digest => {}
            Some(_) => {
                return Err(Error::stage(format!(
                    "`{}` is not what it was when `{}` was written: its SHA-256 is another",
                    path.display(),
                    list.display()
                ))
                .help("copy or take it again; where it was changed on purpose, write its checksum anew"));
            }
            None => {
                return Err(Error::usage(format!(
                    "`{}` has no line for `{}`",
                    list.display(),
                    path.display()
                ))
                .help("write it with `sha256sum FILE… > SHA256SUMS`, beside `snapshot.toml`"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_to_be_listed_and_to_be_what_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("SHA256SUMS");
        let digest = "ab".repeat(32);
        let content = Content {
            length: 1,
            digest: digest.clone(),
        };
        let contents = [(folder.path().join("dump/1.dat"), content)].into();
        let said = |text: String| {
            std::fs::write(&list, text).expect("written");
            compare(&list, &contents).map_err(|error| error.story())
        };
        assert_eq!(said(format!("{digest}  ./dump/1.dat\n")), Ok(()));
        assert_eq!(
            said(format!("{}  x\n{digest} *dump/1.dat\n", "cd".repeat(32))),
            Ok(())
        );
        for (text, words) in [
            (
                format!("{}  dump/1.dat\n", "cd".repeat(32)),
                "its SHA-256 is another",
            ),
            (format!("{digest}  dump/2.dat\n"), "has no line for"),
            ("nonsense\n".to_owned(), "line 1: no SHA-256"),
        ] {
            let story = said(text).expect_err(words);
            assert!(story.contains(words), "{story}");
        }
    }
}
