//! Values of a request's variables, and pgbench's functions on them, in its arithmetic: 64-bit integers that say when
//! they overflow, and doubles.

use std::fmt::{self, Write};

use super::dice::{Dice, mix};
use super::zipf::Zipf;
use crate::plan::traffic::Function;

/// What a variable holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Double(f64),
    /// Text, sent as it stands.
    Text(Box<str>),
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The result has more than 64 bits.
    #[error("{0} out of range")]
    Overflow(&'static str),
    /// By zero.
    #[error("division by zero")]
    DivisionByZero,
    /// The lower end is above the upper one.
    #[error("the range of `{0}` is empty: {1} to {2}")]
    EmptyRange(&'static str, i64, i64),
    /// The distribution has no such parameter.
    #[error("the parameter of `{0}` must be {1}")]
    Parameter(&'static str, &'static str),
    /// Text where a number is needed.
    #[error("`{0}` is not a number")]
    NotANumber(Box<str>),
    /// Fewer or more arguments than the function has.
    #[error("`{0}` does not take {1} arguments")]
    Arguments(&'static str, usize),
    /// Nothing was put into the variable before.
    #[error("the variable `{0}` has no value yet")]
    NoValue(Box<str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Double(number) => double(*number, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// With 15 significant digits, as pgbench's `%.15g`, but never with an exponent that `numeric` cannot read.
fn double(number: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !number.is_finite() {
        return f.write_str(match number {
            number if number.is_nan() => "NaN",
            number if number > 0.0 => "Infinity",
            _ => "-Infinity",
        });
    }
    // Rounded to 15 digits, then as short as it can be written.
    let rounded: f64 = format!("{number:.14e}").parse().unwrap_or(number);
    if rounded != 0.0 && !(1e-5..1e15).contains(&rounded.abs()) {
        return write!(f, "{rounded:e}");
    }
    write!(f, "{rounded}")
}

/// A number in pgbench's sense.
#[derive(Debug, Clone, Copy)]
enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    fn of(value: &Value) -> Result<Self, Fault> {
        match value {
            Value::Integer(number) => Ok(Self::Integer(*number)),
            Value::Double(number) => Ok(Self::Double(*number)),
            Value::Text(text) => {
                let trimmed = text.trim();
                let integer = trimmed.parse().map(Self::Integer);
                integer
                    .or_else(|_| trimmed.parse().map(Self::Double))
                    .map_err(|_| Fault::NotANumber(text.clone()))
            }
        }
    }

    /// To the nearest, halves to the even one.
    fn integer(self) -> Result<i64, Fault> {
        match self {
            Self::Integer(number) => Ok(number),
            Self::Double(number) => {
                let rounded = number.round_ties_even();
                // The bounds are powers of two, which a double has exactly.
                if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
                    Ok(rounded as i64)
                } else {
                    Err(Fault::Overflow("double to int"))
                }
            }
        }
    }

    fn double(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Double(number) => number,
        }
    }
}

/// Works out a function of values.
///
/// # Errors
/// It has none.
pub fn call(function: Function, values: &[Value], dice: &mut Dice) -> Result<Value, Fault> {
    use Value::{Double, Integer};
    let name = name(function);
    let number = |place: usize| {
        let value = values.get(place);
        Number::of(value.ok_or(Fault::Arguments(name, values.len()))?)
    };
    let so_many = |range: std::ops::RangeInclusive<usize>| {
        if range.contains(&values.len()) {
            Ok(())
        } else {
            Err(Fault::Arguments(name, values.len()))
        }
    };
    let range = || {
        let (low, high) = (number(0)?.integer()?, number(1)?.integer()?);
        if low > high {
            return Err(Fault::EmptyRange(name, low, high));
        }
        Ok((low, high))
    };
    match function {
        Function::Random => {
            so_many(2..=2)?;
            let (low, high) = range()?;
            Ok(Integer(dice.between(low, high)))
        }
        Function::RandomExponential => {
            so_many(3..=3)?;
            let (low, high) = range()?;
            let parameter = number(2)?.double();
            if parameter.is_nan() || parameter <= 0.0 {
                return Err(Fault::Parameter(name, "above 0"));
            }
            let cut = (-parameter).exp();
            let uniform = 1.0 - dice.unit();
            let share = -(cut + (1.0 - cut) * uniform).ln() / parameter;
            Ok(Integer(part(low, high, share)))
        }
        Function::RandomGaussian => {
            so_many(3..=3)?;
            let (low, high) = range()?;
            let parameter = number(2)?.double();
            if parameter.is_nan() || parameter < 2.0 {
                return Err(Fault::Parameter(name, "at least 2"));
            }
            let deviation = loop {
                let deviation = dice.normal();
                if (-parameter..parameter).contains(&deviation) {
                    break deviation;
                }
            };
            let share = (deviation + parameter) / (parameter * 2.0);
            Ok(Integer(part(low, high, share)))
        }
        Function::RandomZipfian => {
            so_many(3..=3)?;
            let (low, high) = range()?;
            let parameter = number(2)?.double();
            if !(1.001..=1000.0).contains(&parameter) {
                return Err(Fault::Parameter(name, "from 1.001 to 1000"));
            }
            let keys = high.wrapping_sub(low).cast_unsigned().saturating_add(1);
            let rank = Zipf::new(keys, parameter).rank(dice);
            Ok(Integer(low.wrapping_add((rank - 1).cast_signed())))
        }
        Function::Abs => {
            so_many(1..=1)?;
            match number(0)? {
                Number::Integer(number) => number
                    .checked_abs()
                    .map(Integer)
                    .ok_or(Fault::Overflow("bigint abs")),
                Number::Double(number) => Ok(Double(number.abs())),
            }
        }
        Function::Int => {
            so_many(1..=1)?;
            number(0)?.integer().map(Integer)
        }
        Function::Double => {
            so_many(1..=1)?;
            Ok(Double(number(0)?.double()))
        }
        Function::Greatest | Function::Least => {
            so_many(1..=usize::MAX)?;
            let largest = function == Function::Greatest;
            (1..values.len()).try_fold(plain(number(0)?), |best, place| {
                let (a, b) = (Number::of(&best)?, number(place)?);
                Ok(match (a, b) {
                    (Number::Integer(a), Number::Integer(b)) => {
                        Integer(if largest { a.max(b) } else { a.min(b) })
                    }
                    (a, b) if largest => Double(a.double().max(b.double())),
                    (a, b) => Double(a.double().min(b.double())),
                })
            })
        }
        Function::Mod => {
            so_many(2..=2)?;
            match (number(0)?.integer()?, number(1)?.integer()?) {
                (_, 0) => Err(Fault::DivisionByZero),
                // The smallest number by -1 has no remainder, though its quotient overflows.
                (a, b) => Ok(Integer(a.checked_rem(b).unwrap_or(0))),
            }
        }
        Function::Hash => {
            so_many(1..=2)?;
            let seed = values.get(1).map_or(Ok(0), |_| number(1)?.integer())?;
            let hashed = number(0)?.integer()?.cast_unsigned();
            Ok(Integer(
                mix(mix(seed.cast_unsigned()) ^ hashed).cast_signed(),
            ))
        }
        Function::Subtract if values.len() == 1 => match number(0)? {
            Number::Integer(number) => number
                .checked_neg()
                .map(Integer)
                .ok_or(Fault::Overflow("bigint")),
            Number::Double(number) => Ok(Double(-number)),
        },
        Function::Add | Function::Subtract | Function::Multiply | Function::Divide => {
            so_many(2..=2)?;
            match (number(0)?, number(1)?) {
                (Number::Integer(a), Number::Integer(b)) => integers(function, a, b).map(Integer),
                (a, b) => Ok(Double(doubles(function, a.double(), b.double()))),
            }
        }
    }
}

/// The number that lies so far into a range.
fn part(low: i64, high: i64, share: f64) -> i64 {
    let wide = i128::from(high) - i128::from(low) + 1;
    let offset = ((wide as f64 * share) as i128).clamp(0, wide - 1);
    // Within the range, so it fits.
    i64::try_from(i128::from(low) + offset).unwrap_or(high)
}

fn plain(number: Number) -> Value {
    match number {
        Number::Integer(number) => Value::Integer(number),
        Number::Double(number) => Value::Double(number),
    }
}

fn integers(function: Function, a: i64, b: i64) -> Result<i64, Fault> {
    let (result, what) = match function {
        Function::Add => (a.checked_add(b), "bigint add"),
        Function::Subtract => (a.checked_sub(b), "bigint sub"),
        Function::Multiply => (a.checked_mul(b), "bigint mul"),
        _ if b == 0 => return Err(Fault::DivisionByZero),
        _ => (a.checked_div(b), "bigint div"),
    };
    result.ok_or(Fault::Overflow(what))
}

fn doubles(function: Function, a: f64, b: f64) -> f64 {
    match function {
        Function::Add => a + b,
        Function::Subtract => a - b,
        Function::Multiply => a * b,
        _ => a / b,
    }
}

/// As scripts write it.
fn name(function: Function) -> &'static str {
    match function {
        Function::Random => "random",
        Function::RandomExponential => "random_exponential",
        Function::RandomGaussian => "random_gaussian",
        Function::RandomZipfian => "random_zipfian",
        Function::Abs => "abs",
        Function::Int => "int",
        Function::Double => "double",
        Function::Greatest => "greatest",
        Function::Least => "least",
        Function::Mod => "mod",
        Function::Hash => "hash",
        Function::Add => "+",
        Function::Subtract => "-",
        Function::Multiply => "*",
        Function::Divide => "/",
    }
}

/// Writes a value over what a buffer held.
pub fn write(value: &Value, buffer: &mut String) {
    buffer.clear();
    // A string takes everything.
    let _ = write!(buffer, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use Value::{Double, Integer};

    fn of(function: Function, values: &[Value]) -> Result<Value, Fault> {
        call(function, values, &mut Dice::of(1, 1))
    }

    #[test]
    fn integers_stay_whole_and_overflow_is_told() {
        let int = |function, a, b| of(function, &[Integer(a), Integer(b)]);
        assert_eq!(int(Function::Divide, 7, 2), Ok(Integer(3)));
        assert_eq!(int(Function::Divide, -7, 2), Ok(Integer(-3)));
        assert_eq!(int(Function::Mod, -7, 2), Ok(Integer(-1)));
        assert_eq!(int(Function::Mod, i64::MIN, -1), Ok(Integer(0)));
        assert_eq!(int(Function::Divide, 1, 0), Err(Fault::DivisionByZero));
        assert_eq!(int(Function::Mod, 1, 0), Err(Fault::DivisionByZero));
        assert_eq!(
            int(Function::Add, i64::MAX, 1),
            Err(Fault::Overflow("bigint add"))
        );
        assert_eq!(
            int(Function::Divide, i64::MIN, -1),
            Err(Fault::Overflow("bigint div"))
        );
        assert_eq!(of(Function::Subtract, &[Integer(5)]), Ok(Integer(-5)));
    }

    #[test]
    fn a_double_makes_a_double() {
        let half = [Integer(1), Double(2.0)];
        assert_eq!(of(Function::Divide, &half), Ok(Double(0.5)));
        assert_eq!(of(Function::Greatest, &half), Ok(Double(2.0)));
        assert_eq!(of(Function::Int, &[Double(9.2)]), Ok(Integer(9)));
        assert_eq!(of(Function::Int, &[Double(2.5)]), Ok(Integer(2)));
        assert_eq!(
            of(Function::Int, &[Double(1e30)]),
            Err(Fault::Overflow("double to int"))
        );
        let text = [Value::Text("3".into()), Integer(4)];
        assert_eq!(of(Function::Least, &text), Ok(Integer(3)));
        let story = of(Function::Add, &[Value::Text("x".into()), Integer(4)]);
        assert_eq!(story, Err(Fault::NotANumber("x".into())));
        assert_eq!(
            of(Function::Abs, &[]),
            Err(Fault::Arguments("abs", 0)),
            "no argument"
        );
    }

    #[test]
    fn numbers_are_written_as_servers_read_them() {
        let shown = |value: Value| value.to_string();
        assert_eq!(shown(Double(0.1 + 0.2)), "0.3");
        assert_eq!(shown(Double(5.0)), "5");
        assert_eq!(shown(Double(1e300)), "1e300");
        assert_eq!(shown(Double(-1.5e-7)), "-1.5e-7");
        assert_eq!(shown(Double(f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(shown(Integer(i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn draws_keep_their_range_and_their_law() {
        let mut dice = Dice::of(4, 2);
        let mut draw = |function, parameter: f64| {
            let values = [Integer(1), Integer(10), Double(parameter)];
            let values = if function == Function::Random {
                &values[..2]
            } else {
                &values[..]
            };
            let mut counts = [0_u32; 10];
            for _ in 0..20_000 {
                match call(function, values, &mut dice) {
                    Ok(Integer(number @ 1..=10)) => {
                        counts[usize::try_from(number).expect("small") - 1] += 1;
                    }
                    other => panic!("{function:?}: {other:?}"),
                }
            }
            counts
        };
        let exponential = draw(Function::RandomExponential, 3.0);
        // As pgbench's documentation has it: f(1) = (1 - e^-0.3) / (1 - e^-3).
        let share = f64::from(exponential[0]) / 20_000.0;
        assert!((share - 0.2728).abs() < 0.02, "{exponential:?}");
        let gaussian = draw(Function::RandomGaussian, 2.5);
        assert!(gaussian[4] > 3 * gaussian[0], "{gaussian:?}");
        assert!(gaussian[4].abs_diff(gaussian[5]) < 500, "{gaussian:?}");
        let zipfian = draw(Function::RandomZipfian, 2.0);
        let ratio = f64::from(zipfian[0]) / f64::from(zipfian[1]);
        assert!((ratio - 4.0).abs() < 0.5, "{zipfian:?}");
        assert!(
            draw(Function::Random, 0.0)
                .iter()
                .all(|count| *count > 1_500)
        );
    }

    #[test]
    fn what_cannot_be_drawn_is_told() {
        let draw =
            |function, parameter| of(function, &[Integer(1), Integer(10), Double(parameter)]);
        assert!(draw(Function::RandomGaussian, 1.0).is_err());
        assert!(draw(Function::RandomExponential, 0.0).is_err());
        assert!(draw(Function::RandomExponential, f64::NAN).is_err());
        assert!(draw(Function::RandomZipfian, 1.0).is_err());
        assert_eq!(
            of(Function::Random, &[Integer(2), Integer(1)]),
            Err(Fault::EmptyRange("random", 2, 1))
        );
        let all = [Integer(i64::MIN), Integer(i64::MAX)];
        assert!(of(Function::Random, &all).is_ok());
        let most = [Integer(i64::MIN), Integer(i64::MAX), Double(2.0)];
        assert!(of(Function::RandomExponential, &most).is_ok());
        assert!(of(Function::RandomZipfian, &most).is_ok());
    }
}
