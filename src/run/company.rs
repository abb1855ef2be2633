//! Who runs beside whom in this process: what a step may blame, and what its report has to say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The runs of one process that share a machine.
#[derive(Debug, Clone)]
pub struct Company {
    at_once: u32,
    present: Arc<Mutex<Present>>,
}

#[derive(Debug, Default)]
struct Present {
    next: u64,
    /// Each run under way, with the most that were beside it since it last began something.
    most_beside: BTreeMap<u64, u32>,
}

/// One of them, for as long as it runs.
#[derive(Debug)]
pub struct Member {
    company: Company,
    number: u64,
}

impl Company {
    /// For so many runs at once.
    pub fn of(at_once: u32) -> Self {
        Self {
            at_once,
            present: Arc::default(),
        }
    }

    /// One more runs.
    pub fn join(&self) -> Member {
        let mut present = self.present();
        let number = present.next;
        present.next += 1;
        present.most_beside.insert(number, 0);
        let beside = present.beside();
        for most in present.most_beside.values_mut() {
            *most = beside.max(*most);
        }
        Member {
            company: self.clone(),
            number,
        }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        // Whole between any two statements, so a thread that panicked left nothing half done.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    /// How many there are beside each one.
    fn beside(&self) -> u32 {
        u32::try_from(self.most_beside.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

impl Member {
    /// At most so many run at once.
    pub fn at_once(&self) -> u32 {
        self.company.at_once
    }

    /// Something begins, beside which neighbours are counted.
    pub fn begin(&self) {
        let mut present = self.company.present();
        let beside = present.beside();
        present.most_beside.insert(self.number, beside);
    }

    /// The most that were there at one moment since then.
    pub fn most_beside(&self) -> u32 {
        let present = self.company.present();
        present.most_beside.get(&self.number).copied().unwrap_or(0)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.company.present().most_beside.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_counted_from_the_beginning_of_something() {
        let company = Company::of(3);
        let first = company.join();
        assert_eq!((first.at_once(), first.most_beside()), (3, 0));
        let second = company.join();
        let third = company.join();
        assert_eq!(
            [&first, &second, &third].map(Member::most_beside),
            [2, 2, 2]
        );
        drop(third);
        // It was there a moment ago.
        assert_eq!(first.most_beside(), 2);
        first.begin();
        assert_eq!(first.most_beside(), 1);
        drop(second);
        first.begin();
        assert_eq!(first.most_beside(), 0);
        assert_eq!(Company::of(1).join().most_beside(), 0);
    }
}
