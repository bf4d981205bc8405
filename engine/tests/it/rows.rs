//! What becomes of each kind of row.

use engine::{Counts, Options};

use crate::harness::{run, run_bad, run_chunked};

fn counts(rows_in: u64, rows_out: u64, rows_rejected: u64) -> Counts {
    Counts { rows_in, rows_out, rows_rejected, rows_filtered: 0 }
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
    assert_eq!(few["message"], "the header has 2 fields, this row has 1");
    assert_eq!(many["reason"], "too_many_fields");
    assert_eq!((&many["line"], &many["lines"]), (&5.into(), &2.into()));
    assert_eq!(many["raw"], "3,\"x\ny\",z\r\n");
    assert_eq!(ran.summary.spans.skipped, 2);
}

#[test]
fn bytes_that_are_not_utf8_pass_and_are_said() {
    let ran = run(b"id,name\n1,caf\xe9\n2\xff\n");
    assert_eq!(ran.output, b"id,name\n1,caf\xe9\n");
    assert_eq!(ran.summary.dialect.encoding, "unknown-8bit");
    assert_eq!(ran.rejects[0]["raw_encoding"], "base64");
    assert_eq!(run("id,name\n1,café\n".as_bytes()).summary.dialect.encoding, "utf-8");
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
    for row in 0..200_000 {
        let quote = if row == 10 { "\"" } else { "" };
        input.extend_from_slice(format!("{row},{quote}name of {row}\n").as_bytes());
    }
    let ran = run(&input);
    assert_eq!(ran.summary.counts, counts(200_000, 199_999, 1));
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
fn what_is_no_csv_is_refused_by_name() {
    assert_eq!(run_bad(b"PK\x03\x04\x14\x00\x00\x00").code, "unsupported_format");
    assert_eq!(run_bad(b"\xff\xfei\x00d\x00").code, "unsupported_encoding");
    assert_eq!(run_bad(b"GIF89a\x00\x01").code, "not_csv");
    assert_eq!(run_bad(b"\"id,name\n1,a\n").code, "unreadable_header");
}
