//! What becomes of each kind of row.

use engine::{Bound, Counts, EngineError, InvalidBytes, Options, Policies, Told};

use crate::harness::{run, run_bad, run_chunked};

fn counts(rows_in: u64, rows_out: u64, rows_rejected: u64) -> Counts {
    Counts { rows_in, rows_out, rows_rejected, rows_filtered: 0 }
}

fn told() -> Options {
    Options { told: Told::rfc4180(), ..Options::default() }
}

#[test]
fn an_empty_file_has_no_rows() {
    let ran = run(b"");
    assert_eq!(ran.summary.counts, counts(0, 0, 0));
    assert!(!ran.summary.dialect.header);
    assert!(ran.output.is_empty());
}

#[test]
fn a_header_alone_has_no_rows() {
    for header in [&b"id,name"[..], b"id,name\n", b"id,name\r\n", b"\n\nid,name\n\n"] {
        let ran = run(header);
        assert_eq!(ran.summary.counts, counts(0, 0, 0));
        assert_eq!(ran.output, b"id,name\n");
    }
}

#[test]
fn ragged_rows_are_set_aside_with_their_place_and_bytes() {
    let ran = run(b"id,name\r\n1,a\r\n2\r\n\r\n3,\"x\ny\",z\r\n4,d");
    assert_eq!(ran.output, b"id,name\n1,a\n4,d\n");
    assert_eq!(ran.summary.counts, counts(4, 2, 2));
    let [few, many] = &ran.rejects[..] else { panic!("{:?}", ran.rejects) };
    assert_eq!(few["reason"], "too_few_fields");
    assert_eq!((&few["line"], &few["byte_offset"], &few["byte_length"]), (&3.into(), &14.into(), &3.into()));
    assert_eq!(few["raw"], "2\r\n");
    assert_eq!(
        few["message"],
        "the header has 2 fields, this row has 1: add the others, or let it be padded"
    );
    assert_eq!(many["reason"], "too_many_fields");
    assert_eq!((&many["line"], &many["lines"]), (&5.into(), &2.into()));
    assert_eq!(many["raw"], "3,\"x\ny\",z\r\n");
    assert_eq!(ran.summary.spans.skipped, 2);
}

#[test]
fn bytes_that_are_not_utf8_cost_their_row_or_are_replaced() {
    let input = b"id,name\n1,caf\xe9\n2,b\n3,\"\xff,\"\n";
    let ran = run_chunked(input, &[], &told()).unwrap();
    assert_eq!(ran.output, b"id,name\n2,b\n");
    assert_eq!(ran.rejects[0]["reason"], "invalid_encoding");
    assert_eq!(ran.rejects[0]["raw_encoding"], "base64");
    let replace = Policies { invalid_bytes: InvalidBytes::Replace, ..Policies::default() };
    let ran = run_chunked(input, &[], &Options { policies: replace, ..told() }).unwrap();
    assert_eq!(ran.output, "id,name\n1,caf\u{fffd}\n2,b\n3,\"\u{fffd},\"\n".as_bytes());
    assert_eq!(ran.summary.dialect.rows_replaced, 2);
}

#[test]
fn a_profile_tells_of_the_rows_that_are_kept_and_changes_no_byte() {
    let input = [&b"id,name\n"[..], &b"1,\"a\"\n2\n3,NULL\n\"4\",\"b,\"\"c\"\n".repeat(3000)].concat();
    let without = run_chunked(&input, &[], &told()).unwrap();
    assert!(without.summary.columns.is_empty());
    let profiling = Options { profile: true, ..told() };
    let whole = run_chunked(&input, &[], &profiling).unwrap();
    assert_eq!((&whole.output, whole.summary.counts), (&without.output, without.summary.counts));
    let [id, name] = &whole.summary.columns[..] else { panic!("{:?}", whole.summary.columns) };
    assert_eq!((id.kind, id.distinct_estimate), (Some(engine::ColumnType::Integer), 3));
    assert_eq!((&id.min, &id.max), (&Some(Bound::Integer(1)), &Some(Bound::Integer(4))));
    assert_eq!((name.nulls, name.longest, name.distinct_estimate), (3000, 4, 2));
    assert_eq!(name.max, Some(Bound::Text("b,\"c".into())));
    for sizes in [&[1][..], &[7, 0, 100]] {
        let chunked = run_chunked(&input, sizes, &Options { block_bytes: 50, ..profiling.clone() }).unwrap();
        assert_eq!(chunked.summary, whole.summary);
    }
}

