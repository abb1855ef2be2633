//! Files of this machine for the tools: streamed as a tar, never whole in memory.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::base::MOUNT;
use super::container::Container;
use super::engine::Engine;
use super::lay::inside;
use crate::stage::physical::{Files, Piece, is_left_out, wal_name};
use crate::stage::{Unit, Watch};
use crate::{Error, Result};

/// In the base's volume: readable by the server and the tools, removed before the base is sealed.
const PLACED: &str = "/lockproof/base/placed";

/// What is on its way: 16 pieces of 256 KiB.
const PIECE: usize = 256 * 1024;
const PIECES: usize = 16;

/// Uploads a file or a folder; the path inside the container.
pub(super) async fn place(
    engine: &Engine,
    container: &Container,
    path: &Path,
    watch: &dyn Watch,
) -> Result<String> {
    let unreadable =
        |error: io::Error| Error::stage(format!("cannot read `{}`", path.display())).because(error);
    let name = path
        .canonicalize()
        .map_err(unreadable)?
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|| "root".to_owned());
    // Apart from each other: two folders may have the same name.
    let folder = format!("{:016x}", rand::random::<u64>());
    let inside = format!("{folder}/{name}");

    let source = path.to_owned();
    let entries = {
        let (source, inside) = (source.clone(), inside.clone());
        tokio::task::spawn_blocking(move || collect(&source, Path::new(&inside)))
            .await
            .map_err(|error| Error::defect("listing files failed").because(error))?
            .map_err(unreadable)?
    };
    let total = entries.iter().map(|entry| entry.size).sum::<u64>();
    watch.measured(&format!("taking `{name}` into the container"), Unit::Bytes);
    let packing = move |sender: &Sender, count: &Sent| pack(&folder, &entries, sender, count);
    match upload(engine, container, PLACED, total, packing, watch).await? {
        Uploaded::Whole => Ok(format!("{PLACED}/{inside}")),
        Uploaded::Unreadable(error) => Err(unreadable(error)),
        Uploaded::Refused(error) => Err(engine.failed(
            &format!("take `{}` into the container", path.display()),
            error,
        )),
    }
}

/// Uploads a physical snapshot as the folder `data` of the base: its files, or what is in its archives.
pub(super) async fn lay(
    engine: &Engine,
    container: &Container,
    files: Files,
    watch: &dyn Watch,
) -> Result<()> {
    let total = files.bytes();
    let packing = move |sender: &Sender, count: &Sent| pack_files(&files, sender, count);
    match upload(engine, container, MOUNT, total, packing, watch).await? {
        Uploaded::Whole => Ok(()),
        Uploaded::Unreadable(error) => Err(Error::stage(
            "the physical snapshot cannot be read to its end",
        )
        .because(error)
        .help("copy or take it again, and compare its size with the original's")),
        Uploaded::Refused(error) => {
            Err(engine.failed("take the physical snapshot into the container", error))
        }
    }
}

/// Where pieces of an archive go.
type Sender = mpsc::Sender<io::Result<Bytes>>;

/// Bytes of files that were packed.
pub(super) type Sent = Arc<AtomicU64>;

/// How an upload ended.
enum Uploaded {
    Whole,
    /// A file of ours could not be read.
    Unreadable(io::Error),
    /// The engine did not take it.
    Refused(bollard::errors::Error),
}

