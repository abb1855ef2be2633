//! Replays all steps, each time on a fresh clone, until every step is decided as often as was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::beside::{Beside, Patience, Steps};
use super::company::Member;
use super::conductor::Conductor;
use super::effects::{self, Before};
use super::foreign::Foreign;
use super::ground::Ground;
use super::limits;
use super::turns::{Most, Turn};
use crate::clock::Clock;
use crate::disturb::{self, Disturbances};
use crate::error::Trouble;
use crate::interrupt::Interrupt;
use crate::observe::cadence::Pace;
use crate::observe::{Sampler, Setup};
use crate::pg::catalog::Catalog;
use crate::pg::session::{Told, tell};
use crate::pg::{LockMode, NEWEST_MAJOR, Session, names, queries};
use crate::plan::{CommandWork, Keep, Plan, Step, Warmth, Work};
use crate::recording::format::{Event, Outcome};
use crate::replay::{self, Connection, Course, Scene};
use crate::stage::provider::{Provider, Stage};
use crate::stage::role::{lend_rest, let_in, take_back};
use crate::stage::{Endpoint, Unit, Watch};
use crate::{Error, Result, snapshot};

/// How long a step's closed sessions may take to be gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// How the replays ended.
#[derive(Debug)]
pub enum Ended {
    /// By themselves.
    Whole {
        /// How to reach the stage; None unless it was to be kept.
        kept: Option<String>,
    },
    /// The server went away.
    StageLost(Error),
}

/// Replays until every step is decided or the replays are used up.
#[expect(
    clippy::too_many_arguments,
    reason = "a run's parts, each of another room"
)]
pub async fn replay(
    plan: &Plan,
    run_id: &str,
    ground: &Ground,
    clock: Clock,
    watch: &dyn Watch,
    interrupt: &Interrupt,
    member: &Member,
    conductor: &mut Conductor,
) -> Result<Ended> {
    // Nothing but a fresh clone can be tried again; an external server has been changed.
    let most = match ground.provider {
        Provider::External(_) => Most {
            tries: 1,
            repeats: 1,
        },
        _ => Most {
            tries: plan.replays,
            repeats: plan.repeat,
        },
    };
    let mut kept = None;
    let mut turn = Turn::FIRST;
    loop {
        let mut stage = start(ground, run_id, watch, interrupt).await?;
        let run = Run {
            plan,
            ground,
            clock,
            watch,
            interrupt,
            member,
        };
        let watchers = match watchers(&run, &stage, turn, conductor).await {
            Ok(watchers) => watchers,
            Err(error) => {
                stop(stage, watch).await;
                return Err(error);
            }
        };
        let outcome = accompanied(&run, &stage, &watchers, turn, conductor).await;
        watchers.sampler.stop().await;
        if let Err(error) = outcome {
            if error.trouble() != Trouble::Stage {
                stop(stage, watch).await;
                return Err(error);
            }
            let error = stage.lost(error).await;
            // That it had ended is told already; what could not be removed is `clean`'s.
            let _ = stage.stop().await;
            conductor.tell(Event::StageLost {
                message: error.to_string(),
            });
            finished(conductor);
            return Ok(Ended::StageLost(error));
        }
        let standing = conductor.replay_taken().await;
        let next = turn.next(standing, most);
        if plan.stage.keep == Keep::LeaveRunning && next.is_none() {
            kept = Some(stage.keep());
            break;
        }
        stop(stage, watch).await;
        turn = match next {
            Some(next) if next.repeat == turn.repeat => {
                watch.note("a step is unproven: replaying on a fresh clone");
                next
            }
            Some(next) => next,
            None => break,
        };
    }
    finished(conductor);
    Ok(Ended::Whole { kept })
}

fn finished(conductor: &Conductor) {
    conductor.tell(Event::RunFinished {
        finished_at: crate::clock::wall(),
    });
}

struct Run<'a> {
    plan: &'a Plan,
    ground: &'a Ground,
    clock: Clock,
    watch: &'a dyn Watch,
    interrupt: &'a Interrupt,
    member: &'a Member,
}

async fn start(
    ground: &Ground,
    run_id: &str,
    watch: &dyn Watch,
    interrupt: &Interrupt,
) -> Result<Stage> {
    let signal = tokio::select! {
        stage = ground.provider.start(&ground.base, watch) => return stage,
        signal = interrupt.wait() => signal,
    };
    ground.provider.abandon(run_id, watch).await;
    Err(replay::interrupted(signal))
}

/// A stage that cannot be removed is told, not failed on: the verdict stands.
async fn stop(stage: Stage, watch: &dyn Watch) {
    watch.phase("removing the stage");
    if let Err(error) = stage.stop().await {
        watch.note(&error.story());
    }
}

