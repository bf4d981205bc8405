//! Text on its way through the rows into the sinks.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use encoding_rs::Encoding;

use crate::dialect::Reading;
use crate::encode::Encoder;
use crate::encoding::Decoder;
use crate::inflate::Progress;
use crate::outputs::Outputs;
use crate::profile::Profile;
use crate::rows::{MAX_REJECTS_BYTES, Rows};
use crate::run::breathe;
use crate::sample::Look;
use crate::tail::Tail;
use crate::{Compression, EngineError, Options, Sink, Summary};

/// A record that runs over a block's border is first looked at when this much is there.
const MIN_LOOK_BYTES: usize = 256;

/// Text on its way through the rows into the sinks.
pub(crate) struct Flow<'a, O, R> {
    pub(crate) rows: Rows,
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
    /// Keeps the footnotes back, where some were told of.
    pub(crate) tail: Option<Tail>,
    /// What the output's columns hold, where that was asked for.
    profile: Option<Profile>,
    /// Bytes of a partitioned output; nothing if it is one.
    partitioned: Option<u64>,
}

impl<'a, O: Sink, R: Sink> Flow<'a, O, R> {
    /// Reads by `reading` what `input_compression` was.
    pub(crate) fn new(
        reading: Reading,
        found: &Look,
        input_compression: Compression,
        options: &Options,
        output: &'a mut O,
        rejects: &'a mut R,
    ) -> Result<Self, EngineError> {
        let compression = options.output_compression.unwrap_or(input_compression).of_output();
        let decoder = Decoder::new(found.encoding.encoding);
        let mut rows = Rows::new(reading, options.max_record_bytes, options.policies, decoder.is_some());
        if let Some(work) = &options.work {
            if work.needs_key() && options.mask_key.is_none() {
                return Err(EngineError::Internal("the recipe masks by a key, and there is none".into()));
            }
            rows = rows.with_work(Arc::clone(work), compression, options);
        }
        let is_partitioned = options.work.as_ref().is_some_and(|work| work.is_partitioned());
        Ok(Self {
            rows,
            decoder,
            tail: None,
            // A recipe's rows may be written in another form: they are looked at before.
            profile: (options.profile && options.work.is_none()).then(Profile::default),
            out: Outputs::default(),
            carry: BytesMut::new(),
            want: MIN_LOOK_BYTES,
            encoder: Encoder::new(compression, options.threads),
            output,
            rejects,
            block_bytes: options.block_bytes,
            partitioned: is_partitioned.then_some(0),
        })
    }

    /// What was found and done, once all of `text_bytes` was taken.
    pub(crate) fn summary(
        mut self,
        found: Look,
        text_bytes: u64,
        input_compression: Compression,
        read: Progress,
    ) -> Result<Summary, EngineError> {
        let profile = self.profile.or(self.rows.take_profile());
        let tally = self.rows.tally;
        let summary = Summary {
            dialect: found.dialect(&tally),
            input_compression,
            members: read.members,
            output_compression: self.encoder.compression,
            counts: tally.counts,
            input_bytes: read.input_bytes,
            decompressed_bytes: text_bytes,
            output_bytes: self.partitioned.unwrap_or(self.encoder.output_bytes),
            spans: tally.spans,
            by_reason: tally.by_reason,
            columns_left_out: profile.as_ref().map_or(0, Profile::columns_left_out),
            columns: profile.map(Profile::finish).unwrap_or_default(),
            warnings: tally.warnings,
        };
        if !summary.adds_up() {
            return Err(EngineError::Internal(format!("the sums don't add up: {summary:?}")));
        }
        Ok(summary)
    }

    /// Takes the next bytes of the source.
    pub(crate) async fn take_source(&mut self, block: Bytes) -> Result<(), EngineError> {
        let text = match &mut self.decoder {
            None => block,
            Some(decoder) => decoder.decode(&block, false, |mark| self.rows.mark(mark)),
        };
        self.take_text(text).await
    }

    /// Takes the next text, but for the lines that may be footnotes.
    async fn take_text(&mut self, text: Bytes) -> Result<(), EngineError> {
        let Some(tail) = &mut self.tail else { return self.take(text).await };
        for piece in tail.push(&text) {
            self.take(piece).await?;
        }
        Ok(())
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

    /// Takes what is left of the text.
    pub(crate) async fn end_text(&mut self) -> Result<(), EngineError> {
        if let Some(decoder) = &mut self.decoder {
            let rest = decoder.decode(&Bytes::new(), true, |mark| self.rows.mark(mark));
            self.take_text(rest).await?;
        }
        let mut carry = std::mem::take(&mut self.carry);
        self.advance(&carry, None, true).await?;
        carry.clear();
        self.carry = carry;
        self.want_more();
        Ok(())
    }

    /// Leaves out what was not taken of the text so far.
    pub(crate) fn forget(&mut self) {
        self.carry.clear();
        self.want_more();
    }

    /// Begins to decode another text, where text is decoded.
    pub(crate) fn decode_anew(&mut self, encoding: &'static Encoding) {
        self.decoder = Decoder::new(encoding);
    }

    /// Ends the output.
    pub(crate) async fn end_sinks(&mut self) -> Result<(), EngineError> {
        self.rows.check_rejects(None)?;
        while self.rows.end_work(&mut self.out)? {
            self.hand_on(0).await?;
            breathe().await;
        }
        self.hand_on(0).await?;
        // Its objects have ended already.
        if self.partitioned.is_some() { Ok(()) } else { self.encoder.finish(self.output).await }
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
            if let Some(profile) = &mut self.profile {
                profile.observe_text(&piece);
            }
            self.encoder.push(piece, self.output).await?;
        }
        for piece in std::mem::take(&mut self.out.partitioned) {
            self.partitioned = Some(self.partitioned.unwrap_or_default() + piece.length() as u64);
            self.output.write_piece(piece).await.map_err(EngineError::Output)?;
        }
        if let Some(chunk) = self.out.take_rejects(least.min(MAX_REJECTS_BYTES)) {
            self.rejects.write(chunk).await.map_err(EngineError::Rejects)?;
        }
        Ok(())
    }
}
