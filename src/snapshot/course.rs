//! How far a `pg_restore` is: its `--verbose` lines laid beside the archive's table of contents.
//!
//! Pure. Lines say which items began and ended; what a COPY has read so far, which only the server
//! knows, is told to it. Shares never fall: an item under way counts less than a finished one.

use std::collections::BTreeMap;

use super::toc::Item;
use crate::stage::Heard;

/// What a statement without any data weighs, in bytes of data: about as long as this much takes.
const STATEMENT: u64 = 32 * 1024;

/// The largest part of an item that counts before it is finished.
const UNFINISHED: f64 = 0.99;

/// The restore of one archive.
#[derive(Debug, Default)]
pub(super) struct Course {
    items: Vec<Doing>,
    by_id: BTreeMap<i64, usize>,
    /// Without jobs `pg_restore` tells names only; some have more than one item.
    by_name: BTreeMap<String, Vec<usize>>,
    /// The item that a statement by statement restore is at.
    single: Option<usize>,
    tells: Tells,
}

/// How items are told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// By name, one after the other: there are no jobs.
    #[default]
    Names,
    /// By number.
    Numbers,
}

#[derive(Debug)]
struct Doing {
    kind: String,
    name: String,
    /// Bytes of data in the archive.
    stored: u64,
    /// How many times that the data has when it is unpacked.
    unpacks: f64,
    weight: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Waiting,
    /// And how much of it is done.
    AtWork(f64),
    Done,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stands {
    /// Bytes of data, as the archive stores them.
    pub data: Part,
    /// Indexes and constraints.
    pub objects: Part,
    /// Whether one of those is at work or done.
    pub has_begun_objects: bool,
    /// Everything, by weight.
    pub all: Part,
    /// What is at work, in words.
    pub at_work: String,
}

/// So much of so much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub done: u64,
    pub total: u64,
}

impl Part {
    fn add(&mut self, size: u64, part: f64) {
        self.total += size;
        self.done += (size as f64 * part) as u64;
    }

    /// Nothing is left.
    pub fn is_over(self) -> bool {
        self.done >= self.total
    }
}

/// The size of an item's data in the archive, and how many times that it has unpacked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub stored: u64,
    pub unpacks: f64,
}

impl Course {
    /// Nothing is done yet.
    pub fn new(items: &[Item], sizes: &BTreeMap<i64, Size>) -> Self {
        let stored = |item: &Item| sizes.get(&item.id).map_or(0, |size| size.stored);
        // Whoever depends on a table has its rows to go through.
        let mut rows: BTreeMap<i64, u64> = BTreeMap::new();
        for item in items.iter().filter(|item| is_data(&item.kind)) {
            for table in &item.needs {
                *rows.entry(*table).or_default() += stored(item);
            }
        }
        let mut course = Self::default();
        for (at, item) in items.iter().enumerate() {
            let scanned = match is_built(&item.kind) {
                true => item.needs.iter().filter_map(|table| rows.get(table)).sum(),
                false => 0,
            };
            course.by_id.insert(item.id, at);
            let told = format!("{} \"{}\"", item.kind, item.name);
            course.by_name.entry(told).or_default().push(at);
            course.items.push(Doing {
                kind: item.kind.clone(),
                name: item.name.clone(),
                stored: stored(item),
                unpacks: sizes.get(&item.id).map_or(1.0, |size| size.unpacks),
                weight: STATEMENT + stored(item) + scanned,
                state: State::Waiting,
            });
        }
        course
    }

    /// The next line of standard error; those that tell of progress alone are not kept.
    pub fn hear(&mut self, line: &str) -> Heard {
        let Some(told) = line.strip_prefix("pg_restore: ") else {
            return Heard::Keep;
        };
        let number = |rest: &str| -> Option<i64> { rest.split(' ').next()?.parse().ok() };
        if let Some(rest) = told.strip_prefix("launching item ") {
            self.tells = Tells::Numbers;
            self.end_single();
            self.begin(number(rest).and_then(|id| self.by_id.get(&id).copied()));
        } else if let Some(rest) = told.strip_prefix("finished item ") {
            self.end(number(rest).and_then(|id| self.by_id.get(&id).copied()));
        } else if let Some(rest) = told.strip_prefix("processing item ") {
            self.tells = Tells::Numbers;
            self.follow(number(rest).and_then(|id| self.by_id.get(&id).copied()));
        } else if let Some(rest) = told.strip_prefix("processing data for table ") {
            self.named(&format!("TABLE DATA {rest}"));
        } else if let Some(kind) = told.strip_prefix("processing ") {
            // Large objects, whose item has no name.
            self.next_of(kind);
        } else if let Some(rest) = told.strip_prefix("creating ") {
            self.named(rest);
        } else if told.starts_with("finished main parallel loop") {
            self.end_single();
        }
        match tells_of_progress(told) {
            true => Heard::Drop,
            false => Heard::Keep,
        }
    }

