//! Where an output departs from what it must be, and how.

use crate::report::document::ProblemKind;

/// Lines behind the departure that have to agree, for the two to be taken to go on together.
const AGREE: usize = 3;

/// A departure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) kind: ProblemKind,
    pub(crate) what: String,
}

/// What is wrong, from the texts of both from the begin of the line on in which they differ, as far as they were read.
///
/// `before` is what they have in common in front of that: a line that is there already was doubled.
pub(crate) fn departure(before: &[u8], expected: &[u8], found: &[u8]) -> Departure {
    if found.is_empty() {
        let what = format!("the output ends here; at least {} bytes are missing", expected.len());
        return Departure { kind: ProblemKind::Lost, what };
    }
    if expected.is_empty() {
        return more(before, found, "behind what must be the end");
    }
    let (wanted, seen) = (lines(expected), lines(found));
    if let Some(count) = goes_on(&wanted, &seen) {
        let what = format!("{count} {} missing", plural(count));
        return Departure { kind: ProblemKind::Lost, what };
    }
    if let Some(count) = goes_on(&seen, &wanted) {
        let length = seen[..count].iter().map(|line| line.len()).sum();
        return more(before, &found[..length], "too many");
    }
    Departure { kind: ProblemKind::Wrong, what: "a line differs from what it must be".into() }
}

fn more(before: &[u8], lines_found: &[u8], where_to: &str) -> Departure {
    let count = lines(lines_found).len();
    if before.ends_with(lines_found) {
        let what = format!("{count} {} there twice", plural(count));
        return Departure { kind: ProblemKind::Doubled, what };
    }
    let known = lines(before);
    let doubled = lines(lines_found).iter().filter(|line| known.contains(line)).count();
    let kind = if doubled > 0 { ProblemKind::Doubled } else { ProblemKind::Wrong };
    Departure { kind, what: format!("{count} {} {where_to}", plural(count)) }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "line is" } else { "lines are" }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// After how many lines of the one it goes on as the other does from its begin.
fn goes_on(one: &[&[u8]], other: &[&[u8]]) -> Option<usize> {
    let ahead = &other[..AGREE.min(other.len())];
    (1..one.len()).find(|skipped| {
        let rest = &one[*skipped..];
        // The last line may be cut.
        rest.len() >= ahead.len() && rest.iter().zip(ahead).all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &[u8] = b"id\n1\n2\n";
    const REST: &[u8] = b"3\n4\n5\n6\n7\n8\n9\n";

    fn kind(expected: &[u8], found: &[u8]) -> (ProblemKind, String) {
        let Departure { kind, what } = departure(BEFORE, expected, found);
        (kind, what)
    }

    #[test]
    fn missing_lines_are_lost() {
        assert_eq!(kind(REST, b"4\n5\n6\n7\n8\n9\n"), (ProblemKind::Lost, "1 line is missing".into()));
        assert_eq!(kind(REST, b"6\n7\n8\n9\n"), (ProblemKind::Lost, "3 lines are missing".into()));
        assert_eq!(kind(REST, b"").0, ProblemKind::Lost);
    }

    #[test]
    fn lines_that_come_again_are_doubled() {
        assert_eq!(kind(REST, b"2\n3\n4\n5\n6\n"), (ProblemKind::Doubled, "1 line is there twice".into()));
        assert_eq!(
            kind(REST, b"1\n2\n3\n4\n5\n6\n"),
            (ProblemKind::Doubled, "2 lines are there twice".into())
        );
        assert_eq!(kind(b"", b"2\n").0, ProblemKind::Doubled);
    }

    #[test]
    fn anything_else_is_wrong() {
        assert_eq!(kind(REST, b"3x\n4\n5\n6\n").0, ProblemKind::Wrong);
        assert_eq!(kind(REST, b"new\n3\n4\n5\n6\n"), (ProblemKind::Wrong, "1 line is too many".into()));
        assert_eq!(kind(b"", b"new\n").0, ProblemKind::Wrong);
    }
}
