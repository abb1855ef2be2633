//! Changes that leave most lines of a recording readable: whole lines come, go and change places,
//! numbers become others that are worth a look.

use crate::numbers::{NUMBERS, numbers};

/// Changes `data[..size]` in place and gives the new size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) | 1 << 40);
    let mut lines: Vec<Vec<u8>> = data[..size]
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if lines.is_empty() {
        return 0;
    }
    for _ in 0..=dice.below(3) {
        let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
        match dice.below(8) {
            0 if lines.len() > 2 => drop(lines.remove(one)),
            1 => lines.swap(one, other),
            2 => {
                let line = lines[one].clone();
                lines.insert(other, line);
            }
            3 => {
                // From one line to another, as if written twice.
                let part = lines[one.min(other)..=one.max(other)].to_vec();
                lines.extend(part);
            }
            4 => copy_number(&mut lines, one, other, &mut dice),
            _ => {
                let number = NUMBERS[dice.below(NUMBERS.len())];
                replace_number(&mut lines[one], number.as_bytes(), &mut dice);
            }
        }
    }
    let whole: Vec<u8> = lines.concat();
    let length = whole.len().min(max_size).min(data.len());
    data[..length].copy_from_slice(&whole[..length]);
    length
}

/// A number of one line takes the place of one of another: so moments meet, and processes.
fn copy_number(lines: &mut [Vec<u8>], from: usize, to: usize, dice: &mut Dice) {
    let found = numbers(&lines[from]);
    if !found.is_empty() {
        let number = lines[from][found[dice.below(found.len())].clone()].to_vec();
        replace_number(&mut lines[to], &number, dice);
    }
}

fn replace_number(line: &mut Vec<u8>, number: &[u8], dice: &mut Dice) {
    let found = numbers(line);
    if !found.is_empty() {
        let place = found[dice.below(found.len())].clone();
        line.splice(place, number.iter().copied());
    }
}

/// A small generator of numbers: the same change for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or(0)
    }
}