#[test]
fn any_executor_will_do() {
    let stream = futures::stream::iter([Ok(bytes::Bytes::from_static(b"id,name\n1,\"a\"b\n"))]);
    let (mut clean, mut rejects) = (Vec::new(), Vec::new());
    let options = told();
    let run = engine::run(stream, &mut clean, &mut rejects, &options);
    assert_eq!(futures::executor::block_on(run).unwrap().counts, counts(1, 1, 0));
}

#[test]
fn a_byte_order_mark_is_skipped_once() {
    let ran = run(b"\xef\xbb\xbfid,name\n\xef\xbb\xbf1,\"a\"\n");
    assert!(ran.summary.dialect.bom);
    assert_eq!(ran.output, b"id,name\n\xef\xbb\xbf1,a\n");
    assert_eq!(ran.summary.spans.skipped, 3);
}

#[test]
fn a_stray_quote_costs_its_line_and_no_more() {
    let mut input = b"id,name\n".to_vec();
    for row in 0..1_000_000 {
        let quote = if row == 10 { "\"" } else { "" };
        input.extend_from_slice(format!("{row},{quote}name of {row}\n").as_bytes());
    }
    let ran = run(&input);
    assert_eq!(ran.summary.counts, counts(1_000_000, 999_999, 1));
    assert_eq!(ran.rejects[0]["reason"], "unclosed_quote");
    assert_eq!(ran.rejects[0]["line"], 12);
    assert_eq!(ran.rejects[0]["raw"], "10,\"name of 10\n");
}

#[test]
fn a_quote_open_at_the_end_of_the_file_costs_its_line() {
    let ran = run(b"id,name\n1,\"a\n2,b\n3,c");
    assert_eq!(ran.output, b"id,name\n2,b\n3,c\n");
    assert_eq!(ran.summary.counts, counts(3, 2, 1));
}

#[test]
fn a_line_beyond_the_longest_record_is_one_region_cut_in_the_rejects() {
    let options = Options { max_record_bytes: 1000, ..Options::default() };
    let input = [b"id,name\n1,".as_slice(), &vec![b'x'; 3_000_000], b"\n2,b\n"].concat();
    for sizes in [&[][..], &[1000], &[7, 64 * 1024]] {
        let ran = run_chunked(&input, sizes, &options).unwrap();
        assert_eq!(ran.output, b"id,name\n2,b\n");
        assert_eq!(ran.summary.spans.rejected, 3_000_003);
        assert_eq!(ran.rejects[0]["reason"], "record_too_long");
        assert_eq!(ran.rejects[0]["raw_encoding"], "cut");
        assert_eq!(ran.rejects[0]["byte_length"], 3_000_003);
    }
}

#[test]
fn a_record_of_the_longest_length_may_end_with_a_carriage_return() {
    let canonical = Options { max_record_bytes: 8, ..told() };
    let told = Told { delimiter: Some(b";".to_vec()), ..Told::rfc4180() };
    let other = Options { max_record_bytes: 8, told, ..Options::default() };
    for (options, end, rejected) in [(&canonical, "\r", 0), (&canonical, "\r\n", 1), (&other, "\r", 0)] {
        let input = ["a,b", "1,22222", "3,4", ""].join(end);
        let input =
            if options.told.delimiter == other.told.delimiter { input.replace(',', ";") } else { input };
        for sizes in [&[][..], &[1]] {
            let ran = run_chunked(input.as_bytes(), sizes, options).unwrap();
            assert_eq!(ran.summary.counts.rows_rejected, rejected, "{end:?}");
        }
    }
}

