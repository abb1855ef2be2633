//! What can happen to a recording's lines and numbers.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::numbers::{NUMBERS, numbers};

/// One change; places are parts of whatever is there.
#[derive(Debug, Clone)]
pub enum Damage {
    /// A byte becomes another.
    Byte(Index, u8),
    /// It ends here.
    Cut(Index),
    /// A line is lost.
    Without(Index),
    /// A line is there again, elsewhere.
    Twice(Index, Index),
    /// Two lines change places: times go backwards, ends come before starts.
    Swapped(Index, Index),
    /// A number becomes another: processes, steps and moments that nobody heard of.
    Number(Index, Index, &'static str),
    /// A number of one line takes the place of one of another.
    Same(Index, Index, Index, Index),
}

/// Any of them, those that leave lines readable more often.
pub fn any() -> impl Strategy<Value = Damage> {
    let at = proptest::arbitrary::any::<Index>;
    prop_oneof![
        1 => (at(), proptest::arbitrary::any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => at().prop_map(Damage::Cut),
        3 => at().prop_map(Damage::Without),
        3 => (at(), at()).prop_map(|(line, to)| Damage::Twice(line, to)),
        3 => (at(), at()).prop_map(|(a, b)| Damage::Swapped(a, b)),
        8 => (at(), at(), prop::sample::select(&NUMBERS[..]))
            .prop_map(|(line, place, number)| Damage::Number(line, place, number)),
        4 => (at(), at(), at(), at()).prop_map(|(a, b, c, d)| Damage::Same(a, b, c, d)),
    ]
}

impl Damage {
    /// Does it.
    pub fn to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
                return;
            }
            Self::Cut(at) => {
                let at = at.index(bytes.len());
                bytes.truncate(at);
                return;
            }
            _ => {}
        }
        let mut lines: Vec<Vec<u8>> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let count = lines.len();
        match self {
            Self::Without(line) => drop(lines.remove(line.index(count))),
            Self::Twice(line, to) => {
                let line = lines[line.index(count)].clone();
                lines.insert(to.index(count), line);
            }
            Self::Swapped(a, b) => lines.swap(a.index(count), b.index(count)),
            Self::Number(line, place, number) => {
                replace(&mut lines[line.index(count)], *place, number.as_bytes());
            }
            Self::Same(from, place, to, into) => {
                let from = &lines[from.index(count)];
                let found = numbers(from);
                if !found.is_empty() {
                    let number = from[found[place.index(found.len())].clone()].to_vec();
                    replace(&mut lines[to.index(count)], *into, &number);
                }
            }
            Self::Byte(..) | Self::Cut(_) => {}
        }
        *bytes = lines.concat();
    }
}

fn replace(line: &mut Vec<u8>, place: Index, number: &[u8]) {
    let found = numbers(line);
    if !found.is_empty() {
        let place = found[place.index(found.len())].clone();
        line.splice(place, number.iter().copied());
    }
}
