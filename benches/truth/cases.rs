//! The steps that lockproof replays, made up from a seed: every path to a lock, with lengths from 0.2 to
//! 400 ms, about half of them around the budget.

use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::server::TABLES;
use crate::truth::Kind;

/// How a step comes to its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Several statements in one transaction.
    Transaction,
    /// One statement by itself.
    Autocommit,
    /// A step of kind batch.
    Batch,
    /// A program, whose session lockproof does not drive.
    Command,
    /// On an index.
    Index,
    /// Several relations, one after the other.
    Several,
    /// It is waited for first.
    Wait,
}

impl Way {
    /// All, with how many steps of a run go that way: about as many holds for each.
    pub const ALL: [(Self, usize); 7] = [
        (Self::Transaction, 7),
        (Self::Autocommit, 6),
        (Self::Batch, 3),
        (Self::Command, 7),
        (Self::Index, 7),
        (Self::Several, 2),
        (Self::Wait, 6),
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Autocommit => "autocommit",
            Self::Batch => "batch",
            Self::Command => "command",
            Self::Index => "index",
            Self::Several => "several",
            Self::Wait => "after a wait",
        }
    }
}

/// A step.
pub struct Case {
    /// Which way it goes.
    pub way: Way,
    /// The tables that it locks; no other step of its run touches them.
    pub tables: Vec<String>,
    /// What the step runs.
    pub work: Work,
    /// A table that somebody reads until this long after the step was seen to wait for it.
    pub blocked: Option<(String, Duration)>,
}

/// What a step runs.
pub enum Work {
    /// Of kind sql.
    Sql {
        /// How it is wrapped.
        wrap: &'static str,
        /// The statements.
        script: String,
        /// `lock_timeout` and retries.
        impatient: bool,
    },
    /// Of kind batch, with its statement.
    Batch(String),
    /// psql with a file of these statements.
    Psql(String),
    /// psql with all of them as one message.
    PsqlAtOnce(String),
}

/// Makes up cases.
pub struct Maker {
    rng: StdRng,
    tables: Range<usize>,
    marks: Marks,
}

/// Whether the steps leave marks of the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// They do, for the witness that has nothing else.
    Left,
    /// They do not.
    None,
}

