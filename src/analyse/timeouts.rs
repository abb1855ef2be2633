//! Which `lock_timeout` applied to a statement: what its session began with, and what was set before it.

use std::time::Duration;

use super::StageFacts;
use super::impact::InForce;
use super::session::Session;
use super::text::Text;
use crate::recording::format::StepHeader;
use crate::sql::timeout;
use crate::sql::{Timeout, Until};

/// What applies before anybody sets anything.
#[derive(Debug, Clone, Copy)]
pub struct TimeOuts {
    /// What the sessions of the step begin with.
    first: InForce,
    /// What RESET goes back to: the server's, the database's or the role's own.
    server: InForce,
}

impl TimeOuts {
    /// From what was told of the step and of the stage.
    pub fn of(step: Option<&StepHeader>, stage: Option<&StageFacts>) -> Self {
        let limit = |timeout: Duration| match timeout {
            Duration::ZERO => InForce::Nothing,
            limit => InForce::Limit(limit),
        };
        let server = stage
            .and_then(|stage| timeout::setting(stage.settings.get("lock_timeout")?))
            .map_or(InForce::Unknown, limit);
        Self {
            first: match step.and_then(|step| step.lock_timeout_ns) {
                None => InForce::Unknown,
                Some(0) => server,
                Some(nanos) => InForce::Limit(Duration::from_nanos(nanos)),
            },
            server,
        }
    }

    /// What applied to each statement of a session, in their order.
    pub fn over<'t>(
        &self,
        session: &Session,
        text: impl Fn(usize) -> Option<&'t Text>,
    ) -> Vec<InForce> {
        let mut lasting = self.first;
        // Within a transaction: what it began with, and what SET LOCAL says.
        let mut before: Option<InForce> = None;
        let mut local: Option<InForce> = None;
        let mut applied = Vec::with_capacity(session.spans().len());
        for span in session.spans() {
            applied.push(local.unwrap_or(lasting));
            let text = text(span.index);
            let was_open = before.is_some();
            if span.in_transaction {
                before.get_or_insert(lasting);
            }
            if let Some(sets) = text.and_then(|text| text.sets) {
                let to = match sets.to {
                    Timeout::Millis(millis) => match millis {
                        0 => InForce::Nothing,
                        millis => InForce::Limit(Duration::from_millis(millis)),
                    },
                    Timeout::Default => self.server,
                    Timeout::Unclear => InForce::Unknown,
                };
                match sets.until {
                    // Outside a transaction it is over with itself.
                    Until::Transaction if span.in_transaction => local = Some(to),
                    Until::Transaction => {}
                    Until::Session => {
                        lasting = to;
                        local = None;
                    }
                }
            }
            // What was set since the savepoint is taken back, and nothing tells what was.
            if text.is_some_and(|text| text.rolls_back_to)
                && (local.is_some() || before.is_some_and(|before| before != lasting))
            {
                local = Some(InForce::Unknown);
            }
            if was_open && !span.in_transaction {
                let kept = text.is_some_and(|text| text.commits || text.prepares);
                if let (Some(before), false) = (before, kept) {
                    lasting = before;
                }
                (before, local) = (None, None);
            }
        }
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mono;

    const FIRST: InForce = InForce::Limit(Duration::from_secs(9));

    /// What applied to each of these; `true`: a transaction is open after it.
    fn over(statements: &[(&str, bool)]) -> Vec<InForce> {
        let mut session = Session::default();
        let mut texts = Vec::new();
        for (index, (sql, open)) in statements.iter().enumerate() {
            session.sent(index, Mono(10 * index as u64), false);
            session.done(Mono(10 * index as u64 + 5), *open);
            texts.push(Text::new((*sql).to_owned(), None));
        }
        let timeouts = TimeOuts {
            first: FIRST,
            server: InForce::Nothing,
        };
        timeouts.over(&session, |index| texts.get(index))
    }

    fn last(statements: &[(&str, bool)]) -> InForce {
        over(statements).pop().unwrap_or(InForce::Unknown)
    }

    const ONE: InForce = InForce::Limit(Duration::from_secs(1));
    const DDL: (&str, bool) = ("ALTER TABLE t ADD a int", false);

    #[test]
    fn what_is_set_applies_to_what_follows() {
        assert_eq!(
            over(&[DDL, ("SET lock_timeout = '1s'", false), DDL]),
            [FIRST, FIRST, ONE]
        );
        assert_eq!(
            last(&[("SET lock_timeout = 0", false), DDL]),
            InForce::Nothing
        );
        assert_eq!(last(&[("RESET ALL", false), DDL]), InForce::Nothing);
        assert_eq!(
            last(&[("SET lock_timeout = ?", false), DDL]),
            InForce::Unknown
        );
    }

    #[test]
    fn a_transaction_takes_its_own_with_it() {
        let local = ("SET LOCAL lock_timeout = '1s'", true);
        let (begin, ddl) = (("BEGIN", true), ("ALTER TABLE t ADD a int", true));
        assert_eq!(last(&[begin, local, ddl]), ONE);
        assert_eq!(last(&[begin, local, ("COMMIT", false), DDL]), FIRST);
        assert_eq!(
            last(&[("SET LOCAL lock_timeout = '1s'", false), DDL]),
            FIRST,
            "outside a transaction it does nothing"
        );
        let set = ("SET lock_timeout = '1s'", true);
        assert_eq!(last(&[begin, set, ("COMMIT", false), DDL]), ONE);
        assert_eq!(last(&[begin, set, ("ROLLBACK", false), DDL]), FIRST);
        // The ALTER failed, and the transaction with it.
        assert_eq!(last(&[begin, set, DDL, DDL]), FIRST);
        assert_eq!(
            last(&[
                begin,
                ("SAVEPOINT a", true),
                set,
                ("ROLLBACK TO a", true),
                ddl
            ]),
            InForce::Unknown
        );
    }
}
