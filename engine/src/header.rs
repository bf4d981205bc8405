//! The columns' names: joined from several lines, made where there are none, and each one only once.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// A column whose name is not the header's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The column, from 1.
    pub column: u64,
    /// Its name in the output; of a long one, the beginning.
    pub name: String,
}

/// A message with a hundred names has a limit.
const MAX_TOLD_CHARACTERS: usize = 100;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Header lines as they come, column by column.
#[derive(Debug, Default)]
pub(crate) struct Header {
    names: Vec<Vec<u8>>,
}

impl Header {
    /// Takes a header line; a column's names of several lines have a space between them. A rule below names is none.
    pub(crate) fn add<'a>(&mut self, fields: impl Iterator<Item = &'a [u8]> + Clone) {
        if !self.names.is_empty() && is_rule(fields.clone()) {
            return;
        }
        for (at, field) in fields.enumerate() {
            match self.names.get_mut(at) {
                None => self.names.push(field.to_vec()),
                Some(name) if name.is_empty() => field.clone_into(name),
                Some(_) if field.is_empty() => {}
                Some(name) => {
                    name.push(b' ');
                    name.extend_from_slice(field);
                }
            }
        }
    }

    /// Names for `width` columns if the rows are so wide, and those that had to be made or changed.
    ///
    /// Where the rows have fewer fields than the header, and just as many of its names are empty, those were separators
    /// too many; else the rows lack their last fields.
    pub(crate) fn finish(mut self, width: Option<usize>) -> (Vec<Vec<u8>>, Vec<Renamed>) {
        if let Some(width) = width {
            let surplus = self.names.len().saturating_sub(width);
            if surplus > 0 && self.names.iter().filter(|name| is_empty(name)).count() == surplus {
                self.names.retain(|name| !is_empty(name));
            }
            if self.names.len() < width {
                self.names.resize(width, Vec::new());
            }
        }
        let renamed = make_unique(&mut self.names);
        (self.names, renamed)
    }
}

/// Names for columns that have none.
pub(crate) fn generated(width: usize) -> Vec<Vec<u8>> {
    (1..=width).map(|column| format!("column_{column}").into_bytes()).collect()
}

/// Whether a line's fields draw a line below names: `--,-----`, `:---|===`.
pub(crate) fn is_rule<'a>(fields: impl Iterator<Item = &'a [u8]>) -> bool {
    // One or two of them mean that there is no value.
    const MIN_LENGTH: usize = 3;
    let mut longest = 0;
    for field in fields.map(<[u8]>::trim_ascii) {
        if !field.iter().all(|byte| matches!(byte, b'-' | b'=' | b':' | b'+')) {
            return false;
        }
        longest = longest.max(field.len());
    }
    longest >= MIN_LENGTH
}

fn is_empty(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_whitespace)
}

/// Bytes of the byte-order marks that a name begins with: of files that were put together, or behind blank lines.
fn leading_marks(name: &[u8]) -> usize {
    name.chunks(BYTE_ORDER_MARK.len()).take_while(|bytes| *bytes == BYTE_ORDER_MARK).count()
        * BYTE_ORDER_MARK.len()
}

/// Replaces bytes that are not UTF-8, and says whether there were any.
fn decode(name: &mut Vec<u8>) -> bool {
    let Cow::Owned(text) = String::from_utf8_lossy(name) else { return false };
    *name = text.into_bytes();
    true
}

