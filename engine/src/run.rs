//! One file from first byte to last.

use std::io;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::Stream;

use crate::dialect::Told;
use crate::encode::Encoder;
use crate::encoding::Decoder;
use crate::inflate::InflateLimits;
use crate::outputs::Outputs;
use crate::policy::Policies;
use crate::recipe::{MaskKey, Work};
use crate::rows::{MAX_REJECTS_BYTES, Rows};
use crate::sample::Sample;
use crate::text::Text;
use crate::{Compression, EngineError, Sink, Summary};

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
    /// What becomes of rows that are not as they should be.
    pub policies: Policies,
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
            policies: Policies::default(),
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
    let output_compression = options.output_compression.unwrap_or(text.compression).of_output();
    let sample = Sample::gather(&mut text).await?;
    let found = sample.look(options, text.compression == Compression::None)?;
    let decoder = Decoder::new(found.encoding.encoding);
    let reading = found.sniffed.reading.clone();
    let mut rows = Rows::new(reading, options.max_record_bytes, options.policies, decoder.is_some());
    if let Some(work) = &options.work {
        if work.needs_key() && options.mask_key.is_none() {
            return Err(EngineError::Internal("the recipe masks by a key, and there is none".into()));
        }
        rows = rows.with_work(Arc::clone(work), options.mask_key.clone());
    }
    let mut flow = Flow {
        rows,
        decoder,
        out: Outputs::default(),
        carry: BytesMut::new(),
        want: MIN_LOOK_BYTES,
        encoder: Encoder::new(output_compression, options.threads),
        output,
        rejects,
        block_bytes: options.block_bytes,
    };
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
    flow.finish().await?;

    let (tally, read) = (flow.rows.tally, text.progress());
    let summary = Summary {
        dialect: found.dialect(&tally),
        input_compression: text.compression,
        members: read.members,
        output_compression,
        counts: tally.counts,
        input_bytes: read.input_bytes,
        decompressed_bytes: read.text_bytes,
        output_bytes: flow.encoder.output_bytes,
        spans: tally.spans,
        by_reason: tally.by_reason,
        warnings: tally.warnings,
    };
    if !summary.adds_up() {
        return Err(EngineError::Internal(format!("the sums don't add up: {summary:?}")));
    }
    Ok(summary)
}

/// A record that runs over a block's border is first looked at when this much is there.
const MIN_LOOK_BYTES: usize = 256;

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

/// Text on its way through the rows into the sinks.
struct Flow<'a, O, R> {
    rows: Rows,
    out: Outputs,
    /// The start of a record whose end has not come yet.
    carry: BytesMut,
    /// How long the carry has to be before it is looked at (again).
    want: usize,
    encoder: Encoder,
    output: &'a mut O,
    rejects: &'a mut R,
    block_bytes: usize,
    /// Makes UTF-8 of the text, where it is something else.
    decoder: Option<Decoder>,
}

impl<O: Sink, R: Sink> Flow<'_, O, R> {
    /// Takes the next bytes of the source.
    async fn take_source(&mut self, block: Bytes) -> Result<(), EngineError> {
        let text = match &mut self.decoder {
            None => block,
            Some(decoder) => decoder.decode(&block, false, |mark| self.rows.mark(mark)),
        };
        self.take(text).await
    }

    /// Takes the next text. Only the record that runs over a block's border is copied to be looked at.
    async fn take(&mut self, block: Bytes) -> Result<(), EngineError> {
        let mut at = 0;
        while !self.carry.is_empty() && at < block.len() {
            let carried = self.carry.len();
            let end = block.len().min(at + self.want.saturating_sub(carried).max(1));
            self.carry.extend_from_slice(&block[at..end]);
            at = end;
            if self.carry.len() < self.want {
                return Ok(());
            }
            let mut carry = std::mem::take(&mut self.carry);
            let used = self.advance(&carry, None, false).await?;
            // Of what stood in the carry before: then the rest is a record still without an end.
            if used < carried {
                carry.advance(used);
                self.carry = carry;
                self.want_more();
                continue;
            }
            at -= carry.len() - used;
            carry.clear();
            self.carry = carry;
            break;
        }
        let used = if at < block.len() { self.advance(&block[at..], Some(&block), false).await? } else { 0 };
        self.carry.extend_from_slice(&block[at + used..]);
        self.want_more();
        Ok(())
    }

    /// A record that has no end in what is there is looked at again only when there is twice as much, so that none
    /// is looked at more than a few times.
    fn want_more(&mut self) {
        self.want = (2 * self.carry.len()).max(MIN_LOOK_BYTES);
    }

    /// Takes what is left, and ends the output.
    async fn finish(&mut self) -> Result<(), EngineError> {
        if let Some(decoder) = &mut self.decoder {
            let rest = decoder.decode(&Bytes::new(), true, |mark| self.rows.mark(mark));
            self.take(rest).await?;
        }
        let carry = std::mem::take(&mut self.carry);
        self.advance(&carry, None, true).await?;
        self.rows.check_rejects(true)?;
        self.hand_on(0).await?;
        self.encoder.finish(self.output).await
    }

    /// Takes the whole records at the start of `input`, which lies in `source` if one is given, and hands on what
    /// they become. Returns how many bytes it took.
    async fn advance(
        &mut self,
        input: &[u8],
        source: Option<&Bytes>,
        last: bool,
    ) -> Result<usize, EngineError> {
        self.out.source = source.cloned();
        let mut used = 0;
        loop {
            let progress = self.rows.advance(&input[used..], last, &mut self.out)?;
            used += progress.used;
            self.hand_on(self.block_bytes).await?;
            if !progress.full {
                break;
            }
        }
        self.out.source = None;
        Ok(used)
    }

    /// Hands on what there is; what was gathered from small pieces only if it is `least` bytes or more.
    async fn hand_on(&mut self, least: usize) -> Result<(), EngineError> {
        for piece in self.out.take_pieces(least) {
            self.encoder.push(piece, self.output).await?;
        }
        if let Some(chunk) = self.out.take_rejects(least.min(MAX_REJECTS_BYTES)) {
            self.rejects.write(chunk).await.map_err(EngineError::Rejects)?;
        }
        Ok(())
    }
}
