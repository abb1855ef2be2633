//! Follows a tool that restores a dump: hears its lines, asks the server, tells how far it is.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::course::{Course, Part};
use super::plain;
use super::tangled::Tangled;
use super::underway::Underway;
use crate::stage::{Endpoint, Heard, Unit, Watch};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(250);

/// What stands beside one run of a tool.
pub(super) struct Follow<'a> {
    tangled: Mutex<Tangled>,
    course: Mutex<Course>,
    told: Mutex<Told>,
    /// Indexes and keys of a plain dump, which only the server can count.
    built: Option<Mutex<Part>>,
    name: &'a str,
    watch: &'a dyn Watch,
}

impl<'a> Follow<'a> {
    /// Begins the phase; an empty course is one that nothing is known of.
    pub fn new(course: Course, name: &'a str, watch: &'a dyn Watch) -> Self {
        watch.measured(&format!("restoring `{name}`"), Unit::Bytes);
        Self {
            tangled: Mutex::default(),
            course: Mutex::new(course),
            told: Mutex::new(Told::Data),
            built: None,
            name,
            watch,
        }
    }

    /// A plain dump, which builds so many indexes and keys.
    pub fn plain(built: u64, name: &'a str, watch: &'a dyn Watch) -> Self {
        let part = Part {
            done: 0,
            total: built,
        };
        Self {
            built: Some(Mutex::new(part)),
            ..Self::new(Course::default(), name, watch)
        }
    }

    /// A line of the tool's standard error.
    pub fn hear(&self, line: &str) -> Heard {
        let mut tangled = self.tangled.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = tangled.line(line);
        match (self.course().hear(&meant), meant) {
            (Heard::Keep, Cow::Owned(meant)) => Heard::KeepAs(meant),
            (heard, _) => heard,
        }
    }

    /// Tells how far it is, until it is dropped.
    pub async fn tell(
        &self,
        endpoint: &Endpoint,
        stream: Option<&plain::Progress>,
    ) -> std::convert::Infallible {
        // What is over in a moment needs no session beside it.
        self.rest(stream, "").await;
        let server = Underway::beside(endpoint).await;
        loop {
            for (table, bytes) in server.copies().await {
                self.course().copied(&table, bytes);
            }
            if let Some(built) = &self.built {
                let count = server.built().await;
                let mut built = built.lock().unwrap_or_else(PoisonError::into_inner);
                built.done = count.min(built.total);
            }
            let at_work = server.at_work().await;
            self.rest(stream, &at_work).await;
        }
    }

    /// The tool ended well: whatever was at work is done.
    pub fn end(&self) {
        let Part { total, .. } = match *self.told() {
            Told::Data => self.course().stands().data,
            Told::Objects => self.objects(),
        };
        if total > 0 {
            self.watch.advance(total, Some(total));
        }
    }

    /// A second without a question, in which lines are heard all the same.
    async fn rest(&self, stream: Option<&plain::Progress>, at_work: &str) {
        for _ in 0..4 {
            self.tell_once(stream, at_work);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn tell_once(&self, stream: Option<&plain::Progress>, at_work: &str) {
        let mut told = self.told();
        let stands = self.course().stands();
        let data = match stream {
            Some(stream) => Part {
                done: stream.done(),
                total: stream.total,
            },
            None => stands.data,
        };
        let objects = self.objects();
        // A plain dump comes to them when all of it is read.
        let has_begun = stands.has_begun_objects || self.built.is_some();
        let left = has_begun && !objects.is_over();
        if *told == Told::Data && data.is_over() && left {
            if data.total > 0 {
                self.watch.advance(data.total, Some(data.total));
            }
            *told = Told::Objects;
            self.watch.measured(
                &format!("building the indexes and constraints of `{}`", self.name),
                Unit::Objects,
            );
        }
        match *told {
            Told::Data if data.total > 0 => self.watch.advance(data.done, Some(data.total)),
            // An archive that says nothing of its data.
            Told::Data => {}
            Told::Objects => {
                let Part { done, total } = objects;
                self.watch.advance(done, Some(total));
            }
        }
        // Of a stream it is known exactly how much was read.
        if stream.is_none() && stands.all.total > 0 {
            self.watch.share(stands.all.done, stands.all.total);
        }
        let detail = match stands.at_work.is_empty() {
            true => at_work,
            false => &stands.at_work,
        };
        self.watch.detail(detail);
    }

    fn objects(&self) -> Part {
        match &self.built {
            Some(built) => *built.lock().unwrap_or_else(PoisonError::into_inner),
            None => self.course().stands().objects,
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the phase that was begun last counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Data,
    Objects,
}