/// Gives a name to each column that has none, and another to each whose name an earlier one has.
fn make_unique(names: &mut [Vec<u8>]) -> Vec<Renamed> {
    let decoded: Vec<bool> = names.iter_mut().map(decode).collect();
    let given: HashSet<Vec<u8>> = names.iter().cloned().collect();
    let mut taken = HashSet::new();
    // The next number for each name: a header may have half a million columns of one name.
    let mut numbers: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut renamed = Vec::new();
    for ((column, name), is_decoded) in (1u64..).zip(names).zip(decoded) {
        // At the beginning of the output, it would be taken for a byte-order mark, and the name for another.
        let mark = if column == 1 { leading_marks(name) } else { 0 };
        let wanted = if is_empty(&name[mark..]) {
            format!("column_{column}").into_bytes()
        } else {
            name[mark..].to_vec()
        };
        let is_free = |name: &[u8], taken: &HashSet<Vec<u8>>| !taken.contains(name) && !given.contains(name);
        let unique = if taken.contains(&wanted) || (wanted != *name && given.contains(&wanted)) {
            let number = numbers.entry(wanted.clone()).or_insert(1);
            loop {
                *number += 1;
                let numbered = [&wanted[..], format!("_{number}").as_bytes()].concat();
                if is_free(&numbered, &taken) {
                    break numbered;
                }
            }
        } else {
            wanted
        };
        if unique != *name || is_decoded {
            let told = String::from_utf8_lossy(&unique).chars().take(MAX_TOLD_CHARACTERS).collect();
            renamed.push(Renamed { column, name: told });
            name.clone_from(&unique);
        }
        taken.insert(unique);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(lines: &[&[&str]], width: Option<usize>) -> (Vec<String>, Vec<u64>) {
        let mut header = Header::default();
        for line in lines {
            header.add(line.iter().map(|name| name.as_bytes()));
        }
        let (names, renamed) = header.finish(width);
        let names = names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect();
        (names, renamed.iter().map(|renamed| renamed.column).collect())
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        assert_eq!(names(&[&["a", "b"]], None), (strings(&["a", "b"]), vec![]));
        assert_eq!(
            names(&[&["a", "a", "", "a_2"]], None),
            (strings(&["a", "a_3", "column_3", "a_2"]), vec![2, 3])
        );
        assert_eq!(names(&[&["", "column_1"]], None), (strings(&["column_1_2", "column_1"]), vec![1]));
    }

    #[test]
    fn names_that_are_not_utf8_are_replaced_said_and_unique() {
        let mut header = Header::default();
        header.add([&b"caf\xe9"[..], b"caf\xe8", b"x"].into_iter());
        let (names, renamed) = header.finish(None);
        let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
        assert_eq!(names, ["caf\u{fffd}", "caf\u{fffd}_2", "x"]);
        assert_eq!(renamed.iter().map(|renamed| renamed.column).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn very_many_columns_of_one_name_are_numbered_in_one_pass() {
        let mut header = Header::default();
        header.add(std::iter::repeat_n(&b"a"[..], 500_000));
        let (names, renamed) = header.finish(None);
        assert_eq!((&names[499_999][..], renamed.len()), (&b"a_500000"[..], 499_999));
    }

    #[test]
    fn a_name_does_not_begin_with_a_mark_that_readers_would_drop() {
        assert_eq!(
            names(&[&["\u{feff}\u{feff}a", "\u{feff}b"]], None),
            (strings(&["a", "\u{feff}b"]), vec![1])
        );
        assert_eq!(names(&[&["\u{feff}"]], None), (strings(&["column_1"]), vec![1]));
    }

    #[test]
    fn several_lines_are_joined() {
        let lines: &[&[&str]] = &[&["size", "", "name"], &["m", "kg"]];
        assert_eq!(names(lines, None), (strings(&["size m", "kg", "name"]), vec![]));
    }

    #[test]
    fn a_rule_below_names_is_none_of_them() {
        let lines: &[&[&str]] = &[&["id", "name"], &["--", "----"]];
        assert_eq!(names(lines, None), (strings(&["id", "name"]), vec![]));
        let lines: &[&[&str]] = &[&["id", "name"], &["-", "--"]];
        assert_eq!(names(lines, None), (strings(&["id -", "name --"]), vec![]));
    }

    #[test]
    fn the_rows_width_decides_over_a_name_too_few_or_an_empty_one_too_many() {
        assert_eq!(names(&[&["a", "b"]], Some(3)), (strings(&["a", "b", "column_3"]), vec![3]));
        assert_eq!(names(&[&["a", "", "b"]], Some(2)), (strings(&["a", "b"]), vec![]));
        assert_eq!(names(&[&["a", "b", "c"]], Some(2)), (strings(&["a", "b", "c"]), vec![]));
    }
}
