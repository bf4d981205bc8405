//! One file from first byte to last.

use std::io;

use bytes::Bytes;
use futures::Stream;

use crate::compression::{SNIFF_BYTES, check_text};
use crate::deflate::{Deflate, compact};
use crate::inflate::Inflate;
use crate::rows::{Outputs, Rows};
use crate::scan::Grammar;
use crate::{Compression, Dialect, EngineError, Sink, Summary};

/// What the caller decides. The defaults lose nothing.
#[derive(Debug, Clone)]
pub struct Options {
    /// The output's compression; the input's if not given.
    pub output_compression: Option<Compression>,
    /// The longest record, in bytes, line end included. Memory is bounded by it.
    pub max_record_bytes: usize,
    /// How many bytes of text are looked at in one go: small enough for a core's cache, large enough to copy in
    /// bulk. Has no influence on the result.
    pub block_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { output_compression: None, max_record_bytes: 1024 * 1024, block_bytes: 256 * 1024 }
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
    let mut inflate = Inflate::open(input).await?;
    let output_compression = options.output_compression.unwrap_or(inflate.compression);
    let mut deflate = Deflate::new(output_compression);
    let grammar = Grammar { delimiter: b',', quote: b'"', max_record_bytes: options.max_record_bytes };
    let mut rows = Rows::new(grammar);

    // A first look needs a few bytes: a byte-order mark has three.
    let block_bytes = options.block_bytes.max(3);
    let mut text = Vec::with_capacity(2 * block_bytes);
    let mut out = Outputs::default();
    let mut output_bytes = 0;
    let mut last = false;
    while !last {
        // A record longer than what is there is looked at again only when twice as much is there.
        let want = block_bytes.max(text.len());
        last = inflate.fill(&mut text, want).await?;
        if rows.tally.spans.total() == 0 {
            check_text(&text[..text.len().min(SNIFF_BYTES)])?;
        }
        let mut used = 0;
        loop {
            out.clean.reserve(text.len() - used);
            let progress = rows.advance(&text[used..], last, &mut out)?;
            used += progress.used;
            // What is sent is as large as the memory that it holds, or little would hold much.
            if out.clean.len() >= block_bytes {
                deflate.push(&mut out.clean).await?;
                output_bytes += send(deflate.take(block_bytes), output).await.map_err(EngineError::Output)?;
            }
            if out.rejects.len() >= block_bytes {
                send(compact(&mut out.rejects), rejects).await.map_err(EngineError::Rejects)?;
            }
            if !progress.full {
                break;
            }
        }
        text.drain(..used);
    }
    deflate.push(&mut out.clean).await?;
    output_bytes += send(deflate.finish().await?, output).await.map_err(EngineError::Output)?;
    send(compact(&mut out.rejects), rejects).await.map_err(EngineError::Rejects)?;

    let tally = rows.tally;
    let summary = Summary {
        dialect: Dialect {
            delimiter: b',',
            quote: b'"',
            encoding: if tally.utf8 { "utf-8" } else { "unknown-8bit" },
            bom: tally.bom,
            terminator: tally.terminator,
            header: tally.header,
        },
        input_compression: inflate.compression,
        members: inflate.members,
        output_compression,
        counts: tally.counts,
        input_bytes: inflate.input_bytes(),
        decompressed_bytes: inflate.text_bytes,
        output_bytes,
        spans: tally.spans,
        by_reason: tally.by_reason,
    };
    if !summary.adds_up() {
        return Err(EngineError::Internal(format!("the sums don't add up: {summary:?}")));
    }
    Ok(summary)
}

async fn send(chunk: Bytes, sink: &mut impl Sink) -> io::Result<u64> {
    let length = chunk.len() as u64;
    if length > 0 {
        sink.write(chunk).await?;
    }
    Ok(length)
}
