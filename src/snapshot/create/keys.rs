//! Foreign keys that what is taken would break: told before hours of reading, not after.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::failed;
use super::tables::{Tables, Taken};
use crate::stage::Watch;
use crate::{Error, Result};

/// Refuses what cannot be restored: a reference to a table that is left out, or to a row that is not
/// taken. Where the server cannot tell within its time, a note says what to expect.
pub(super) async fn check(client: &Client, tables: &Tables, watch: &dyn Watch) -> Result<()> {
    views(client, tables).await?;
    let rows = client
        .query(include_str!("../queries/foreign_keys.sql"), &[])
        .await
        .map_err(|error| failed("cannot list the foreign keys", error))?;
    for row in &rows {
        let (Some((of, taken)), Some((to, others))) =
            (tables.get(row.get("of")), tables.get(row.get("to")))
        else {
            continue;
        };
        let name: &str = row.get("name");
        if *taken == Taken::Nothing {
            continue;
        }
        if *others == Taken::Nothing {
            return Err(Error::usage(format!(
                "`{}` is left out, and the foreign key `{name}` of `{}` refers to it",
                to.shown(),
                of.shown()
            ))
            .help(format!(
                "leave `{}` out too, or take `{}` without rows (`--exclude-data`), with both if \
                 rows refer to it",
                of.shown(),
                to.shown()
            )));
        }
        let is_cut = tables
            .holders(to.oid)
            .iter()
            .any(|(_, taken)| **taken != Taken::Whole);
        if !is_cut {
            continue;
        }
        let (own, theirs): (Vec<String>, Vec<String>) = (row.get("own"), row.get("others"));
        let question = question(tables, (of.oid, &own), (to.oid, &theirs));
        watch.phase(&format!("looking whether `{name}` holds for what is taken"));
        match client.query_one(&question, &[]).await {
            Ok(answer) if answer.get(0) => {
                return Err(Error::usage(format!(
                    "the foreign key `{name}` does not hold for what is taken: rows of `{}` refer \
                     to rows of `{}` that are not",
                    of.shown(),
                    to.shown()
                ))
                .help(way_out(of.shown(), to.shown())));
            }
            Ok(_) => {}
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                client
                    .batch_execute("ROLLBACK TO lockproof; RELEASE lockproof; SAVEPOINT lockproof")
                    .await
                    .map_err(|error| failed("the source was lost", error))?;
                watch.note(&format!(
                    "whether the foreign key `{name}` holds for what is taken could not be told in \
                     a minute; if it does not, the restore fails: {}",
                    way_out(of.shown(), to.shown())
                ));
            }
            Err(error) => return Err(failed("cannot look at the foreign keys", error)),
        }
    }
    Ok(())
}

fn way_out(of: &str, to: &str) -> String {
    format!(
        "give `{of}` a condition that leaves such rows out (`--where \"{of}=…\"`), or take more of `{to}`"
    )
}

async fn views(client: &Client, tables: &Tables) -> Result<()> {
    let left_out = tables.left_out();
    if left_out.is_empty() {
        return Ok(());
    }
    let found = client
        .query_opt(
            concat!(include_str!("../queries/dependents.sql"), " LIMIT 1"),
            &[&left_out],
        )
        .await
        .map_err(|error| failed("cannot list what depends on the tables", error))?;
    match found {
        None => Ok(()),
        Some(row) => {
            let (view, needs): (&str, &str) = (row.get("name"), row.get("needs"));
            Err(Error::usage(format!(
                "`{needs}` is left out, and the view `{view}` needs it"
            ))
            .help(format!(
                "leave the view out as well (`--exclude {view}`), or take the table without rows \
                 (`--exclude-data {needs}`)"
            )))
        }
    }
}

/// Is there a row of the first whose key is not among the second's?
fn question(tables: &Tables, of: (u32, &[String]), to: (u32, &[String])) -> String {
    let set = (of.1.iter().map(|column| format!("f.{column} IS NOT NULL")))
        .collect::<Vec<_>>()
        .join(" AND ");
    let same = (of.1.iter().zip(to.1))
        .map(|(own, other)| format!("f.{own} = p.{other}"))
        .collect::<Vec<_>>()
        .join(" AND ");
    format!(
        "SELECT EXISTS (SELECT 1 FROM ({}) AS f WHERE {set} AND NOT EXISTS (SELECT 1 FROM ({}) AS p WHERE {same}))",
        taken(tables, of.0, of.1),
        taken(tables, to.0, to.1)
    )
}

/// The keys of the rows that are taken of a table or its partitions.
fn taken(tables: &Tables, oid: u32, columns: &[String]) -> String {
    let columns = columns.join(", ");
    let parts: Vec<String> = tables
        .holders(oid)
        .into_iter()
        .map(|(table, taken)| {
            let condition = match taken {
                Taken::Whole => String::new(),
                Taken::Rows(condition) => format!(" WHERE ({condition}\n)"),
                Taken::Empty | Taken::Nothing => " WHERE false".to_owned(),
            };
            format!("SELECT {columns} FROM ONLY {}{condition}", table.quoted)
        })
        .collect();
    match tables.get(oid) {
        // A partitioned table without partitions.
        Some((table, _)) if parts.is_empty() => format!("SELECT {columns} FROM {}", table.quoted),
        _ => parts.join(" UNION ALL "),
    }
}
