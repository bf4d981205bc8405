//! Dirt: rows spoiled on purpose, each at a place that is known without making the rows before it.
//!
//! The rows are cut into strata of equal length, and each whole stratum has one spoiled row. What is wrong with it comes
//! round; where it stands is random. `docs/loadtest.md` says what becomes of each.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::cycle::MULTILINE_EVERY;
use super::random::at;

/// Bytes put into a field of [`Fault::Long`]: with them, no record is within the processor's default of 1 MiB.
pub(super) const LONG_BYTES: usize = 1024 * 1024 + 4096;

/// The fewest rows of which one may have a field too long: what is made at once stays in memory.
const ROWS_OF_A_HUGE: u64 = 1000;

/// What may be wrong with rows, as the command line calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A field too few, or too many.
    Ragged,
    /// Quotes where none belong, or one that does not close.
    Quotes,
    /// Bytes that are not UTF-8.
    Bytes,
    /// Fields longer than a record may be.
    Huge,
}

impl Kind {
    const ALL: [(&'static str, Self); 4] =
        [("ragged", Self::Ragged), ("quotes", Self::Quotes), ("bytes", Self::Bytes), ("huge", Self::Huge)];

    fn faults(self) -> &'static [Fault] {
        match self {
            Self::Ragged => &[Fault::TooFew, Fault::TooMany],
            Self::Quotes => &[Fault::StrayQuote, Fault::Runaway, Fault::EarlyQuote],
            Self::Bytes => &[Fault::BadByte, Fault::CutCharacter],
            Self::Huge => &[Fault::Long, Fault::LongQuoted],
        }
    }
}

/// How much dirt there is, and of what kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirt {
    /// One row in so many is spoiled.
    pub one_in: u64,
    /// In what way, in turns.
    pub kinds: Vec<Kind>,
}

impl FromStr for Dirt {
    type Err = String;

    /// Reads `RATE[:KINDS]`: a share such as `0.001`, `0.1%` or `1/1000`, and kinds with commas between.
    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, kinds) = text.split_once(':').map_or((text, None), |(rate, kinds)| (rate, Some(kinds)));
        let kinds = match kinds {
            None => vec![Kind::Ragged, Kind::Quotes, Kind::Bytes],
            Some(kinds) => kinds.split(',').map(kind).collect::<Result<_, _>>()?,
        };
        let dirt = Self { one_in: one_in(rate)?, kinds };
        if dirt.one_in < MULTILINE_EVERY {
            return Err(format!("{rate:?}: at most one row in {MULTILINE_EVERY} can be spoiled"));
        }
        let huge = dirt.kinds.iter().filter(|kind| **kind == Kind::Huge).count() as u64;
        if huge * ROWS_OF_A_HUGE > dirt.one_in * dirt.kinds.len() as u64 {
            return Err(format!("{text:?}: at most one row in {ROWS_OF_A_HUGE} can be huge"));
        }
        Ok(dirt)
    }
}

fn kind(name: &str) -> Result<Kind, String> {
    let found = Kind::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, kind)| *kind).ok_or_else(|| format!("{name:?} is none of ragged, quotes, bytes, huge"))
}

fn one_in(rate: &str) -> Result<u64, String> {
    let wrong = || format!("{rate:?} is no share such as 0.001, 0.1% or 1/1000");
    if let Some(rows) = rate.strip_prefix("1/") {
        return rows.parse().map_err(|_not_a_number| wrong());
    }
    let (number, scale) = rate.strip_suffix('%').map_or((rate, 1.0), |number| (number, 100.0));
    let share: f64 = number.parse::<f64>().map_err(|_not_a_number| wrong())? / scale;
    if !(share > 0.0 && share <= 1.0) {
        return Err(wrong());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 or more, and saturating")]
    Ok((1.0 / share).round() as u64)
}

impl fmt::Display for Dirt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.one_in)?;
        for (at, kind) in self.kinds.iter().enumerate() {
            let name = Kind::ALL.iter().find(|(_, known)| known == kind).map_or("", |(name, _)| name);
            write!(f, "{}{name}", if at == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A delimiter is missing.
    TooFew,
    /// A field has a delimiter in it.
    TooMany,
    /// A field has a quote in it.
    StrayQuote,
    /// A field's quotes close before its end.
    EarlyQuote,
    /// A quote opens and does not close; the next row has a stray quote.
    Runaway,
    /// A byte that no UTF-8 has.
    BadByte,
    /// The first byte of a character without the rest.
    CutCharacter,
    /// A field of more than 1 MiB.
    Long,
    /// The same behind a quote that does not close.
    LongQuoted,
}

/// What the processor does with a row, by its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Rejected, with this reason.
    Rejected(&'static str),
    /// Kept, and written as it should have been.
    Mended,
}

impl Fault {
    pub(super) fn fate(self) -> Fate {
        match self {
            Self::TooFew => Fate::Rejected("too_few_fields"),
            Self::TooMany => Fate::Rejected("too_many_fields"),
            Self::Runaway | Self::LongQuoted => Fate::Rejected("unclosed_quote"),
            Self::BadByte | Self::CutCharacter => Fate::Rejected("invalid_encoding"),
            Self::Long => Fate::Rejected("record_too_long"),
            Self::StrayQuote | Self::EarlyQuote => Fate::Mended,
        }
    }

    /// Whether it can make a reader take the file for one of another encoding, or with other quotes.
    fn misleads(self) -> bool {
        !matches!(self, Self::TooFew | Self::TooMany)
    }

    /// Bytes that the row has more than a clean one.
    pub(super) fn extra_bytes(self) -> usize {
        match self {
            Self::Long | Self::LongQuoted => LONG_BYTES,
            _ => 0,
        }
    }

    /// Puts the fault into a row, its line end included; all but [`Fault::extra_bytes`], which go behind its first byte.
    /// The row's first field has `first` bytes.
    pub(super) fn spoil(self, row: &mut [u8], first: usize) {
        match self {
            Self::TooFew => row[first] = b' ',
            Self::TooMany => row[2] = b',',
            Self::StrayQuote => row[1] = b'"',
            Self::EarlyQuote => (row[0], row[2]) = (b'"', b'"'),
            Self::BadByte => row[2] = 0xff,
            Self::CutCharacter => row[2] = 0xc3,
            Self::Runaway => {
                without_quotes(row);
                let end = row.len() - 1;
                (row[end - 2], row[end - 1]) = (b',', b'"');
            }
            Self::Long => without_quotes(row),
            Self::LongQuoted => {
                without_quotes(row);
                row[0] = b'"';
            }
        }
    }

    /// What becomes of a spoiled row that is mended, in pieces.
    pub(super) fn mended(self, row: &[u8], first: usize) -> [&[u8]; 6] {
        let (field, behind) = row.split_at(first);
        match self {
            Self::EarlyQuote => [&field[1..2], &field[3..], behind, b"", b"", b""],
            _ => [b"\"", &field[..1], b"\"\"", &field[2..], b"\"", behind],
        }
    }
}

/// The one quote that is left is the fault's.
fn without_quotes(row: &mut [u8]) {
    row.iter_mut().filter(|byte| **byte == b'"').for_each(|byte| *byte = b'\'');
}

/// A spoiled row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spoiled {
    /// Its index.
    pub(super) row: u64,
    pub(super) fault: Fault,
}

