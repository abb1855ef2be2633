//! Client programs beside a running stage, of the server's own version where that is to be had.

use super::docker::Programs;
use super::local::{LocalTools, PgDump};
use super::{Endpoint, ToolOutput, Tools};
use crate::{Error, Result};

/// Where they are.
#[derive(Clone)]
pub struct Beside(Place);

#[derive(Clone)]
enum Place {
    Container(Programs),
    Local(LocalTools),
    /// The server is somebody else's: programs of this machine.
    Machine,
}

impl Beside {
    pub(super) fn container(programs: Programs) -> Self {
        Self(Place::Container(programs))
    }

    pub(super) fn local(tools: LocalTools) -> Self {
        Self(Place::Local(tools))
    }

    pub(super) fn machine() -> Self {
        Self(Place::Machine)
    }

    /// Dumps the database to nowhere. Whoever drops the future has to end its session on the server.
    ///
    /// # Errors
    /// There is no `pg_dump` as new as the server.
    pub async fn dump(
        &self,
        endpoint: &Endpoint,
        application: &str,
        major: u32,
    ) -> Result<ToolOutput> {
        // In the connection string, where it wins over the environment's.
        let database = format!(
            "dbname={} application_name={}",
            conninfo(&endpoint.database),
            conninfo(application)
        );
        let arguments = [
            "--format=plain".to_owned(),
            "--file=/dev/null".to_owned(),
            format!("--dbname={database}"),
        ];
        match &self.0 {
            Place::Container(programs) => programs.run(endpoint, "pg_dump", &arguments, None).await,
            Place::Local(tools) => tools.run(endpoint, "pg_dump", &arguments, None).await,
            Place::Machine => {
                let (found, looked_at) = PgDump::find(None);
                let Some(program) = found.iter().rev().find(|found| found.major >= major) else {
                    return Err(Error::stage(format!(
                        "there is no `pg_dump` of PostgreSQL {major} or newer on this machine"
                    ))
                    .details(looked_at.iter().map(|place| format!("looked in {place}")))
                    .help(format!("apt install postgresql-client-{major}")));
                };
                program.run_with(endpoint, &arguments).await
            }
        }
    }
}

/// A value of a connection string.
fn conninfo(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_value() {
        assert_eq!(conninfo("shop"), "'shop'");
        assert_eq!(conninfo(r"o'b \x"), r"'o\'b \\x'");
    }
}
