//! Numbers in a recording's lines, and others to put in their place. The fuzz target uses it as well.

/// Numbers at the borders of what the format's fields take, and some that recordings have.
pub const NUMBERS: [&str; 15] = [
    "0",
    "1",
    "-1",
    "7",
    "77",
    "50000000",
    "2147483647",
    "-2147483648",
    "4294967295",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e300",
    "2",
];

/// Where a line's numbers are, those inside of strings too.
pub fn numbers(line: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, byte) in line.iter().enumerate() {
        match found.last_mut() {
            Some(last) if last.end == at && byte.is_ascii_digit() => last.end += 1,
            _ if byte.is_ascii_digit() || *byte == b'-' => found.push(at..at + 1),
            _ => {}
        }
    }
    found
}
