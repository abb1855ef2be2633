//! What a base is told to hold, for the list of the cache.

use super::Endpoint;
use super::connect::connect;

/// Rows of all tables as the statistics know them, which a restore leaves fresh; None where one has no statistics, or
/// the server does not say. Nothing depends on it.
pub(super) async fn rows(endpoint: &Endpoint) -> Option<u64> {
    let client = connect(endpoint, "lockproof restore").await.ok()?;
    let sql = "SELECT CASE WHEN bool_and((c.reltuples >= 0 AND c.relpages > 0) OR pg_relation_size(c.oid) = 0) \
               THEN sum(greatest(c.reltuples, 0))::bigint END FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' \
               AND n.nspname <> 'information_schema'";
    let row = client.query_one(sql, &[]).await.ok()?;
    let rows: Option<i64> = row.try_get(0).ok()?;
    rows.and_then(|rows| u64::try_from(rows).ok())
}
