//! Expressions of `\set`, read as pgbench reads them (`exprscan.l`, `exprparse.y`).
//!
//! What pgbench knows and requests do not need (conditions, bits, roots) is refused by its name. Knows no
//! variable: whether one is defined is the script's to say.

use super::Problem;
use super::functions;
use crate::config::suggest::listed;
use crate::plan::traffic::{Expression, Function};

/// Longer ones are no arithmetic that somebody wrote; the tree of one is walked by recursion.
const MOST_TOKENS: usize = 1_000;
/// The same for what is within parentheses.
const DEEPEST: usize = 100;

/// Reads a whole text as one expression; offsets of problems count from its beginning.
pub fn parse(text: &str) -> Result<Expression, Problem> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        end: text.trim_end().len(),
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let expression = parser.sum()?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.unexpected("the end of the line")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'t> {
    Integer(u64),
    Double(f64),
    Variable(&'t str),
    Word(&'t str),
    Sign(&'t str),
}

#[derive(Debug)]
struct Placed<'t> {
    offset: usize,
    text: &'t str,
    token: Token<'t>,
}

fn tokens(text: &str) -> Result<Vec<Placed<'_>>, Problem> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_ascii_whitespace() || first == '\u{b}' {
            at += 1;
            continue;
        }
        let rest = &text[at..];
        let (length, token) = token(rest, first).map_err(|problem| problem.behind(at))?;
        if tokens.len() == MOST_TOKENS {
            return Err(Problem::new(at, "the expression is too long").help(format!(
                "at most {MOST_TOKENS} numbers, names and operators; cut it with another `\\set`"
            )));
        }
        tokens.push(Placed {
            offset: at,
            text: &rest[..length],
            token,
        });
        at += length;
    }
    Ok(tokens)
}

fn token(rest: &str, first: char) -> Result<(usize, Token<'_>), Problem> {
    let run = |from: usize, accepted: fn(char) -> bool| {
        rest[from..]
            .find(|c| !accepted(c))
            .map_or(rest.len(), |length| from + length)
    };
    match first {
        ':' => {
            let end = run(1, is_word);
            let name = &rest[1..end];
            if !super::is_variable(name) {
                return Err(Problem::new(0, "`:` without a variable's name behind it")
                    .help("a variable is written `:name`"));
            }
            Ok((end, Token::Variable(name)))
        }
        '0'..='9' | '.' => number(rest),
        _ if is_word(first) => {
            let end = run(0, is_word);
            Ok((end, Token::Word(&rest[..end])))
        }
        _ => {
            let two = ["<=", ">=", "!=", "<>", "<<", ">>"];
            let length = two
                .iter()
                .find(|operator| rest.starts_with(**operator))
                .map_or(first.len_utf8(), |operator| operator.len());
            if length == 1 && !"+-*/%(),<>=&|#~".contains(first) || !first.is_ascii() {
                return Err(Problem::new(0, format!("`{first}` is in no expression")));
            }
            Ok((length, Token::Sign(&rest[..length])))
        }
    }
}

