//! When steps began and ended, shared by the run, which marks them, and the generator, which counts requests to them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, Mono};
use crate::recording::traffic::Window;

/// The marks of one replay.
#[derive(Debug)]
pub struct Marks {
    clock: Clock,
    marked: Mutex<Marked>,
}

#[derive(Debug, Default)]
struct Marked {
    /// Each step's begin and end, in order; None: it goes on.
    steps: Vec<(Mono, Option<Mono>)>,
    /// True when no further step will begin.
    over: bool,
}

impl Marks {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            marked: Mutex::default(),
        }
    }

    /// The next step begins now.
    pub fn begin(&self) -> Mono {
        // The clock is read inside the lock: whoever reads it later finds the mark.
        let mut marked = self.marked();
        let now = self.clock.now();
        marked.steps.push((now, None));
        now
    }

    /// The step under way ends now.
    pub fn end(&self) -> Mono {
        let mut marked = self.marked();
        let now = self.clock.now();
        if let Some((_, end)) = marked.steps.last_mut() {
            *end = Some(now);
        }
        now
    }

    /// That was the last one.
    pub fn over(&self) {
        self.marked().over = true;
    }

    /// What a request is counted to; to be asked when `ended` has passed.
    pub fn window(&self, due: Mono, ended: Mono) -> Window {
        self.marked().window(due, ended)
    }

    fn marked(&self) -> MutexGuard<'_, Marked> {
        // Whole between any two statements, so a thread that panicked left nothing half done.
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marked {
    fn window(&self, due: Mono, ended: Mono) -> Window {
        // The first step that was not over when the request was due: it was under way, or is still to come.
        let after = self
            .steps
            .partition_point(|(_, end)| end.is_some_and(|end| end <= due));
        match self.steps.get(after) {
            Some((began, _)) if *began <= due || *began < ended => Window::Step(after),
            _ if after == 0 => Window::Baseline,
            None if self.over => Window::Settle,
            _ => Window::Between,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(steps: &[(u64, Option<u64>)], over: bool) -> Marked {
        Marked {
            steps: steps
                .iter()
                .map(|(began, ended)| (Mono(*began), ended.map(Mono)))
                .collect(),
            over,
        }
    }

    #[test]
    fn a_request_is_counted_to_the_step_that_it_was_due_in_or_met_first() {
        let two = marked(&[(100, Some(200)), (300, Some(400))], true);
        let window = |due, ended| two.window(Mono(due), Mono(ended));
        assert_eq!(window(10, 20), Window::Baseline);
        assert_eq!(
            window(10, 100),
            Window::Baseline,
            "it ended as the step began"
        );
        assert_eq!(window(10, 101), Window::Step(0), "it met the step");
        assert_eq!(window(10, 350), Window::Step(0), "the first that it met");
        assert_eq!(window(100, 101), Window::Step(0));
        assert_eq!(window(199, 350), Window::Step(0), "due in it");
        assert_eq!(window(200, 250), Window::Between);
        assert_eq!(window(250, 350), Window::Step(1));
        assert_eq!(window(350, 999), Window::Step(1));
        assert_eq!(window(400, 401), Window::Settle);
    }

    #[test]
    fn what_is_still_to_come_is_not_known_yet() {
        assert_eq!(
            marked(&[], false).window(Mono(1), Mono(2)),
            Window::Baseline
        );
        let under_way = marked(&[(100, None)], false);
        assert_eq!(under_way.window(Mono(1), Mono(150)), Window::Step(0));
        assert_eq!(under_way.window(Mono(120), Mono(150)), Window::Step(0));
        let one = marked(&[(100, Some(200))], false);
        assert_eq!(one.window(Mono(210), Mono(220)), Window::Between);
    }

    #[test]
    fn marks_are_read_off_the_clock() {
        let clock = Clock::start();
        let marks = Marks::new(clock);
        let before = clock.now();
        let began = marks.begin();
        assert!(before <= began);
        assert_eq!(
            marks.window(
                before,
                clock.now().after(std::time::Duration::from_nanos(1))
            ),
            Window::Step(0)
        );
        let ended = marks.end();
        assert!(began <= ended);
        assert_eq!(marks.window(ended, ended), Window::Between);
        marks.over();
        assert_eq!(marks.window(ended, ended), Window::Settle);
    }
}
