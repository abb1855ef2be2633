//! Keys that a column really has: its smallest and its largest, asked for once.

use tokio_postgres::Client;

use super::dice::Dice;
use super::zipf::{Zipf, scatter};
use crate::pg::session::tell;
use crate::plan::traffic::Distribution;
use crate::{Error, Result};

/// The types of whole numbers.
const WHOLE: [&str; 4] = ["smallint", "integer", "bigint", "oid"];

/// Where keys are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    low: i64,
    high: i64,
    /// None: each as often as any other.
    zipf: Option<Zipf>,
}

impl Keys {
    /// Those from `low` to `high`.
    pub fn new(low: i64, high: i64, distribution: Distribution) -> Self {
        let count = high.wrapping_sub(low).cast_unsigned().saturating_add(1);
        Self {
            low,
            high,
            zipf: match distribution {
                Distribution::Uniform => None,
                Distribution::Zipf { exponent } => Some(Zipf::new(count, exponent)),
            },
        }
    }

    /// One of them; there may be no row that has it.
    pub fn draw(&self, dice: &mut Dice) -> i64 {
        let Some(zipf) = &self.zipf else {
            return dice.between(self.low, self.high);
        };
        let count = self.high.wrapping_sub(self.low).cast_unsigned();
        let place = scatter(zipf.rank(dice) - 1, count.saturating_add(1));
        self.low.wrapping_add(place.cast_signed())
    }

    /// Asks the server.
    ///
    /// # Errors
    /// The table is empty, or its column holds no whole numbers; or it cannot be asked.
    pub async fn ask(
        client: &Client,
        operation: &str,
        (relation, column): (&str, &str),
        distribution: Distribution,
    ) -> Result<Self> {
        let query = format!(
            "SELECT pg_catalog.min({column})::text, pg_catalog.max({column})::text, \
             pg_catalog.pg_typeof(pg_catalog.min({column}))::text FROM {relation}"
        );
        let row = client.query_one(&query, &[]).await.map_err(|error| {
            Error::usage(format!(
                "the operation `{operation}` draws keys from `{column}` of `{relation}`, which cannot be asked for: {}",
                tell(&error)
            ))
            .help("name a table as SQL has it, and a column of whole numbers such as its key")
        })?;
        let of_type: String = row.get(2);
        if !WHOLE.contains(&of_type.as_str()) {
            return Err(Error::usage(format!(
                "the operation `{operation}` draws keys from `{column}` of `{relation}`, which is of type {of_type}"
            ))
            .help("name a column of whole numbers: smallint, integer or bigint"));
        }
        let end = |place: usize| row.get::<_, Option<&str>>(place)?.parse::<i64>().ok();
        match (end(0), end(1)) {
            (Some(low), Some(high)) => Ok(Self::new(low, high, distribution)),
            _ => Err(Error::usage(format!(
                "the operation `{operation}` draws keys from `{column}` of `{relation}`, which has none: the table is \
                 empty"
            ))
            .help("use a snapshot that has rows in it, or take the operation out")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_in_the_range_and_the_frequent_ones_all_over_it() {
        let mut dice = Dice::of(1, 2);
        let zipf = Keys::new(-500, 499, Distribution::Zipf { exponent: 1.0 });
        let mut counts = vec![0_u32; 1000];
        for _ in 0..100_000 {
            let key = zipf.draw(&mut dice);
            counts[usize::try_from(key + 500).expect("in the range")] += 1;
        }
        let mut most: Vec<usize> = (0..1000).collect();
        most.sort_by_key(|place| std::cmp::Reverse(counts[*place]));
        // The first has 1 / H(1000) of all, 13 %, and the second half of that.
        assert!(
            counts[most[0]].abs_diff(13_360) < 700,
            "{}",
            counts[most[0]]
        );
        assert!(counts[most[1]].abs_diff(6_680) < 500, "{}", counts[most[1]]);
        let near = most[..5]
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) < 10);
        assert!(near.count() < 2, "{:?}", &most[..5]);
        let uniform = Keys::new(3, 3, Distribution::Uniform);
        assert_eq!(uniform.draw(&mut dice), 3);
        let all = Keys::new(i64::MIN, i64::MAX, Distribution::Zipf { exponent: 2.0 });
        all.draw(&mut dice);
    }
}