    /// A COPY into this table has read so many bytes.
    pub fn copied(&mut self, table: &str, bytes: u64) {
        let told = format!("TABLE DATA \"{table}\"");
        for at in self.by_name.get(&told).into_iter().flatten() {
            let item = &mut self.items[*at];
            if let State::AtWork(part) = &mut item.state {
                let whole = item.stored as f64 * item.unpacks;
                if whole > 0.0 {
                    *part = part.max((bytes as f64 / whole).min(UNFINISHED));
                }
            }
        }
    }

    /// How far it is.
    pub fn stands(&self) -> Stands {
        let mut stands = Stands::default();
        let mut at_work = Vec::new();
        for item in &self.items {
            let part = match item.state {
                State::Waiting => 0.0,
                State::AtWork(part) => part,
                State::Done => 1.0,
            };
            stands.all.add(item.weight, part);
            stands.data.add(item.stored, part);
            if is_built(&item.kind) {
                stands.objects.add(1, part.floor());
                stands.has_begun_objects |= item.state != State::Waiting;
            }
            if matches!(item.state, State::AtWork(_))
                && (is_data(&item.kind) || is_built(&item.kind))
            {
                let kind = match item.kind.as_str() {
                    "TABLE DATA" => "rows of".to_owned(),
                    kind => kind.to_lowercase(),
                };
                at_work.push(format!("{kind} `{}`", item.name));
            }
        }
        stands.at_work = match at_work.split_first() {
            None => String::new(),
            Some((first, [])) => first.clone(),
            Some((first, [second])) => format!("{first} and {second}"),
            Some((first, rest)) => format!("{first} and {} more", rest.len()),
        };
        stands
    }

    /// An item by its name: where they are told by number, this line says nothing new.
    fn named(&mut self, told: &str) {
        if self.tells == Tells::Names {
            let waiting = |at: &usize| self.items[*at].state == State::Waiting;
            let items = self.by_name.get(told);
            let at = items.and_then(|items| items.iter().copied().find(waiting));
            self.follow(at);
        }
    }

    fn next_of(&mut self, kind: &str) {
        if self.tells == Tells::Names {
            let waiting = |item: &Doing| item.kind == kind && item.state == State::Waiting;
            let at = self.items.iter().position(waiting);
            self.follow(at);
        }
    }

    /// One item after the other: the last one is done.
    fn follow(&mut self, at: Option<usize>) {
        self.end_single();
        self.begin(at);
        self.single = at;
    }

    fn end_single(&mut self) {
        let last = self.single.take();
        self.end(last);
    }

    fn begin(&mut self, at: Option<usize>) {
        if let Some(item) = at.and_then(|at| self.items.get_mut(at))
            && item.state == State::Waiting
        {
            item.state = State::AtWork(0.0);
        }
    }

    fn end(&mut self, at: Option<usize>) {
        if let Some(item) = at.and_then(|at| self.items.get_mut(at)) {
            item.state = State::Done;
        }
    }
}

/// What else `--verbose` says, in numbers that would push errors out of the lines that are kept.
const SILENT: &[&str] = &[
    "connecting to ",
    "entering main parallel loop",
    "executing ",
    "setting owner and privileges for ",
    "skipping item ",
    "restoring large object ",
    "restoring large objects",
    "restored ",
    "started ",
    "reducing dependencies ",
    "transferring dependency ",
    "disabling triggers for ",
    "enabling triggers for ",
];

/// Starts of the lines that `hear` makes something of.
const HEARD: &[&str] = &[
    "launching item ",
    "finished item ",
    "finished main parallel loop",
    "processing ",
    "creating ",
];

/// Whether a message, without its program's name, tells of progress alone.
pub(super) fn tells_of_progress(message: &str) -> bool {
    HEARD
        .iter()
        .chain(SILENT)
        .any(|start| message.starts_with(start))
}

fn is_data(kind: &str) -> bool {
    matches!(kind, "TABLE DATA" | "BLOBS" | "BLOB DATA")
}