/// Which rows of a file are spoiled.
#[derive(Debug, Clone)]
pub(super) struct Strata {
    /// Rows of each.
    rows: u64,
    /// How many there are.
    count: u64,
    /// So many at the beginning tell a reader how the rest is to be read: those that would mislead it stay clean.
    telling: u64,
    /// What is wrong, in turns.
    faults: Vec<Fault>,
    seed: u64,
}

impl Strata {
    /// Those of a file of `rows` rows, the first `telling` of which tell how it is to be read.
    pub(super) fn new(dirt: &Dirt, seed: u64, rows: u64, telling: u64) -> Self {
        let kinds = dirt.kinds.iter().map(|kind| kind.faults());
        // Each kind takes turns among its own, so that all come round after the least common multiple of 2 and 3.
        let turns = (0..6).flat_map(|turn| kinds.clone().map(move |faults| faults[turn % faults.len()]));
        Self {
            rows: dirt.one_in,
            count: rows / dirt.one_in,
            telling: telling.div_ceil(dirt.one_in),
            faults: turns.collect(),
            seed: at(seed, u64::MAX),
        }
    }

    /// The spoiled row of a stratum, if it has one.
    fn spoiled(&self, stratum: u64) -> Option<Spoiled> {
        let turn = usize::try_from(stratum % self.faults.len() as u64).unwrap_or_default();
        let fault = self.faults[turn];
        if stratum >= self.count || (fault.misleads() && stratum < self.telling) {
            return None;
        }
        // The last row stays clean, so that each spoiled one is followed by a row of its own stratum.
        let row = stratum * self.rows + at(self.seed, stratum) % (self.rows - 1);
        let row = match (row % MULTILINE_EVERY == MULTILINE_EVERY - 1, row % self.rows) {
            (false, _) => row,
            (true, 0) => row + 1,
            (true, _) => row - 1,
        };
        Some(Spoiled { row, fault })
    }

    /// What is to be changed in rows, in order. The row behind a runaway quote has a quote, too.
    pub(super) fn changes(&self, rows: Range<u64>) -> impl Iterator<Item = Spoiled> + '_ {
        let first = rows.start.saturating_sub(1) / self.rows;
        let last = self.count.min(rows.end.div_ceil(self.rows));
        (first..last)
            .filter_map(|stratum| self.spoiled(stratum))
            .flat_map(|spoiled| {
                let echo = Spoiled { row: spoiled.row + 1, fault: Fault::StrayQuote };
                [Some(spoiled), (spoiled.fault == Fault::Runaway).then_some(echo)]
            })
            .flatten()
            .filter(move |spoiled| rows.contains(&spoiled.row))
    }

    /// Rows before `row` with a fault of which `is` is true.
    pub(super) fn count_before(&self, row: u64, is: impl Fn(Fault) -> bool) -> u64 {
        let stratum = (row / self.rows).min(self.count);
        let length = self.faults.len() as u64;
        let whole: u64 = (0..length)
            .zip(&self.faults)
            .filter(|(_, fault)| is(**fault))
            .map(|(turn, fault)| {
                let of_turn = |strata: u64| strata.saturating_sub(turn).div_ceil(length);
                let left_out = if fault.misleads() { stratum.min(self.telling) } else { 0 };
                of_turn(stratum) - of_turn(left_out)
            })
            .sum();
        let last = self.spoiled(stratum).filter(|spoiled| spoiled.row < row && is(spoiled.fault));
        whole + u64::from(last.is_some())
    }
}
