//! `psql` once more, for tests: slow, of each version by itself, and written from its scanner's rules as they
//! stand there (the longest match counts, of equals the first), not from ours.

/// Which of its lines a `psql` of this major takes for one with a command, the first; None: none.
///
/// Strings are standard throughout, all `COPY` statements succeed, and no variable is set.
pub(super) fn first_command(text: &[u8], major: u32) -> Option<u64> {
    let mut psql = Psql::new(major);
    let mut lines = text.split(|byte| *byte == b'\n').peekable();
    let mut number = 0;
    while let Some(line) = lines.next() {
        number += 1;
        // What follows the last line feed is no line where it is empty.
        if line.is_empty() && lines.peek().is_none() {
            break;
        }
        if psql.line(line) {
            return Some(number);
        }
        for _ in 0..std::mem::take(&mut psql.copies) {
            for row in lines.by_ref() {
                number += 1;
                if row == b"\\." || row == b"\\.\r" {
                    break;
                }
            }
        }
    }
    None
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Initial,
    Xb,
    Xc,
    Xd,
    Xe,
    Xq,
    Xqs,
    Xdolq,
}

struct Psql {
    major: u32,
    start: Start,
    before_stop: Start,
    comment_depth: u32,
    dollar: Vec<u8>,
    parens: u32,
    begins: u32,
    heads: Vec<u8>,
    identifiers: u32,
    words: Vec<String>,
    copies: u32,
}