/// Whether rows are gone through for it.
fn is_built(kind: &str) -> bool {
    matches!(
        kind,
        "INDEX" | "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" | "MATERIALIZED VIEW DATA"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    /// Two tables, one of them large, with a key each.
    fn shop() -> Course {
        let item = |id, kind: &str, name: &str, needs: &[i64]| Item {
            id,
            kind: kind.to_owned(),
            name: name.to_owned(),
            needs: needs.to_vec(),
            ..Item::default()
        };
        let items = [
            item(6, "SCHEMA", "app", &[]),
            item(10, "TABLE", "app.large", &[6]),
            item(11, "TABLE", "app.small", &[6]),
            item(20, "TABLE DATA", "app.large", &[10]),
            item(21, "TABLE DATA", "app.small", &[11]),
            item(30, "CONSTRAINT", "app.large large_pkey", &[10]),
            item(31, "CONSTRAINT", "app.small small_pkey", &[11]),
        ];
        let size = |stored| Size {
            stored,
            unpacks: 4.0,
        };
        Course::new(&items, &[(20, size(90 * MB)), (21, size(10 * MB))].into())
    }

    fn hear(course: &mut Course, lines: &str) {
        for line in lines.lines() {
            assert_eq!(course.hear(line.trim()), Heard::Drop, "{line}");
        }
    }

    #[test]
    fn jobs_are_followed_by_number() {
        let mut course = shop();
        hear(
            &mut course,
            "pg_restore: connecting to database for restore
             pg_restore: executing SELECT pg_catalog.set_config('search_path', '', false);
             pg_restore: processing item 6 SCHEMA app
             pg_restore: creating SCHEMA \"app\"
             pg_restore: processing item 10 TABLE large
             pg_restore: creating TABLE \"app.large\"
             pg_restore: processing item 11 TABLE small
             pg_restore: entering main parallel loop
             pg_restore: launching item 20 TABLE DATA large
             pg_restore: launching item 21 TABLE DATA small
             pg_restore: processing data for table \"app.large\"
             pg_restore: finished item 21 TABLE DATA small
             pg_restore: launching item 31 CONSTRAINT small small_pkey",
        );
        let stands = course.stands();
        assert_eq!((stands.data.done, stands.data.total), (10 * MB, 100 * MB));
        assert_eq!((stands.objects.done, stands.objects.total), (0, 2));
        assert_eq!(
            stands.at_work,
            "rows of `app.large` and constraint `app.small small_pkey`"
        );
        // Half of what it will have when it is unpacked.
        course.copied("app.large", 180 * MB);
        assert_eq!(course.stands().data.done, 55 * MB);
        // More than was reckoned with, and then less: neither is believed.
        course.copied("app.large", 900 * MB);
        course.copied("app.large", 1);
        let nearly = course.stands();
        assert!(nearly.data.done < 100 * MB && nearly.data.done > 98 * MB);
        hear(
            &mut course,
            "pg_restore: finished item 20 TABLE DATA large
             pg_restore: finished item 31 CONSTRAINT small small_pkey
             pg_restore: launching item 30 CONSTRAINT large large_pkey",
        );
        let stands = course.stands();
        assert!(stands.data.is_over() && !stands.objects.is_over() && !stands.all.is_over());
        assert!(stands.all.done > nearly.all.done);
        hear(
            &mut course,
            "pg_restore: finished item 30 CONSTRAINT large large_pkey
             pg_restore: finished main parallel loop",
        );
        assert!(course.stands().all.is_over());
    }

    #[test]
    fn without_jobs_each_line_ends_the_one_before() {
        let mut course = shop();
        hear(
            &mut course,
            "pg_restore: creating SCHEMA \"app\"
             pg_restore: creating TABLE \"app.large\"
             pg_restore: creating TABLE \"app.small\"
             pg_restore: processing data for table \"app.large\"",
        );
        assert_eq!(course.stands().at_work, "rows of `app.large`");
        hear(
            &mut course,
            "pg_restore: processing data for table \"app.small\"",
        );
        assert_eq!(course.stands().data.done, 90 * MB);
        hear(
            &mut course,
            "pg_restore: creating CONSTRAINT \"app.large large_pkey\"
             pg_restore: creating CONSTRAINT \"app.small small_pkey\"",
        );
        let stands = course.stands();
        assert!(stands.data.is_over());
        assert_eq!(stands.objects.done, 1);
        assert_eq!(stands.at_work, "constraint `app.small small_pkey`");
    }

    #[test]
    fn what_is_no_progress_is_kept() {
        let mut course = shop();
        for line in [
            "pg_restore: error: could not execute query: ERROR:  relation \"a\" already exists",
            "pg_restore: from TOC entry 6; 2615 16384 SCHEMA app postgres",
            "pg_restore: warning: errors ignored on restore: 2",
            "Command was: CREATE SCHEMA app;",
            "creating havoc",
            "",
        ] {
            assert_eq!(course.hear(line), Heard::Keep, "{line}");
        }
    }

    #[test]
    fn lines_of_another_archive_are_no_harm() {
        let mut course = shop();
        let before = course.stands();
        hear(
            &mut course,
            "pg_restore: launching item 99 TABLE DATA x
             pg_restore: finished item 98 TABLE DATA x
             pg_restore: processing item what
             pg_restore: creating CAST \"x\"",
        );
        course.copied("app.large", 5);
        assert_eq!(course.stands(), before);
        assert!(Course::default().stands().all.is_over());
    }
}
