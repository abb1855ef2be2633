//! A run's server on a fresh clone of its base.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::base::{self, Base};
use super::container::Container;
use super::engine::{Engine, Reach};
use super::entrance::{self, Entrance};
use super::exec::{ContainerTools, Programs};
use super::limits;
use super::owner::Lock;
use super::ready;
use super::spec::{Access, Spec};
use crate::stage::{
    CloneMethod, Cloned, Ear, Endpoint, Network, NetworkFacts, RunningStage, ToolInput, ToolOutput,
    Tools, Unit, Watch,
};
use crate::{Error, Result, redact};

/// From the finished clone to the first answer.
const START: Duration = Duration::from_secs(60);

/// A server in a container, on data of its own.
pub struct DockerStage {
    engine: Engine,
    container: Container,
    name: String,
    endpoint: Endpoint,
    network: NetworkFacts,
    /// The way to it ends with it.
    entrance: Entrance,
    cloned: Cloned,
    broken_limits: Option<String>,
    lock: Lock,
}

pub(super) async fn start(engine: &Engine, base: &Base, watch: &dyn Watch) -> Result<DockerStage> {
    // The engine would silently make an empty volume of that name.
    if base::labels(engine, &base.volume).await?.is_none() {
        return Err(Error::stage(format!(
            "the base `{}` was removed in the meantime",
            base.volume
        ))
        .help("run again: it is made anew"));
    }
    let request = &base.request;
    let run = valid_name(&request.run_id);
    // A run may start several times, and each start has its own name.
    let name = format!("lockproof-run-{run}-{:06x}", rand::random::<u32>() >> 8);
    let path = request.cache.join("locks").join(format!("{name}.lock"));
    let lock = Lock::acquire_own(&path).await?;
    let labels = lock.labels("run", &request.run_id);
    // The volume has no name of its own: the engine removes it together with the container.
    let mut entrance = Entrance::prepare(engine, request.network)?;
    let spec = |sockets: Option<&Path>| {
        Spec::script(
            &base.image.name,
            &base.image.id,
            &format!("{}{}", limits::SCRIPT, include_str!("scripts/run.sh")),
            base::server(request, &[], "/lockproof/run", sockets),
        )
        .named(name.clone())
        .labels(labels.clone())
        .volume(
            Some(&base.volume),
            base::MOUNT,
            Access::ReadOnly,
            labels.clone(),
        )
        .volume(None, "/lockproof/run", Access::ReadWrite, labels.clone())
        .limits(&base.limits)
        .folder(sockets, entrance::SOCKETS)
        .network(engine, request.network)
    };
    watch.measured("cloning the base", Unit::Bytes);
    let container = entrance.create(engine, spec).await?;
    match bring_up(engine, &container, &mut entrance, base, watch).await {
        Ok((endpoint, cloned, broken_limits)) => Ok(DockerStage {
            network: match request.network {
                Network::Closed => entrance.facts(&endpoint.host),
                Network::Open => NetworkFacts::on_this_machine(request.network),
            },
            entrance,
            cloned,
            broken_limits,
            engine: engine.clone(),
            container,
            name,
            endpoint,
            lock,
        }),
        Err(error) => {
            if container.remove(engine).await.is_ok() {
                lock.discard();
            }
            Err(error)
        }
    }
}

async fn bring_up(
    engine: &Engine,
    container: &Container,
    entrance: &mut Entrance,
    base: &Base,
    watch: &dyn Watch,
) -> Result<(Endpoint, Cloned, Option<String>)> {
    let begun = Instant::now();
    container.start(engine).await?;
    let cloned = async {
        let mut pause = Duration::from_millis(20);
        // As long as the container lives: a large base takes its time.
        while !container.has(engine, "/lockproof/run/cloned").await? {
            ready::alive(engine, container).await?;
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(300));
        }
        Ok::<(), Error>(())
    };
    tokio::select! {
        cloned = cloned => cloned?,
        never = tell_clone(engine, container, watch) => match never {},
    }
    let how = container.read(engine, "/lockproof/run/cloned").await?;
    let cloned = Cloned {
        method: match how.as_deref().map(str::trim) {
            Some("reflink") => CloneMethod::Reflink,
            _ => CloneMethod::Copy,
        },
        took: begun.elapsed(),
        kept_bytes: 0,
    };
    let broken_limits = limits::broken(engine, container, &base.limits).await?;
    watch.phase("starting the server");
    let server = ready::ready(engine, container, START, base, entrance).await?;
    let endpoint = server.in_database(&base.request.database);
    Ok((endpoint, cloned, broken_limits))
}

