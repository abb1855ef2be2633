//! How large each item's data is in an archive, and how many times that when it is unpacked.
//!
//! For progress only: what cannot be read counts as nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;

use super::course::Size;
use super::toc::{self, Compression, Data, Toc};

/// How much of an item is unpacked to see how many times as large it becomes.
const SAMPLE: usize = 256 * 1024;

/// How many items are looked into, the largest first: each takes some milliseconds.
const SAMPLES: usize = 40;

/// What nobody has looked into, and LZ4.
const USUAL: f64 = 3.0;

/// The sizes by item.
pub(super) fn sizes(path: &Path, toc: &Toc) -> BTreeMap<i64, Size> {
    let stored = if path.is_dir() {
        files(path, toc)
    } else if toc
        .items
        .iter()
        .any(|item| matches!(item.data, Data::Member(_)))
    {
        members(path, toc).unwrap_or_default()
    } else {
        ranges(path, toc)
    };
    let mut largest: Vec<(&i64, &u64)> = stored.iter().collect();
    largest.sort_by(|a, b| b.1.cmp(a.1));
    let mut unpacks: BTreeMap<i64, f64> = BTreeMap::new();
    if toc.compression != Compression::None {
        for (id, _) in largest.into_iter().take(SAMPLES) {
            unpacks.extend(sample(path, toc, *id).map(|times| (*id, times)));
        }
    }
    let other = match (toc.compression, unpacks.len()) {
        (Compression::None, _) => 1.0,
        (_, 0) => USUAL,
        (_, count) => unpacks.values().sum::<f64>() / count as f64,
    };
    let size = |(id, stored)| {
        let unpacks = unpacks.get(&id).copied().unwrap_or(other);
        (id, Size { stored, unpacks })
    };
    stored.into_iter().map(size).collect()
}

/// A folder has a file for each.
fn files(folder: &Path, toc: &Toc) -> BTreeMap<i64, u64> {
    let length = |name: &str| {
        Some(
            std::fs::metadata(folder.join(on_disk(folder, name)?))
                .ok()?
                .len(),
        )
    };
    let size = |item: &toc::Item| match &item.data {
        Data::Member(name) => Some((item.id, length(name)?)),
        _ => None,
    };
    toc.items.iter().filter_map(size).collect()
}

/// The name that a file of a folder has, packed or not.
fn on_disk(folder: &Path, name: &str) -> Option<String> {
    ["", ".gz", ".zst", ".lz4"]
        .iter()
        .map(|end| format!("{name}{end}"))
        .find(|name| folder.join(name).is_file())
}

/// A tar has a member for each, never packed.
fn members(path: &Path, toc: &Toc) -> Result<BTreeMap<i64, u64>> {
    let mut lengths = BTreeMap::new();
    let mut archive = tar::Archive::new(File::open(path)?);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        lengths.insert(entry.path()?.display().to_string(), entry.size());
    }
    let size = |item: &toc::Item| match &item.data {
        Data::Member(name) => Some((item.id, *lengths.get(name)?)),
        _ => None,
    };
    Ok(toc.items.iter().filter_map(size).collect())
}

/// A custom archive says where each begins: it ends where the next one does.
fn ranges(path: &Path, toc: &Toc) -> BTreeMap<i64, u64> {
    let mut begins: Vec<(u64, i64)> = toc
        .items
        .iter()
        .filter_map(|item| match item.data {
            Data::At(offset) => Some((offset, item.id)),
            _ => None,
        })
        .collect();
    begins.sort_unstable();
    let length = std::fs::metadata(path).map_or(0, |facts| facts.len());
    let ends = begins.iter().skip(1).map(|(offset, _)| *offset);
    let ends: Vec<u64> = ends.chain([length]).collect();
    begins
        .into_iter()
        .zip(ends)
        .map(|((begin, id), end)| (id, end.saturating_sub(begin)))
        .collect()
}

