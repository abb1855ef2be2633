//! The only place that words numbers.

use std::time::Duration;

use crate::bounds::Bounds;

/// Milliseconds as a number for JSON, to the microsecond.
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A time for people: `0.4 ms`, `52 ms`, `2.79 s`, `3m 20s`.
pub fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 0.05 {
        format!("{ms:.2} ms")
    } else if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 59_995.0 {
        format!("{:.2} s", ms / 1e3)
    } else {
        let seconds = duration.as_secs();
        format!("{}m {}s", seconds / 60, seconds % 60)
    }
}

/// Bounds for people: `2.79–2.80 s`, `≤ 3.2 ms`, `≥ 52 ms`.
pub fn bounds(bounds: Bounds) -> String {
    let least = bounds.at_least();
    match bounds.at_most() {
        None => format!("≥ {}", time(least)),
        Some(most) if least.is_zero() => format!("≤ {}", time(most)),
        Some(most) => {
            let (low, high) = (time(least), time(most));
            match (low.rsplit_once(' '), high.rsplit_once(' ')) {
                _ if low == high => high,
                (Some((number, unit)), Some((_, same)))
                    if unit == same && !number.contains(' ') =>
                {
                    format!("{number}–{high}")
                }
                _ => format!("{low}–{high}"),
            }
        }
    }
}

/// `1,000,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 other scenario`, `up to 3 other scenarios`.
pub fn scenarios_beside(neighbours: u32) -> String {
    match neighbours {
        1 => "1 other scenario".to_owned(),
        many => format!("up to {many} other scenarios"),
    }
}

/// `1.1 GB`, in powers of ten.
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000.0 || unit == "TB" {
            return if value < 10.0 && unit != "B" {
                format!("{value:.1} {unit}")
            } else {
                format!("{value:.0} {unit}")
            };
        }
        value /= 1000.0;
    }
    unreachable!("the last unit takes everything")
}

/// At most `width` characters, the rest told by `…`.
pub fn short(text: &str, width: usize) -> String {
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if folded.chars().count() <= width {
        return folded;
    }
    let mut cut: String = folded.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn times_have_three_figures_at_most() {
        let shown: Vec<String> = [
            20,
            420,
            9_940,
            52_400,
            999_400,
            2_792_000,
            59_990_000,
            200_000_000,
        ]
        .map(|micros| time(us(micros)))
        .into();
        assert_eq!(
            shown,
            [
                "0.02 ms", "0.4 ms", "9.9 ms", "52 ms", "999 ms", "2.79 s", "59.99 s", "3m 20s"
            ]
        );
    }

    #[test]
    fn bounds_share_their_unit() {
        assert_eq!(
            bounds(Bounds::new(us(690_100), Some(us(694_000)))),
            "690–694 ms"
        );
        assert_eq!(
            bounds(Bounds::new(us(990_000), Some(us(1_020_000)))),
            "990 ms–1.02 s"
        );
        assert_eq!(bounds(Bounds::new(us(0), Some(us(3_200)))), "≤ 3.2 ms");
        assert_eq!(bounds(Bounds::new(us(52_000), None)), "≥ 52 ms");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [7, 999, 1_000, 4_000_000].map(count),
            ["7", "999", "1,000", "4,000,000"]
        );
        assert_eq!(
            [999, 1_100, 1_100_000_000].map(bytes),
            ["999 B", "1.1 kB", "1.1 GB"]
        );
    }

    #[test]
    fn short_texts_stay() {
        assert_eq!(short("a\n  b", 3), "a b");
        assert_eq!(short("abcdef", 4), "abc…");
    }
}
