//! What a dump needs of the server before anything of it is restored: named all at once, with what
//! to do, instead of one error an hour.

use std::collections::BTreeSet;
use std::path::Path;

use tokio_postgres::Client;

use crate::{Error, Result};

/// What a dump needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Extensions that it creates.
    pub extensions: BTreeSet<String>,
    /// Collations of the operating system that its columns name.
    pub collations: BTreeSet<String>,
    /// Table access methods that its tables have.
    pub access_methods: BTreeSet<String>,
}

impl Needs {
    /// Adds what a line of a plain dump, or a statement, needs at its very start.
    pub fn mentioned(&mut self, statement: &str) {
        let mut words = statement.split([' ', ';', '\n', '\r', '\t']);
        let mut next = || words.next().unwrap_or_default();
        let is = |word: &str, known: &str| word.eq_ignore_ascii_case(known);
        match (next(), next()) {
            (create, extension) if is(create, "CREATE") && is(extension, "EXTENSION") => {
                let mut name = next();
                if is(name, "IF") {
                    // NOT EXISTS
                    next();
                    next();
                    name = next();
                }
                self.extensions.extend(name_of(name));
            }
            (set, "default_table_access_method") if is(set, "SET") => {
                next();
                self.access_methods.extend(name_of(next()));
            }
            _ => {}
        }
    }

    /// Adds the collations that a definition of an archive names.
    pub fn collations_of(&mut self, definition: &str) {
        const BEFORE: &str = "COLLATE pg_catalog.\"";
        for (at, _) in definition.match_indices(BEFORE) {
            let rest = &definition[at + BEFORE.len()..];
            if let Some(end) = rest.find('"') {
                self.collations.insert(rest[..end].to_owned());
            }
        }
    }

    /// Refuses a server that lacks something which is not tolerated; the names of what it lacks.
    pub async fn check(
        &self,
        client: &Client,
        dump: &Path,
        tolerate: &[String],
    ) -> Result<Vec<String>> {
        let missing = self.missing(client).await?;
        let untolerated: Vec<&Missing> = missing
            .iter()
            .filter(|missing| !missing.is_tolerated(tolerate))
            .collect();
        if untolerated.is_empty() {
            return Ok(missing.iter().map(Missing::shown).collect());
        }
        let names: Vec<String> = untolerated.iter().map(|missing| missing.shown()).collect();
        let parts: Vec<String> = tolerate
            .iter()
            .map(String::as_str)
            .chain(untolerated.iter().map(|missing| missing.part()))
            .map(|part| format!("'{part}'"))
            .collect();
        let major = major(client).await?;
        Err(Error::stage(format!(
            "the stage's server lacks what the dump `{}` needs: {}",
            dump.display(),
            names.join(", ")
        ))
        .details(untolerated.iter().map(|missing| missing.remedy(major)))
        .help(format!(
            "use an image or server programs that have it (`--image`, `--pg-bin`), or restore without: \
             `tolerate = [{}]` in `[restore]` of snapshot.toml; what depends on it needs parts of its own",
            parts.join(", ")
        )))
    }

    async fn missing(&self, client: &Client) -> Result<Vec<Missing>> {
        let mut missing = Vec::new();
        let extensions = names(
            client,
            "SELECT name::text FROM pg_catalog.pg_available_extensions",
        )
        .await?;
        for name in self.extensions.difference(&extensions) {
            missing.push(Missing::Extension(name.clone()));
        }
        if !self.collations.is_empty() {
            let there = names(
                client,
                "SELECT collname::text FROM pg_catalog.pg_collation
                 WHERE collnamespace = 'pg_catalog'::regnamespace AND collencoding IN
                 (-1, (SELECT encoding FROM pg_catalog.pg_database WHERE datname = current_database()))",
            )
            .await?;
            for name in self.collations.difference(&there) {
                missing.push(Missing::Collation(name.clone()));
            }
        }
        // Extensions bring access methods along: only where there are none is it known beforehand.
        if self.extensions.iter().all(|name| name == "plpgsql") && !self.access_methods.is_empty() {
            let there = names(client, "SELECT amname::text FROM pg_catalog.pg_am").await?;
            for name in self.access_methods.difference(&there) {
                missing.push(Missing::AccessMethod(name.clone()));
            }
        }
        Ok(missing)
    }
}

/// A name as the catalogue has it; None: there is none.
fn name_of(typed: &str) -> Option<String> {
    let name = typed.trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| name.to_owned())
}

