//! What a column's values seem to be.

use super::kind::Kind;
use super::table_schema::{FieldWord, TypeWord};

/// What the values seen so far leave possible.
#[derive(Debug)]
pub struct Guess {
    /// The types that all of them fit, the narrowest first.
    possible: Vec<(FieldWord, Kind)>,
    seen: u64,
    missing: u64,
    scratch: Vec<u8>,
}

impl Default for Guess {
    fn default() -> Self {
        let of = |kind, format: Option<&str>| FieldWord {
            kind,
            format: format.map(ToOwned::to_owned),
            ..FieldWord::default()
        };
        let comma = |group: Option<&str>| FieldWord {
            decimal_char: Some(",".into()),
            group_char: group.map(ToOwned::to_owned),
            ..of(TypeWord::Number, None)
        };
        let words = [
            of(TypeWord::Integer, None),
            of(TypeWord::Number, None),
            comma(None),
            comma(Some(".")),
            of(TypeWord::Boolean, None),
            of(TypeWord::Date, None),
            of(TypeWord::Date, Some("%d.%m.%Y")),
            of(TypeWord::DateTime, None),
            of(TypeWord::Time, None),
        ];
        let possible = words.into_iter().filter_map(|word| Kind::new(&word).ok().map(|kind| (word, kind)));
        Self { possible: possible.collect(), seen: 0, missing: 0, scratch: Vec::new() }
    }
}

impl Guess {
    /// Looks at a value.
    pub fn see(&mut self, text: &[u8]) {
        self.seen += 1;
        if text.is_empty() {
            self.missing += 1;
            return;
        }
        let scratch = &mut self.scratch;
        self.possible.retain(|(word, kind)| {
            kind.read(text, scratch).is_some() && is_plain(word.kind, text) && has_thousands(word, text)
        });
    }

    /// The narrowest type that fits every value; a text where none does, or none was seen.
    pub fn field(&self, name: &str) -> FieldWord {
        let has_values = self.seen > self.missing;
        let fitting = self.possible.first().filter(|_| has_values).map(|(word, _)| word.clone());
        FieldWord { name: name.to_owned(), ..fitting.unwrap_or_default() }
    }

    /// Whether every row had a value.
    pub fn is_complete(&self) -> bool {
        self.seen > 0 && self.missing == 0
    }
}

/// A number with zeros in front is a code, and `NaN` more likely a word than a number.
fn is_plain(kind: TypeWord, text: &[u8]) -> bool {
    match kind {
        TypeWord::Integer | TypeWord::Number => {
            let digits = text.strip_prefix(b"-").unwrap_or(text);
            let is_code = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
            !is_code && digits.first().is_some_and(u8::is_ascii_digit)
        }
        _ => true,
    }
}

/// Whether the groups of digits, where there are some, have three each: other ones are a date's or an address's.
fn has_thousands(word: &FieldWord, text: &[u8]) -> bool {
    let (Some(group), Some(decimal)) = (&word.group_char, &word.decimal_char) else { return true };
    let whole = memchr::memmem::find(text, decimal.as_bytes()).map_or(text, |at| &text[..at]);
    let Some(first) = memchr::memmem::find(whole, group.as_bytes()) else { return true };
    let (head, mut rest) = whole.split_at(first);
    while let Some(behind) = rest.strip_prefix(group.as_bytes()) {
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits != 3 {
            return false;
        }
        rest = &behind[3..];
    }
    rest.is_empty() && head.iter().filter(|byte| byte.is_ascii_digit()).count() <= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_type_that_fits_is_guessed() {
        for (values, kind, format) in [
            (&["1", "-20", ""][..], TypeWord::Integer, None),
            (&["1", "2.5"], TypeWord::Number, None),
            (&["007", "8"], TypeWord::String, None),
            (&["1", "0"], TypeWord::Integer, None),
            (&["true", "false"], TypeWord::Boolean, None),
            (&["2026-11-25"], TypeWord::Date, None),
            (&["25.11.2026", "1.2.2026"], TypeWord::Date, Some("%d.%m.%Y")),
            (&["2026-11-25T12:00:00Z"], TypeWord::DateTime, None),
            (&["", ""], TypeWord::String, None),
            (&["1", "x"], TypeWord::String, None),
        ] {
            let mut guess = Guess::default();
            for value in values {
                guess.see(value.as_bytes());
            }
            let field = guess.field("x");
            assert_eq!((field.kind, field.format.as_deref()), (kind, format), "{values:?}");
        }
        let mut guess = Guess::default();
        for value in ["1.234,50", "2,5"] {
            guess.see(value.as_bytes());
        }
        let field = guess.field("x");
        assert_eq!((field.decimal_char.as_deref(), field.group_char.as_deref()), (Some(","), Some(".")));
        assert!(guess.is_complete());
    }
}