/// Streams what `pack` packs into a folder of the container.
async fn upload(
    engine: &Engine,
    container: &Container,
    folder: &str,
    total: u64,
    pack: impl FnOnce(&Sender, &Sent) -> io::Result<()> + Send + 'static,
    watch: &dyn Watch,
) -> Result<Uploaded> {
    watch.advance(0, Some(total));
    let (sender, receiver) = mpsc::channel(PIECES);
    let sent = Sent::default();
    let count = Arc::clone(&sent);
    // Ends by itself when the request is dropped: its next piece is not taken.
    let packing = tokio::task::spawn_blocking(move || pack(&sender, &count));
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let options = UploadToContainerOptionsBuilder::default()
        .path(folder)
        .build();
    let api = engine.unhurried();
    let upload =
        api.upload_to_container(&container.id, Some(options), bollard::body_try_stream(body));
    tokio::pin!(upload);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let uploaded = loop {
        tokio::select! {
            uploaded = &mut upload => break uploaded,
            _ = tick.tick() => watch.advance(sent.load(Ordering::Relaxed), Some(total)),
        }
    };
    let packed = packing
        .await
        .map_err(|error| Error::defect("packing files failed").because(error))?;
    // A file that cannot be read breaks the upload too: the first cause is the one to tell. A
    // broken pipe is the other way around.
    Ok(match (packed, uploaded) {
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => Uploaded::Unreadable(error),
        (_, Err(error)) => Uploaded::Refused(error),
        (Err(error), Ok(())) => Uploaded::Unreadable(error),
        (Ok(()), Ok(())) => {
            watch.advance(total, Some(total));
            Uploaded::Whole
        }
    })
}

/// Every member as the folder `data`, and archived WAL beside it.
fn pack_files(files: &Files, sender: &Sender, count: &Sent) -> io::Result<()> {
    let mut archive = tar::Builder::new(Pipe {
        sender: sender.clone(),
        piece: Vec::with_capacity(PIECE),
    });
    let packed = (|| {
        archive.append_data(
            &mut header(tar::EntryType::Directory, 0),
            "data",
            io::empty(),
        )?;
        for piece in &files.pieces {
            match piece {
                Piece::Folder(folder) => {
                    for entry in collect(folder, Path::new(""))? {
                        if entry.inside.as_os_str().is_empty() || is_left_out(&entry.inside) {
                            continue;
                        }
                        append(&mut archive, &inside(&entry.inside), &entry, count)?;
                    }
                }
                Piece::Archive { file, to } => Files::members(file, to, |member| {
                    let path = inside(&member.path);
                    match member.content {
                        None => archive.append_data(
                            &mut header(tar::EntryType::Directory, 0),
                            path,
                            io::empty(),
                        ),
                        Some((size, content)) => {
                            count.fetch_add(size, Ordering::Relaxed);
                            archive.append_data(
                                &mut header(tar::EntryType::Regular, size),
                                path,
                                content,
                            )
                        }
                    }
                })?,
            }
        }
        if let Some(wal) = &files.wal {
            archive.append_data(
                &mut header(tar::EntryType::Directory, 0),
                "wal",
                io::empty(),
            )?;
            for entry in std::fs::read_dir(wal)? {
                let path = entry?.path();
                let Some(name) = wal_name(&path) else {
                    continue;
                };
                // A segment has 1 GiB at the most.
                let segment = crate::stage::physical::archive::open(&path)?;
                let content = crate::stage::whole::of(segment, crate::stage::whole::SQL)?;
                let mut header = header(tar::EntryType::Regular, content.len() as u64);
                archive.append_data(
                    &mut header,
                    Path::new("wal").join(name),
                    content.as_slice(),
                )?;
            }
        }
        archive.finish()?;
        archive.get_mut().flush()
    })();
    broken_off(&packed, sender);
    packed
}

/// Breaks the upload off instead of letting half an archive pass for a whole one.
fn broken_off(packed: &io::Result<()>, sender: &Sender) {
    if let Err(error) = packed {
        sender
            .blocking_send(Err(io::Error::new(error.kind(), error.to_string())))
            .ok();
    }
}

fn append(
    archive: &mut tar::Builder<Pipe>,
    path: &Path,
    entry: &Entry,
    count: &Sent,
) -> io::Result<()> {
    if entry.is_folder {
        return archive.append_data(&mut header(tar::EntryType::Directory, 0), path, io::empty());
    }
    let file = Exactly {
        file: File::open(&entry.source)?,
        left: entry.size,
        count,
    };
    archive.append_data(&mut header(tar::EntryType::Regular, entry.size), path, file)
}