async fn names(client: &Client, sql: &str) -> Result<BTreeSet<String>> {
    let failed = |error| Error::stage("the server does not tell what it has").because(error);
    let rows = client.query(sql, &[]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The server's major version.
pub(super) async fn major(client: &Client) -> Result<u32> {
    let failed = |error| Error::stage("the server does not tell its version").because(error);
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int4 / 10000",
            &[],
        )
        .await
        .map_err(failed)?;
    Ok(row.get::<_, i32>(0).unsigned_abs())
}

/// Something that the server lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Missing {
    Extension(String),
    Collation(String),
    AccessMethod(String),
}

impl Missing {
    fn shown(&self) -> String {
        match self {
            Self::Extension(name) => format!("extension `{name}`"),
            Self::Collation(name) => format!("collation `{name}`"),
            Self::AccessMethod(name) => format!("access method `{name}`"),
        }
    }

    /// A part of the server's words that every major has: an old one names an extension's control
    /// file, a new one the extension.
    fn part(&self) -> &str {
        match self {
            Self::Extension(name) | Self::Collation(name) | Self::AccessMethod(name) => name,
        }
    }

    fn is_tolerated(&self, tolerate: &[String]) -> bool {
        let words = match self {
            Self::Extension(name) => vec![
                format!("ERROR:  extension \"{name}\" is not available"),
                format!(
                    "ERROR:  could not open extension control file \"/extension/{name}.control\": No such file or directory"
                ),
            ],
            Self::Collation(name) => vec![format!(
                "ERROR:  collation \"pg_catalog.{name}\" for encoding \"UTF8\" does not exist"
            )],
            Self::AccessMethod(name) => {
                vec![format!("ERROR:  access method \"{name}\" does not exist")]
            }
        };
        tolerate
            .iter()
            .any(|part| words.iter().any(|words| words.contains(part)))
    }

    fn remedy(&self, major: u32) -> String {
        let shown = self.shown();
        match self {
            Self::Extension(name) => match source(name) {
                Some(Source::Package(package, image)) => {
                    let package = package.replace("{}", &major.to_string());
                    let image = image.replace("{}", &major.to_string());
                    let image = if image.is_empty() {
                        String::new()
                    } else {
                        format!(", or the image `{image}`")
                    };
                    format!("{shown}: Debian's package `{package}`{image}")
                }
                Some(Source::Provider) => {
                    format!("{shown}: only its provider's own servers have it; restore without it")
                }
                None => format!("{shown}: not known here; its documentation names the package"),
            },
            Self::Collation(_) => format!(
                "{shown}: a locale of the operating system that the server runs on; install it \
                 there before the snapshot is restored, or take an image that has it (Alpine's have none)"
            ),
            Self::AccessMethod(_) => format!("{shown}: an extension brings it"),
        }
    }
}

/// Where an extension comes from; `{}` is the server's major.
enum Source {
    /// Debian's package, and an image that has it.
    Package(&'static str, &'static str),
    /// A hosted service, and nowhere else.
    Provider,
}

