//! What a field looks like: numbers and dates tell data from names, and a good split from a bad one.

use memchr::memmem;

/// What a field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    /// A word for "nothing here".
    Null,
    Number,
    /// A date, a time, or both.
    Date,
    /// An address of a page, a person or a file.
    Address,
    Text,
    /// Text with what another dialect would take for a delimiter, or with a bracket whose other half is elsewhere.
    Odd,
    /// An object or a list, whole, which has delimiters of its own.
    Nested,
}

impl Kind {
    /// Whether fields of this kind say that their column holds no names.
    pub(super) fn is_typed(self) -> bool {
        matches!(self, Self::Number | Self::Date | Self::Address)
    }

    pub(super) fn of(field: &[u8]) -> Self {
        let field = field.trim_ascii();
        if field.is_empty() {
            return Self::Empty;
        }
        if field.len() <= 5 && NULLS.iter().any(|null| null.eq_ignore_ascii_case(field)) {
            return Self::Null;
        }
        if is_number(field) {
            return Self::Number;
        }
        if is_date(field) {
            return Self::Date;
        }
        if is_address(field) {
            return Self::Address;
        }
        let (has_delimiters, is_paired) = inside(field);
        match (has_delimiters, is_paired) {
            (true, true) if is_in_brackets(field) => Self::Nested,
            (false, true) => Self::Text,
            _ => Self::Odd,
        }
    }
}

/// Whether a field has what another dialect would take for a delimiter, and whether its brackets come in pairs.
fn inside(field: &[u8]) -> (bool, bool) {
    let (mut braces, mut brackets) = (0_i64, 0_i64);
    let mut has_delimiters = memmem::find(field, b"::").is_some();
    for byte in field {
        match byte {
            b',' | b';' | b'\t' | b'|' => has_delimiters = true,
            b'{' => braces += 1,
            b'}' => braces -= 1,
            b'[' => brackets += 1,
            b']' => brackets -= 1,
            _ => {}
        }
    }
    (has_delimiters, braces == 0 && brackets == 0)
}

fn is_in_brackets(field: &[u8]) -> bool {
    matches!(field, [b'{', .., b'}'] | [b'[', .., b']'])
}

const NULLS: &[&[u8]] =
    &[b"null", b"na", b"n/a", b"nan", b"none", b"nil", b"-", b"--", b"\\N", b"?", b"#N/A"];

/// Signs, currencies and per cent around digits in groups.
fn is_number(field: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(field) else { return false };
    let is_around = |character: char| {
        matches!(character, '+' | '-' | '$' | '€' | '£' | '¥' | '%' | '(' | ')' | ' ' | '\u{a0}' | '−')
    };
    let digits = text.trim_matches(is_around);
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_mantissa = mantissa
        .starts_with(|first: char| first.is_ascii_digit() || matches!(first, '.' | ','))
        && mantissa.chars().any(|character| character.is_ascii_digit())
        && mantissa.chars().all(|character| {
            character.is_ascii_digit() || matches!(character, '.' | ',' | '\'' | ' ' | '\u{a0}' | '\u{202f}')
        })
        && groups_are_plain(mantissa);
    is_mantissa && !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit())
}

/// One mark for decimals at most, other marks only where they part thousands: `1,5` is a number, `1,2,3,4` is a list.
fn groups_are_plain(mantissa: &str) -> bool {
    let groups: Vec<&str> = mantissa.split(['.', ',', '\'', ' ', '\u{a0}', '\u{202f}']).collect();
    let Some((_, inner)) = groups.split_first() else { return false };
    match inner.split_last() {
        None => true,
        Some((_, thousands)) => thousands.iter().all(|group| matches!(group.len(), 2 | 3)),
    }
}

/// Digits parted by `-`, `/`, `.` or `:` as dates and times are, with a `T`, a zone or a month's name between.
fn is_date(field: &[u8]) -> bool {
    let field = without_fraction(field);
    if field.len() > 40 || !field[0].is_ascii_alphanumeric() {
        return false;
    }
    let (mut digits, mut marks, mut letters) = (0, 0, 0);
    for byte in field {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'-' | b'/' | b'.' | b':' => marks += 1,
            b' ' | b'+' => {}
            b'A'..=b'Z' | b'a'..=b'z' => letters += 1,
            _ => return false,
        }
    }
    if letters == 0 {
        return marks >= 1 && digits >= 3 && (2..=7).contains(&numbers(field)) && has_marks_throughout(field);
    }
    let words = field.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    digits >= 3 && numbers(field) >= 2 && words.into_iter().all(is_date_word)
}