/// What matched: how long, and how much of it is kept.
type Found = (usize, usize, &'static str);

impl Psql {
    fn new(major: u32) -> Self {
        Self {
            major,
            start: Start::Initial,
            before_stop: Start::Xq,
            comment_depth: 0,
            dollar: Vec::new(),
            parens: 0,
            begins: 0,
            heads: vec![0; 4],
            identifiers: 0,
            words: Vec::new(),
            copies: 0,
        }
    }

    /// True where the line has a command.
    fn line(&mut self, line: &[u8]) -> bool {
        let mut at = 0;
        while at < line.len() {
            let text = &line[at..];
            let (_, kept, rule) = self.longest(text);
            if self.act(rule, &text[..kept]) {
                return true;
            }
            at += kept;
        }
        false
    }

    fn longest(&self, text: &[u8]) -> Found {
        let found = match self.start {
            Start::Initial => self.initial(text),
            Start::Xb => vec![
                whole(span(text, |byte| byte != b'\''), "inside"),
                whole(literal(text, b"'"), "quote"),
            ],
            Start::Xc => {
                let stop = span(text, |byte| byte == b'*');
                vec![
                    (literal(text, b"/*"), 2, "xcstart"),
                    whole(
                        if stop > 0 && text.get(stop) == Some(&b'/') {
                            stop + 1
                        } else {
                            0
                        },
                        "xcstop",
                    ),
                    whole(span(text, |byte| byte != b'*' && byte != b'/'), "inside"),
                    whole(usize::from(is_op(text[0])), "inside"),
                    whole(stop, "inside"),
                ]
            }
            Start::Xd => vec![
                whole(literal(text, b"\""), "xdstop"),
                whole(literal(text, b"\"\""), "inside"),
                whole(span(text, |byte| byte != b'"'), "inside"),
            ],
            Start::Xq => vec![
                whole(literal(text, b"'"), "quote"),
                whole(literal(text, b"''"), "inside"),
                whole(span(text, |byte| byte != b'\''), "inside"),
            ],
            Start::Xe => vec![
                whole(literal(text, b"'"), "quote"),
                whole(literal(text, b"''"), "inside"),
                whole(span(text, |byte| byte != b'\'' && byte != b'\\'), "inside"),
                whole(
                    if text[0] == b'\\' && text.len() > 1 {
                        2
                    } else {
                        0
                    },
                    "inside",
                ),
                whole(1, "inside"),
            ],
            Start::Xqs => vec![
                whole(continues(text), "continue"),
                // Of whatever length: all of it is thrown back.
                (1, 0, "fail"),
            ],
            Start::Xdolq => vec![
                {
                    let length = delimiter(text);
                    if text[..length] == self.dollar {
                        whole(length, "dollar")
                    } else {
                        // All but the last, which may begin the right one.
                        (length, length.saturating_sub(1), "inside")
                    }
                },
                whole(span(text, |byte| byte != b'$'), "inside"),
                whole(failed_delimiter(text), "inside"),
                whole(1, "inside"),
            ],
        };
        let mut best = (0, 0, "none");
        for candidate in found {
            if candidate.0 > best.0 {
                best = candidate;
            }
        }
        assert!(best.0 > 0, "{:?}: {text:?}", self.start);
        best
    }

    fn initial(&self, text: &[u8]) -> Vec<Found> {
        let prefixed = |letter: u8, rest: &[u8]| {
            let is = text[0].eq_ignore_ascii_case(&letter) && text[1..].starts_with(rest);
            if is { 1 + rest.len() } else { 0 }
        };
        let ops = span(text, is_op);
        let comment = if text.starts_with(b"--") {
            span(text, |byte| byte != b'\r')
        } else {
            0
        };
        let variable = span(&text[1..], is_variable);
        let colon = |rest: &[u8], end: &[u8]| {
            let front = [b":", rest].concat();
            if !text.starts_with(&front) {
                return (0, 0);
            }
            let name = span(&text[front.len()..], is_variable);
            let length = front.len() + name;
            let closed = name > 0 && text[length..].starts_with(end);
            (length, if closed { length + end.len() } else { 0 })
        };
        let (single, whole_single) = colon(b"'", b"'");
        let (double, whole_double) = colon(b"\"", b"\"");
        let (test, whole_test) = colon(b"{?", b"}");
        let is_space = |byte: u8| b" \t\r\x0c".contains(&byte) || byte == 0x0b && self.major >= 16;
        let mut rules = vec![
            whole(span(text, is_space), "space"),
            whole(comment, "space"),
            (if text.starts_with(b"/*") { ops } else { 0 }, 2, "xcstart"),
            whole(prefixed(b'b', b"'"), "xb"),
            whole(prefixed(b'x', b"'"), "xb"),
            (prefixed(b'n', b"'"), 1, "n"),
            whole(literal(text, b"'"), "xq"),
            whole(prefixed(b'e', b"'"), "xe"),
            whole(prefixed(b'u', b"&'"), "xq"),
            whole(delimiter(text), "dollar"),
            (failed_delimiter(text), 1, "other"),
            whole(literal(text, b"\""), "xd"),
            whole(prefixed(b'u', b"&\""), "xd"),
            (prefixed(b'u', b"&"), 1, "n"),
            whole(literal(text, b"::"), "other"),
            whole(literal(text, b".."), "other"),
            whole(literal(text, b":="), "other"),
            whole(literal(text, b"("), "("),
            whole(literal(text, b")"), ")"),
            whole(literal(text, b";"), ";"),
            whole(literal(text, b"\\"), "command"),
            whole(
                if text[0] == b':' && variable > 0 {
                    1 + variable
                } else {
                    0
                },
                "other",
            ),
            whole(whole_single, "other"),
            whole(whole_double, "other"),
            whole(whole_test, "other"),
            (single, 1, "other"),
            (double, 1, "other"),
            (test, 1, "other"),
            whole(
                usize::from(b",()[].;:+-*/%^<>=".contains(&text[0])),
                "other",
            ),
            (ops, operator(&text[..ops]), "other"),
        ];
        rules.extend(self.numbers(text));
        let identifier = if is_ident_start(text[0]) {
            span(text, is_ident)
        } else {
            0
        };
        rules.push(whole(identifier, "identifier"));
        rules.push(whole(1, "other"));
        rules
    }

    /// Numbers and parameters, of which versions differ.
    fn numbers(&self, text: &[u8]) -> Vec<Found> {
        let is_16 = self.major >= 16;
        let digits = |text: &[u8]| {
            let mut length = span(text, |byte| byte.is_ascii_digit());
            while is_16
                && length > 0
                && text.get(length) == Some(&b'_')
                && text.get(length + 1).is_some_and(u8::is_ascii_digit)
            {
                length += 1 + span(&text[length + 1..], |byte| byte.is_ascii_digit());
            }
            length
        };
        let integer = digits(text);
        let decimal = if text.get(integer) == Some(&b'.') {
            let fraction = digits(&text[integer + 1..]);
            if integer + fraction > 0 {
                integer + 1 + fraction
            } else {
                0
            }
        } else {
            0
        };
        let is_range = integer > 0 && text[integer..].starts_with(b"..");
        let mantissa = integer.max(decimal);
        let has_e = mantissa > 0
            && text
                .get(mantissa)
                .is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e'));
        let sign = usize::from(has_e && matches!(text.get(mantissa + 1), Some(b'+' | b'-')));
        let exponent = if has_e {
            digits(&text[mantissa + 1 + sign..])
        } else {
            0
        };
        let real = if exponent > 0 {
            mantissa + 1 + sign + exponent
        } else {
            0
        };
        let mut rules = Vec::new();
        let parameter = if text[0] == b'$' {
            let digits = span(&text[1..], |byte| byte.is_ascii_digit());
            if digits > 0 { 1 + digits } else { 0 }
        } else {
            0
        };
        for number in [parameter, integer, decimal, real] {
            rules.push(whole(number, "other"));
        }
        rules.push((if is_range { integer + 2 } else { 0 }, integer, "other"));
        let fail_1 = if has_e { mantissa + 1 } else { 0 };
        let fail_2 = if sign > 0 { mantissa + 2 } else { 0 };
        if self.major < 15 {
            rules.push((fail_1, mantissa, "other"));
            rules.push((fail_2, mantissa, "other"));
            return rules;
        }
        rules.push(whole(fail_2, "other"));
        for number in [parameter, integer, decimal, real] {
            if number > 0 && text.get(number).is_some_and(|byte| is_ident_start(*byte)) {
                let letters = if is_16 {
                    span(&text[number..], is_ident)
                } else {
                    1
                };
                rules.push(whole(number + letters, "other"));
            }
        }
        if is_16 {
            for (letter, accepted) in [
                (b'x', (|byte| byte.is_ascii_hexdigit()) as fn(u8) -> bool),
                (b'o', |byte| (b'0'..=b'7').contains(&byte)),
                (b'b', |byte| byte == b'0' || byte == b'1'),
            ] {
                if text[0] != b'0'
                    || !text
                        .get(1)
                        .is_some_and(|byte| byte.eq_ignore_ascii_case(&letter))
                {
                    continue;
                }
                let mut length = 2;
                loop {
                    let gap = usize::from(text.get(length) == Some(&b'_'));
                    if !text.get(length + gap).is_some_and(|byte| accepted(*byte)) {
                        break;
                    }
                    length += gap + 1;
                }
                let fails = 2 + usize::from(text.get(2) == Some(&b'_'));
                rules.push(whole(length.max(fails), "other"));
                if length > 2 && text.get(length).is_some_and(|byte| is_ident_start(*byte)) {
                    rules.push(whole(length + span(&text[length..], is_ident), "other"));
                }
            }
        }
        rules
    }

    /// True for a command.
    fn act(&mut self, rule: &str, text: &[u8]) -> bool {
        match rule {
            "xcstart" if self.start == Start::Initial => {
                self.comment_depth = 0;
                self.start = Start::Xc;
                return false;
            }
            "xcstart" => self.comment_depth += 1,
            "xcstop" if self.comment_depth == 0 => self.start = Start::Initial,
            "xcstop" => self.comment_depth -= 1,
            "xb" => self.start = Start::Xb,
            "xq" => self.start = Start::Xq,
            "xe" => self.start = Start::Xe,
            "xd" => self.start = Start::Xd,
            "xdstop" => self.start = Start::Initial,
            "quote" => {
                self.before_stop = self.start;
                self.start = Start::Xqs;
            }
            "continue" => self.start = self.before_stop,
            "fail" => self.start = Start::Initial,
            "dollar" if self.start == Start::Initial => {
                self.dollar = text.to_vec();
                self.start = Start::Xdolq;
            }
            "dollar" => self.start = Start::Initial,
            "(" => self.parens += 1,
            ")" => self.parens = self.parens.saturating_sub(1),
            ";" if self.parens == 0 && self.begins == 0 => {
                self.send();
                return false;
            }
            "identifier" => self.identifier(text),
            "command" => return true,
            _ => {}
        }
        if !matches!(rule, "space" | "inside" | "fail" | "xcstop") {
            let depth = self.parens;
            let word = String::from_utf8_lossy(text).to_ascii_lowercase();
            self.words.push(match rule {
                "identifier" | "n" if depth == 0 => word,
                _ => format!("<{word}>"),
            });
        }
        false
    }

    fn send(&mut self) {
        self.identifiers = 0;
        let words = std::mem::take(&mut self.words);
        // Several statements are sent as one: of those only the server knows, and none in the tests gets that far.
        let from = words.iter().position(|word| word == "from");
        let next = from.and_then(|from| words.get(from + 1));
        let is_stdin = next.is_some_and(|next| next == "stdin" || next == "stdout");
        if words.first().is_some_and(|word| word == "copy") && is_stdin {
            self.copies += 1;
        }
    }

    fn identifier(&mut self, text: &[u8]) {
        if self.major < 14 {
            return;
        }
        let word = text.to_ascii_lowercase();
        if self.identifiers == 0 {
            self.heads = vec![0; 4];
        }
        let head: [&[u8]; 5] = [b"create", b"function", b"procedure", b"or", b"replace"];
        if head.contains(&&word[..]) && self.identifiers < 4 {
            self.heads[self.identifiers as usize] = word[0];
        }
        self.identifiers += 1;
        let heads = &self.heads;
        let is_function = |head: u8| head == b'f' || head == b'p';
        let in_function = heads[0] == b'c'
            && (is_function(heads[1])
                || heads[1] == b'o' && heads[2] == b'r' && is_function(heads[3]));
        if in_function && self.parens == 0 {
            match &word[..] {
                b"begin" => self.begins += 1,
                b"case" if self.begins > 0 => self.begins += 1,
                b"end" => self.begins = self.begins.saturating_sub(1),
                _ => {}
            }
        }
    }
}

fn whole(length: usize, rule: &'static str) -> Found {
    (length, length, rule)
}

fn span(text: &[u8], accepted: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| accepted(**byte)).count()
}

