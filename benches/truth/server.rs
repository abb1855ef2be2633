//! The database on the server: made, named, and found among the processes of this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::ground::Ground;

/// The database that everything happens in.
pub const DATABASE: &str = "truth";
/// Its oid is chosen by chance from here on, where the server lets us: so that its locks are told from those of
/// another server that runs the same program.
pub const UNIQUE: u32 = 100_000_000;
/// How many tables there are for steps to lock.
pub const TABLES: usize = 200;

/// What the relations of the steps are called.
pub struct Catalogue {
    /// By oid.
    pub relations: BTreeMap<u32, Relation>,
}

/// A table or one of its indexes.
pub struct Relation {
    /// Its name.
    pub name: String,
    /// The table's name; its own where it is one.
    pub table: String,
}

impl Catalogue {
    /// Reads it.
    pub fn read(ground: &Ground) -> Outcome<Self> {
        let rows = ground.sql(
            DATABASE,
            "SELECT c.oid, c.relname, coalesce(t.relname, c.relname) FROM pg_class c \
             LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname ~ '^t[0-9]'",
        )?;
        let mut relations = BTreeMap::new();
        for row in rows.lines() {
            let [oid, name, table] = row.split('|').collect::<Vec<_>>()[..] else {
                return Err(format!("not a row of the catalogue: {row}").into());
            };
            let relation = Relation {
                name: name.to_owned(),
                table: table.to_owned(),
            };
            relations.insert(oid.parse()?, relation);
        }
        Ok(Self { relations })
    }

    /// The table of a relation, by its name.
    pub fn table_of(&self, name: &str) -> Option<&str> {
        let mut relations = self.relations.values();
        let relation = relations.find(|relation| relation.name == name)?;
        Some(&relation.table)
    }
}

/// Makes what the steps need.
pub fn fill(ground: &Ground) -> Outcome {
    let major: u32 = ground
        .sql(
            "postgres",
            "SELECT current_setting('server_version_num')::int / 10000",
        )?
        .parse()?;
    let oid = match major {
        15.. => format!(" OID = {}", rand::random_range(UNIQUE..u32::MAX / 2)),
        _ => String::new(),
    };
    ground.sql("postgres", &format!("CREATE DATABASE {DATABASE}{oid}"))?;
    let file = ground.folder.path().join("setup.sql");
    std::fs::write(&file, include_str!("setup.sql"))?;
    ground.psql_file(DATABASE, &file)?;
    ground.sql(
        DATABASE,
        &format!("ALTER DATABASE {DATABASE} SET lockproof.staging = 'on'"),
    )?;
    Ok(())
}

/// A session that does nothing, so that one process of the server is known by its title: also in a
/// container, whose processes have other numbers in there.
pub struct Resident {
    psql: Child,
    /// Its server process, by this machine's number.
    pub pid: u32,
}

impl Resident {
    /// Opens one.
    pub fn open(ground: &Ground) -> Outcome<Self> {
        // Another bench may run at the same time.
        let database = format!("resident{}", std::process::id());
        ground.sql(DATABASE, &format!("CREATE DATABASE {database}"))?;
        let psql = ground
            .program("psql", &database)
            .args(["-X", "-q"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut resident = Self { psql, pid: 0 };
        for _ in 0..100 {
            if let Some(pid) = titled(&format!(" {database} ")) {
                resident.pid = pid;
                return Ok(resident);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        resident.close();
        Err("no process of the server is seen on this machine".into())
    }

    /// Closes it.
    pub fn close(mut self) {
        drop(self.psql.stdin.take());
        let _ = self.psql.wait();
    }
}

/// The process of a server with these words in its title.
fn titled(words: &str) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid: &u32| {
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let title = String::from_utf8_lossy(&title).replace('\0', " ");
            title.starts_with("postgres: ")
                && title.contains(words)
                && Path::new(&format!("/proc/{pid}/exe")).exists()
        })
}