/// One file or folder to pack.
struct Entry {
    source: PathBuf,
    inside: PathBuf,
    is_folder: bool,
    size: u64,
}

/// The file, or the folder and everything below. Links are followed: their targets are not inside.
fn collect(source: &Path, inside: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut open = vec![(source.to_owned(), inside.to_owned(), 0)];
    while let Some((source, inside, depth)) = open.pop() {
        if depth > 64 {
            return Err(io::Error::other(format!(
                "`{}` is too deep: a link that leads to its own folder?",
                source.display()
            )));
        }
        let metadata: Metadata = source.metadata()?;
        if metadata.is_dir() {
            let mut below = std::fs::read_dir(&source)?.collect::<io::Result<Vec<_>>>()?;
            below.sort_by_key(std::fs::DirEntry::file_name);
            open.extend(
                below
                    .into_iter()
                    .rev()
                    .map(|entry| (entry.path(), inside.join(entry.file_name()), depth + 1)),
            );
        }
        entries.push(Entry {
            is_folder: metadata.is_dir(),
            size: if metadata.is_dir() { 0 } else { metadata.len() },
            source,
            inside,
        });
    }
    Ok(entries)
}

fn pack(
    folder: &str,
    entries: &[Entry],
    sender: &mpsc::Sender<io::Result<Bytes>>,
    count: &Arc<AtomicU64>,
) -> io::Result<()> {
    let mut archive = tar::Builder::new(Pipe {
        sender: sender.clone(),
        piece: Vec::with_capacity(PIECE),
    });
    let packed = (|| {
        archive.append_data(
            &mut header(tar::EntryType::Directory, 0),
            folder,
            io::empty(),
        )?;
        for entry in entries {
            append(&mut archive, &entry.inside, entry, count)?;
        }
        archive.finish()?;
        archive.get_mut().flush()
    })();
    broken_off(&packed, sender);
    packed
}

/// Readable by all who can reach the folder above, which is the user `postgres` alone.
fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// As many bytes as the header promised, no more and no less.
struct Exactly<'a> {
    file: File,
    left: u64,
    count: &'a AtomicU64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let length = self.file.read(&mut buffer[..room])?;
        if length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        self.left -= length as u64;
        self.count.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Hands pieces to the request, waiting for it.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(entries: &[Entry]) -> io::Result<Vec<u8>> {
        let (sender, mut receiver) = mpsc::channel(1024);
        pack("f", entries, &sender, &Arc::default())?;
        drop(sender);
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }

    #[test]
    fn a_folder_is_packed_readable_with_its_links_followed() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let secret = folder.path().join("a.sql");
        std::fs::write(&secret, "select 1")?;
        std::fs::create_dir(folder.path().join("deep"))?;
        std::os::unix::fs::symlink(&secret, folder.path().join("deep/link.sql"))?;
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600))?;

        let archive = unpack(&collect(folder.path(), Path::new("f/x"))?)?;
        let mut seen = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries()? {
            let mut entry = entry?;
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            let path = entry.path()?.display().to_string();
            seen.push(format!("{path} {:o} {text}", entry.header().mode()?));
        }
        assert_eq!(
            seen,
            [
                "f 755 ",
                "f/x 755 ",
                "f/x/a.sql 644 select 1",
                "f/x/deep 755 ",
                "f/x/deep/link.sql 644 select 1",
            ]
        );
        Ok(())
    }

    #[test]
    fn half_a_file_does_not_pass_for_a_whole_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("a");
        std::fs::write(&file, "short")?;
        let entry = Entry {
            source: file,
            inside: PathBuf::from("f/a"),
            is_folder: false,
            size: 9,
        };
        let error = unpack(&[entry]).err();
        assert_eq!(
            error.map(|error| error.kind()),
            Some(io::ErrorKind::UnexpectedEof)
        );
        Ok(())
    }
}