impl Maker {
    /// From a seed.
    pub fn new(seed: u64, marks: Marks) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            tables: 0..TABLES,
            marks,
        }
    }

    /// The steps of one run, in any order.
    pub fn run(&mut self) -> Vec<Case> {
        self.tables = 0..TABLES;
        let mut cases = Vec::new();
        for (way, count) in Way::ALL {
            for _ in 0..count {
                cases.push(self.case(way));
            }
        }
        cases.shuffle(&mut self.rng);
        cases
    }

    /// The same step so many times, each on a table of its own, at work for `ms` in its transaction.
    pub fn same(&mut self, count: usize, ms: f64) -> Vec<Case> {
        self.tables = 0..TABLES;
        let same = |maker: &mut Self| {
            let table = maker.table();
            let mut script = Script::new(maker.marks);
            script.lock(&table, &format!("LOCK TABLE {table}"));
            script.add(&format!("SELECT truth.stay(0, {ms:.3}, true, NULL)"));
            Case {
                way: Way::Transaction,
                work: script.into_transaction(),
                tables: vec![table],
                blocked: None,
            }
        };
        (0..count).map(|_| same(self)).collect()
    }

    fn case(&mut self, way: Way) -> Case {
        match way {
            Way::Transaction => self.transaction(),
            Way::Autocommit => {
                let table = self.table();
                Case {
                    way,
                    work: self.alone(&table, false),
                    tables: vec![table],
                    blocked: None,
                }
            }
            Way::Batch => self.batch(),
            Way::Command => self.command(),
            Way::Index => self.index(),
            Way::Several => self.several(),
            Way::Wait => self.wait(),
        }
    }

    fn transaction(&mut self) -> Case {
        let table = self.table();
        let ms = self.length();
        let mut script = Script::new(self.marks);
        // The clock leaves no marks in what is rolled back.
        let variants = if self.marks == Marks::Left { 4 } else { 6 };
        let work = match self.rng.random_range(0..variants) {
            0 => {
                script.lock(
                    &table,
                    &format!("ALTER TABLE {table} ALTER b SET DEFAULT 7"),
                );
                self.stay(&mut script, &table, ms);
                script.add(&format!("UPDATE {table} SET b = b + 1"));
                script.into_transaction()
            }
            1 => {
                script.add(&format!("UPDATE {table} SET b = b + 1"));
                script.lock(&table, &format!("LOCK TABLE {table}"));
                self.stay(&mut script, &table, ms);
                script.into_transaction()
            }
            2 => {
                script.lock(&table, &format!("TRUNCATE {table}"));
                script.add(&format!("INSERT INTO {table} VALUES (1, 1)"));
                self.stay(&mut script, &table, ms);
                script.into_transaction()
            }
            // One transaction after the other, with hardly a moment between them.
            3 => {
                for part in [ms / 2.0, ms] {
                    script.add("BEGIN");
                    script.lock(&table, &format!("LOCK TABLE {table}"));
                    self.stay(&mut script, &table, part);
                    script.end("COMMIT");
                }
                script.into_written()
            }
            4 => {
                script.add("BEGIN");
                script.lock(&table, &format!("LOCK TABLE {table}"));
                self.stay(&mut script, &table, ms);
                script.end("ROLLBACK");
                script.into_written()
            }
            // Released long before the transaction ends.
            _ => {
                script.add("SAVEPOINT s");
                script.lock(&table, &format!("LOCK TABLE {table}"));
                self.stay(&mut script, &table, ms);
                script.add("ROLLBACK TO s");
                let rest = self.length();
                self.stay(&mut script, &table, rest);
                script.into_transaction()
            }
        };
        Case {
            way: Way::Transaction,
            tables: vec![table],
            work,
            blocked: None,
        }
    }

    /// One statement, in no transaction of ours.
    fn alone(&mut self, table: &str, impatient: bool) -> Work {
        let mut script = Script::new(self.marks);
        let ms = self.length();
        // What cannot be made longer is a short one.
        let statement = if ms < 3.0 {
            format!("ALTER TABLE {table} ALTER b SET DEFAULT 8")
        } else {
            let marked = match self.marks {
                Marks::Left => format!("'{table}'"),
                Marks::None => "NULL".to_owned(),
            };
            let busy = self.rng.random_bool(0.5);
            format!(
                "ALTER TABLE {table} ALTER b TYPE int USING truth.stay(b, {ms:.3}, {busy}, {marked})"
            )
        };
        script.mark(table, Kind::Asking);
        script.add(&statement);
        script.mark(table, Kind::Ended);
        Work::Sql {
            wrap: "autocommit",
            script: script.text,
            impatient,
        }
    }

    fn batch(&mut self) -> Case {
        let tables = [(); 3].map(|()| self.table());
        let lengths = [(); 3].map(|()| self.length());
        let busy = [(); 3].map(|()| self.rng.random_bool(0.5));
        let mark = self.marks == Marks::Left;
        let names = tables
            .each_ref()
            .map(|table| format!("'{table}'"))
            .join(", ");
        let statement = format!(
            "SELECT rows, after FROM truth.batch(ARRAY[{names}], ARRAY{lengths:.3?}, ARRAY{busy:?}, \
             {mark}, ${{after}}::int) LIMIT ${{batch_size}}"
        );
        Case {
            way: Way::Batch,
            tables: tables.to_vec(),
            work: Work::Batch(statement),
            blocked: None,
        }
    }

    fn command(&mut self) -> Case {
        let table = self.table();
        let ms = self.length();
        let mut script = Script::new(self.marks);
        script.add("BEGIN");
        script.lock(&table, &format!("LOCK TABLE {table}"));
        self.stay(&mut script, &table, ms);
        script.end("COMMIT");
        // One message is one transaction to the clock, so it cannot be marked in the middle.
        let work = if self.marks == Marks::None && self.rng.random_bool(0.5) {
            Work::PsqlAtOnce(script.text)
        } else {
            Work::Psql(script.text)
        };
        Case {
            way: Way::Command,
            tables: vec![table],
            work,
            blocked: None,
        }
    }

    fn index(&mut self) -> Case {
        let table = self.table();
        let index = format!("{table}_pkey");
        let ms = self.length();
        let mut script = Script::new(self.marks);
        let work = if ms < 3.0 {
            script.mark(&index, Kind::Asking);
            script.add(&format!("REINDEX INDEX {index}"));
            script.mark(&index, Kind::Ended);
            Work::Sql {
                wrap: "autocommit",
                script: script.text,
                impatient: false,
            }
        } else {
            if self.rng.random_bool(0.3) {
                let before = self.length();
                self.stay(&mut script, &table, before);
            }
            let all = self.rng.random_bool(0.3);
            let what = if all {
                ("TABLE", &table)
            } else {
                ("INDEX", &index)
            };
            script.lock(&index, &format!("REINDEX {} {}", what.0, what.1));
            self.stay(&mut script, &table, ms);
            script.into_transaction()
        };
        Case {
            way: Way::Index,
            tables: vec![table],
            work,
            blocked: None,
        }
    }

    fn several(&mut self) -> Case {
        let tables = [(); 4].map(|()| self.table());
        let ms = self.length();
        let [first, second, third, fourth] = &tables;
        let mut script = Script::new(self.marks);
        script.lock(first, &format!("LOCK TABLE {first}"));
        let early = ms * self.rng.random_range(0.05..0.9);
        self.stay(&mut script, first, early);
        if self.marks == Marks::Left {
            script.lock(second, &format!("LOCK TABLE {second}"));
            script.lock(third, &format!("LOCK TABLE {third}"));
        } else {
            script.add(&format!("LOCK TABLE {second}, {third}"));
        }
        let rest = (ms - early) * self.rng.random_range(0.1..0.9);
        self.stay(&mut script, second, rest);
        script.lock(
            fourth,
            &format!("ALTER TABLE {fourth} ALTER b DROP DEFAULT"),
        );
        self.stay(&mut script, fourth, ms - early - rest);
        Case {
            way: Way::Several,
            work: script.into_transaction(),
            tables: tables.to_vec(),
            blocked: None,
        }
    }

    fn wait(&mut self) -> Case {
        let table = self.table();
        let waits = Duration::from_secs_f64(self.rng.random_range(0.001..0.06));
        let ms = self.length();
        let work = match self.rng.random_range(0..4) {
            0 => self.alone(&table, false),
            // The clock cannot tell which attempt of several its first mark is of.
            1 if self.marks == Marks::None => self.alone(&table, true),
            2 => {
                let mut script = Script::new(self.marks);
                script.lock(
                    &table,
                    &format!("ALTER TABLE {table} ALTER b SET DEFAULT 9"),
                );
                self.stay(&mut script, &table, ms);
                script.into_transaction()
            }
            _ => {
                let mut script = Script::new(self.marks);
                self.stay(&mut script, &table, 2.0);
                script.lock(&table, &format!("LOCK TABLE {table}"));
                self.stay(&mut script, &table, ms);
                script.into_transaction()
            }
        };
        Case {
            way: Way::Wait,
            work,
            blocked: Some((table.clone(), waits)),
            tables: vec![table],
        }
    }

    /// A statement that takes its time: asleep or at work, in a query, a block or plain DML.
    fn stay(&mut self, script: &mut Script, table: &str, ms: f64) {
        let seconds = ms / 1_000.0;
        let busy = self.rng.random_bool(0.5);
        // Nothing but the locking itself.
        if ms < 0.5 {
            return;
        }
        script.add(&match self.rng.random_range(0..5) {
            0 | 1 => format!("SELECT pg_sleep({seconds:.6})"),
            2 => format!("SELECT truth.stay(0, {ms:.3}, {busy}, NULL)"),
            3 => format!("DO $$BEGIN PERFORM truth.stay(0, {ms:.3}, {busy}, NULL); END$$"),
            _ => format!("UPDATE {table} SET b = truth.stay(b, {ms:.3}, {busy}, NULL)"),
        });
    }

    /// In milliseconds. A transaction adds one or two of its own, so the dense ones begin earlier.
    fn length(&mut self) -> f64 {
        if self.rng.random_bool(0.5) {
            self.rng.random_range(43.0..54.0)
        } else {
            self.rng.random_range(0.2_f64.ln()..400_f64.ln()).exp()
        }
    }

    fn table(&mut self) -> String {
        let number = self.tables.next().unwrap_or_default();
        format!("t{number}")
    }
}