fn source(extension: &str) -> Option<Source> {
    let package = |package, image| Some(Source::Package(package, image));
    match extension {
        "postgis"
        | "postgis_raster"
        | "postgis_topology"
        | "postgis_tiger_geocoder"
        | "postgis_sfcgal"
        | "address_standardizer"
        | "address_standardizer_data_us" => {
            package("postgresql-{}-postgis-3", "postgis/postgis:{}-3.5")
        }
        "pgrouting" => package("postgresql-{}-pgrouting", "pgrouting/pgrouting"),
        "timescaledb" => package(
            "timescaledb-2-postgresql-{}` of Timescale's own repository `",
            "timescale/timescaledb:latest-pg{}",
        ),
        "vector" => package("postgresql-{}-pgvector", "pgvector/pgvector:pg{}"),
        "citus" | "citus_columnar" => package("postgresql-{}-citus", "citusdata/citus"),
        "age" => package("postgresql-{}-age", "apache/age"),
        "pg_cron" => package("postgresql-{}-cron", ""),
        "pg_partman" => package("postgresql-{}-partman", ""),
        "pg_repack" => package("postgresql-{}-repack", ""),
        "pg_squeeze" => package("postgresql-{}-squeeze", ""),
        "pg_stat_kcache" => package("postgresql-{}-pg-stat-kcache", ""),
        "pg_qualstats" => package("postgresql-{}-pg-qualstats", ""),
        "pg_wait_sampling" => package("postgresql-{}-pg-wait-sampling", ""),
        "pg_hint_plan" => package("postgresql-{}-pg-hint-plan", ""),
        "pgaudit" => package("postgresql-{}-pgaudit", ""),
        "pglogical" => package("postgresql-{}-pglogical", ""),
        "pgtap" => package("postgresql-{}-pgtap", ""),
        "hypopg" => package("postgresql-{}-hypopg", ""),
        "hll" => package("postgresql-{}-hll", ""),
        "ip4r" => package("postgresql-{}-ip4r", ""),
        "orafce" => package("postgresql-{}-orafce", ""),
        "periods" => package("postgresql-{}-periods", ""),
        "prefix" => package("postgresql-{}-prefix", ""),
        "rum" => package("postgresql-{}-rum", ""),
        "semver" => package("postgresql-{}-semver", ""),
        "plperl" | "plperlu" => package("postgresql-plperl-{}", ""),
        "plpython3u" => package("postgresql-plpython3-{}", ""),
        "pltcl" | "pltclu" => package("postgresql-pltcl-{}", ""),
        // Part of PostgreSQL itself, and of Debian's server package; others split it off.
        "adminpack" | "amcheck" | "bloom" | "btree_gin" | "btree_gist" | "citext" | "cube"
        | "dblink" | "dict_int" | "earthdistance" | "file_fdw" | "fuzzystrmatch" | "hstore"
        | "intarray" | "isn" | "lo" | "ltree" | "pageinspect" | "pg_buffercache" | "pg_prewarm"
        | "pg_stat_statements" | "pg_trgm" | "pg_visibility" | "pgcrypto" | "pgrowlocks"
        | "pgstattuple" | "postgres_fdw" | "seg" | "sslinfo" | "tablefunc" | "tsm_system_rows"
        | "tsm_system_time" | "unaccent" | "uuid-ossp" | "xml2" => package(
            "postgresql-{}` (elsewhere `postgresql-contrib",
            "postgres:{}",
        ),
        name if [
            "aws_", "rds_", "google_", "azure", "pg_azure", "aiven_", "supa",
        ]
        .iter()
        .any(|start| name.starts_with(start)) =>
        {
            Some(Source::Provider)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_found_where_they_are_written() {
        let mut needs = Needs::default();
        for line in [
            "CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;",
            "create extension \"uuid-ossp\";",
            "CREATE EXTENSION vector;\n",
            "CREATE EXTENSION",
            "CREATE TABLE extension (a int);",
            "SET default_table_access_method = columnar;",
            "SET default_table_access_method",
            "",
        ] {
            needs.mentioned(line);
        }
        let found: Vec<&str> = needs.extensions.iter().map(String::as_str).collect();
        assert_eq!(found, ["postgis", "uuid-ossp", "vector"]);
        assert!(needs.access_methods.contains("columnar"));
        needs.collations_of(
            "CREATE TABLE t (\n    a text COLLATE pg_catalog.\"de_DE.utf8\",\n    b text COLLATE pg_catalog.\"x",
        );
        assert_eq!(needs.collations.iter().collect::<Vec<_>>(), ["de_DE.utf8"]);
    }

    #[test]
    fn what_is_missing_is_named_with_its_source() {
        let extension = |name: &str| Missing::Extension(name.to_owned());
        for (name, words) in [
            (
                "postgis",
                "`postgresql-17-postgis-3`, or the image `postgis/postgis:17-3.5`",
            ),
            ("vector", "`pgvector/pgvector:pg17`"),
            ("pg_cron", "`postgresql-17-cron`"),
            ("aws_s3", "only its provider"),
            ("nonesuch", "not known here"),
        ] {
            let remedy = extension(name).remedy(17);
            assert!(remedy.contains(words), "{remedy}");
        }
    }

    #[test]
    fn the_part_that_is_proposed_is_a_part_of_the_server_s_words() {
        for missing in [
            Missing::Extension("postgis".into()),
            Missing::Collation("de_DE".into()),
            Missing::AccessMethod("columnar".into()),
        ] {
            assert!(!missing.is_tolerated(&[]));
            assert!(missing.is_tolerated(&[missing.part().to_owned()]));
            assert!(!missing.is_tolerated(&["something else".to_owned()]));
        }
        let postgis = Missing::Extension("postgis".into());
        assert!(postgis.is_tolerated(&["extension \"postgis\" is not available".to_owned()]));
    }
}
