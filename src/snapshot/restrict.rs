//! `\restrict`, the command that closes a plain dump against commands of `psql` in its data.

use tokio_postgres::Client;

use crate::{Error, Result};

/// Whether this server's `psql` knows `\restrict`, which `pg_dump` writes since August 2025.
pub(super) async fn knows_restrict(client: &Client) -> Result<bool> {
    let failed = |error| Error::stage("the server does not tell its version").because(error);
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int4", &[])
        .await
        .map_err(failed)?
        .get(0);
    Ok(restrict_is_known(version))
}

fn restrict_is_known(version: i32) -> bool {
    let first = match version / 10_000 {
        13 => 130_022,
        14 => 140_019,
        15 => 150_014,
        16 => 160_010,
        17 => 170_006,
        major => return major >= 18,
    };
    version >= first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrict_is_known_since_its_minor_releases() {
        for (version, known) in [
            (120_022, false),
            (130_021, false),
            (130_022, true),
            (150_013, false),
            (150_020, true),
            (170_005, false),
            (180_000, true),
        ] {
            assert_eq!(restrict_is_known(version), known, "{version}");
        }
    }
}
