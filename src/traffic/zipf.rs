//! Few of many often: Zipf's law over any number of keys, in constant time and memory.

use super::dice::Dice;

/// Rejection-inversion (Hörmann and Derflinger 1996) for every exponent above 0, 1 included.
#[derive(Debug, Clone, Copy)]
pub struct Zipf {
    keys: u64,
    exponent: f64,
    /// The integral of the hat from the first key's to the last one's edge.
    from: f64,
    to: f64,
    /// So close to a key nothing is rejected.
    squeeze: f64,
}

impl Zipf {
    /// Over ranks from 1 to `keys`, which is at least 1.
    pub fn new(keys: u64, exponent: f64) -> Self {
        debug_assert!(keys > 0 && exponent > 0.0, "no such distribution");
        let mut zipf = Self {
            keys,
            exponent,
            from: 0.0,
            to: 0.0,
            squeeze: 0.0,
        };
        zipf.from = zipf.integral(1.5) - 1.0;
        zipf.to = zipf.integral(keys as f64 + 0.5);
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    /// A rank: 1 is the most frequent.
    pub fn rank(&self, dice: &mut Dice) -> u64 {
        loop {
            let u = self.to + dice.unit() * (self.from - self.to);
            let x = self.inverse(u);
            let rank = (x + 0.5).floor().clamp(1.0, self.keys as f64);
            if rank - x <= self.squeeze || u >= self.integral(rank + 0.5) - self.weight(rank) {
                return (rank as u64).clamp(1, self.keys);
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// Of the weight, up to a constant: `ln x` where the exponent is 1, and near it without a loss of figures.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let y = (1.0 - self.exponent) * log;
        let ratio = if y.abs() > 1e-8 {
            y.exp_m1() / y
        } else {
            1.0 + y / 2.0 * (1.0 + y / 3.0)
        };
        ratio * log
    }

    fn inverse(&self, integral: f64) -> f64 {
        let y = (integral * (1.0 - self.exponent)).max(-1.0);
        let ratio = if y.abs() > 1e-8 {
            y.ln_1p() / y
        } else {
            1.0 - y * (0.5 - y / 3.0)
        };
        (ratio * integral).exp()
    }
}

/// One place for each of `n` numbers from 0, all over the range: what is frequent does not lie side by side.
///
/// A bijection of the next power of two, walked until it comes back into the range, which takes less than two steps
/// in the mean.
pub fn scatter(number: u64, n: u64) -> u64 {
    debug_assert!(number < n, "out of range");
    let bits = 64 - (n - 1).leading_zeros();
    if bits == 0 {
        return 0;
    }
    let mask = u64::MAX >> (64 - bits);
    let mut place = number;
    loop {
        // Odd factors and shifts to the right, each of which can be undone.
        place = place.wrapping_add(0x9e37_79b9_7f4a_7c15) & mask;
        place = place.wrapping_mul(0xbf58_476d_1ce4_e5b9) & mask;
        place ^= place >> bits.div_ceil(2);
        place = place.wrapping_mul(0x94d0_49bb_1331_11eb) & mask;
        if place < n {
            return place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pearson's χ² of what was drawn against what the law says, by degree of freedom.
    fn misfit(exponent: f64, drawn_from: f64) -> f64 {
        const KEYS: usize = 50;
        const DRAWS: usize = 200_000;
        let zipf = Zipf::new(KEYS as u64, drawn_from);
        let mut dice = Dice::of(11, exponent.to_bits());
        let mut counts = [0.0; KEYS];
        for _ in 0..DRAWS {
            counts[usize::try_from(zipf.rank(&mut dice)).expect("small") - 1] += 1.0;
        }
        let weight = |rank: usize| (rank as f64 + 1.0).powf(-exponent);
        let all: f64 = (0..KEYS).map(weight).sum();
        let misfit = |rank: usize| {
            let expected = DRAWS as f64 * weight(rank) / all;
            (counts[rank] - expected).powi(2) / expected
        };
        (0..KEYS).map(misfit).sum::<f64>() / (KEYS as f64 - 1.0)
    }

    #[test]
    fn ranks_follow_the_law() {
        for exponent in [0.3, 0.99, 1.0, 1.000_000_001, 1.2, 2.0, 4.0] {
            // The mean is 1, the deviation 0.2.
            let misfit = misfit(exponent, exponent);
            assert!(misfit < 2.0, "{exponent}: {misfit}");
        }
        // Another exponent's would be found out.
        assert!(misfit(1.0, 1.05) > 3.0);
    }

    #[test]
    fn any_number_of_keys_will_do() {
        let mut dice = Dice::of(1, 1);
        assert!((0..100).all(|_| Zipf::new(1, 1.0).rank(&mut dice) == 1));
        for keys in [2, 1_000_000_000, u64::MAX] {
            let zipf = Zipf::new(keys, 0.5);
            assert!((0..1000).all(|_| (1..=keys).contains(&zipf.rank(&mut dice))));
        }
    }

    #[test]
    fn every_number_has_a_place_of_its_own() {
        for n in [1, 2, 3, 7, 8, 9, 1000, 1024, 5000] {
            let mut places: Vec<u64> = (0..n).map(|number| scatter(number, n)).collect();
            // The first ten are far apart.
            if n >= 1000 {
                let mut first = places[..10].to_vec();
                first.sort_unstable();
                let span = first[9] - first[0];
                assert!(span > n / 2, "{n}: {first:?}");
            }
            places.sort_unstable();
            assert!(places.into_iter().eq(0..n), "{n}");
        }
        assert!(scatter(5, u64::MAX) < u64::MAX);
    }
}
