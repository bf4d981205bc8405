//! One file from first byte to last.

use std::io;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf as _, Bytes};
use futures::Stream;

use crate::dialect::Told;
use crate::flow::Flow;
use crate::inflate::InflateLimits;
use crate::policy::Policies;
use crate::recipe::{MaskKey, PartitionLimits, Work};
use crate::sample::Sample;
use crate::tail::Tail;
use crate::text::Text;
use crate::{BadFile, Compression, EngineError, Sink, Summary};

/// What the caller decides. The defaults lose nothing.
#[derive(Debug, Clone)]
pub struct Options {
    /// The output's compression; the input's if not given, or gzip where that is for reading alone.
    pub output_compression: Option<Compression>,
    /// The longest record, in bytes, line end included. Memory is bounded by it.
    pub max_record_bytes: usize,
    /// How many bytes of text are looked at in one go: small enough for a core's cache, large enough to hand on in
    /// bulk. Has no influence on the result.
    pub block_bytes: usize,
    /// Threads that may compress at once; with more than one, decompression has a thread of its own too. With one,
    /// everything happens in the caller's task. Has no influence on the result.
    pub threads: usize,
    /// What a compressed input may grow into.
    pub inflate: InflateLimits,
    /// What is known of the dialect; the rest is found out.
    pub told: Told,
    /// Of a [`replay`](crate::replay()), what stands between the header's names, where that is not what is told of the
    /// rows.
    pub header_delimiter: Option<Vec<u8>>,
    /// What becomes of rows that are not as they should be.
    pub policies: Policies,
    /// Whether the output's columns are profiled.
    pub profile: bool,
    /// Bytes of values that a row group of Parquet has: memory is bounded by a few times as many. Decides where row groups
    /// end.
    pub row_group_bytes: usize,
    /// How much of a partitioned output is held. Decides where its objects end.
    pub partitions: PartitionLimits,
    /// What a recipe does to the rows.
    pub work: Option<Arc<Work>>,
    /// The key of its masks.
    pub mask_key: Option<MaskKey>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            output_compression: None,
            max_record_bytes: 1024 * 1024,
            block_bytes: 256 * 1024,
            threads: 1,
            inflate: InflateLimits::default(),
            told: Told::default(),
            header_delimiter: None,
            policies: Policies::default(),
            profile: false,
            row_group_bytes: 32 * 1024 * 1024,
            partitions: PartitionLimits::default(),
            work: None,
            mask_key: None,
        }
    }
}

/// Cleans one CSV file: kept rows to `output`, the others with their reasons to `rejects`, one JSON object a line.
///
/// Reads `input` once, in order, and holds no more than the longest record and a few blocks of it. Both sinks
/// receive bytes before the file's end is known: the caller commits them only when this returns `Ok`.
///
/// # Errors
///
/// [`EngineError::BadFile`] when the file can never be processed; the others when reading or writing failed.
pub async fn run<I, O, R>(
    input: I,
    output: &mut O,
    rejects: &mut R,
    options: &Options,
) -> Result<Summary, EngineError>
where
    I: Stream<Item = io::Result<Bytes>> + Unpin + Send,
    O: Sink,
    R: Sink,
{
    let mut text = Text::open(input, options).await?;
    let sample = Sample::gather(&mut text).await?;
    let found = sample.look(options, text.compression == Compression::None)?;
    let reading = found.sniffed.reading.clone();
    let footnotes = options.told.footnote_lines.filter(|lines| *lines > 0);
    let tail = footnotes.map(|lines| Tail::new(lines, reading.terminator));
    let mut flow = Flow::new(reading, &found, text.compression, options, output, rejects)?;
    flow.tail = tail;
    flow.rows.skip_front(found.encoding.bom as u64);
    let mut front = found.encoding.bom;
    let (mut sampled, whole) = (sample.blocks.into_iter(), sample.whole);
    let mut blocks = 0u32;
    loop {
        let Some(mut block) = (match sampled.next() {
            Some(block) => Some(block),
            None if whole => None,
            None => text.next().await?,
        }) else {
            break;
        };
        let mark = front.min(block.len());
        block.advance(mark);
        front -= mark;
        flow.take_source(block).await?;
        blocks += 1;
        if blocks.is_multiple_of(BLOCKS_AT_A_STRETCH) {
            breathe().await;
        }
    }
    flow.end_text().await?;
    if let Some(tail) = flow.tail.take() {
        let (held, lines) = tail.finish()?;
        if !held.is_empty() && flow.rows.lacks_header() {
            let what = "the header is among the last lines, which are footnotes as was told: tell fewer";
            return Err(BadFile::new("unreadable_header", what).into());
        }
        flow.rows.skip_footnotes(held.len(), lines);
    }
    flow.end_sinks().await?;
    let progress = text.progress();
    flow.summary(found, progress.text_bytes, text.compression, progress)
}

/// Bytes that are there already never make a task wait, and a task that never waits hears no deadline. So many blocks
/// are a few milliseconds.
const BLOCKS_AT_A_STRETCH: u32 = 4;

/// Lets whoever shares the task have a turn.
pub(crate) async fn breathe() {
    let mut had_a_turn = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut had_a_turn, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