fn literal(text: &[u8], what: &[u8]) -> usize {
    if text.starts_with(what) {
        what.len()
    } else {
        0
    }
}

fn is_op(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

fn is_ident_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80 || byte == b'_'
}

fn is_ident(byte: u8) -> bool {
    is_ident_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_variable(byte: u8) -> bool {
    is_ident(byte) && byte != b'$'
}

fn failed_delimiter(text: &[u8]) -> usize {
    if text[0] == b'$' && text.get(1).is_some_and(|byte| is_ident_start(*byte)) {
        1 + span(&text[1..], is_variable)
    } else {
        0
    }
}

fn delimiter(text: &[u8]) -> usize {
    if text.starts_with(b"$$") {
        return 2;
    }
    let tag = failed_delimiter(text);
    if tag > 0 && text.get(tag) == Some(&b'$') {
        tag + 1
    } else {
        0
    }
}

/// White space with a line's end in it, and a quote.
fn continues(text: &[u8]) -> usize {
    let mut at = 0;
    let mut has_newline = false;
    while at < text.len() {
        match text[at] {
            b'\r' => {
                has_newline = true;
                at += 1;
            }
            b' ' | b'\t' | 0x0c => at += 1,
            b'-' if text[at..].starts_with(b"--") => {
                let comment = span(&text[at..], |byte| byte != b'\r');
                at += comment;
            }
            b'\'' if has_newline => return at + 1,
            _ => return 0,
        }
    }
    0
}

/// How much of a run of operator characters is one operator, as far as comments go.
fn operator(ops: &[u8]) -> usize {
    ops.windows(2)
        .position(|pair| pair == b"--" || pair == b"/*")
        .unwrap_or(ops.len())
        .max(1)
}
