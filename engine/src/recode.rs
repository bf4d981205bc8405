//! The rows whose quotes are in disorder: parsed and written again by `csv-async`.
//!
//! One reader and one writer live as long as the file, so a row costs no set-up. Neither ever waits: the reader
//! is fed whole records, the writer writes to memory.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::BytesMut;
use csv_async::{
    AsyncReader, AsyncReaderBuilder, AsyncWriter, AsyncWriterBuilder, ByteRecord, QuoteStyle, Terminator,
};
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::EngineError;

pub(crate) struct Recoder {
    reader: AsyncReader<Feed>,
    /// There until it is dropped.
    writer: Option<AsyncWriter<Tray>>,
    tray: Arc<Mutex<Vec<u8>>>,
    record: ByteRecord,
}

impl Recoder {
    pub(crate) fn new(delimiter: u8, quote: u8) -> Self {
        let tray = Arc::new(Mutex::new(Vec::new()));
        Self {
            reader: AsyncReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .delimiter(delimiter)
                .quote(quote)
                .end_on_io_error(false)
                // csv-core strips a byte-order mark from the first bytes it sees. The file's own was skipped
                // already, and a row may begin with those bytes: a blank line first makes it look no further.
                .create_reader(Feed { bytes: b"\n".to_vec(), at: 0 }),
            writer: Some(
                AsyncWriterBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .terminator(Terminator::Any(b'\n'))
                    .quote_style(QuoteStyle::Necessary)
                    .delimiter(delimiter)
                    .quote(quote)
                    .create_writer(Tray(Arc::clone(&tray))),
            ),
            tray,
            record: ByteRecord::new(),
        }
    }

    /// Parses one record, given without its line end, and appends its canonical form to `out`. Returns its fields.
    pub(crate) fn recode(&mut self, content: &[u8], out: &mut BytesMut) -> Result<usize, EngineError> {
        let feed = self.reader.get_mut();
        feed.bytes.drain(..feed.at);
        feed.at = 0;
        feed.bytes.extend_from_slice(content);
        feed.bytes.push(b'\n');
        match self.reader.read_byte_record(&mut self.record).now_or_never() {
            Some(Ok(true)) => {}
            Some(Err(error)) => return Err(EngineError::Internal(format!("csv reader: {error}"))),
            Some(Ok(false)) | None => {
                return Err(EngineError::Internal("a record was cut differently".into()));
            }
        }
        let Some(writer) = &mut self.writer else {
            return Err(EngineError::Internal("the csv writer is gone".into()));
        };
        let written = async {
            writer.write_byte_record(&self.record).await.map_err(|error| error.to_string())?;
            writer.flush().await.map_err(|error| error.to_string())
        };
        match written.now_or_never() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(EngineError::Internal(format!("csv writer: {error}"))),
            None => return Err(EngineError::Internal("the csv writer waited for memory".into())),
        }
        let mut tray = self.tray.lock().unwrap_or_else(PoisonError::into_inner);
        out.extend_from_slice(&tray);
        tray.clear();
        Ok(self.record.len())
    }
}

impl Drop for Recoder {
    /// A writer that is dropped flushes in an executor of its own, which panics where the caller's is of the same kind.
    /// This one has nothing to flush.
    fn drop(&mut self) {
        drop(self.writer.take().map(|writer| writer.into_inner().now_or_never()));
    }
}

/// What the reader reads: the bytes of one record, then nothing yet.
struct Feed {
    bytes: Vec<u8>,
    at: usize,
}

impl AsyncRead for Feed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            // Asked for more than one whole record: `now_or_never` turns this into an error.
            return Poll::Pending;
        }
        let length = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..length]);
        self.at += length;
        Poll::Ready(Ok(()))
    }
}

/// What the writer writes to.
struct Tray(Arc<Mutex<Vec<u8>>>);

impl AsyncWrite for Tray {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scan::{Form, Found, Grammar, Scanner, unquote};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Rows that are copied, and those that only lose quotes, have the bytes that csv-async would give them.
        #[test]
        fn what_is_not_recoded_has_the_bytes_it_would_get(fields in prop::collection::vec("[a,\r\n\"]{0,3}|\"[a,\r\n]{0,4}\"|\"a?(\"\")?,?\"", 1..5)) {
            let content = fields.join(",");
            let grammar = Grammar::new(b',', b'"', 1000);
            let mut needless = Vec::new();
            let text = [content.as_bytes(), b"\n"].concat();
            let blank = text.starts_with(b"\n") || text.starts_with(b"\r");
            if !blank && let Found::Record(scan) = Scanner::new(&text, true, &grammar).record(0, 0, &mut needless) {
                let content = &text[..scan.content];
                let mut ours = BytesMut::new();
                match scan.form {
                    Form::Canonical => ours.extend_from_slice(content),
                    Form::NeedlessQuotes => unquote(content, &needless, b'"', &mut ours),
                    Form::StrayQuotes => return Ok(()),
                }
                ours.extend_from_slice(b"\n");
                let mut theirs = BytesMut::new();
                Recoder::new(b',', b'"').recode(content, &mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    fn recoded(rows: &[&[u8]]) -> BytesMut {
        let mut recoder = Recoder::new(b',', b'"');
        let mut out = BytesMut::new();
        for row in rows {
            recoder.recode(row, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn needless_quotes_go_and_needed_ones_come() {
        assert_eq!(recoded(&[b"\"a\",\"b,c\"", b"a\"b,\"x\"y"])[..], *b"a,\"b,c\"\n\"a\"\"b\",xy\n");
    }

    #[test]
    fn a_row_that_begins_like_a_byte_order_mark_keeps_its_bytes() {
        let row = b"\xef\xbb\xbfa,\"b\"";
        assert_eq!(recoded(&[row, row])[..], *b"\xef\xbb\xbfa,b\n\xef\xbb\xbfa,b\n");
    }

    #[test]
    fn an_empty_quoted_field_alone_stays_a_row() {
        assert_eq!(recoded(&[b"\"\""])[..], *b"\"\"\n");
    }

    #[test]
    fn a_record_longer_than_the_readers_buffer_is_one_record() {
        let long = [b"\"".as_slice(), &vec![b'x'; 100_000], b"\",y"].concat();
        let out = recoded(&[&long]);
        assert_eq!(out.len(), 100_000 + 3);
    }
}
