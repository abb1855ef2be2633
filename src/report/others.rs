//! What traffic and disturbances could not show, and what cannot be shown beside them.

use crate::analyse::Timeline;
use crate::plan::Load;
use crate::recording::traffic::TrafficHeader;

/// For the report's limits.
pub(super) fn limits(timeline: &Timeline) -> Vec<String> {
    let header = &timeline.header;
    let mut limits = vec![match &header.traffic {
        Some(traffic) => model(traffic),
        None if header.disturbances.is_empty() => {
            "traffic: long transactions of production make the migration wait, and everybody behind it".to_owned()
        }
        None => "traffic: nobody but the disturbances was there; other long transactions of production make the \
                 migration wait as well, and everybody behind it"
            .to_owned(),
    }];
    if header.has_others() {
        limits.push(
            "scans: the server counts those of the traffic and of disturbances together with the step's, so none is \
             put down to a step; a rewrite is the step's own"
                .to_owned(),
        );
    }
    limits
}

fn model(traffic: &TrafficHeader) -> String {
    let load = match traffic.load {
        Load::Open { .. } => "",
        Load::Closed { .. } => {
            "; its clients wait for each answer, so fewer requests meet a lock than many users would make"
        }
    };
    format!(
        "traffic: a model of the application, which makes {} from one process with keys drawn at random{load}; where \
         the server is on the same machine it takes processor time from it; what else production does, such as a long \
         transaction, makes the migration wait, and everybody behind it",
        match traffic.operations.len() {
            1 => "1 operation".to_owned(),
            operations => format!("{operations} operations"),
        }
    )
}
