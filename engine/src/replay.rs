//! Rejected rows, processed once more: mended by hand, or read in another way.

use std::collections::VecDeque;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use futures::Stream;
use serde::Deserialize;

use crate::dialect::{Reading, Told};
use crate::flow::Flow;
use crate::rejection::WITHHELD_CHECKSUM;
use crate::run::breathe;
use crate::sample::{Look, Sample};
use crate::tail::Tail;
use crate::text::Text;
use crate::{BadFile, Compression, EngineError, Options, Sink, Summary};

/// A row of a rejects file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The line of the source at which it starts.
    pub line: u64,
    /// Where that is in its text.
    pub byte_offset: u64,
    /// Whether it was rejected because another row was kept.
    is_duplicate: bool,
    raw: Raw,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Raw {
    /// In UTF-8, whatever the source is in.
    Text(String),
    Whole(Bytes),
    /// Only the first bytes: the rest is read from the source.
    Cut {
        start: Bytes,
        byte_length: u64,
        checksum: u32,
    },
}

/// No file has more bytes or lines, and sums of some such numbers stay in range.
const MAX_PLACE: u64 = 1 << 53;

/// As a rejects file has it; what is left out here is said anew.
#[derive(Deserialize)]
struct Reject {
    line: u64,
    byte_offset: u64,
    byte_length: Option<u64>,
    raw: String,
    raw_encoding: Option<String>,
    checksum: Option<u32>,
    reason: Option<String>,
}

impl Replayed {
    /// Reads a line of a rejects file. Says what is wrong with it, and quotes nothing.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let fault = |error: serde_json::Error| match error.classify() {
            serde_json::error::Category::Data => {
                format!(
                    "it lacks `line`, `byte_offset` or `raw`, or has another type (column {})",
                    error.column()
                )
            }
            _ => format!("it is not JSON (column {})", error.column()),
        };
        let Reject { line, byte_offset, byte_length, raw, raw_encoding, checksum, reason } =
            serde_json::from_slice(line).map_err(fault)?;
        if [line, byte_offset, byte_length.unwrap_or_default()].iter().any(|place| *place > MAX_PLACE) {
            return Err("its `line`, `byte_offset` or `byte_length` is larger than any file".into());
        }
        let decoded = |raw: String| {
            let bytes = STANDARD.decode(raw).map_err(|_no_base64| "its `raw` is not base64".to_owned())?;
            Ok::<_, String>(Bytes::from(bytes))
        };
        let raw = match raw_encoding.as_deref() {
            None | Some("utf8") => Raw::Text(raw),
            Some("base64") => Raw::Whole(decoded(raw)?),
            Some("cut") => {
                let (Some(byte_length), Some(checksum)) = (byte_length, checksum) else {
                    return Err("it is cut, and lacks `byte_length` or `checksum`".into());
                };
                Raw::Cut { start: decoded(raw)?, byte_length, checksum }
            }
            Some(_) => return Err("its `raw_encoding` is none of utf8, base64 and cut".into()),
        };
        let is_duplicate = matches!(reason.as_deref(), Some("unique" | "primary_key"));
        Ok(Self { line, byte_offset, is_duplicate, raw })
    }

    /// The rows that were kept are not there to be compared with.
    fn check(&self, options: &Options) -> Result<(), BadFile> {
        if !self.is_duplicate || !options.work.as_ref().is_some_and(|work| work.compares_rows()) {
            return Ok(());
        }
        let what = "the row was rejected because of another row, which is not among the rejects: take it out, or its \
                    `reason` where its values are others now";
        Err(BadFile::new("replay_of_duplicate", what).at_line(self.line))
    }
}