#[test]
fn what_is_no_csv_is_refused_by_name() {
    assert_eq!(run_bad(b"%PDF-1.7\n").code, "unsupported_format");
    assert_eq!(run_bad(b"\xff\xfe\x00\x00i\x00\x00\x00").code, "unsupported_encoding");
    assert_eq!(run_bad(b"GIF89a\x00\x01").code, "not_csv");
    let header = run_chunked(b"\"id,name\n1,a\n", &[], &told());
    assert!(matches!(header, Err(EngineError::BadFile(bad)) if bad.code == "unreadable_header"));
}

#[test]
fn a_file_whose_every_line_opens_a_quote_is_read_in_one_pass() {
    // From each line's start, no record ever ends: scanned once a line, this would take hours.
    for line in [&b"a\",\"\n"[..], b"a\",\"\r"] {
        let input = [&b"id,name\n"[..], &line.repeat(100_000)].concat();
        let ran = run_chunked(&input, &[], &told()).unwrap();
        assert_eq!(ran.summary.counts, counts(100_000, 0, 100_000));
        assert!(ran.rejects.iter().all(|reject| reject["reason"] == "unclosed_quote"));
    }
}

#[test]
fn rejects_leave_whatever_the_block() {
    let options = Options { block_bytes: 4 << 20, ..told() };
    let input = [&b"id,name\n"[..], &b"x\n".repeat(20_000)].concat();
    assert_eq!(run_chunked(&input, &[], &options).unwrap().summary.counts, counts(20_000, 0, 20_000));
}

#[test]
fn a_long_field_full_of_carriage_returns_is_read_in_one_pass() {
    let field = [&b"x".repeat(40)[..], b"\r"].concat().repeat(25_000);
    let input = [&b"id,name\n1,\""[..], &field[..1_000_000], b"\"\n"].concat();
    assert_eq!(run(&input).summary.counts, counts(1, 1, 0));
}

#[test]
fn the_caller_has_a_turn_while_bytes_are_there() {
    let input = [&b"id,name\n"[..], &b"1,abcdef\n".repeat(1_000_000)].concat();
    for file in [input.clone(), crate::harness::gzip(&input)] {
        let stream = futures::stream::iter([Ok(bytes::Bytes::from(file))]);
        let (mut clean, mut rejects) = (Vec::new(), Vec::new());
        let options = Options { output_compression: Some(engine::Compression::None), ..Options::default() };
        let mut run = std::pin::pin!(engine::run(stream, &mut clean, &mut rejects, &options));
        let mut turns = 0;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while run.as_mut().poll(&mut context).is_pending() {
            turns += 1;
        }
        assert!(turns >= 5, "{turns} turns in 9 MB");
    }
}

#[test]
fn carriage_returns_alone_are_read_in_one_pass() {
    let input = [&b"id,name\r"[..], &b"1,2\r".repeat(1_000_000)].concat();
    assert_eq!(run(&input).summary.counts, counts(1_000_000, 1_000_000, 0));
}

/// Keeps what it is given, as a part of an upload does until it is full, and says how large each piece is.
#[derive(Default)]
pub(crate) struct Held(pub(crate) Vec<bytes::Bytes>);

impl engine::Sink for Held {
    async fn write(&mut self, chunk: bytes::Bytes) -> std::io::Result<()> {
        self.0.push(chunk);
        Ok(())
    }
}

#[tokio::test]
async fn rows_that_are_few_hold_little_and_rejects_that_are_many_come_in_pieces() {
    // Per block one row is kept; a record just under the limit makes the buffer as large as it gets.
    let long = [&b"1,"[..], &vec![b'x'; 1_000_000], b"\n"].concat();
    let block = [&b"2,b\n"[..], &b"x\n".repeat(130_000)].concat();
    let input = [&b"id,name\n"[..], &long, &block.repeat(8)].concat();
    let (mut clean, mut rejects) = (Held::default(), Held::default());
    let stream = crate::harness::Chunks::new(&input, &[1 << 20]);
    let summary = engine::run(stream, &mut clean, &mut rejects, &Options::default()).await.unwrap();
    assert_eq!(summary.counts, counts(9 + 8 * 130_000, 9, 8 * 130_000));
    assert_eq!(clean.0.len(), 2, "small pieces are gathered");
    let largest = rejects.0.iter().map(bytes::Bytes::len).max().unwrap();
    assert!(largest < 2 << 20, "a piece of {largest} bytes");
}
