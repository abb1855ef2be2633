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
}

/// No text of a table of contents is longer; a damaged length must not take all memory.
const LONGEST: usize = 256 * 1024 * 1024;

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
    if version >= (1, 15) {
        let _algorithm = reader.byte()?;
    } else {
        let _level = reader.int()?;
    }
    for _ in 0..7 {
        let _created = reader.int()?;
    }
    let _database = reader.text()?;
    let mut toc = Toc {
        server: reader.text()?.unwrap_or_default(),
        pg_dump: reader.text()?.unwrap_or_default(),
        ..Toc::default()
    };
    for _ in 0..reader.int()? {
        let _id = reader.int()?;
        let _has_data = reader.int()?;
        for _ in ["table oid", "oid"] {
            reader.text()?;
        }
        let tag = reader.text()?.unwrap_or_default();
        let kind = reader.text()?.unwrap_or_default();
        let _section = reader.int()?;
        let definition = reader.text()?.unwrap_or_default();
        for _ in ["drop", "copy", "schema", "tablespace"] {
            reader.text()?;
        }
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
        while reader.text()?.is_some() {}
        match format {
            // Custom: where the data begins, and whether that is known.
            1 => drop(reader.bytes(1 + usize::from(reader.offset_size))?),
            // Tar and directory: the member's name.
            3 | 5 => drop(reader.text()?),
            _ => return Err(bad("unknown archive format")),
        }
    }
    Ok(toc)
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