/// How many times as large an item becomes, by its first bytes.
fn sample(path: &Path, toc: &Toc, id: i64) -> Option<f64> {
    let item = toc.items.iter().find(|item| item.id == id)?;
    let mut packed = Vec::new();
    match &item.data {
        Data::At(offset) => {
            let mut file = File::open(path).ok()?;
            file.seek(SeekFrom::Start(*offset)).ok()?;
            packed = toc::data_begins(file, toc.int_size, SAMPLE).ok()?;
        }
        Data::Member(name) if path.is_dir() => {
            let file = File::open(path.join(on_disk(path, name)?)).ok()?;
            file.take(SAMPLE as u64).read_to_end(&mut packed).ok()?;
        }
        _ => return None,
    }
    let folder = path.is_dir();
    let mut unpacked: Box<dyn Read + '_> = match toc.compression {
        Compression::Gzip if folder => Box::new(flate2::read::MultiGzDecoder::new(&packed[..])),
        Compression::Gzip => Box::new(flate2::read::ZlibDecoder::new(&packed[..])),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(&packed[..]).ok()?),
        Compression::None | Compression::Other => return None,
    };
    // It is cut off: what comes until then counts.
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    while let Ok(read @ 1..) = unpacked.read(&mut buffer) {
        length += read;
    }
    (length > 0).then(|| length as f64 / packed.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn item(id: i64, data: Data) -> toc::Item {
        toc::Item {
            id,
            data,
            ..toc::Item::default()
        }
    }

    fn rows() -> Vec<u8> {
        let line = |n: u32| format!("{n}\tuser {n}\t{}\n", n.wrapping_mul(2_654_435_761));
        (0..100_000).flat_map(|n| line(n).into_bytes()).collect()
    }

    fn about(size: Size, stored: u64, unpacked: usize) {
        assert_eq!(size.stored, stored);
        let times = unpacked as f64 / stored as f64;
        let off = (size.unpacks / times - 1.0).abs();
        assert!(off < 0.15, "{size:?}, in truth {times}");
    }

    #[test]
    fn a_folder_s_files_are_found_packed_or_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = rows();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(&rows).expect("packed");
        let packed = packed.finish().expect("packed");
        std::fs::write(folder.path().join("1.dat.gz"), &packed).expect("written");
        std::fs::write(folder.path().join("2.dat"), b"12345").expect("written");
        let toc = Toc {
            compression: Compression::Gzip,
            items: vec![
                item(1, Data::Member("1.dat".into())),
                item(2, Data::Member("2.dat".into())),
                item(3, Data::Member("3.dat".into())),
                item(4, Data::None),
            ],
            ..Toc::default()
        };
        let sizes = sizes(folder.path(), &toc);
        assert_eq!(sizes.keys().collect::<Vec<_>>(), [&1, &2]);
        about(sizes[&1], packed.len() as u64, rows.len());
        assert_eq!(sizes[&2].stored, 5);
    }

    #[test]
    fn a_custom_archive_s_items_end_where_the_next_begins() {
        let rows = rows();
        let mut packed =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(&rows).expect("packed");
        let packed = packed.finish().expect("packed");
        // A mark, the item's number, then pieces with their lengths, and an empty one.
        let int = |number: usize| {
            let mut bytes = vec![0];
            bytes.extend(u32::try_from(number).expect("small").to_le_bytes());
            bytes
        };
        let mut file = b"head".to_vec();
        file.extend([1]);
        file.extend(int(7));
        for piece in packed.chunks(4096) {
            file.extend(int(piece.len()));
            file.extend(piece);
        }
        file.extend(int(0));
        let end = file.len() as u64;
        file.extend(b"another");
        let path = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(path.path(), &file).expect("written");
        let toc = Toc {
            compression: Compression::Gzip,
            int_size: 4,
            items: vec![item(8, Data::At(end)), item(7, Data::At(4))],
            ..Toc::default()
        };
        let found = sizes(path.path(), &toc);
        about(found[&7], end - 4, rows.len());
        assert_eq!(found[&8].stored, 7);
        // Places that cannot be are nothing to fail on.
        let wrong = Toc {
            items: vec![item(9, Data::At(u64::MAX))],
            ..toc
        };
        assert_eq!(sizes(path.path(), &wrong)[&9].stored, 0);
    }
}
