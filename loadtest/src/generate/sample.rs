//! Rows like those of a sample: its columns, with their types and distributions.
//!
//! Each row of the cycle takes its lengths from a row of the sample, so what goes together there goes together here.
//! Its values are drawn anew: of a column of many different numbers, digits behind the first; of any other, one of the
//! values of that length, as often as the sample has them.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use common::contract::hex;
use csv_async::StringRecord;
use sha2::{Digest as _, Sha256};

use super::builder::{Builder, PoolId};
use super::cycle::MULTILINE_EVERY;
use super::profile::Plan;
use crate::records::parse;

/// So much of a sample is read.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// And so many rows of it are drawn from.
const MAX_ROWS: usize = 100_000;

/// Rows of a cycle: as many as make this many bytes, and at least so many.
const CYCLE_BYTES: usize = 256 * 1024;
const MIN_CYCLE_ROWS: usize = 64;

/// A column of more different numbers than these is one of measurements, not of codes.
const MANY: usize = 100;

/// Rows that are looked at for one without line ends in its fields.
const TRIES: usize = 50;

/// A sample that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    name: String,
    header: Vec<u8>,
    /// Each row's fields, quoted where they need it.
    rows: Vec<Vec<Vec<u8>>>,
    columns: Vec<Column>,
}

/// What is known of a column.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    /// Whether it has many different numbers.
    is_measured: bool,
    /// Whether dirt can be put into it.
    is_plain: bool,
    /// Whether none of its values has quotes.
    is_unquoted: bool,
}

impl Sample {
    /// Reads a sample: a CSV file in UTF-8 with commas and a header, or the beginning of one.
    ///
    /// # Errors
    ///
    /// Says why it is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("read the sample {}", path.display());
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)).with_context(what)?;
        if bytes.len() as u64 == MAX_BYTES {
            bytes.truncate(whole_rows(&bytes));
        }
        Self::parse(&bytes).with_context(what)
    }

    /// Takes a sample apart.
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).context("it is not UTF-8")?;
        let mut records = parse(text)?.into_iter();
        let header = records.next().context("it is empty")?;
        let names: HashSet<&str> = header.iter().collect();
        ensure!(
            names.len() == header.len() && !names.contains(""),
            "each column needs a name of its own in the first row"
        );
        let encode = |record: StringRecord| record.iter().map(encoded).collect::<Vec<_>>();
        let rows: Vec<_> = records.take(MAX_ROWS).map(encode).collect();
        ensure!(!rows.is_empty(), "it has no rows");
        let columns = (0..header.len()).map(|column| Column::of(&rows, column)).collect();
        let hash = Sha256::digest(bytes);
        let hash = hex(&hash[..8]);
        let mut line = header.iter().map(encoded).collect::<Vec<_>>().join(&b","[..]);
        line.push(b'\n');
        Ok(Self { name: format!("sample:{hash}"), header: line, rows, columns })
    }

    /// Its kind and what it is, by its bytes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn plan(&self, seed: u64) -> anyhow::Result<Plan> {
        let mut builder = Builder::new(seed);
        let pools: Vec<_> = (0..self.columns.len()).map(|column| self.pools(&mut builder, column)).collect();
        let takes_dirt = self.takes_dirt();
        while builder.bytes() < CYCLE_BYTES
            || builder.row() < MIN_CYCLE_ROWS
            || !(builder.row() as u64).is_multiple_of(MULTILINE_EVERY)
        {
            let row = self.draw(&mut builder)?;
            for (at, field) in row.iter().enumerate() {
                if at > 0 {
                    builder.next_field();
                }
                self.columns[at].write(field, &pools[at], &mut builder);
            }
            if takes_dirt {
                builder.takes_dirt(row[0].len());
            }
            builder.end_row();
        }
        Ok(Plan { header: self.header.clone(), cycle: builder.build() })
    }

    /// A row to take lengths from: one without line ends in it, where the builder's must have none.
    fn draw(&self, builder: &mut Builder) -> anyhow::Result<&[Vec<u8>]> {
        for _ in 0..TRIES {
            let row = &self.rows[builder.random.below(self.rows.len())];
            if builder.may_have_lines() || row.iter().all(|field| !field.contains(&b'\n')) {
                return Ok(row);
            }
        }
        let single = self.rows.iter().find(|row| row.iter().all(|field| !field.contains(&b'\n')));
        single.map(Vec::as_slice).context("the sample has a line's end in a field of every row")
    }

    /// Whether dirt can be put into the first column. The quote behind a runaway one has to be the first of its row, and
    /// the last two bytes of a row are put over: so no other column would do, and the last needs room.
    fn takes_dirt(&self) -> bool {
        let [first, second, ..] = &self.columns[..] else { return false };
        let room = |row: &Vec<Vec<u8>>| row.last().is_some_and(|field| field.len() >= 2 && field.is_ascii());
        first.is_plain && second.is_unquoted && self.rows.iter().all(room)
    }

    /// The values of a column, by their length and line ends.
    fn pools(&self, builder: &mut Builder, column: usize) -> BTreeMap<(usize, usize), PoolId> {
        let mut values: BTreeMap<(usize, usize), Vec<u8>> = BTreeMap::new();
        for row in &self.rows {
            values.entry(group(&row[column])).or_default().extend_from_slice(&row[column]);
        }
        values.into_iter().map(|(group, texts)| (group, builder.pool(group.0, texts))).collect()
    }
}