/// What watches a stage.
struct Watchers {
    observer: Session,
    /// How the migration's own sessions connect.
    migration: Endpoint,
    server: Server,
    sampler: Sampler,
}

/// Opens the watching sessions and tells what the stage is.
async fn watchers(
    run: &Run<'_>,
    stage: &Stage,
    turn: Turn,
    conductor: &Conductor,
) -> Result<Watchers> {
    let endpoint = stage.endpoint();
    run.watch.phase("looking at the server");
    let observer = Session::open(endpoint, names::OBSERVER).await?;
    let server = Server::ask(&observer).await?;
    observer
        .client
        .batch_execute("SET lock_timeout = '2s'; SET statement_timeout = '60s'")
        .await
        .map_err(|error| lost(&error))?;
    let migration = match run.ground.source.role() {
        Some(role) => let_in(&observer.client, endpoint, role).await?,
        None => endpoint.clone(),
    };
    if turn == Turn::FIRST {
        conductor.tell(stage_event(run, stage, &observer, &migration, &server).await?);
    }
    let heat = async {
        match warmth(run) {
            Some(Warmth::Warm) => snapshot::warm(&observer.client, run.watch).await,
            Some(Warmth::Cold) => {
                run.watch.phase("dropping the data from memory");
                stage.chill().await
            }
            Some(Warmth::AsIs) | None => Ok(()),
        }
    };
    tokio::select! {
        done = heat => done?,
        signal = run.interrupt.wait() => return Err(replay::interrupted(signal)),
    }
    run.watch.phase("starting the sampler");
    // Before the first poll, since what that shows is told once.
    conductor.tell(Event::ReplayStarted {
        replay: turn.replay,
        repeat: turn.repeat,
        at: run.clock.now(),
    });
    let sampler = Sampler::start(Setup {
        endpoint: endpoint.clone(),
        server_major: server.major,
        database_oid: server.database_oid,
        pace: pace(run.plan),
        gap_floor: super::gap_floor(run.plan),
        clock: run.clock,
        literals: run.plan.literals,
        events: conductor.events().clone(),
    })
    .await?;
    Ok(Watchers {
        observer,
        migration,
        server,
        sampler,
    })
}

/// What of the data is in memory when a replay begins; None: that is an external server's own matter.
fn warmth(run: &Run<'_>) -> Option<Warmth> {
    match run.ground.provider {
        Provider::External(_) => None,
        _ => Some(run.plan.warmth.unwrap_or(run.ground.source.warmth())),
    }
}

/// Looks come closer together around locks of the modes that can fail a step.
fn pace(plan: &Plan) -> Pace {
    let fails = |mode: &LockMode| {
        let in_step = |step: &Step| plan.policy.fails(*mode, &step.budgets);
        plan.steps.iter().any(in_step)
    };
    Pace::new(
        plan.cadence,
        plan.interval,
        LockMode::WATCHED.into_iter().filter(fails).collect(),
    )
}

