//! What a plan gives away of secrets, remembered before any of it runs.

use crate::plan::traffic::Instruction;
use crate::plan::{Plan, SnapshotChoice, StageChoice, Work};
use crate::redact;

/// Remembers them.
pub fn learn(plan: &Plan) {
    for step in &plan.steps {
        match &step.work {
            Work::Sql(work) => redact::sql::learn(&work.text),
            Work::Batch(work) => redact::sql::learn(&work.template),
            Work::Command(work) => {
                redact::learn_arguments(&work.argv);
                for (name, value) in &work.environment {
                    redact::learn_variable(name, value);
                }
            }
        }
    }
    if let SnapshotChoice::Folder { variables, .. } = &plan.snapshot {
        for (name, value) in variables {
            redact::learn_variable(name, value);
        }
    }
    if let StageChoice::External { endpoint, .. } = &plan.stage.choice {
        endpoint.remember();
    }
    let operations = plan.traffic.iter().flat_map(|traffic| &traffic.operations);
    for instruction in operations.flat_map(|operation| &operation.program) {
        if let Instruction::Sql { text, .. } = instruction {
            redact::sql::learn(text);
        }
    }
}