/// How many bytes the whole rows have of a text that may have been cut off: a line's end in quotes ends none.
fn whole_rows(bytes: &[u8]) -> usize {
    let (mut in_quotes, mut end) = (false, 0);
    for at in memchr::memchr2_iter(b'"', b'\n', bytes) {
        match bytes[at] {
            b'"' => in_quotes = !in_quotes,
            _ if !in_quotes => end = at + 1,
            _ => {}
        }
    }
    end
}

fn group(value: &[u8]) -> (usize, usize) {
    (value.len(), memchr::memchr_iter(b'\n', value).count())
}

/// A value as CSV has it.
fn encoded(value: &str) -> Vec<u8> {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\"")).into_bytes()
    } else {
        value.into()
    }
}

fn is_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let points = memchr::memchr_iter(b'.', digits).count();
    digits.first().is_some_and(u8::is_ascii_digit)
        && points <= 1
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

impl Column {
    fn of(rows: &[Vec<Vec<u8>>], column: usize) -> Self {
        let values = || rows.iter().map(|row| &row[column][..]);
        let is_measured = values().all(|value| value.is_empty() || is_number(value))
            && values().collect::<HashSet<_>>().len() > MANY;
        let is_unquoted = values().all(|value| !value.starts_with(b"\""));
        let is_plain = is_unquoted && values().all(|value| value.len() >= 5 && value.is_ascii());
        Self { is_measured, is_plain, is_unquoted }
    }

    /// A value like `field`.
    fn write(&self, field: &[u8], pools: &BTreeMap<(usize, usize), PoolId>, builder: &mut Builder) {
        if !self.is_measured {
            if let Some(pool) = pools.get(&group(field)) {
                builder.slot(*pool);
            }
            return;
        }
        let mut is_first = true;
        let mut rest = field;
        while let Some((byte, behind)) = rest.split_first() {
            if !byte.is_ascii_digit() || std::mem::take(&mut is_first) {
                builder.text([*byte]);
                rest = behind;
                continue;
            }
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            builder.digits(digits);
            rest = &rest[digits..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_cut_off_is_none() {
        for (text, whole) in
            [("a,b\n1,2\n3,", 8), ("a,\"b\nc\"\n1,\"2\n3", 8), ("a,\"b\n", 0), ("a\n\"b\"\"\n\"\n", 9)]
        {
            assert_eq!(whole_rows(text.as_bytes()), whole, "{text:?}");
        }
    }
}