/// The steps, with what runs beside them and who is in the way, as the scenario has it.
async fn accompanied(
    run: &Run<'_>,
    stage: &Stage,
    watchers: &Watchers,
    turn: Turn,
    conductor: &mut Conductor,
) -> Result<()> {
    let patience = Patience {
        interrupt: run.interrupt,
        sampler: &watchers.sampler,
        watch: run.watch,
    };
    let Watchers { migration, .. } = watchers;
    let beside = Beside::start(run.plan, migration, run.clock, conductor, patience).await?;
    let ground = disturb::Ground {
        endpoint: stage.endpoint().clone(),
        major: watchers.server.major,
        beside: stage.beside(),
        events: conductor.events().clone(),
        clock: run.clock,
    };
    let ended = match Disturbances::start(&run.plan.disturbances, &ground) {
        Ok(disturbances) => {
            let ended = steps(run, watchers, &beside, &disturbances, turn, conductor).await;
            // Before the traffic settles: what is usual again has nobody in the way.
            disturbances.stop().await;
            ended
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(ended) => beside.finish(ended, patience).await,
        Err(error) => {
            beside.abort().await;
            Err(error)
        }
    }
}

async fn steps(
    run: &Run<'_>,
    watchers: &Watchers,
    beside: &Beside,
    disturbances: &Disturbances<'_>,
    turn: Turn,
    conductor: &mut Conductor,
) -> Result<Steps> {
    let Watchers {
        observer,
        migration,
        server,
        sampler,
    } = watchers;
    let events = conductor.events().clone();
    let scene = Scene {
        endpoint: migration,
        is_ours: !matches!(run.ground.provider, Provider::External(_)),
        sampler,
        events: &events,
        clock: run.clock,
        interrupt: run.interrupt,
        literals: run.plan.literals,
        watch: run.watch,
    };
    let looks = effects::Scene {
        observer,
        endpoint: migration,
        major: server.major,
        external: matches!(
            run.ground.provider,
            Provider::External(_) | Provider::Hooked(_)
        ),
        plan: run.plan,
    };
    run.watch.phase("reading the catalogue");
    let mut before = Catalog::read(&observer.client)
        .await
        .map_err(|error| lost(&error))?;
    let count = run.plan.steps.len();
    disturbances.replay_begins();
    for (index, step) in run.plan.steps.iter().enumerate() {
        let what = format!(
            "{}step {} of {count}: {}",
            turn.of(run.plan.repeat),
            index + 1,
            step.name
        );
        match &step.work {
            Work::Sql(_) => run.watch.measured(&what, Unit::Statements),
            Work::Batch(_) => run.watch.measured(&what, Unit::Rows),
            Work::Command(_) => run.watch.phase(&what),
        }
        tokio::select! {
            ready = disturbances.step_begins(index) => ready?,
            signal = run.interrupt.wait() => return Err(replay::interrupted(signal)),
        }
        let mut looked = match &step.work {
            Work::Command(work) => Some((Before::take(looks, step).await, work)),
            _ => None,
        };
        sampler.sync().await?;
        run.member.begin();
        conductor.tell(Event::StepStarted {
            step: index,
            at: beside.step_begins(),
        });
        let is_driven = !matches!(step.work, Work::Command(_));
        let strangers = is_driven && matches!(run.ground.provider, Provider::External(_));
        let mut foreign = Foreign::default();
        let foreigners = async {
            if strangers {
                foreign.watch(observer, migration).await;
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        let mut course = tokio::select! {
            course = replay::run(&scene, step) => course?,
            never = watch(&mut looked) => match never {},
            never = foreigners => match never {},
        };
        let ended = beside.step_ends();
        if course.connection == Connection::Broken {
            still_there(observer).await?;
        }
        disturbances.step_ended(index).await;
        farewell(observer, &course, server, step).await?;
        if let Some((before, work)) = &looked {
            let did = before.effects().await;
            still_there(observer).await?;
            effects::judge_reach(&mut course, &did, work, migration);
            conductor.tell(Event::CommandDid(did));
        }
        sampler.settle().await?;
        if let Some(told) = foreign.told() {
            conductor.tell(told);
        }
        let failed = matches!(course.outcome, Outcome::Failed { .. });
        conductor.tell(Event::StepFinished {
            step: index,
            at: ended,
            attempts: course.attempts,
            neighbours: run.member.most_beside(),
            outcome: course.outcome,
        });
        let seen = conductor.step_taken().await;
        // A step that left the catalogue locked is reported without names rather than not at all.
        let after = Catalog::read(&observer.client)
            .await
            .unwrap_or_else(|_| before.outdated());
        conductor.tell(Event::Relations {
            step: index,
            relations: before.resolve(&after, &seen),
        });
        conductor.tell(Event::Traces {
            step: index,
            traces: before.traces(&after),
        });
        before = after;
        if let Some(remains) = course.remains {
            remains.end().await;
        }
        if failed {
            return Ok(Steps::Failed);
        }
    }
    Ok(Steps::Whole)
}

/// Sees what the program does, where there is one, as long as it is polled.
async fn watch(looked: &mut Option<(Before<'_>, &CommandWork)>) -> std::convert::Infallible {
    match looked {
        Some((before, _)) => before.watch().await,
        None => std::future::pending().await,
    }
}

/// Waits until the server has ended the step's sessions, so that their counters are written and
/// their locks gone; a program's sessions that outlive it are left to be reported.
async fn farewell(observer: &Session, course: &Course, server: &Server, step: &Step) -> Result<()> {
    let deadline = tokio::time::Instant::now() + FAREWELL;
    let application = format!("{} {}", names::MIGRATION_PREFIX, step.name);
    loop {
        let left: i64 = observer
            .client
            .query_one(
                "SELECT count(*) FROM pg_catalog.pg_stat_get_activity(NULL) \
                 WHERE pid = ANY($1) OR application_name = left($2, 63)",
                &[&course.pids, &application],
            )
            .await
            .map_err(|error| lost(&error))?
            .get(0);
        if left == 0 || tokio::time::Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Before 15 the counters travel through a collector that writes them twice a second.
    if server.major < 15 {
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    Ok(())
}

async fn still_there(observer: &Session) -> Result<()> {
    observer
        .client
        .batch_execute("")
        .await
        .map_err(|error| lost(&error))
}

fn lost(error: &tokio_postgres::Error) -> Error {
    Error::stage("the server went away or does not answer as expected").because(Told(tell(error)))
}

/// What the run needs to know of the server.
#[derive(Debug)]
struct Server {
    version: String,
    major: u32,
    database_oid: u32,
}

impl Server {
    async fn ask(observer: &Session) -> Result<Self> {
        let row = observer
            .client
            .query_one(
                "SELECT current_setting('server_version'), \
                 current_setting('server_version_num')::int / 10000, oid \
                 FROM pg_catalog.pg_database WHERE datname = current_database()",
                &[],
            )
            .await
            .map_err(|error| lost(&error))?;
        Ok(Self {
            version: row.get(0),
            major: u32::try_from(row.get::<_, i32>(1)).unwrap_or(0),
            database_oid: row.get(2),
        })
    }
}

async fn stage_event(
    run: &Run<'_>,
    stage: &Stage,
    observer: &Session,
    migration: &Endpoint,
    server: &Server,
) -> Result<Event> {
    // Asked as the migration: its role and its database may have settings of their own.
    let role = run.ground.source.role();
    let lent = match role {
        Some(role) => lend_rest(&observer.client, server.major, role).await?,
        None => false,
    };
    let session = Session::open(migration, names::OBSERVER).await?;
    if let (Some(role), true) = (role, lent) {
        take_back(&observer.client, role).await?;
    }
    let settings: BTreeMap<String, String> = session
        .client
        .query(queries::SETTINGS, &[])
        .await
        .map_err(|error| lost(&error))?
        .iter()
        .map(|row| (row.get("name"), row.get("value")))
        .collect();
    drop(session);
    let source = &run.ground.source;
    let time_zone = settings.get("TimeZone").cloned().unwrap_or_default();
    let database = snapshot::database(&observer.client, server.major, time_zone).await?;
    let tables = snapshot::tables(&observer.client).await?;
    let reaches = snapshot::reaches(&observer.client).await?;
    let mut notes: Vec<String> = untested(server.major).into_iter().collect();
    if let Provider::External(endpoint) = &run.ground.provider {
        notes.extend(encryption(endpoint, observer));
        notes.push(
            "the server is external: it was changed by the run, and an unproven step was not \
             tried again"
                .to_owned(),
        );
    }
    if let Provider::Hooked(hooked) = &run.ground.provider {
        notes.push(format!(
            "each replay has a clone of its own, which `{}` made: its settings and the state of its caches \
             are those of whoever runs it",
            hooked.hooks.provision[0]
        ));
    }
    notes.extend(snapshot::woken(&observer.client, &reaches).await?);
    notes.extend(limits::not_in_force(&run.plan.stage, stage));
    for note in &notes {
        run.watch.note(note);
    }
    // Told already, by the restore or before it.
    notes.extend(
        source
            .manifest()
            .and_then(|manifest| run.ground.age.note(manifest, crate::clock::wall())),
    );
    if source.manifest().is_some() {
        notes.extend(snapshot::remembered(&observer.client).await?);
    }
    Ok(Event::Stage {
        kind: run.ground.provider.kind(),
        image: run.ground.provider.image().map(str::to_owned),
        server_version: server.version.clone(),
        settings,
        role: source.role().map(str::to_owned),
        warmth: warmth(run),
        snapshot: source.facts(tables, database, reaches, run.ground.age, run.plan.literals),
        cloned: stage.cloned(),
        network: stage.network(),
        notes,
    })
}

/// Whether the sessions of the run are encrypted; None: the server is reached through a socket.
fn encryption(endpoint: &Endpoint, observer: &Session) -> Option<String> {
    let tls = endpoint.link.tls.as_ref()?;
    Some(match observer.encryption {
        Some(version) => format!("the server was reached over {version}: {}", tls.checks()),
        None => "the server was reached without TLS".to_owned(),
    })
}

/// A warning for a server that came after this lockproof.
fn untested(major: u32) -> Option<String> {
    (major > NEWEST_MAJOR).then(|| {
        format!(
            "PostgreSQL {major} is newer than any this lockproof was tested with ({NEWEST_MAJOR})"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_newer_than_any_that_was_tested_is_warned_of() {
        let warning = untested(NEWEST_MAJOR + 1).expect("a warning");
        assert!(warning.starts_with("PostgreSQL 19 is newer"), "{warning}");
        assert_eq!(untested(NEWEST_MAJOR), None);
        assert_eq!(untested(12), None);
    }
}
