//! lockproof: a pre-production gate for PostgreSQL schema migrations.
//!
//! Replays a migration step by step on a server filled from a production snapshot, watches the locks
//! every few milliseconds, and proves for each step whether it held them within its budget. The
//! command `lockproof` is a thin layer over this library; README.md says what it does, ARCHITECTURE.md
//! how the rooms hang together.
//!
//! # A gate in a test of your own
//!
//! Decide a run as the command line would, run it, look at the report. The library prints nothing,
//! installs no signal handler and never exits. A broken budget and a failing statement are part of the
//! report; an [`Error`] says that there is none.
//!
//! ```no_run
//! use lockproof::judge::Verdict;
//! use lockproof::report::table::{Palette, render};
//! use lockproof::stage::watch::Unwatched;
//! use lockproof::{cli, config, interrupt::Interrupt, run};
//!
//! # #[tokio::main]
//! # async fn main() -> lockproof::Result<()> {
//! let asked = cli::Run {
//!     paths: vec!["migrations/0042".into()],
//!     snapshot: Some("shop".to_owned()),
//!     budget: Some("20ms".to_owned()),
//!     ..cli::Run::default()
//! };
//! let planned = config::plan(&asked)?;
//! let finished = run::run(&planned.plan, &planned.notes, &Unwatched, &Interrupt::never(), None).await?;
//! let report = &finished.report;
//! assert_eq!(report.verdict, Verdict::Within, "{}", render(report, Palette::Plain));
//! # Ok(())
//! # }
//! ```
//!
//! `Unwatched` ignores progress: [`stage::Watch`] is the trait to show it by. [`interrupt::pair`] makes an
//! interrupt that can come, the last argument of [`run::run`] a recording. Several scenarios are decided by
//! [`config::plan_all`] and run by [`run::many`], some at once if wanted.
//!
//! # Judging a recording
//!
//! Everything right of the recording is pure: no database, no runtime, the same report each time.
//!
//! ```no_run
//! use std::{fs::File, io::BufReader};
//!
//! use lockproof::{analyse::Analyst, judge, recording::read::Reader, report};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut recording = Reader::new(BufReader::new(File::open("run.jsonl")?), "run.jsonl")?;
//! let policy = recording.header().policy.clone();
//! let mut analyst = Analyst::new(recording.header().clone());
//! for event in recording.by_ref() {
//!     analyst.push(event?);
//! }
//! let timeline = analyst.finish();
//! let judgement = judge::judge(&timeline, &policy);
//! let report = report::build::build(&timeline, &judgement, &policy);
//! for step in &report.steps {
//!     println!("{}: {}", step.name, step.verdict.name());
//! }
//! # Ok(())
//! # }
//! ```

pub mod advice;
pub mod analyse;
pub mod bounds;
pub mod cli;
pub mod clock;
pub mod config;
pub mod disturb;
pub mod durations;
pub mod error;
pub mod exit_code;
pub mod interrupt;
pub mod judge;
pub mod keeper;
pub mod observe;
pub mod pg;
pub mod plan;
pub mod recording;
pub mod redact;
pub mod replay;
pub mod report;
pub mod run;
pub mod snapshot;
pub mod sql;
pub mod stage;
pub mod traffic;

pub use error::{Error, Result};
