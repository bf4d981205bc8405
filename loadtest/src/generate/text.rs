//! A file's text: every byte of it a function of the spec and of the byte's place.

use std::ops::Range;

use anyhow::ensure;
use bytes::Bytes;
use common::sim::Input;

use super::cycle::Cycle;
use super::dirt::{Fate, LONG_BYTES, Spoiled, Strata};
use super::profile::Plan;
use super::spec::{Length, Spec};

/// The processor looks at so much of a text to tell how it is to be read: see `docs/dialects.md`.
const TELLING_BYTES: usize = 512 * 1024;

/// No file has more rows: their serial numbers have twelve digits.
const MAX_ROWS: u64 = 800_000_000_000;

/// What a field that is too long is filled with.
const FILLER: &[u8] = b"all work and no play makes jack a dull boy ";

/// A file's text.
#[derive(Debug)]
pub struct Text {
    seed: u64,
    header: Vec<u8>,
    rows: u64,
    pub(super) cycle: Cycle,
    strata: Option<Strata>,
}

impl Text {
    /// The text that a spec describes.
    ///
    /// # Errors
    ///
    /// Says why there is no such text.
    pub fn new(spec: &Spec) -> anyhow::Result<Self> {
        let Plan { header, cycle } = spec.profile.plan(spec.seed)?;
        let mut text = Self { seed: spec.seed, header, rows: 0, cycle, strata: None };
        if let Some(dirt) = &spec.dirt {
            ensure!(
                text.cycle.firsts.is_some(),
                "dirt needs room: in the first column, values of five bytes or more, all ASCII and none quoted; none \
                 quoted in the second; in the last, values of two bytes or more, all ASCII"
            );
            ensure!(!dirt.kinds.is_empty(), "dirt of no kind");
        }
        let of_rows = |rows| spec.dirt.as_ref().map(|dirt| text.strata(dirt, rows));
        let (rows, strata) = match spec.length {
            Length::Rows(rows) => (rows, of_rows(rows)),
            Length::Bytes(bytes) => {
                ensure!(bytes <= MAX_ROWS, "{bytes} bytes are more than there can be");
                // The fewest rows that make so many bytes: a row has one at least.
                let (mut from, mut to) = (0, bytes);
                while from < to {
                    let middle = from + (to - from) / 2;
                    if text.offset_with(of_rows(middle).as_ref(), middle) < bytes {
                        from = middle + 1;
                    } else {
                        to = middle;
                    }
                }
                (from, of_rows(from))
            }
        };
        ensure!(rows <= MAX_ROWS, "{rows} rows are more than the {MAX_ROWS} that there can be");
        (text.rows, text.strata) = (rows, strata);
        Ok(text)
    }

    fn strata(&self, dirt: &super::Dirt, rows: u64) -> Strata {
        Strata::new(dirt, self.seed, rows, self.cycle.rows_within(TELLING_BYTES) as u64)
    }