/// Statements, with marks between them where the witness needs them.
struct Script {
    text: String,
    marks: Marks,
    /// Locked, and marked so.
    held: Vec<String>,
}

impl Script {
    fn new(marks: Marks) -> Self {
        Self {
            text: String::new(),
            marks,
            held: Vec::new(),
        }
    }

    fn add(&mut self, statement: &str) {
        self.text.push_str(statement);
        self.text.push_str(";\n");
    }

    fn mark(&mut self, relation: &str, kind: Kind) {
        if self.marks == Marks::Left {
            // Writing to a text cannot fail.
            let _ = writeln!(
                self.text,
                "INSERT INTO truth.marks (relation, kind) VALUES ('{relation}', '{}');",
                kind.name()
            );
        }
    }

    /// A statement that takes the lock.
    fn lock(&mut self, relation: &str, statement: &str) {
        self.mark(relation, Kind::Asking);
        self.add(statement);
        self.mark(relation, Kind::Held);
        self.held.push(relation.to_owned());
    }

    /// The end of the transaction.
    fn end(&mut self, statement: &str) {
        let held = std::mem::take(&mut self.held);
        for relation in &held {
            self.mark(relation, Kind::Ending);
        }
        self.add(statement);
        for relation in &held {
            self.mark(relation, Kind::Ended);
        }
    }

    fn into_written(self) -> Work {
        Work::Sql {
            wrap: "as-written",
            script: self.text,
            impatient: false,
        }
    }

    /// All of it as one transaction; the marks after it have to come after its COMMIT.
    fn into_transaction(mut self) -> Work {
        if self.marks == Marks::Left {
            self.text.insert_str(0, "BEGIN;\n");
            self.end("COMMIT");
            return self.into_written();
        }
        Work::Sql {
            wrap: "transaction",
            script: self.text,
            impatient: false,
        }
    }
}
