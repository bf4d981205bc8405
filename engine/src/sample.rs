//! The first bytes of the text, and what they say of all of it.

use std::borrow::Cow;
use std::io;

use bytes::Bytes;
use futures::Stream;

use crate::compression::{SNIFF_BYTES, check_text};
use crate::encoding::{self, Found};
use crate::policy::NulBytes;
use crate::rows::Tally;
use crate::sniff::{Sniffed, sniff};
use crate::summary::Confidence;
use crate::text::Text;
use crate::{Dialect, EngineError, Options};

/// Encodings show late; of delimiters, the first lines tell enough.
const SAMPLE_BYTES: usize = 512 * 1024;

/// The blocks that were read to be looked at. They stay to be taken.
pub(crate) struct Sample {
    pub(crate) blocks: Vec<Bytes>,
    /// Whether there is no more text than this.
    pub(crate) whole: bool,
}

/// What the sample says.
pub(crate) struct Look {
    pub(crate) encoding: Found,
    pub(crate) sniffed: Sniffed,
}

impl Sample {
    /// Reads as much as is worth looking at.
    pub(crate) async fn gather<S>(text: &mut Text<S>) -> Result<Self, EngineError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        let (mut blocks, mut length) = (Vec::new(), 0);
        while length < SAMPLE_BYTES {
            let Some(block) = text.next().await? else { return Ok(Self { blocks, whole: true }) };
            length += block.len();
            blocks.push(block);
        }
        Ok(Self { blocks, whole: false })
    }

    /// The same bytes whatever the blocks.
    fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.blocks[..] {
            [] => Cow::Borrowed(&[]),
            [only] => Cow::Borrowed(&only[..only.len().min(SAMPLE_BYTES)]),
            many => {
                let mut joined = many.concat();
                joined.truncate(SAMPLE_BYTES);
                Cow::Owned(joined)
            }
        }
    }

    /// Finds out what was not told. `is_plain` says whether the text is the input as it is.
    pub(crate) fn look(&self, options: &Options, is_plain: bool) -> Result<Look, EngineError> {
        let bytes = self.bytes();
        let whole = self.whole && bytes.len() < SAMPLE_BYTES;
        let encoding = encoding::detect(&bytes, whole, options.told.encoding)?;
        let is_utf16 = encoding.encoding.output_encoding() != encoding.encoding;
        if !is_utf16 && options.policies.nul == NulBytes::Keep {
            check_text(&bytes[..bytes.len().min(SNIFF_BYTES)]).map_err(|mut bad| {
                // Its place is one in the text, which is none in a compressed file.
                bad.byte_offset = bad.byte_offset.filter(|_| is_plain);
                bad
            })?;
        }
        let (text, _) = encoding.encoding.decode_without_bom_handling(&bytes[encoding.bom..]);
        let sniffed = sniff(text.as_bytes(), whole, &options.told);
        Ok(Look { encoding, sniffed })
    }
}

impl Look {
    /// The dialect, once the file was read by it.
    pub(crate) fn dialect(self, tally: &Tally) -> Dialect {
        let Sniffed { reading, structure, header } = self.sniffed;
        Dialect {
            delimiter: reading.delimiter,
            quote: reading.quote,
            escape: reading.escape,
            comment: reading.comment,
            encoding: self.encoding.encoding.name().to_ascii_lowercase(),
            bom: self.encoding.bom > 0,
            terminator: tally.terminator,
            header_lines: tally.header_lines,
            header: tally.named,
            preamble_lines: tally.preamble_lines,
            footnote_lines: tally.footnote_lines,
            comment_lines: tally.comment_lines,
            renamed: tally.renamed.clone(),
            rows_mended: tally.rows_mended,
            rows_replaced: tally.rows_replaced,
            confidence: Confidence { encoding: self.encoding.confidence, structure, header },
        }
    }
}
