//! Packed files: how they are packed, by their content, and unpacking them on the way.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
    Lz4,
}

/// Opens a file and unpacks it on the way, if it is packed.
pub(crate) fn open(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut head)?;
    let raw = BufReader::with_capacity(256 * 1024, File::open(path)?);
    Ok(match packing(&head) {
        Packing::None => Box::new(raw),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
        Packing::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(raw)),
    })
}

fn packing(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        [0x04, 0x22, 0x4d, 0x18, ..] => Packing::Lz4,
        _ => Packing::None,
    }
}
