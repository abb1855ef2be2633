//! The gate of the recording: everything that a report is made of passes it.
//!
//! Each event is named, so that one that is new is thought of here. Names lose what a terminal would
//! obey, texts also their secrets. What passes twice stays as it is.

use super::escape::{escape, escape_name};
use super::{foreign, hide, known};
use crate::plan::Literals;
use crate::recording::format::{Event, Header, Outcome, SnapshotFacts, StatementError};

/// The header, as it may be written.
pub fn header(mut header: Header) -> Header {
    name(&mut header.scenario.name);
    for step in &mut header.steps {
        name(&mut step.name);
        for budget in &mut step.budgets {
            budget.reason.iter_mut().for_each(text);
        }
    }
    for budget in &mut header.policy.budgets {
        budget.reason.iter_mut().for_each(text);
    }
    if let Some(traffic) = &mut header.traffic {
        traffic
            .operations
            .iter_mut()
            .for_each(|(operation, _)| name(operation));
    }
    for disturbance in &mut header.disturbances {
        name(&mut disturbance.name);
    }
    header.notes.iter_mut().for_each(told);
    header
}

/// An event, as it may be written and analysed.
pub fn event(mut event: Event, literals: Literals) -> Event {
    match &mut event {
        Event::Stage {
            image,
            server_version,
            settings,
            role,
            snapshot,
            notes,
            ..
        } => {
            image.iter_mut().for_each(text);
            name(server_version);
            settings.values_mut().for_each(text);
            role.iter_mut().for_each(name);
            facts(snapshot);
            notes.iter_mut().for_each(told);
        }
        Event::StatementSent { sql, .. } => sql.iter_mut().for_each(statement),
        Event::StatementDone { error, .. } => error.iter_mut().for_each(failure),
        Event::CommandStarted { argv, .. } => argv.iter_mut().for_each(text),
        Event::ForeignClients { applications, .. } => {
            applications.iter_mut().for_each(text);
            applications.iter_mut().for_each(name);
        }
        Event::CommandDid(effects) => {
            for changed in &mut effects.changed {
                name(&mut changed.relation);
            }
            effects.catalogues.iter_mut().for_each(name);
            effects.unclear.iter_mut().for_each(name);
            effects.unread.iter_mut().for_each(told);
        }
        Event::CommandExited { output, .. } => lines(output, literals),
        Event::StepFinished { outcome, .. } => match outcome {
            Outcome::Done => {}
            Outcome::Failed { message, details } => {
                text(message);
                details.iter_mut().for_each(text);
            }
        },
        Event::Backend { backend, .. } => {
            text(&mut backend.application);
            name(&mut backend.application);
            name(&mut backend.backend_type);
            statement(&mut backend.query);
        }
        Event::Relations { relations, .. } => {
            for relation in relations {
                name(&mut relation.name);
                relation.parent.iter_mut().for_each(name);
            }
        }
        Event::Traces { traces, .. } => traces
            .iter_mut()
            .for_each(|trace| name(&mut trace.relation)),
        Event::Sampling { error, .. } | Event::DisturbanceEnded { error, .. } => {
            error.iter_mut().for_each(told)
        }
        Event::StageLost { message } => told(message),
        Event::ReplayStarted { .. }
        | Event::StepStarted { .. }
        | Event::SessionOpened { .. }
        | Event::Batch { .. }
        | Event::Retry { .. }
        | Event::Locks { .. }
        | Event::Samples { .. }
        | Event::Gap { .. }
        | Event::Waiter { .. }
        | Event::TrafficStarted { .. }
        | Event::Requests(_)
        | Event::Request(_)
        | Event::TrafficEnded { .. }
        | Event::DisturbanceBegan { .. }
        | Event::RunFinished { .. } => {}
    }
    event
}

fn facts(snapshot: &mut SnapshotFacts) {
    name(&mut snapshot.name);
    for table in &mut snapshot.tables {
        name(&mut table.name);
    }
    for reach in &mut snapshot.reaches {
        name(&mut reach.name);
        reach.detail.iter_mut().for_each(text);
    }
    for partial in &mut snapshot.partial {
        name(&mut partial.table);
        partial.rows.iter_mut().for_each(statement);
    }
    if let Some(database) = &mut snapshot.database {
        for collation in &mut database.collations {
            name(&mut collation.name);
            collation.locale.iter_mut().for_each(name);
        }
        for extension in &mut database.extensions {
            name(&mut extension.name);
            name(&mut extension.version);
        }
    }
}

fn failure(error: &mut StatementError) {
    text(&mut error.message);
}

fn name(name: &mut String) {
    if let std::borrow::Cow::Owned(shown) = escape_name(name) {
        *name = shown;
    }
}

fn text(text: &mut String) {
    *text = escape(&hide(text)).into_owned();
}

/// What is said in passing may have a server's words in it.
fn told(text: &mut String) {
    *text = escape(&hide(&foreign::text(text))).into_owned();
}

/// It was made ready to be shown where it was sent; a short password may be a name in it.
fn statement(sql: &mut String) {
    *sql = escape(&known::hide_long(sql)).into_owned();
}

fn lines(lines: &mut Vec<String>, literals: Literals) {
    *lines = foreign::output(&*lines, literals);
    lines.iter_mut().for_each(text);
}