/// Tells how much of the base is cloned, until it is dropped.
async fn tell_clone(
    engine: &Engine,
    container: &Container,
    watch: &dyn Watch,
) -> std::convert::Infallible {
    let tools = ContainerTools { engine, container };
    let mut pause = Duration::from_secs(2);
    loop {
        tokio::time::sleep(pause).await;
        let asked = Instant::now();
        // The base's size was written down when it was made, in kB as well.
        let sizes = tools
            .asked("du -sk /lockproof/run/data; cat /lockproof/base/complete")
            .await;
        let kilobytes = |line: &String| line.split_whitespace().next()?.parse::<u64>().ok();
        if let Some([done, total]) = sizes.as_deref()
            && let (Some(done), Some(total)) = (kilobytes(done), kilobytes(total))
        {
            watch.advance(done * 1024, Some(total * 1024));
        }
        // With very many files the question itself is work.
        pause = pause.max(asked.elapsed() * 20);
    }
}

/// What the engine accepts in a name.
fn valid_name(run_id: &str) -> String {
    run_id
        .chars()
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => letter,
            _ => '-',
        })
        .take(100)
        .collect()
}

impl RunningStage for DockerStage {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn log_tail(&self) -> Vec<String> {
        redact::foreign::log(self.container.log(&self.engine, 40).await)
    }

    async fn stop(self) -> Result<()> {
        // No clean shutdown: nobody reads the clone again.
        self.container.remove(&self.engine).await?;
        drop(self.entrance);
        self.lock.discard();
        Ok(())
    }

    fn keep(self) -> String {
        let Endpoint { user, database, .. } = &self.endpoint;
        let name = &self.name;
        let (place, client) = match &self.engine.reach {
            // The way into it ends with this process.
            _ if self.network.is_closed() && !matches!(self.engine.reach, Reach::Tunnel(_)) => (
                format!("in the container {name}, which has no network"),
                "docker".to_owned(),
            ),
            // The way through it ends with this process.
            Reach::Tunnel(_) => (
                format!("in the container {name} of {}", self.engine.host),
                format!("docker -H {}", self.engine.host),
            ),
            Reach::Here | Reach::Network(_) => {
                (format!("at {}", self.endpoint.shown()), "docker".to_owned())
            }
        };
        let text = format!(
            "the stage is still up {place}\n\
             connect:  {client} exec -it -u postgres {name} psql -h /var/run/postgresql -U {user} -d '{}'\n\
             end:      {client} rm -fv {name}   (or `lockproof clean --all`)",
            database.replace('\'', r"'\''"),
        );
        // Without the word, `lockproof clean` takes it for abandoned: a pity, not a danger.
        self.lock.keep().ok();
        text
    }
}

impl DockerStage {
    /// Takes its data out of the kernel's memory.
    pub async fn chill(&self) -> Result<()> {
        super::cold::chill(&self.engine, &self.container, &self.endpoint).await
    }

    /// How its container ended, because of what was noticed; its log when it runs on.
    pub async fn lost(&self, noticed: Error) -> Error {
        // The engine may need a moment to see what the server's clients saw.
        for _ in 0..10 {
            match self.container.state(&self.engine).await {
                Ok(state) if state.running == Some(true) => {}
                Ok(_) => {
                    let ended = self.container.ended(&self.engine, "the stage's container");
                    return ended.await.because(noticed);
                }
                Err(gone) => return gone.because(noticed),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        noticed.details(self.log_tail().await)
    }

    /// Client programs in its container.
    pub(in crate::stage) fn programs(&self) -> Programs {
        Programs {
            engine: self.engine.clone(),
            container: self.container.clone(),
        }
    }

    /// What its server may reach.
    pub fn network(&self) -> &NetworkFacts {
        &self.network
    }

    /// How its data were cloned from the base.
    pub fn cloned(&self) -> &Cloned {
        &self.cloned
    }

    /// A line about the limits that were asked for and are not in force; None: all are.
    pub fn broken_limits(&self) -> Option<&str> {
        self.broken_limits.as_deref()
    }

    /// The name of its container.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Tools for DockerStage {
    async fn run_heard(
        &self,
        endpoint: &Endpoint,
        program: &str,
        args: &[String],
        stdin: Option<ToolInput>,
        ear: Ear<'_>,
    ) -> Result<ToolOutput> {
        let programs = self.programs();
        programs
            .run_heard(endpoint, program, args, stdin, ear)
            .await
    }

    async fn place(&self, path: &std::path::Path, watch: &dyn Watch) -> Result<String> {
        self.programs().place(path, watch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_engine_accepts() {
        assert_eq!(valid_name("2026-01-02T03:04:05+é"), "2026-01-02T03-04-05--");
    }
}
