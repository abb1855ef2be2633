//! Chance that a seed decides, the same on every machine and in every version.

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix a number, 8 bytes of state.
#[derive(Debug, Clone, Copy)]
pub struct Dice(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scatters 64 bits.
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Dice {
    /// Those of a request: whatever other requests draw, its own are the same.
    pub fn of(seed: u64, number: u64) -> Self {
        Self(mix(
            mix(seed.wrapping_add(STEP)) ^ mix(number.wrapping_mul(STEP))
        ))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// From 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are all that a double holds.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, but not including, `n`; `n` is not 0. Lemire's way without a bias.
    pub fn below(&mut self, n: u64) -> u64 {
        debug_assert!(n > 0, "an empty range");
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            // The low half decides whether the high half is one of those that come too often.
            if wide as u64 >= threshold {
                return (wide >> 64) as u64;
            }
        }
    }

    /// From `low` to `high`, both included; `low` is not above `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        match high.wrapping_sub(low).cast_unsigned().checked_add(1) {
            Some(n) => low.wrapping_add(self.below(n).cast_signed()),
            // All of them.
            None => self.bits().cast_signed(),
        }
    }

    /// Exponentially distributed with a mean of 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Normally distributed with a deviation of 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_number_decide() {
        let draw = |seed, number| {
            let mut dice = Dice::of(seed, number);
            [dice.bits(), dice.bits()]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        // Recordings name the seed only: these must never change.
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
    }

    #[test]
    fn ranges_are_kept_and_filled() {
        let mut dice = Dice::of(7, 7);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            let face = dice.between(-2, 3);
            counts[usize::try_from(face + 2).expect("in range")] += 1;
        }
        // Six standard deviations of a binomial are 550.
        assert!(
            counts.iter().all(|count| count.abs_diff(10_000) < 550),
            "{counts:?}"
        );
        assert_eq!(dice.between(5, 5), 5);
        dice.between(i64::MIN, i64::MAX);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&dice.unit())));
    }

    #[test]
    fn means_are_as_they_should_be() {
        let mut dice = Dice::of(3, 0);
        let n = 100_000;
        let mean =
            |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        let exponential = mean(&mut || dice.exponential());
        assert!((exponential - 1.0).abs() < 0.02, "{exponential}");
        let normal = mean(&mut || dice.normal());
        assert!(normal.abs() < 0.02, "{normal}");
        let variance = mean(&mut || dice.normal().powi(2));
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }
}