    /// Rows, the header not counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The header, with its line end.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.offset(self.rows)
    }

    /// Where a row begins; for the number of rows, where the text ends.
    pub fn offset(&self, row: u64) -> u64 {
        self.offset_with(self.strata.as_ref(), row)
    }

    fn offset_with(&self, strata: Option<&Strata>, row: u64) -> u64 {
        let (cycle, rest) = self.split(row);
        let clean = cycle * self.cycle.bytes() as u64 + self.cycle.start(rest) as u64;
        let long = strata.map_or(0, |strata| strata.count_before(row, |fault| fault.extra_bytes() > 0));
        self.header.len() as u64 + clean + long * LONG_BYTES as u64
    }

    /// The line that a row begins in; the header is line 1.
    pub fn line(&self, row: u64) -> u64 {
        let (cycle, rest) = self.split(row);
        let header = memchr::memchr_iter(b'\n', &self.header).count() as u64;
        1 + header + cycle * self.cycle.lines(self.cycle.rows()) + self.cycle.lines(rest)
    }

    /// The cycle that a row is in, and its place there.
    fn split(&self, row: u64) -> (u64, usize) {
        let rows = self.cycle.rows() as u64;
        (row / rows, usize::try_from(row % rows).unwrap_or_default())
    }

    /// How many cycles of rows there are; the last may end early.
    pub fn cycles(&self) -> u64 {
        self.rows.div_ceil(self.cycle.rows() as u64)
    }

    /// Rows of a cycle.
    pub fn cycle_rows(&self, cycle: u64) -> Range<u64> {
        let rows = self.cycle.rows() as u64;
        (cycle * rows).min(self.rows)..((cycle + 1) * rows).min(self.rows)
    }

    /// Appends a cycle's rows as the file has them.
    pub fn write_cycle(&self, cycle: u64, out: &mut Vec<u8>) {
        let rows = self.cycle_rows(cycle);
        let begin = out.len();
        self.write_clean_rows(&rows, out);
        let Some(strata) = &self.strata else { return };
        let mut long = Vec::new();
        for Spoiled { row, fault } in strata.changes(rows.clone()) {
            let (place, range) = (row - rows.start, self.within(row - rows.start));
            fault.spoil(&mut out[begin + range.start..begin + range.end], self.first(place));
            if fault.extra_bytes() > 0 {
                long.push(begin + range.start + 1);
            }
        }
        // From the end, so that what was found stays where it is.
        for at in long.into_iter().rev() {
            let filler = FILLER.iter().copied().cycle().take(LONG_BYTES);
            out.splice(at..at, filler);
        }
    }

    /// Appends a cycle's rows as they come out clean. `scratch` is for the rows before.
    pub fn write_clean_cycle(&self, cycle: u64, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        let rows = self.cycle_rows(cycle);
        let Some(strata) = &self.strata else { return self.write_clean_rows(&rows, out) };
        scratch.clear();
        self.write_clean_rows(&rows, scratch);
        let mut kept = 0;
        for Spoiled { row, fault } in strata.changes(rows.clone()) {
            let (place, range) = (row - rows.start, self.within(row - rows.start));
            out.extend_from_slice(&scratch[kept..range.start]);
            if fault.fate() == Fate::Mended {
                let first = self.first(place);
                fault.spoil(&mut scratch[range.clone()], first);
                for piece in fault.mended(&scratch[range.clone()], first) {
                    out.extend_from_slice(piece);
                }
            }
            kept = range.end;
        }
        out.extend_from_slice(&scratch[kept..]);
    }

    /// Appends rows of one cycle without their dirt.
    fn write_clean_rows(&self, rows: &Range<u64>, out: &mut Vec<u8>) {
        let count = usize::try_from(rows.end - rows.start).unwrap_or_default();
        self.cycle.write(self.seed, rows.start, count, out);
    }

    /// Where a row lies within its clean cycle.
    fn within(&self, place: u64) -> Range<usize> {
        let place = usize::try_from(place).unwrap_or_default();
        self.cycle.start(place)..self.cycle.start(place + 1)
    }

    /// Bytes of a row's first field.
    fn first(&self, place: u64) -> usize {
        let place = usize::try_from(place).unwrap_or_default();
        // A text with strata has them for every row: see `new`.
        self.cycle.firsts.as_ref().map_or(0, |firsts| firsts[place])
    }

    /// What is spoiled among rows.
    pub(super) fn changes(&self, rows: Range<u64>) -> impl Iterator<Item = Spoiled> + '_ {
        self.strata.iter().flat_map(move |strata| strata.changes(rows.clone()))
    }

    /// Rows of a fate.
    pub(super) fn count(&self, is: impl Fn(Fate) -> bool) -> u64 {
        let strata = self.strata.as_ref();
        strata.map_or(0, |strata| strata.count_before(self.rows, |fault| is(fault.fate())))
    }

    /// The text from `offset` on, up to where a cycle ends; nothing behind the text's end.
    ///
    /// It makes no more of the text than that cycle: any range can be read without what lies before.
    pub fn read(&self, offset: u64) -> Bytes {
        if let Some(header) = usize::try_from(offset).ok().and_then(|from| self.header.get(from..))
            && !header.is_empty()
        {
            return Bytes::copy_from_slice(header);
        }
        if offset >= self.bytes() {
            return Bytes::new();
        }
        let (mut from, mut to) = (0, self.cycles());
        while to - from > 1 {
            let middle = from + (to - from) / 2;
            if self.offset(self.cycle_rows(middle).start) <= offset {
                from = middle;
            } else {
                to = middle;
            }
        }
        let mut text = Vec::with_capacity(self.cycle.bytes());
        self.write_cycle(from, &mut text);
        let skipped = offset - self.offset(self.cycle_rows(from).start);
        Bytes::from(text).slice(usize::try_from(skipped).unwrap_or_default()..)
    }
}

/// As the object of a computed S3.
impl Input for Text {
    fn size(&self) -> u64 {
        self.bytes()
    }

    fn read(&self, offset: u64, _: u64) -> Bytes {
        self.read(offset)
    }
}