/// Text in the source's encoding.
fn encoded(text: String, encoding: &'static Encoding, line: u64) -> Result<Bytes, BadFile> {
    if encoding == UTF_8 {
        return Ok(text.into());
    }
    if encoding == UTF_16LE || encoding == UTF_16BE {
        let is_little = encoding == UTF_16LE;
        let bytes = |unit: u16| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        return Ok(text.encode_utf16().flat_map(bytes).collect());
    }
    let (bytes, _, has_others) = encoding.encode(&text);
    if has_others {
        let what = format!(
            "the row has characters that the file's encoding, {}, does not have: write others, or mend the file in UTF-8",
            encoding.name()
        );
        return Err(BadFile::new("not_in_encoding", what).at_line(line));
    }
    Ok(bytes.into_owned().into())
}

/// Processes `rows` alone, which an earlier run over `source` rejected. The source says how the columns are called, and
/// what the rows are of which only the beginning is known: those have to come in its order. Lines and places of what is
/// rejected again are the source's; `rows_in` and the bytes count the rows and the header.
///
/// A row is read as if it were all that follows the header. What is told of the dialect holds for the header too, but for
/// [`Options::header_delimiter`].
///
/// # Errors
///
/// As [`run`](crate::run()), and [`EngineError::BadFile`] where the source is not the file that the rows are of.
pub async fn replay<I, O, R>(
    source: I,
    rows: &mut (impl Iterator<Item = Replayed> + Send),
    output: &mut O,
    rejects: &mut R,
    options: &Options,
) -> Result<Summary, EngineError>
where
    I: Stream<Item = io::Result<Bytes>> + Unpin + Send,
    O: Sink,
    R: Sink,
{
    let mut text = Text::open(source, options).await?;
    let sample = Sample::gather(&mut text).await?;
    let is_plain = text.compression == Compression::None;
    let mut found = sample.look(options, is_plain)?;
    found.sniffed.reading.finds_footnotes = false;
    let front = header_reading(&sample, &found, options, is_plain)?;
    let footnotes = options.told.footnote_lines.filter(|lines| *lines > 0);
    let tail = footnotes.map(|lines| Tail::new(lines, front.terminator));
    let mut flow = Flow::new(front, &found, text.compression, options, output, rejects)?;
    // A header does not reach into them, whatever quote it opens.
    flow.tail = tail;
    let mut source = Source { text, ready: sample.blocks.into(), whole: sample.whole, offset: 0 };
    let mut taken = flow.take_header(&mut source, found.encoding.bom).await?;
    flow.tail = None;
    flow.rows.read_by(&found.sniffed.reading);
    flow.decode_anew(found.encoding.encoding);
    for (count, row) in (1u64..).zip(rows) {
        row.check(options)?;
        let Replayed { line, byte_offset, raw, .. } = row;
        flow.rows.place(line, byte_offset, matches!(raw, Raw::Cut { .. }));
        let whole = match raw {
            Raw::Text(text) => encoded(text, found.encoding.encoding, line)?,
            Raw::Whole(bytes) => bytes,
            Raw::Cut { start, byte_length, checksum } => {
                source.skip_to(byte_offset).await?;
                flow.take_cut(&mut source, start, byte_length, checksum).await?;
                taken += byte_length;
                Bytes::new()
            }
        };
        taken += whole.len() as u64;
        flow.take_source(whole).await?;
        flow.end_text().await?;
        flow.decode_anew(found.encoding.encoding);
        if count.is_multiple_of(ROWS_AT_A_STRETCH) {
            breathe().await;
        }
    }
    flow.end_sinks().await?;
    flow.summary(found, taken, source.text.compression, source.text.progress())
}

/// So many rows are taken before others have a turn.
const ROWS_AT_A_STRETCH: u64 = 1024;

/// How the header is read.
fn header_reading(
    sample: &Sample,
    found: &Look,
    options: &Options,
    is_plain: bool,
) -> Result<Reading, EngineError> {
    let Some(delimiter) = &options.header_delimiter else { return Ok(found.sniffed.reading.clone()) };
    let told = Told { delimiter: Some(delimiter.clone()), ..options.told.clone() };
    let look = sample.look(&Options { told, ..options.clone() }, is_plain)?;
    Ok(Reading { finds_footnotes: false, ..look.sniffed.reading })
}

