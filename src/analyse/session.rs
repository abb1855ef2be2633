//! A session that lockproof drives: when it was busy, when idle, and what its transactions span.
//!
//! A session that runs nothing neither takes nor releases a lock. So what a poll saw while it was
//! idle holds for the whole of that rest, and bounds move to its ends.

use crate::clock::Mono;

/// A statement on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its place in the step.
    pub index: usize,
    /// Read before its first byte left.
    pub sent: Mono,
    /// Read after the last byte of the reply came; None: no reply came.
    pub done: Option<Mono>,
    /// True when a transaction is open after it.
    pub in_transaction: bool,
    /// True for VACUUM: its session-level lock outlives its transactions.
    pub vacuum: bool,
}

/// From the first statement of a transaction to the reply that ended it: no lock of the
/// transaction was held outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bracket {
    /// The first statement's sending.
    pub opened: Mono,
    /// The last statement's reply.
    pub closed: Mono,
}

impl Bracket {
    /// True when it shares a moment with `from..=to`.
    pub fn touches(&self, from: Mono, to: Mono) -> bool {
        self.opened <= to && from <= self.closed
    }
}

/// The course of one driven session, in order of time.
#[derive(Debug, Clone, Default)]
pub struct Session {
    spans: Vec<Span>,
    /// Transactions that ended.
    closed: Vec<Bracket>,
    /// When one was prepared, so that its locks outlived it.
    handed_over: Vec<Mono>,
    /// The first statement of the one under way; None: there is none.
    opened: Option<Mono>,
}

impl Session {
    /// A statement was sent.
    pub fn sent(&mut self, index: usize, at: Mono, vacuum: bool) {
        self.opened.get_or_insert(at);
        self.spans.push(Span {
            index,
            sent: at,
            done: None,
            in_transaction: false,
            vacuum,
        });
    }

    /// Its reply came.
    pub fn done(&mut self, at: Mono, in_transaction: bool) {
        if let Some(span) = self.spans.last_mut() {
            span.done = Some(at);
            span.in_transaction = in_transaction;
        }
        if !in_transaction && let Some(opened) = self.opened.take() {
            self.closed.push(Bracket { opened, closed: at });
        }
    }

    /// PREPARE TRANSACTION was replied to.
    pub fn prepared(&mut self, at: Mono) {
        self.handed_over.push(at);
    }

    /// True when a transaction of these was prepared: its locks go on without the session.
    pub fn hands_over(&self, bracket: Bracket) -> bool {
        let first = self.handed_over.partition_point(|at| *at < bracket.opened);
        self.handed_over
            .get(first)
            .is_some_and(|at| *at <= bracket.closed)
    }

    /// Its statements, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Its transactions; one that never ended is closed by `end`, the end of the session.
    pub fn brackets(&self, end: Mono) -> Vec<Bracket> {
        self.touching(Mono(0), Mono(u64::MAX), end).collect()
    }

    /// Those of its transactions that share a moment with `from..=to`, found without looking at the
    /// others: a backfill has tens of thousands.
    pub fn touching(&self, from: Mono, to: Mono, end: Mono) -> impl Iterator<Item = Bracket> {
        let first = self.closed.partition_point(|bracket| bracket.closed < from);
        let open = self.opened.map(|opened| Bracket {
            opened,
            closed: end,
        });
        self.closed[first..]
            .iter()
            .copied()
            .chain(open)
            .take_while(move |bracket| bracket.opened <= to)
            .filter(move |bracket| bracket.touches(from, to))
    }

    /// Its statements from the first that ended at `moment` or later.
    pub fn spans_from(&self, moment: Mono) -> &[Span] {
        let first = self
            .spans
            .partition_point(|span| span.done.is_some_and(|done| done < moment));
        &self.spans[first..]
    }

    /// The end of the rest that `moment` lies in; the moment itself while the session is busy, and
    /// where the rest's end was not seen: after the last statement, or before one that got no reply
    /// (the server may have ended the session while it rested).
    pub fn up(&self, moment: Mono) -> Mono {
        let next = self.spans.partition_point(|span| span.sent < moment);
        let rested = next == 0 || self.spans[next - 1].done.is_some_and(|done| done <= moment);
        match self.spans.get(next) {
            Some(span) if rested && span.done.is_some() => span.sent,
            _ => moment,
        }
    }

    /// The start of the rest that `moment` lies in; the moment itself while the session is busy or
    /// before its first statement.
    pub fn down(&self, moment: Mono) -> Mono {
        let next = self.spans.partition_point(|span| span.sent < moment);
        match next.checked_sub(1).and_then(|last| self.spans[last].done) {
            Some(done) if done <= moment => done,
            _ => moment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let mut session = Session::default();
        session.sent(0, Mono(10), false);
        session.done(Mono(20), true);
        session.sent(1, Mono(30), false);
        session.done(Mono(40), false);
        session
    }

    #[test]
    fn moments_of_rest_move_to_its_ends() {
        let session = session();
        assert_eq!(
            (session.up(Mono(5)), session.down(Mono(5))),
            (Mono(10), Mono(5))
        );
        assert_eq!(
            (session.up(Mono(15)), session.down(Mono(15))),
            (Mono(15), Mono(15))
        );
        assert_eq!(
            (session.up(Mono(25)), session.down(Mono(25))),
            (Mono(30), Mono(20))
        );
        assert_eq!(
            (session.up(Mono(45)), session.down(Mono(45))),
            (Mono(45), Mono(40))
        );
    }

    #[test]
    fn a_transaction_spans_its_statements() {
        assert_eq!(
            session().brackets(Mono(99)),
            [Bracket {
                opened: Mono(10),
                closed: Mono(40)
            }]
        );
    }

    #[test]
    fn a_transaction_without_an_end_lasts_as_long_as_the_session() {
        let mut session = session();
        session.sent(2, Mono(50), false);
        assert_eq!(
            session.brackets(Mono(99))[1],
            Bracket {
                opened: Mono(50),
                closed: Mono(99)
            }
        );
    }
}
