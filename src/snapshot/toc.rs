//! The table of contents of `pg_dump`'s archives: read only for what helps, never required.
//!
//! The layout is that of `ReadHead` and `ReadToc` in PostgreSQL's `pg_backup_archiver.c`, for the
//! archive versions 1.12 (PostgreSQL 9.0) to 1.16 (17 and 18).

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Read, Result};

use super::needs::Needs;
use super::roles;

/// What an archive says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Toc {
    /// The full version of the server that was dumped.
    pub server: String,
    /// The full version of the `pg_dump` that wrote it.
    pub pg_dump: String,
    /// The roles that its statements name.
    pub roles: BTreeSet<String>,
    /// What it needs of the server.
    pub needs: Needs,
    /// `CREATE DATABASE` as `pg_dump` wrote it; empty where it did not.
    pub database: String,
    /// The owner of the database; empty where it is not told.
    pub database_owner: String,
    /// The settings of the database, as statements.
    pub properties: String,
    /// How its data is packed.
    pub compression: Compression,
    /// How many bytes its numbers have.
    pub int_size: u8,
    /// What it restores, in its order.
    pub items: Vec<Item>,
}

/// How an archive packs data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    #[default]
    None,
    /// zlib; in a folder with the head of gzip.
    Gzip,
    /// LZ4, or what is not known.
    Other,
    /// Zstandard.
    Zstd,
}

/// One thing that is restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// What the archive calls it by.
    pub id: i64,
    /// What it is, such as `TABLE DATA`.
    pub kind: String,
    /// Its name with its schema, as `pg_restore` tells it.
    pub name: String,
    /// The items that have to be there first.
    pub needs: Vec<i64>,
    /// Where its data lies.
    pub data: Data,
}

/// Where an item's data lies in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Data {
    /// It has none, or nobody knows.
    #[default]
    None,
    /// From this byte of the file on.
    At(u64),
    /// In a file of its own, of a folder or a tar.
    Member(String),
}

/// No text of a table of contents is longer; a damaged length must not take all memory.
const LONGEST: usize = 256 * 1024 * 1024;

/// `K_OFFSET_POS_SET`.
const OFFSET_IS_SET: u8 = 2;

/// Reads the head of an archive; an unknown version is an error like a damaged one.
pub(super) fn read(stream: impl Read) -> Result<Toc> {
    let mut reader = Reader {
        stream,
        int_size: 0,
        offset_size: 0,
    };
    if reader.bytes(5)? != *b"PGDMP" {
        return Err(bad("no archive"));
    }
    let version = (reader.byte()?, reader.byte()?);
    let _revision = reader.byte()?;
    if !((1, 12)..=(1, 16)).contains(&version) {
        return Err(bad("unknown archive version"));
    }
    reader.int_size = reader.byte()?;
    reader.offset_size = reader.byte()?;
    let format = reader.byte()?;
    let compression = if version >= (1, 15) {
        match reader.byte()? {
            0 => Compression::None,
            1 => Compression::Gzip,
            3 => Compression::Zstd,
            _ => Compression::Other,
        }
    } else {
        match reader.int()? {
            0 => Compression::None,
            _ => Compression::Gzip,
        }
    };
    for _ in 0..7 {
        let _created = reader.int()?;
    }
    let _database = reader.text()?;
    let mut toc = Toc {
        server: reader.text()?.unwrap_or_default(),
        pg_dump: reader.text()?.unwrap_or_default(),
        compression,
        int_size: reader.int_size,
        ..Toc::default()
    };
    for _ in 0..reader.int()? {
        let id = reader.int()?;
        let has_data = reader.int()? != 0;
        for _ in ["table oid", "oid"] {
            reader.text()?;
        }
        let tag = reader.text()?.unwrap_or_default();
        let kind = reader.text()?.unwrap_or_default();
        let _section = reader.int()?;
        let definition = reader.text()?.unwrap_or_default();
        for _ in ["drop", "copy"] {
            reader.text()?;
        }
        let name = match reader.text()?.filter(|schema| !schema.is_empty()) {
            Some(schema) => format!("{schema}.{tag}"),
            None => tag.clone(),
        };
        let _tablespace = reader.text()?;
        if version >= (1, 14) {
            let method = reader.text()?.filter(|method| !method.is_empty());
            toc.needs.access_methods.extend(method);
        }
        if version >= (1, 16) {
            let _relkind = reader.int()?;
        }
        if let Some(owner) = reader.text()?.filter(|owner| !owner.is_empty()) {
            if kind == "DATABASE" {
                toc.database_owner.clone_from(&owner);
            }
            let quoted = owner.replace('"', "\"\"");
            roles::mentioned(&format!("ALTER X OWNER TO \"{quoted}\""), &mut toc.roles);
        }
        if matches!(kind.as_str(), "ACL" | "DEFAULT ACL" | "POLICY") {
            for line in definition.lines() {
                roles::mentioned(line, &mut toc.roles);
            }
        }
        match kind.as_str() {
            "EXTENSION" => drop(toc.needs.extensions.insert(tag)),
            "TABLE" | "MATERIALIZED VIEW" | "INDEX" | "TYPE" | "DOMAIN" => {
                toc.needs.collations_of(&definition);
            }
            "DATABASE" => toc.database = definition,
            "DATABASE PROPERTIES" => {
                for line in definition.lines() {
                    roles::mentioned_by_properties(line, &mut toc.roles);
                }
                toc.properties = definition;
            }
            _ => {}
        }
        let _with_oids = reader.text()?;
        let mut needs = Vec::new();
        while let Some(id) = reader.text()? {
            needs.extend(id.parse::<i64>());
        }
        let data = match format {
            1 => match (reader.byte()?, reader.offset()?) {
                (OFFSET_IS_SET, offset) => Data::At(offset),
                _ => Data::None,
            },
            // Tar and directory.
            3 | 5 => reader.text()?.map_or(Data::None, Data::Member),
            _ => return Err(bad("unknown archive format")),
        };
        toc.items.push(Item {
            id,
            kind,
            name,
            needs,
            data: if has_data { data } else { Data::None },
        });
    }
    Ok(toc)
}

