//! Partitions' names, as Hive spells them: `column=value`, with `%` escapes.

/// What stands for no value, and for an empty one, which Hive does not tell from it.
const DEFAULT: &str = "__HIVE_DEFAULT_PARTITION__";

/// Appends a column's name, `=` behind it.
pub(in super::super) fn append_name(name: &str, path: &mut String) {
    escape(name, path);
    path.push('=');
}

/// Appends a column's value; nothing where it has none.
pub(in super::super) fn append_value(value: Option<&str>, path: &mut String) {
    match value.filter(|value| !value.is_empty()) {
        None => path.push_str(DEFAULT),
        Some(value) => escape(value, path),
    }
}

/// As Hive does: what would end a name, or mean something to a shell or a reader, by its number. Everything else stays as it
/// is, because not all readers take an escaped letter that is not of ASCII for the letter.
fn escape(text: &str, path: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for letter in text.chars() {
        match letter {
            '\0'..='\x1f'
            | '\x7f'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^' => {
                let byte = u32::from(letter) as usize;
                path.push('%');
                path.push(DIGITS[byte >> 4].into());
                path.push(DIGITS[byte & 15].into());
            }
            _ => path.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str, value: Option<&str>) -> String {
        let mut path = String::new();
        append_name(name, &mut path);
        append_value(value, &mut path);
        path
    }

    #[test]
    fn values_are_spelled_as_hive_does() {
        assert_eq!(path("day", Some("2026-11-25")), "day=2026-11-25");
        assert_eq!(path("a b", Some("x/y=z")), "a b=x%2Fy%3Dz");
        assert_eq!(path("time", Some("12:30")), "time=12%3A30");
        assert_eq!(path("stadt", Some("Köln 100%")), "stadt=Köln 100%25");
        assert_eq!(path("c", Some("\n\u{7f}..")), "c=%0A%7F..");
    }

    #[test]
    fn no_value_has_a_name_of_its_own() {
        assert_eq!(path("c", None), "c=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(path("c", Some("")), "c=__HIVE_DEFAULT_PARTITION__");
    }
}
