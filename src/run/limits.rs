//! Which of the limits that a scenario sets the stage is not held to.

use crate::plan::StagePlan;
use crate::stage::provider::Stage;

/// A line about them; None: all are in force.
pub fn not_in_force(plan: &StagePlan, stage: &Stage) -> Option<String> {
    match stage {
        Stage::Docker(stage) => stage.broken_limits().map(str::to_owned),
        Stage::Local(_) | Stage::Hooked(_) | Stage::External(_) => without_container(plan),
    }
}

/// Nothing holds a server to them but a container.
fn without_container(plan: &StagePlan) -> Option<String> {
    let keys: Vec<&str> = [
        ("`cpus`", plan.cpus.is_some()),
        ("`memory`", plan.memory_bytes.is_some()),
        ("`shm`", plan.shm_bytes.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, set)| set.then_some(key))
    .collect();
    (!keys.is_empty()).then(|| {
        format!(
            "limits: {} of `[stage]` hold for containers and not for this server; what was measured is \
             not what a stage with these limits shows",
            keys.join(", ")
        )
    })
}
