//! The exit codes, each documented once; scripts outside rely on them.

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: every step within its budgets.
    Within,
    /// 1: a budget was exceeded.
    Exceeded,
    /// 2: usage, or the description of the scenario, the snapshot or the traffic is invalid.
    Usage,
    /// 3: the stage could not be brought up, restored, or was lost.
    Stage,
    /// 4: a statement or a command of the migration failed.
    Failed,
    /// 5: what was seen neither proves nor refutes the budget.
    Unproven,
    /// 6: a report could not be written.
    Report,
    /// 70: a defect of lockproof.
    Defect,
    /// 128 + n: ended by signal n, after cleaning up.
    Signal(i32),
}

impl ExitCode {
    /// That of several scenarios in one process: what says least about the migration comes first, since
    /// it may hide anything, then the verdicts from bad to good. 70, 128 + n, 2, 3, 6, 4, 1, 5, 0.
    pub fn worst(codes: impl IntoIterator<Item = Self>) -> Self {
        let rank = |code: &Self| match code {
            Self::Defect => 8,
            Self::Signal(_) => 7,
            Self::Usage => 6,
            Self::Stage => 5,
            Self::Report => 4,
            Self::Failed => 3,
            Self::Exceeded => 2,
            Self::Unproven => 1,
            Self::Within => 0,
        };
        codes.into_iter().max_by_key(rank).unwrap_or(Self::Within)
    }

    /// The number handed to the operating system.
    pub fn number(self) -> u8 {
        match self {
            Self::Within => 0,
            Self::Exceeded => 1,
            Self::Usage => 2,
            Self::Stage => 3,
            Self::Failed => 4,
            Self::Unproven => 5,
            Self::Report => 6,
            Self::Defect => 70,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_is_hidden_by_a_pass_and_no_doubt_by_a_verdict() {
        use ExitCode::{Defect, Exceeded, Failed, Report, Signal, Stage, Unproven, Usage, Within};
        let ranked = [
            Defect,
            Signal(15),
            Usage,
            Stage,
            Report,
            Failed,
            Exceeded,
            Unproven,
            Within,
        ];
        for (index, worse) in ranked.iter().enumerate() {
            for better in &ranked[index..] {
                assert_eq!(ExitCode::worst([*better, *worse]), *worse);
                assert_eq!(ExitCode::worst([*worse, *better]), *worse);
            }
        }
        assert_eq!(ExitCode::worst([]), Within);
    }
}
