//! What must hold of the engine, whatever the dialect, the policies, the recipe, the bytes and the chunks.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::{
    BadFile, Comment, Compression, Encoding, EngineError, Escape, InflateLimits, InvalidBytes, MaxRejects,
    NulBytes, Options, Policies, Quote, Ragged, Reason, Replayed, RunawayQuote, StrayQuotes, Summary,
    Terminator, Told,
};
use serde_json::Value;

use super::packing::{unwrapped, wrapped};
use super::running::{Ran, run, same};
use super::{partitions, recipes};

/// Bytes that decide the options; the rest is the file.
const HEAD_BYTES: usize = 8;

/// A file, how it is read, and in which chunks it comes.
pub(crate) struct Case<'a> {
    pub(crate) options: Options,
    sizes: [usize; 2],
    /// What the file is compressed with, where it is tried a second time so.
    wrapping: Option<Compression>,
    /// Bytes held of partitions, where its rows are tried a second time so.
    partitioning: Option<usize>,
    pub(crate) file: &'a [u8],
}

/// Panics where something does not hold of the case that `data` spells.
pub(crate) fn holds(data: &[u8]) {
    let Some(Case { options, sizes, wrapping, partitioning, file }) = case(data) else { return };
    let whole = run(file, &[], &Options { block_bytes: 1 << 20, ..options.clone() });
    same(&whole, &run(file, &sizes, &options));
    if let Ok(ran) = whole {
        adds_up(&ran, file);
        parses_back(&ran);
        if options.profile {
            changes_nothing(&ran, file, &options);
        }
        if ran.summary.input_compression == Compression::None {
            skips_only_line_ends(&ran, file);
            agrees_with_csv(&ran, file, &options);
            if let Some(compression) = wrapping {
                is_the_same_compressed(&ran, file, &sizes, compression, &options);
            }
        }
        if wrapping.is_none() && partitioning.is_none() && options.work.is_none() {
            recipes::a_glance_changes_nothing(file, &sizes, &options);
        }
        if let Some(held_bytes) = partitioning.filter(|_| options.work.is_none()) {
            partitions::hold_the_same_rows(&ran, file, held_bytes, &options);
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
        max_rejects: (head[2] & 0x20 != 0).then_some(match head[2] & 0x80 {
            0 => MaxRejects::Rows(2),
            _ => MaxRejects::Percent(50.0),
        }),
    };
    let wrapping = [None, Some(Compression::Gzip), Some(Compression::Zstd), None];
    let again = usize::from(head[0] >> 5 & 3);
    let options = Options {
        profile: head[1] & 0x80 != 0,
        threads: if head[2] & 0x40 == 0 { 1 } else { 2 },
        // What a file is compressed with is none of what is looked at.
        output_compression: Some(Compression::None),
        max_record_bytes: 8 + 4 * usize::from(head[4]),
        block_bytes: 1 + usize::from(head[7] & 0x0f),
        // What comes out is held here, and each byte may become two hundred of the rejects.
        inflate: InflateLimits { max_text_bytes: 1 << 17, ..InflateLimits::default() },
        told,
        policies,
        work: recipes::work(usize::from(head[0] >> 3 & 3)),
        ..Options::default()
    };
    Some(Case {
        options,
        sizes: [usize::from(head[7] >> 4), usize::from(head[6] >> 4)],
        wrapping: wrapping[again],
        partitioning: (again == 3).then(|| 1 + usize::from(head[6]) * 64),
        file,
    })
}

/// Rows, bytes and rejects are accounted for, each once.
fn adds_up(ran: &Ran, file: &[u8]) {
    let summary = &ran.summary;
    assert!(summary.adds_up(), "{summary:?}");
    assert_eq!(summary.output_bytes, ran.output.len() as u64);
    assert_eq!(summary.input_bytes, file.len() as u64);
    let is_plain = summary.input_compression == Compression::None;
    let (mut count, mut length, mut end) = (0, 0, 0);
    let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
    let mut next_line = 1;
    for line in ran.rejects.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let reject: Value = serde_json::from_slice(line).unwrap();
        let number = |name: &str| reject[name].as_u64().unwrap();
        let (offset, bytes) = (number("byte_offset"), number("byte_length"));
        assert!(offset >= end, "{reject} overlaps the one before");
        end = offset + bytes;
        assert!(end <= summary.decompressed_bytes, "{reject} ends behind the text");
        assert!(number("line") >= next_line && number("lines") >= 1, "{reject} is in a line of another");
        next_line = number("line") + number("lines");
        *by_reason.entry(reject["reason"].as_str().unwrap().to_owned()).or_default() += 1;
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
    let told = summary.by_reason.iter().map(|(reason, count)| (reason.code().to_owned(), *count));
    assert_eq!(by_reason, told.collect());
}

/// A profile is of the columns that come out, and of nothing else does it change a byte.
fn changes_nothing(ran: &Ran, file: &[u8], options: &Options) {
    let without =
        run(file, &[], &Options { profile: false, ..options.clone() }).expect("only a profile fails it");
    assert!(without.output == ran.output && without.rejects == ran.rejects, "a profile changes the rows");
    assert!(without.summary.columns.is_empty());
    for column in &ran.summary.columns {
        assert!(column.nulls + column.empties <= ran.summary.counts.rows_out, "{column:?}");
        assert!((0.0..=1.0).contains(&column.share), "{column:?}");
    }
}

/// Compressed, in several members or frames, a file is the same, and so is what comes out.
fn is_the_same_compressed(
    ran: &Ran,
    file: &[u8],
    sizes: &[usize],
    compression: Compression,
    options: &Options,
) {
    let options = Options { output_compression: Some(compression), ..options.clone() };
    let packed = run(&wrapped(file, compression), sizes, &options).expect("only compressed it fails");
    assert!(unwrapped(&packed.output, compression) == ran.output, "compressed, other rows come out");
    assert!(packed.rejects == ran.rejects, "compressed, other rows are rejected");
    let summary = Summary {
        input_compression: Compression::None,
        output_compression: Compression::None,
        members: 0,
        input_bytes: ran.summary.input_bytes,
        output_bytes: ran.summary.output_bytes,
        ..packed.summary
    };
    assert_eq!(summary, ran.summary, "compressed, another summary");
}

/// Processes the rows that an earlier run rejected, as they are.
fn replay(input: &[u8], rejects: &[u8], options: &Options) -> Result<Ran, BadFile> {
    let lines = rejects.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut rows = lines.map(|line| Replayed::parse(line).expect("a line that can't be read"));
    let source = futures::stream::iter([Ok(Bytes::copy_from_slice(input))]);
    let (mut output, mut again) = (Vec::new(), Vec::new());
    let running = engine::replay(source, &mut rows, &mut output, &mut again, options);
    match futures::executor::block_on(running) {
        Ok(summary) => Ok(Ran { output, rejects: again, summary }),
        Err(EngineError::BadFile(bad)) => Err(bad),
        Err(error) => panic!("{error:?}"),
    }
}

/// The rows that were rejected are rejected alone too, for the same reason, with the same bytes at the same place.
fn is_rejected_again(ran: &Ran, file: &[u8], options: &Options) {
    // Of the rows that are left, all are rejected.
    let policies = Policies { max_rejects: None, ..options.policies };
    let options = &Options { policies, ..options.clone() };
    let again = match replay(file, &ran.rejects, options) {
        Ok(again) => again,
        // What a row was compared with is not among the rejects.
        Err(bad) if bad.code == "replay_of_duplicate" => {
            return assert!(ran.summary.by_reason.contains_key(&Reason::PrimaryKey), "{bad:?}");
        }
        // Where names are made, a row that is withheld may stand before the first that tells how many.
        Err(bad) if bad.code == "replay_out_of_order" && ran.summary.dialect.header_lines == 0 => return,
        Err(bad) => panic!("the rejects can't be replayed: {bad:?}"),
    };
    assert!(again.summary.adds_up());
    // Alone, a line that ends with an escape is another one, as is one whose encoding was shifted before it. What a
    // policy mends by one line it may mend alone.
    let is_another = matches!(ran.summary.dialect.escape, Escape::Byte(_))
        || ran.summary.dialect.encoding == "iso-2022-jp"
        || options.policies.stray_quotes == StrayQuotes::Repair;
    if !is_another {
        let lines = |rejects: &[u8]| -> Vec<Value> {
            let lines = rejects.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
        };
        let (first, again) = (lines(&ran.rejects), lines(&again.rejects));
        assert_eq!(first.len(), again.len(), "replayed, not as many rows are rejected");
        for (first, again) in first.iter().zip(&again) {
            assert!(is_same_reject(first, again), "{first}, and replayed: {again}");
        }
    }
}

/// Whether a reject is what another one became that was replayed as it was. What is said to people may differ.
pub(crate) fn is_same_reject(first: &Value, again: &Value) -> bool {
    let facts = ["line", "lines", "byte_offset", "byte_length", "column", "raw", "raw_encoding", "checksum"];
    let reasons = [&first["reason"], &again["reason"]].map(|reason| reason.as_str().unwrap());
    let is_same_reason = match reasons {
        // What is below it is not there: it may as well be a row.
        ["footnote", again] => again == "too_few_fields",
        // Of a record that is too long, and of several lines, only the first is there: a quote opens in it.
        ["record_too_long", again] if first["lines"] == 1 => {
            matches!(again, "record_too_long" | "unclosed_quote")
        }
        [first, again] => first == again,
    };
    is_same_reason && facts.iter().all(|name| first[name] == again[name])
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
    // Of rows of another width, both know.
    let of_width = |reason: &Reason| matches!(reason, Reason::TooFewFields | Reason::TooManyFields);
    let is_whole = ran.summary.by_reason.keys().all(of_width)
        && options.work.is_none()
        && dialect.preamble_lines + dialect.comment_lines + dialect.footnote_lines == 0
        && dialect.rows_mended + dialect.rows_replaced == 0;
    let Policies { trim, neutralize_formulas, nul, invalid_bytes, .. } = options.policies;
    let is_changed =
        trim || neutralize_formulas || nul == NulBytes::Remove || invalid_bytes == InvalidBytes::Replace;
    // A quote that opens in the names and closes below them is theirs to another reader; here they are one line.
    let blank = file.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let header = usize::try_from(ran.summary.spans.header).unwrap();
    let quotes = file[blank..].iter().take(header).filter(|byte| **byte == b'"').count();
    if !is_rfc4180 || !is_whole || is_changed || dialect.header_lines > 1 || quotes % 2 == 1 {
        return;
    }
    let rows = |text: &[u8], front: u64| -> Vec<csv::ByteRecord> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let front = usize::try_from(front).unwrap();
        reader.byte_records().skip(front).map(|row| row.expect("bytes in memory are read")).collect()
    };
    // Names may be made, or made unique.
    let kept = rows(&ran.output, u64::from(dialect.header));
    let width = rows(&ran.output, 0).first().map_or(0, csv::ByteRecord::len);
    let mut theirs = rows(file, dialect.header_lines);
    theirs.retain(|row| row.len() == width);
    assert_eq!(kept, theirs, "another reader has other rows");
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