/// The first bytes of an item's data in a custom archive, packed as they are: pieces with their
/// lengths, behind a mark and the item's number.
pub(super) fn data_begins(stream: impl Read, int_size: u8, most: usize) -> Result<Vec<u8>> {
    let mut reader = Reader {
        stream,
        int_size,
        offset_size: 0,
    };
    let _mark = reader.byte()?;
    let _id = reader.int()?;
    let mut data = Vec::new();
    while data.len() < most {
        let length = usize::try_from(reader.int()?).map_err(|_| bad("a negative length"))?;
        if length == 0 {
            break;
        }
        data.extend(reader.bytes(length.min(most - data.len()))?);
    }
    Ok(data)
}

struct Reader<R> {
    stream: R,
    int_size: u8,
    offset_size: u8,
}

impl<R: Read> Reader<R> {
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream
            .by_ref()
            .take(count as u64)
            .read_to_end(&mut bytes)?;
        if bytes.len() == count {
            Ok(bytes)
        } else {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    /// A sign and the absolute value, least byte first.
    fn int(&mut self) -> Result<i64> {
        let negative = self.byte()? != 0;
        let mut value: i64 = 0;
        for (at, byte) in self.bytes(self.int_size.into())?.into_iter().enumerate() {
            if at < 7 {
                value |= i64::from(byte) << (8 * at);
            }
        }
        Ok(if negative { -value } else { value })
    }

    /// A place in the file, least byte first.
    fn offset(&mut self) -> Result<u64> {
        let bytes = self.bytes(self.offset_size.into())?;
        let low = bytes.into_iter().take(8).rev();
        Ok(low.fold(0, |offset, byte| offset << 8 | u64::from(byte)))
    }

    fn text(&mut self) -> Result<Option<String>> {
        let length = self.int()?;
        if length < 0 {
            return Ok(None);
        }
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LONGEST)
            .ok_or_else(|| bad("a length that cannot be"))?;
        let bytes = self.bytes(length)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn damage_is_an_error_and_never_a_panic(rest in proptest::collection::vec(0u8.., 0..400)) {
            let mut bytes = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
            bytes.extend(rest);
            let _ = read(&bytes[..]);
        }
    }
}
