//! The exit codes, each documented once; scripts outside rely on them.

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: every step within its budgets.
    Within,
    /// 1: a budget was exceeded.
    Exceeded,
    /// 2: usage, or the scenario or snapshot description is invalid.
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
