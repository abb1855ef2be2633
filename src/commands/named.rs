//! Progress of one scenario among several: each line says whose it is.

use lockproof::stage::{Unit, Watch};

use crate::terminal::Screen;

/// A screen, and the name before everything on it.
pub struct Named {
    name: String,
    screen: Screen,
}

impl Named {
    /// A line of progress of its own on this screen.
    pub fn on(screen: &Screen, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            screen: screen.another(),
        }
    }

    /// Its line is not needed any more.
    pub fn finish(&self) {
        self.screen.finish();
    }

    fn named(&self, text: &str) -> String {
        let lines: Vec<String> = text
            .lines()
            .map(|line| format!("{}: {line}", self.name))
            .collect();
        lines.join("\n")
    }
}

impl Watch for Named {
    fn phase(&self, what: &str) {
        self.screen.phase(&self.named(what));
    }

    fn measured(&self, what: &str, unit: Unit) {
        self.screen.measured(&self.named(what), unit);
    }

    fn share(&self, done: u64, total: u64) {
        self.screen.share(done, total);
    }

    fn detail(&self, what: &str) {
        self.screen.detail(what);
    }

    fn advance(&self, done: u64, total: Option<u64>) {
        self.screen.advance(done, total);
    }

    fn note(&self, text: &str) {
        self.screen.note(&self.named(text));
    }
}
