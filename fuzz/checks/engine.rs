//! What must hold of the engine, whatever the dialect, the policies, the bytes and the chunks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{
    Comment, Compression, Encoding, Escape, InvalidBytes, MaxRejects, NulBytes, Options, Policies, Quote,
    Ragged, RunawayQuote, StrayQuotes, Terminator, Told,
};
use serde_json::Value;

use super::running::{Ran, replay, run, same};

/// Bytes that decide the options; the rest is the file.
const HEAD_BYTES: usize = 8;

/// A file, how it is read, and in which chunks it comes.
pub(crate) struct Case<'a> {
    pub(crate) options: Options,
    sizes: [usize; 2],
    pub(crate) file: &'a [u8],
}

/// Panics where something does not hold of the case that `data` spells.
pub(crate) fn holds(data: &[u8]) {
    let Some(Case { options, sizes, file }) = case(data) else { return };
    let whole = run(file, &[], &Options { block_bytes: 1 << 20, ..options.clone() });
    same(&whole, &run(file, &sizes, &options));
    if let Ok(ran) = whole {
        adds_up(&ran, file);
        parses_back(&ran);
        if ran.summary.input_compression == Compression::None {
            skips_only_line_ends(&ran, file);
            agrees_with_csv(&ran, file, &options);
        }
        // What is told of the whole file need not hold of a row alone.
        if ran.summary.dialect.header && options.policies.runaway_quote == RunawayQuote::Resync {
            is_rejected_again(&ran, file, &options);
        }
        if !options.policies.neutralize_formulas {
            stays_as_it_is(&ran.output);
        }
    }
}

/// What `data` spells; nothing if it is too short.
pub(crate) fn case(data: &[u8]) -> Option<Case<'_>> {
    let (head, file) = data.split_at_checked(HEAD_BYTES)?;
    let pick = |at: usize, most: u8| usize::from(head[at] % most);
    let delimiter = [None, Some(","), Some(";"), Some("\t"), Some(", "), Some("||"), Some("§"), Some("a")];
    let quote =
        [None, Some(Quote::Byte(b'"')), Some(Quote::Byte(b'\'')), Some(Quote::Byte(b'q')), Some(Quote::None)];
    let escape = [None, Some(Escape::Doubled), Some(Escape::None), Some(Escape::Byte(b'\\'))];
    let terminator = [None, Some(Terminator::Lf), Some(Terminator::CrLf), Some(Terminator::Cr)];
    let comment = [
        None,
        Some(Comment::None),
        Some(Comment::Prefix(b"#".to_vec())),
        Some(Comment::Prefix(b"//".to_vec())),
    ];
    let encoding = [
        None,
        Some(&b"utf-8"[..]),
        Some(b"utf-16le"),
        Some(b"utf-16be"),
        Some(b"windows-1252"),
        Some(b"shift_jis"),
        Some(b"iso-2022-jp"),
    ];
    let lines = |at: usize, shift: u8| [None, Some(0), Some(1), Some(2)][usize::from(head[at] >> shift & 3)];
    let is = |bit: u8| head[5] & 1 << bit != 0;
    let told = Told {
        delimiter: delimiter[pick(0, 8)].map(|delimiter| delimiter.as_bytes().to_vec()),
        quote: quote[pick(1, 5)],
        escape: escape[pick(2, 4)],
        encoding: encoding[pick(6, 7)].and_then(Encoding::for_label),
        terminator: terminator[usize::from(head[3] & 3)],
        header_lines: lines(3, 2),
        preamble_lines: lines(3, 4),
        footnote_lines: lines(2, 2),
        comment: comment[usize::from(head[3] >> 6)].clone(),
        trusts_header: head[0] & 0x80 != 0,
    };
    let policies = Policies {
        ragged: Ragged { pad: is(0), truncate_empty: is(1) },
        invalid_bytes: if is(2) { InvalidBytes::Replace } else { InvalidBytes::Reject },
        nul: match (is(3), is(4)) {
            (false, _) => NulBytes::Keep,
            (true, false) => NulBytes::Remove,
            (true, true) => NulBytes::Reject,
        },
        stray_quotes: if is(5) { StrayQuotes::Repair } else { StrayQuotes::Reject },
        trim: is(6),
        neutralize_formulas: is(7),
        runaway_quote: if head[2] & 0x10 == 0 { RunawayQuote::Resync } else { RunawayQuote::Fail },
        max_rejects: (head[2] & 0x20 != 0).then_some(MaxRejects::Rows(2)),
    };
    let options = Options {
        profile: head[1] & 0x80 != 0,
        threads: if head[2] & 0x40 == 0 { 1 } else { 2 },
        // What a file is compressed with is none of what is looked at.
        output_compression: Some(Compression::None),
        max_record_bytes: 8 + 4 * usize::from(head[4]),
        block_bytes: 1 + usize::from(head[7] & 0x0f),
        told,
        policies,
        ..Options::default()
    };
    Some(Case { options, sizes: [usize::from(head[7] >> 4), usize::from(head[6] >> 4)], file })
}

