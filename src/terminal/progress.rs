//! Shows the phase that goes on: one living line on a terminal, a line now and then in a log.
//!
//! A thread of its own draws, four times a second at the most: whoever tells of progress only leaves
//! two numbers here, also between two statements of a migration that is being measured.

use std::io::IsTerminal;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lockproof::clock::{Clock, Mono};
use lockproof::stage::Unit;

use super::phase::Phase;

/// From one drawing of the living line to the next.
const REDRAW: Duration = Duration::from_millis(250);
/// A phase that is over before this leaves no line in a log.
const QUICK: Duration = Duration::from_secs(2);
/// From one line of a log to the next.
const EVERY: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Not at all.
    Nothing,
    /// One line that is drawn again and again.
    Living,
    /// Lines that stay.
    Log,
}

impl Face {
    /// What standard error can show.
    pub fn of_standard_error() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Living
        } else {
            Self::Log
        }
    }
}

/// What goes on, and the thread that shows it.
pub struct Progress {
    clock: Clock,
    face: Face,
    /// All lines of the terminal; this one's is `bar`.
    lines: MultiProgress,
    bar: ProgressBar,
    now: Arc<Now>,
}

/// What both threads see.
struct Now {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    phase: Option<(Phase, Mono)>,
    /// When the next line of a log is due.
    due: Mono,
    /// Whether the phase has a line in the log.
    said: bool,
    has_thread: bool,
    /// Nobody will tell of anything any more.
    is_over: bool,
}

impl Progress {
    /// Nothing goes on yet.
    pub fn new(face: Face) -> Self {
        let target = match face {
            Face::Living => ProgressDrawTarget::stderr(),
            Face::Nothing | Face::Log => ProgressDrawTarget::hidden(),
        };
        Self::on(MultiProgress::with_draw_target(target), face)
    }

    /// A line among others.
    fn on(lines: MultiProgress, face: Face) -> Self {
        let bar = lines.add(ProgressBar::no_length());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self {
            clock: Clock::start(),
            face,
            lines,
            bar,
            now: Arc::new(Now {
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// A line more, below this one's, for something else that goes on at the same time.
    pub fn another(&self) -> Self {
        Self::on(self.lines.clone(), self.face)
    }

    /// How it is shown.
    pub fn face(&self) -> Face {
        self.face
    }

    /// A phase begins, and the one before it is over.
    pub fn begin(&self, what: &str, unit: Option<Unit>) {
        if self.face == Face::Nothing {
            return;
        }
        let now = self.clock.now();
        let mut state = self.now.state();
        let last = state.end(now);
        state.phase = Some((Phase::new(what, unit), now));
        state.due = now.after(QUICK);
        if !state.has_thread {
            // Without it there is no progress to see, which is no reason to fail.
            state.has_thread = std::thread::Builder::new()
                .name("progress".to_owned())
                .spawn(self.drawing())
                .is_ok();
        }
        drop(state);
        self.say(last);
        self.now.changed.notify_one();
    }

    /// Something of the phase changed; `change` also gets the time since the phase began.
    pub fn change(&self, change: impl FnOnce(&mut Phase, Duration)) {
        if self.face == Face::Nothing {
            return;
        }
        let now = self.clock.now();
        if let Some((phase, since)) = &mut self.now.state().phase {
            change(phase, now.since(*since));
        }
    }

    /// Nothing goes on any more, and all of it went well.
    pub fn finish(&self) {
        let last = self.now.state().end(self.clock.now());
        self.say(last);
        self.bar.finish_and_clear();
    }

    /// Nothing goes on any more.
    pub fn abandon(&self) {
        self.now.state().phase = None;
        self.bar.finish_and_clear();
    }

    /// Keeps the living line away while something else is written.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    fn say(&self, line: Option<String>) {
        if self.face == Face::Log
            && let Some(line) = line
        {
            super::eprint_line(&line);
        }
    }

    /// What the thread does, as long as this lives.
    fn drawing(&self) -> impl FnOnce() + Send + 'static {
        let (now, clock, face, bar) = (
            Arc::clone(&self.now),
            self.clock,
            self.face,
            self.bar.clone(),
        );
        move || {
            while let Some(line) = now.next(clock, face) {
                // Not under the lock: a terminal that is held, or a pipe that nobody reads, must not
                // hold up the run.
                if face == Face::Living {
                    bar.set_message(line);
                    bar.tick();
                    std::thread::sleep(REDRAW);
                } else {
                    super::eprint_line(&line);
                }
            }
        }
    }
}

impl Now {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves nothing half-done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line to show, as soon as there is one; None: there will be none.
    fn next(&self, clock: Clock, face: Face) -> Option<String> {
        let mut state = self.state();
        while !state.is_over {
            let now = clock.now();
            let due = state.due;
            let wait = match &mut state.phase {
                None => None,
                Some(_) if face == Face::Log && now < due => Some(due.since(now)),
                Some((phase, since)) => {
                    let at = now.since(*since);
                    phase.look(at);
                    let line = phase.stands(at);
                    state.said = true;
                    state.due = now.after(EVERY);
                    return Some(line);
                }
            };
            state = match wait {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let woken = self.changed.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        None
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.now.state().is_over = true;
        self.now.changed.notify_one();
    }
}

impl State {
    /// Ends the phase; what it came to, where it has lines in the log.
    fn end(&mut self, now: Mono) -> Option<String> {
        let (phase, since) = self.phase.take()?;
        std::mem::take(&mut self.said).then(|| phase.took(now.since(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_phase_leaves_no_line_and_a_long_one_its_last() {
        let mut state = State {
            phase: Some((Phase::new("a", None), Mono(0))),
            ..State::default()
        };
        assert_eq!(state.end(Mono(1_000_000_000)), None);
        state.phase = Some((Phase::new("b", None), Mono(0)));
        state.said = true;
        let took = state.end(Mono(9_000_000_000));
        assert_eq!(took.as_deref(), Some("b took 9 s"));
        assert!(!state.said && state.phase.is_none());
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let progress = Progress::new(Face::Nothing);
        progress.begin("a", None);
        progress.change(|phase, at| phase.advance(1, None, at));
        assert!(progress.now.state().phase.is_none() && !progress.now.state().has_thread);
    }
}