fn number(rest: &str) -> Result<(usize, Token<'_>), Problem> {
    let digits = |from: usize| {
        let more = rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        from + more
    };
    let mut end = digits(0);
    let whole = end;
    if rest[end..].starts_with('.') {
        end = digits(end + 1);
        if end == 1 {
            return Err(Problem::new(0, "`.` is in no expression"));
        }
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    let text = &rest[..end];
    let too_large =
        || Problem::new(0, format!("`{text}` is too large")).help("whole numbers have 64 bits");
    if end == whole {
        let number = text.parse().map_err(|_| too_large())?;
        return Ok((end, Token::Integer(number)));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((end, Token::Double(number))),
        _ => Err(too_large()),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

struct Parser<'p, 't> {
    tokens: &'p [Placed<'t>],
    at: usize,
    /// Where the text ends, for what is missing there.
    end: usize,
    depth: usize,
}

impl<'p, 't> Parser<'p, 't> {
    fn peek(&self) -> Option<&'p Placed<'t>> {
        self.tokens.get(self.at)
    }

    fn sign(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        let Some(Token::Sign(sign)) = self.peek().map(|placed| &placed.token) else {
            return None;
        };
        let found = wanted.iter().find(|wanted| *wanted == sign)?;
        self.at += 1;
        Some(found)
    }

    fn sum(&mut self) -> Result<Expression, Problem> {
        let mut left = self.product()?;
        while let Some(sign) = self.sign(&["+", "-"]) {
            let right = self.product()?;
            let function = match sign {
                "+" => Function::Add,
                _ => Function::Subtract,
            };
            left = call(function, vec![left, right]);
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Expression, Problem> {
        let mut left = self.signed()?;
        loop {
            let offset = self.offset();
            let Some(sign) = self.sign(&["*", "/", "%"]) else {
                return Ok(left);
            };
            let function = match sign {
                "*" => Function::Multiply,
                "/" => Function::Divide,
                _ => Function::Mod,
            };
            let arguments = vec![left, self.signed()?];
            functions::check(function, &arguments).map_err(|problem| problem.behind(offset))?;
            left = call(function, arguments);
        }
    }

    fn signed(&mut self) -> Result<Expression, Problem> {
        self.deeper(|parser| match parser.sign(&["+", "-"]) {
            Some("-") => {
                // The one number whose digits alone do not fit.
                if let Some(Token::Integer(9_223_372_036_854_775_808)) =
                    parser.peek().map(|placed| &placed.token)
                {
                    parser.at += 1;
                    return Ok(Expression::Integer(i64::MIN));
                }
                Ok(negated(parser.signed()?))
            }
            Some(_) => parser.signed(),
            None => parser.single(),
        })
    }

    fn single(&mut self) -> Result<Expression, Problem> {
        let Some(placed) = self.peek() else {
            return Err(self.unexpected("a value"));
        };
        match placed.token {
            Token::Integer(number) => {
                let number = i64::try_from(number).map_err(|_| {
                    Problem::new(placed.offset, format!("`{}` is too large", placed.text))
                        .help("whole numbers have 64 bits")
                })?;
                self.at += 1;
                Ok(Expression::Integer(number))
            }
            Token::Double(number) => {
                self.at += 1;
                Ok(Expression::Double(number))
            }
            Token::Variable(name) => {
                self.at += 1;
                Ok(Expression::Variable(name.to_owned()))
            }
            Token::Word(word) => self.function(placed, word),
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.sum()?;
                match self.sign(&[")"]) {
                    Some(_) => Ok(inner),
                    None => Err(self.unexpected("`)`")),
                }
            }
            Token::Sign(_) => Err(self.unexpected("a value")),
        }
    }

    fn function(&mut self, placed: &Placed<'t>, word: &str) -> Result<Expression, Problem> {
        let function = functions::named(word).map_err(|problem| problem.behind(placed.offset))?;
        self.at += 1;
        if self.sign(&["("]).is_none() {
            return Err(self.unexpected("`(`"));
        }
        let mut arguments = Vec::new();
        if self.sign(&[")"]).is_none() {
            loop {
                arguments.push(self.sum()?);
                match self.sign(&[",", ")"]) {
                    Some(",") => {}
                    Some(_) => break,
                    None => return Err(self.unexpected("`,` or `)`")),
                }
            }
        }
        functions::check(function, &arguments).map_err(|problem| problem.behind(placed.offset))?;
        Ok(call(function, arguments))
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if self.depth == DEEPEST {
            return Err(Problem::new(self.offset(), "the expression is too deep")
                .help("cut it with another `\\set`"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn offset(&self) -> usize {
        self.peek().map_or(self.end, |placed| placed.offset)
    }

    /// What stands where `wanted` should: an operator that there is not, or a slip.
    fn unexpected(&self, wanted: &str) -> Problem {
        let Some(placed) = self.peek() else {
            return Problem::new(self.end, format!("{wanted} is missing"));
        };
        let (offset, text) = (placed.offset, placed.text);
        match placed.token {
            Token::Sign("<" | ">" | "=" | "<=" | ">=" | "!=" | "<>") => {
                functions::conditional(text).behind(offset)
            }
            Token::Sign("&" | "|" | "#" | "~" | "<<" | ">>") => {
                let known = listed(["+", "-", "*", "/", "%"]);
                Problem::new(offset, format!("`{text}` is not supported"))
                    .help(format!("there are {known}; do it in the SQL"))
            }
            Token::Word(word) if functions::is_conditional(word) => {
                functions::conditional(text).behind(offset)
            }
            _ => Problem::new(
                offset,
                format!("`{text}` stands where {wanted} is expected"),
            ),
        }
    }
}

fn call(function: Function, arguments: Vec<Expression>) -> Expression {
    Expression::Call {
        function,
        arguments,
    }
}

/// A number with the sign before it is that number.
fn negated(expression: Expression) -> Expression {
    match expression {
        Expression::Integer(number) => match number.checked_neg() {
            Some(negated) => Expression::Integer(negated),
            None => call(Function::Subtract, vec![expression]),
        },
        Expression::Double(number) => Expression::Double(-number),
        other => call(Function::Subtract, vec![other]),
    }
}
