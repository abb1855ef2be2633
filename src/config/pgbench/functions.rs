//! The functions of pgbench: their names, how many arguments they take, and which constants they refuse.

use super::Problem;
use crate::config::suggest::{listed, nearest};
use crate::plan::traffic::{Expression, Function};

/// What requests can call.
const KNOWN: [(&str, Function); 13] = [
    ("abs", Function::Abs),
    ("double", Function::Double),
    ("greatest", Function::Greatest),
    ("hash", Function::Hash),
    ("hash_fnv1a", Function::Hash),
    ("hash_murmur2", Function::Hash),
    ("int", Function::Int),
    ("least", Function::Least),
    ("mod", Function::Mod),
    ("random", Function::Random),
    ("random_exponential", Function::RandomExponential),
    ("random_gaussian", Function::RandomGaussian),
    ("random_zipfian", Function::RandomZipfian),
];

/// What pgbench has besides.
const OTHERS: [&str; 8] = [
    "debug", "exp", "ln", "permute", "pi", "pow", "power", "sqrt",
];

/// Words of conditions, whose values may be true, false or NULL.
const CONDITIONAL: [&str; 13] = [
    "and", "case", "else", "end", "false", "is", "isnull", "not", "notnull", "null", "or", "then",
    "true",
];

/// The function of this name, whatever its letters' case, as pgbench looks for it.
pub fn named(word: &str) -> Result<Function, Problem> {
    let lower = word.to_ascii_lowercase();
    if let Some((_, function)) = KNOWN.iter().find(|(name, _)| *name == lower) {
        return Ok(*function);
    }
    if is_conditional(word) {
        return Err(conditional(word));
    }
    if OTHERS.contains(&lower.as_str()) {
        return Err(
            Problem::new(0, format!("the function `{word}` is not supported"))
                .help("compute it in the SQL"),
        );
    }
    let names = || KNOWN.iter().map(|(name, _)| *name);
    Err(
        Problem::new(0, format!("there is no function `{word}`")).help(
            match nearest(word, names()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!(
                    "there are {}; a variable is written `:{word}`",
                    listed(names())
                ),
            },
        ),
    )
}

/// The name that a call is written with; None: an operator.
pub fn name(function: Function) -> Option<&'static str> {
    KNOWN
        .iter()
        .find(|(_, known)| *known == function)
        .map(|(name, _)| *name)
}

/// Whether the word belongs to conditions.
pub fn is_conditional(word: &str) -> bool {
    CONDITIONAL.contains(&word.to_ascii_lowercase().as_str()) || word.eq_ignore_ascii_case("when")
}

/// What conditions are told.
pub fn conditional(text: &str) -> Problem {
    Problem::new(0, format!("`{text}`: conditions are not supported")).help(
        "write each branch as a script of its own, with its weight; `least`, `greatest` and `mod` choose \
         among numbers",
    )
}

/// Refuses a number of arguments that the function does not take, and constants that it would fail on.
pub fn check(function: Function, arguments: &[Expression]) -> Result<(), Problem> {
    use Function::{
        Abs, Add, Divide, Double, Greatest, Hash, Int, Least, Mod, Multiply, Random,
        RandomExponential, RandomGaussian, RandomZipfian, Subtract,
    };
    let shown = name(function).unwrap_or_default();
    let (least, most) = match function {
        Abs | Double | Int | Hash => (1, 1),
        Mod | Random | Add | Multiply | Divide => (2, 2),
        Subtract => (1, 2),
        RandomExponential | RandomGaussian | RandomZipfian => (3, 3),
        Greatest | Least => (1, usize::MAX),
    };
    if !(least..=most).contains(&arguments.len()) {
        let takes = match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (_, usize::MAX) => "at least one argument".to_owned(),
            _ => format!("{least} arguments"),
        };
        let problem = Problem::new(
            0,
            format!("`{shown}` takes {takes}, not {}", arguments.len()),
        );
        return Err(match function {
            Hash if arguments.len() == 2 => {
                problem.help("leave out the seed: the traffic's own `seed` decides the keys")
            }
            _ => problem,
        });
    }
    let number = |index: usize| arguments.get(index).and_then(constant);
    if let (Random | RandomExponential | RandomGaussian | RandomZipfian, Some(low), Some(high)) =
        (function, number(0), number(1))
        && low > high
    {
        return Err(
            Problem::new(0, format!("`{shown}` has an empty range: {low} to {high}"))
                .help("write the lower end first"),
        );
    }
    let (fits, range): (fn(f64) -> bool, &str) = match function {
        RandomExponential => (|p| p > 0.0, "greater than 0"),
        RandomGaussian => (|p| p >= 2.0, "at least 2"),
        RandomZipfian => (|p| (1.001..=1000.0).contains(&p), "from 1.001 to 1000"),
        _ => (|_| true, ""),
    };
    if let Some(parameter) = number(2).filter(|parameter| !fits(*parameter)) {
        return Err(Problem::new(
            0,
            format!("the parameter of `{shown}` has to be {range}, not {parameter}"),
        ));
    }
    // A double may be divided by 0, which pgbench leaves to the processor.
    if matches!(function, Divide | Mod) && matches!(arguments, [_, Expression::Integer(0)]) {
        return Err(Problem::new(0, "a division by 0"));
    }
    Ok(())
}

/// The value of what is no more than a number.
fn constant(expression: &Expression) -> Option<f64> {
    match expression {
        Expression::Integer(number) => Some(*number as f64),
        Expression::Double(number) => Some(*number),
        _ => None,
    }
}