/// The source's text, and how far it was read.
struct Source<S> {
    text: Text<S>,
    ready: VecDeque<Bytes>,
    whole: bool,
    offset: u64,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Source<S> {
    async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        let block = match self.ready.pop_front() {
            Some(block) => Some(block),
            None if self.whole => None,
            None => self.text.next().await?,
        };
        self.offset += block.as_ref().map_or(0, |block| block.len() as u64);
        Ok(block)
    }

    /// Gives bytes back, to be read next.
    fn unread(&mut self, block: Bytes) {
        self.offset -= block.len() as u64;
        self.ready.push_front(block);
    }

    async fn skip_to(&mut self, offset: u64) -> Result<(), EngineError> {
        if offset < self.offset {
            let what = "rows that are cut have to come in the order of the file, and behind its header, or behind the \
                        first record that ends where no header and no row of the sample tells the columns";
            return Err(BadFile::new("replay_out_of_order", what).into());
        }
        while self.offset < offset {
            let Some(mut block) = self.next().await? else { return Err(other_source(offset)) };
            if self.offset > offset {
                // Less than the block's length.
                let rest = usize::try_from(self.offset - offset).unwrap_or_default();
                self.unread(block.split_off(block.len() - rest));
            }
        }
        Ok(())
    }
}

fn other_source(offset: u64) -> EngineError {
    let what = format!(
        "the file has other bytes at byte {offset} of its text than the rejects say: give the file that they are of"
    );
    BadFile::new("not_the_source", what).into()
}

impl<O: Sink, R: Sink> Flow<'_, O, R> {
    /// Takes the text up to the header's end, and leaves the source there. Returns how many bytes that were.
    async fn take_header<S>(&mut self, source: &mut Source<S>, bom: usize) -> Result<u64, EngineError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        self.rows.ends_with_header(true);
        self.rows.skip_front(bom as u64);
        let mut front = bom;
        let mut blocks: VecDeque<Bytes> = VecDeque::new();
        while !self.rows.is_named() {
            let Some(block) = source.next().await? else {
                self.end_text().await?;
                break;
            };
            blocks.push_back(block.clone());
            let mark = front.min(block.len());
            front -= mark;
            self.take_source(block.slice(mark..)).await?;
            // What the rows have passed need not be read again.
            let begun = source.offset - blocks.iter().map(|block| block.len() as u64).sum::<u64>();
            if blocks.front().is_some_and(|first| begun + first.len() as u64 <= self.rows.source_offset()) {
                blocks.pop_front();
            }
        }
        let end = self.rows.source_offset();
        for block in blocks.into_iter().rev() {
            source.unread(block);
        }
        source.skip_to(end).await?;
        self.rows.ends_with_header(false);
        self.forget();
        if self.rows.is_named() {
            self.rows.end_front(end);
            return Ok(end);
        }
        Err(BadFile::new(
            "unreadable_header",
            "the file has no header for the rows: give the file that they are of",
        )
        .into())
    }

    /// Takes a row from the source, which begins with `start` and has this checksum, or its last bits.
    async fn take_cut<S>(
        &mut self,
        source: &mut Source<S>,
        mut start: Bytes,
        byte_length: u64,
        checksum: u32,
    ) -> Result<(), EngineError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        let (from, mut left) = (source.offset, byte_length);
        let known_bits = if start.is_empty() { WITHHELD_CHECKSUM } else { u32::MAX };
        let mut crc = flate2::Crc::new();
        while left > 0 {
            let Some(mut block) = source.next().await? else { return Err(other_source(from)) };
            if block.len() as u64 > left {
                // Less than the block's length.
                source.unread(block.split_off(usize::try_from(left).unwrap_or_default()));
            }
            let known = start.len().min(block.len());
            if start[..known] != block[..known] {
                return Err(other_source(from));
            }
            start.advance(known);
            left -= block.len() as u64;
            crc.update(&block);
            self.take_source(block).await?;
        }
        if crc.sum() & known_bits == checksum & known_bits { Ok(()) } else { Err(other_source(from)) }
    }
}