/// A time without what stands behind its seconds' comma.
fn without_fraction(field: &[u8]) -> &[u8] {
    let digits = field.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match &field[..field.len() - digits] {
        [time @ .., b','] if digits > 0 && time.contains(&b':') => time,
        _ => field,
    }
}

/// Whether a date and a time, with a space between, have their marks each: numbers with spaces between are no date. Behind
/// `31. 12.`, the year has none.
fn has_marks_throughout(field: &[u8]) -> bool {
    let mut is_behind_dot = false;
    field.split(|byte| *byte == b' ').all(|part| {
        let is_part = is_behind_dot
            || part.starts_with(b"+")
            || part.iter().any(|byte| matches!(byte, b'-' | b'/' | b'.' | b':'));
        is_behind_dot = part.ends_with(b".");
        is_part
    })
}

/// How many runs of digits there are; 0 if one is longer than a year, a second's fraction aside.
fn numbers(field: &[u8]) -> usize {
    let mut runs = 0;
    for run in field.split(|byte| !byte.is_ascii_digit()).filter(|run| !run.is_empty()) {
        runs += 1;
        if run.len() > 4 && runs < 6 && !(runs == 1 && run.len() == 8) {
            return 0;
        }
    }
    runs
}

fn is_date_word(word: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"t", b"z", b"am", b"pm", b"utc", b"gmt", b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul",
        b"aug", b"sep", b"oct", b"nov", b"dec", b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun",
        b"th", b"st", b"nd", b"rd",
    ];
    let word = word.to_ascii_lowercase();
    WORDS.contains(&&word[..]) || (word.len() > 3 && WORDS[6..25].contains(&&word[..3]) && word.len() <= 9)
}

fn is_address(field: &[u8]) -> bool {
    let lower = field[..field.len().min(8)].to_ascii_lowercase();
    if [&b"http://"[..], b"https://", b"www.", b"ftp://"].iter().any(|prefix| lower.starts_with(prefix)) {
        return !field.contains(&b' ');
    }
    if field.starts_with(b"/") {
        // Of a file: from the root, through a folder.
        return field[1..].contains(&b'/') && !field.contains(&b' ');
    }
    let mut parts = field.split(|byte| *byte == b'@');
    let (Some(name), Some(host), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    let is_word = |part: &[u8]| {
        !part.is_empty()
            && part
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+'))
    };
    is_word(name) && is_word(host) && host.contains(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_look_like() {
        for (kind, fields) in [
            (
                Kind::Number,
                &[
                    "1",
                    "-5",
                    "3.14",
                    "3,14",
                    "1,234.50",
                    "$74.69",
                    "12 %",
                    "1e-9",
                    ".5",
                    "(300)",
                    "12345678901",
                ][..],
            ),
            (
                Kind::Date,
                &[
                    "2020-01-31",
                    "31/01/2020",
                    "00:15",
                    "2020-01-31T10:00:00Z",
                    "31 Jan 2020",
                    "Jan 31 2020 10:15 PM",
                    "01.02.2020 10:15",
                    "31. 12. 2020",
                    "2020-01-31 10:00:00 +0100",
                    "2020-01-31 10:00:00,123",
                ],
            ),
            (Kind::Address, &["https://example.com/a?b", "a.b@example.com", "/usr/lib/a.so"]),
            (Kind::Null, &["NULL", "n/a", "-"]),
            (
                Kind::Text,
                &[
                    "name",
                    "MG-8769",
                    "Light-Up Running Jacket",
                    "col_1",
                    "2nd floor",
                    "A1",
                    "May Smith",
                    "0 0.5 0",
                    "[kg]",
                ],
            ),
            (Kind::Odd, &["a;b", "1,2,3,4,5", "a|b", "{\"a\": 1", "2]", "[1,2], 3", "1::a"]),
            (Kind::Nested, &["{\"a\": 1, \"b\": [1,2]}", "[1,2]"]),
            (Kind::Empty, &["", "  "]),
        ] {
            for field in fields {
                assert_eq!(Kind::of(field.as_bytes()), kind, "{field}");
            }
        }
    }
}