/// Rows, bytes and rejects are accounted for, each once.
fn adds_up(ran: &Ran, file: &[u8]) {
    let summary = &ran.summary;
    assert!(summary.adds_up(), "{summary:?}");
    assert_eq!(summary.output_bytes, ran.output.len() as u64);
    assert_eq!(summary.input_bytes, file.len() as u64);
    let is_plain = summary.input_compression == Compression::None;
    let (mut count, mut length, mut end) = (0, 0, 0);
    for line in ran.rejects.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let reject: Value = serde_json::from_slice(line).unwrap();
        let number = |name: &str| reject[name].as_u64().unwrap();
        let (offset, bytes) = (number("byte_offset"), number("byte_length"));
        assert!(offset >= end, "{reject} overlaps the one before");
        end = offset + bytes;
        assert!(end <= summary.decompressed_bytes, "{reject} ends behind the text");
        count += 1;
        length += bytes;
        let text = reject["raw"].as_str().unwrap();
        let raw = match reject["raw_encoding"].as_str().unwrap() {
            "utf8" => text.as_bytes().to_vec(),
            _ => STANDARD.decode(text).unwrap(),
        };
        assert_eq!(raw.len() as u64 == bytes, reject["raw_encoding"] != "cut");
        if is_plain {
            let start = usize::try_from(offset).unwrap();
            assert_eq!(raw, file[start..start + raw.len()], "{reject} has other bytes");
        }
    }
    assert_eq!((count, length), (summary.counts.rows_rejected, summary.spans.rejected));
}

/// The rows that were rejected are rejected alone too, with the same bytes at the same place.
fn is_rejected_again(ran: &Ran, file: &[u8], options: &Options) {
    let again = replay(file, &ran.rejects, options).expect("the rejects can't be replayed");
    assert!(again.summary.adds_up());
    assert_eq!(
        again.summary.counts.rows_in,
        again.summary.counts.rows_out + again.summary.counts.rows_rejected
    );
    // Alone, a line that ends with an escape is another one, as is one whose encoding was shifted before it. What a
    // policy mends by one line it may mend alone.
    let is_another = matches!(options.told.escape, None | Some(Escape::Byte(_)))
        || ran.summary.dialect.encoding == "iso-2022-jp"
        || options.policies.stray_quotes == StrayQuotes::Repair;
    if !is_another {
        let facts = |rejects: &[u8]| -> Vec<Value> {
            let lines = rejects.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines
                .map(|line| {
                    let mut reject: Value = serde_json::from_slice(line).unwrap();
                    reject["message"] = Value::Null;
                    reject["reason"] = Value::Null;
                    reject
                })
                .collect()
        };
        assert_eq!(facts(&again.rejects), facts(&ran.rejects), "replayed, other rows are rejected");
    }
}

/// The output is UTF-8, and another reader finds in it as many rows as were kept, all of one width.
fn parses_back(ran: &Ran) {
    let text = std::str::from_utf8(&ran.output).expect("the output is not UTF-8");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let rows: Vec<_> = reader.byte_records().map(|row| row.expect("the output has ragged rows")).collect();
    assert_eq!(rows.len() as u64, ran.summary.counts.rows_out + u64::from(ran.summary.dialect.header));
}

/// Where nothing of the file is told or found to be none of the table, nothing is skipped but empty lines.
fn skips_only_line_ends(ran: &Ran, file: &[u8]) {
    let dialect = &ran.summary.dialect;
    let told_lines = dialect.preamble_lines + dialect.comment_lines + dialect.footnote_lines;
    if told_lines > 0 || dialect.bom || dialect.encoding != "utf-8" {
        return;
    }
    let line_ends = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    assert!(ran.summary.spans.skipped <= line_ends, "{} bytes are skipped", ran.summary.spans.skipped);
}

/// Of a file that is RFC 4180 throughout, another reader has the same rows.
fn agrees_with_csv(ran: &Ran, file: &[u8], options: &Options) {
    let dialect = &ran.summary.dialect;
    let is_rfc4180 = dialect.delimiter == b","
        && dialect.quote == Quote::Byte(b'"')
        && dialect.escape == Escape::Doubled
        && dialect.encoding == "utf-8"
        && !dialect.bom
        && options.told.terminator.is_none();
    let is_whole = ran.summary.counts.rows_rejected + ran.summary.spans.filtered == 0
        && dialect.preamble_lines + dialect.comment_lines + dialect.footnote_lines == 0
        && dialect.rows_mended + dialect.rows_replaced == 0;
    let Policies { trim, neutralize_formulas, nul, invalid_bytes, .. } = options.policies;
    let is_changed =
        trim || neutralize_formulas || nul == NulBytes::Remove || invalid_bytes == InvalidBytes::Replace;
    if !is_rfc4180 || !is_whole || is_changed || dialect.header_lines > 1 {
        return;
    }
    let rows = |text: &[u8], front: u64| -> Vec<csv::ByteRecord> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let front = usize::try_from(front).unwrap();
        reader.byte_records().skip(front).map(|row| row.expect("bytes in memory are read")).collect()
    };
    // Names may be made, or made unique.
    let kept = rows(&ran.output, u64::from(dialect.header));
    assert_eq!(kept, rows(file, dialect.header_lines), "another reader has other rows");
}

/// What is clean is clean when it is read again.
fn stays_as_it_is(output: &[u8]) {
    if output.starts_with(b"\x1f\x8b") || output.starts_with(b"\x28\xb5\x2f\xfd") {
        return;
    }
    let policies = Policies { nul: NulBytes::Keep, ..Policies::default() };
    match run(output, &[], &Options { told: Told::rfc4180(), policies, ..Options::default() }) {
        Ok(again) => {
            assert_eq!(again.output, output, "a clean file is changed");
            assert_eq!(again.summary.counts.rows_rejected, 0);
        }
        // A name or a field may spell another format's first bytes, and a zero byte near the start is refused.
        Err(bad) => assert!(
            matches!(
                bad.code,
                "not_csv"
                    | "unsupported_format"
                    | "unsupported_encoding"
                    | "truncated_zip"
                    | "truncated_bzip2"
                    | "corrupt_bzip2"
            ),
            "{bad:?}"
        ),
    }
}
