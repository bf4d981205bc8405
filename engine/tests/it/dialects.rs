//! Every dialect, told and found.

use engine::{
    Comment, EngineError, Escape, MaxRejects, NulBytes, Options, Policies, Quote, Ragged, RunawayQuote,
    StrayQuotes, Terminator, Told,
};

use crate::harness::{Ran, run, run_chunked};

fn with(told: Told) -> Options {
    Options { told, ..Options::default() }
}

fn policies(policies: Policies) -> Options {
    Options { policies, told: Told::rfc4180(), ..Options::default() }
}

fn text(ran: &Ran) -> &str {
    std::str::from_utf8(&ran.output).unwrap()
}

#[track_caller]
fn reads(told: Told, input: &str, output: &str) {
    let ran = run_chunked(input.as_bytes(), &[], &with(told)).unwrap();
    assert_eq!(text(&ran), output);
    assert!(ran.summary.adds_up());
}

#[test]
fn a_delimiter_of_any_length_is_read() {
    let delimiter = |delimiter: &[u8]| Told { delimiter: Some(delimiter.to_vec()), ..Told::rfc4180() };
    reads(delimiter(b";"), "a;b\n1,5;\"x;y\"\n", "a,b\n\"1,5\",x;y\n");
    reads(delimiter(b"\t"), "a\tb\n1\t2\n", "a,b\n1,2\n");
    reads(delimiter(b", "), "a, b\n1, \"2, 3\"\n4,5, 6\n", "a,b\n1,\"2, 3\"\n\"4,5\",6\n");
    reads(delimiter("§".as_bytes()), "a§b\n1§2\n", "a,b\n1,2\n");
    reads(delimiter(b"||"), "a||b\n1|2||3\n|||4\n", "a,b\n1|2,3\n,|4\n");
}

#[test]
fn trimming_leaves_a_delimiter_that_is_blank() {
    for (header, row, output) in
        [("a\tb\tc\n", "1\t\t\"x\"\n", "1,,x\n"), ("a b c\n", "1  \"x\"\n", "1,,x\n")]
    {
        let told = Told { delimiter: Some(vec![header.as_bytes()[1]]), ..Told::rfc4180() };
        let options = Options { policies: Policies { trim: true, ..Policies::default() }, ..with(told) };
        let ran = run_chunked([header, row].concat().as_bytes(), &[], &options).unwrap();
        assert_eq!(text(&ran), ["a,b,c\n", output].concat());
    }
}

#[test]
fn formulas_in_the_header_are_neutralised_too() {
    let options = policies(Policies { neutralize_formulas: true, ..Policies::default() });
    let ran = run_chunked(b"=1+1,b\n1,2\n", &[], &options).unwrap();
    assert_eq!(text(&ran), "'=1+1,b\n1,2\n");
}

#[test]
fn a_runaway_quote_that_closes_nearby_does_not_fail_the_file() {
    let options = policies(Policies { runaway_quote: RunawayQuote::Fail, ..Policies::default() });
    let ran = run_chunked(b"a,b\n1,x\n\"2,y\n3,\"z\"\n", &[], &options).unwrap();
    assert_eq!((text(&ran), ran.summary.counts.rows_rejected), ("a,b\n1,x\n3,z\n", 1));
}

#[test]
fn quotes_and_escapes_are_read_as_told() {
    let told = |quote, escape| Told { quote: Some(quote), escape: Some(escape), ..Told::rfc4180() };
    reads(
        told(Quote::Byte(b'\''), Escape::Doubled),
        "a,b\n'1,2','it''s \"x\"'\n",
        "a,b\n\"1,2\",\"it's \"\"x\"\"\"\n",
    );
    reads(told(Quote::None, Escape::Doubled), "a,b\n\"1,2\"\n", "a,b\n\"\"\"1\",\"2\"\"\"\n");
    let backslash = Escape::Byte(b'\\');
    reads(
        told(Quote::Byte(b'"'), backslash),
        "a,b\n\"x\\\"y\",\"\\\\\"\n1\\,2,C:\\dir\n",
        "a,b\n\"x\"\"y\",\\\n\"1,2\",C:\\dir\n",
    );
    reads(told(Quote::None, backslash), "a,b\n1\\,2,3\n", "a,b\n\"1,2\",3\n");
    let none = Escape::None;
    reads(
        told(Quote::Byte(b'"'), none),
        "a,b\n\"5\" pipe\",\"\"\n\"\"x\",2\n",
        "a,b\n\"5\"\" pipe\",\n\"\"\"x\",2\n",
    );
}

#[test]
fn only_the_terminator_that_was_told_ends_a_record() {
    let told = |terminator| Told { terminator: Some(terminator), ..Told::rfc4180() };
    reads(told(Terminator::Lf), "a,b\n1,\r2\n", "a,b\n1,\"\r2\"\n");
    reads(told(Terminator::CrLf), "a,b\r\n1,\n2\r\n3,\r4\r\n", "a,b\n1,\"\n2\"\n3,\"\r4\"\n");
    reads(told(Terminator::Cr), "a,b\r1,\n2\r", "a,b\n1,\"\n2\"\n");
}

#[test]
fn the_lines_around_a_table_are_skipped_and_its_names_made() {
    let told = Told {
        preamble_lines: Some(2),
        header_lines: Some(2),
        comment: Some(Comment::Prefix(b"//".to_vec())),
        ..Told::rfc4180()
    };
    let ran =
        run_chunked(b"Report\n\"of 2020\n// names\na,b\n,kg\n// rows\n1,2\n", &[], &with(told)).unwrap();
    assert_eq!(text(&ran), "a,b kg\n1,2\n");
    assert_eq!(ran.summary.spans.skipped, 7 + 9 + 9 + 8);
    assert_eq!(ran.summary.spans.header, 4 + 4);
    assert_eq!((ran.summary.dialect.preamble_lines, ran.summary.dialect.comment_lines), (2, 2));
    reads(Told { header_lines: Some(0), ..Told::rfc4180() }, "1,2\n3,4\n", "column_1,column_2\n1,2\n3,4\n");
    let ran = run_chunked(b"a,a,\n1,2,3\n", &[], &with(Told::rfc4180())).unwrap();
    assert_eq!(text(&ran), "a,a_2,column_3\n1,2,3\n");
    assert_eq!(ran.summary.dialect.renamed.iter().map(|column| column.column).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn encodings_are_decoded_and_offsets_are_the_sources() {
    let latin = Told { encoding: engine::Encoding::for_label(b"latin1"), ..Told::rfc4180() };
    let ran = run_chunked(b"nom,prix\nAndr\xe9,5\nZo\xe9\n\xc9t\xe9,\x80 3\n", &[], &with(latin)).unwrap();
    assert_eq!(text(&ran), "nom,prix\nAndré,5\nÉté,€ 3\n");
    assert_eq!((&ran.rejects[0]["byte_offset"], &ran.rejects[0]["byte_length"]), (&17.into(), &4.into()));
    assert_eq!(ran.rejects[0]["raw_encoding"], "base64");
    assert_eq!(ran.summary.dialect.encoding, "windows-1252");
}

#[test]
fn ragged_rows_are_mended_where_policy_says_so() {
    let ragged = Ragged { pad: true, truncate_empty: true };
    let ran =
        run_chunked(b"a,b\n1\n2,3,,\n4,5,6\n", &[], &policies(Policies { ragged, ..Policies::default() }))
            .unwrap();
    assert_eq!(text(&ran), "a,b\n1,\n2,3\n");
    assert_eq!((ran.rejects.len(), ran.summary.dialect.rows_mended), (1, 2));
}

#[test]
fn a_stray_quote_costs_its_line_and_can_be_mended() {
    // The quote of the second row reaches for those of the third.
    let input = b"a,b\n1,\"x\n2,\"y\"\n\"3,4\n5,6\n";
    let ran = run_chunked(input, &[], &policies(Policies::default())).unwrap();
    assert_eq!(text(&ran), "a,b\n1,\"x\n2,y\"\"\"\n5,6\n");
    let input = b"a,b,c\n1,\"x,0\n2,0,\"y\"\n\"3,4,0\n5,6,0\n";
    let ran = run_chunked(input, &[], &policies(Policies::default())).unwrap();
    assert_eq!(text(&ran), "a,b,c\n2,0,y\n5,6,0\n");
    assert!(ran.rejects.iter().all(|reject| reject["reason"] == "unclosed_quote"), "{:?}", ran.rejects);
    let repair = Policies { stray_quotes: StrayQuotes::Repair, ..Policies::default() };
    let ran = run_chunked(input, &[], &policies(repair)).unwrap();
    assert_eq!(text(&ran), "a,b,c\n1,\"\"\"x\",0\n2,0,y\n\"\"\"3\",4,0\n5,6,0\n");
}

#[test]
fn a_file_fails_where_policy_says_so() {
    let code = |input: &[u8], of: Policies| match run_chunked(input, &[], &policies(of)) {
        Err(EngineError::BadFile(bad)) => Some(bad.code),
        Err(error) => panic!("{error:?}"),
        Ok(_) => None,
    };
    let runaway = Policies { runaway_quote: RunawayQuote::Fail, ..Policies::default() };
    assert_eq!(code(b"a,b\n1,\"2\n3,4\n", runaway), Some("runaway_quote"));
    let most = |most| Policies { max_rejects: Some(most), ..Policies::default() };
    let input = b"a,b\n1\n2\n3,4\n5,6\n";
    assert_eq!(code(input, most(MaxRejects::Rows(1))), Some("too_many_rejects"));
    assert_eq!(code(input, most(MaxRejects::Rows(2))), None);
    assert_eq!(code(input, most(MaxRejects::Percent(49.0))), Some("too_many_rejects"));
    assert_eq!(code(input, most(MaxRejects::Percent(50.0))), None);
}

/// Rows of a number, a date, a name and a remark.
fn table(delimiter: &str, quote: &str, end: &str) -> String {
    let mut text = ["id", "date", "name", "remark"].join(delimiter) + end;
    for row in 0..30 {
        let remark = format!("{quote}big{delimiter}blue{quote}");
        let fields =
            [row.to_string(), format!("2020-01-{:02}", row % 28 + 1), format!("name of {row}"), remark];
        text.push_str(&(fields.join(delimiter) + end));
    }
    text
}

#[test]
fn dialects_are_found() {
    for delimiter in [",", ";", "\t", "|", ", ", "||", "~", "\u{1}", "§"] {
        for quote in ["\"", "'"] {
            for end in ["\n", "\r\n", "\r"] {
                let ran = run(table(delimiter, quote, end).as_bytes());
                let dialect = &ran.summary.dialect;
                let found = (std::str::from_utf8(&dialect.delimiter).unwrap(), dialect.quote.name());
                assert_eq!(found, (delimiter, Some(quote.to_owned())), "{end:?}");
                assert_eq!((dialect.terminator, dialect.header_lines), (Some(end), 1));
                assert_eq!(ran.summary.counts.rows_out, 30);
                assert!(dialect.confidence.structure >= 50, "{delimiter} {:?}", dialect.confidence);
            }
        }
    }
}

#[test]
fn a_field_longer_than_the_sample_hides_no_quotes() {
    // Its lines would be rows of every width, if its quote were none.
    let line = "one, two \"\"three\"\", four\n";
    for before in ["id,text\n", "id,text\n1,a\n2,\"b, c\"\n"] {
        for length in [200 * 1024, 600 * 1024] {
            let long = line.repeat(length / line.len());
            let input = format!("{before}3,\"{long}\"\n4,\"{long}\"\n");
            let ran = run_chunked(input.as_bytes(), &[], &Options::default()).unwrap();
            assert_eq!(ran.summary.counts.rows_rejected, 0);
            assert!(ran.output == input.as_bytes(), "{before:?} and fields of {length} bytes");
        }
    }
}

#[test]
fn headers_preambles_and_comments_are_found() {
    let rows = "1,2020-01-01,a\n2,2020-01-02,b\n3,2020-01-03,c\n";
    let long = "note,,\n".repeat(60) + "id,date,name\n";
    let dialect = run([&long, &rows.repeat(40)[..]].concat().as_bytes()).summary.dialect;
    assert_eq!((dialect.preamble_lines, dialect.header_lines), (60, 1));
    for (front, preamble, header, comments) in [
        ("", 0, 0, 0),
        ("id,date,name\n", 0, 1, 0),
        ("id,date,name\nno,day,text\n", 0, 2, 0),
        ("Report of 2020\n\nid,date,name\n", 2, 1, 0),
        ("Report of 2020,,\n,,\nid,date,name\n", 2, 1, 0),
        ("# made by hand\nid,date,name\n", 0, 1, 1),
        ("#id,date,name\n", 0, 1, 0),
    ] {
        let dialect = run([front, rows].concat().as_bytes()).summary.dialect;
        let found = (dialect.preamble_lines, dialect.header_lines, dialect.comment_lines);
        assert_eq!(found, (preamble, header, comments), "{front}");
    }
}

#[test]
fn footnotes_are_skipped_as_told_and_rejected_as_found() {
    let table = "id,name,size\n1,a,2\n2,b,3\n3,c,4\n";
    let notes = "\nSource: the ministry, 2020\n* estimated figures\n\n(c) nobody,\n";
    let input = [table, notes].concat();
    for sizes in [&[][..], &[1], &[7, 0, 3]] {
        let ran = run_chunked(input.as_bytes(), sizes, &Options::default()).unwrap();
        assert_eq!(text(&ran), table);
        let told: Vec<_> =
            ran.rejects.iter().map(|reject| (reject["reason"].as_str(), reject["line"].as_u64())).collect();
        assert_eq!(told, [6, 7, 9].map(|line| (Some("footnote"), Some(line))));
        let raw: Vec<_> = ran.rejects.iter().filter_map(|reject| reject["raw"].as_str()).collect();
        assert_eq!(raw.concat(), notes.replace("\n\n", "\n").trim_start());
        assert_eq!(ran.summary.dialect.footnote_lines, 3);
        assert_eq!((ran.summary.spans.skipped, ran.summary.counts.rows_rejected), (2, 3));
        let told = Told { footnote_lines: Some(5), ..Told::default() };
        let ran = run_chunked(input.as_bytes(), sizes, &with(told)).unwrap();
        assert_eq!((text(&ran), ran.summary.dialect.footnote_lines), (table, 5));
        assert_eq!(ran.summary.spans.skipped, notes.len() as u64);
        let utf16: Vec<u8> = input.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for footnote_lines in [None, Some(5)] {
            let told = Told { footnote_lines, ..Told::default() };
            let ran = run_chunked(&utf16, sizes, &with(told)).unwrap();
            let skipped = if footnote_lines.is_none() { 4 } else { 2 * notes.len() as u64 };
            assert_eq!((text(&ran), ran.summary.spans.skipped), (table, skipped));
        }
    }
    let told = Told { footnote_lines: Some(0), ..Told::default() };
    assert_eq!(run_chunked(input.as_bytes(), &[], &with(told)).unwrap().summary.counts.rows_rejected, 3);
}

#[test]
fn a_header_among_the_footnotes_fails_the_file() {
    for (header_lines, footnote_lines, fails) in [(1, 3, true), (2, 2, true), (1, 2, false), (0, 3, true)] {
        let told = Told {
            header_lines: Some(header_lines),
            footnote_lines: Some(footnote_lines),
            ..Told::rfc4180()
        };
        let bad = match run_chunked(b"a,b\n1,2\n3,4\n", &[], &with(told)) {
            Ok(_) => None,
            Err(EngineError::BadFile(bad)) => Some(bad.code),
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(bad, fails.then_some("unreadable_header"), "{header_lines} {footnote_lines}");
    }
}

#[test]
fn what_is_not_clearly_a_footnote_is_rejected() {
    let table = "id,name,size\n1,a,2\n2,b,3\n3,c,4\n";
    for (end, rejected, footnotes) in [
        // Without a blank line before, it may be a row that was cut off.
        ("Source: nobody\n", 1, 0),
        ("\n4,d\n", 1, 0),
        ("\n4\n", 1, 0),
        ("\nTotal,9\n", 1, 0),
        ("\nSource: nobody\n4,d,5\n", 1, 0),
        ("\nSource: nobody\n4,d\n", 2, 0),
        // Blank lines with rows below them are no table's end.
        ("\nSource: nobody\n4,d,5\n\nSource: somebody\n", 2, 0),
        ("\n4,d,5\n\nMary Jones,e\n", 1, 0),
        // Too wide, cut off, or one word.
        ("\nJane Roe,3,4,5\n", 1, 0),
        ("\nMary Jones,Pa", 1, 0),
        ("\nA17\n", 1, 0),
        ("\nMary Jones,Paris\n", 1, 1),
        (&format!("\n{}", "a note\n".repeat(17)), 17, 0),
    ] {
        let ran = run([table, end].concat().as_bytes());
        let found = (ran.summary.counts.rows_rejected, ran.summary.dialect.footnote_lines);
        assert_eq!(found, (rejected, footnotes), "{end}");
        let lines: Vec<u64> = ran.rejects.iter().map(|reject| reject["line"].as_u64().unwrap()).collect();
        assert!(lines.is_sorted() && lines.len() as u64 == rejected, "{lines:?}");
    }
}

#[test]
fn a_row_that_begins_as_a_comment_does_is_a_row() {
    let rows = "1,2020-01-01,a\n2,2020-01-02,b\n3,2020-01-03,c\n";
    let input = ["# by hand\nid,date,name\n", rows, "# more\n", rows, "#4,2020-01-04,d\n# the end"].concat();
    for sizes in [&[][..], &[1], &[7]] {
        let ran = run_chunked(input.as_bytes(), sizes, &Options::default()).unwrap();
        assert_eq!(text(&ran), ["id,date,name\n", rows, rows, "#4,2020-01-04,d\n"].concat());
        assert_eq!(ran.summary.dialect.comment_lines, 3);
    }
}

#[test]
fn a_header_that_is_not_as_wide_as_the_rows_is_made_so() {
    let rows = "1,2020-01-01,a\n2,2020-01-02,b\n3,2020-01-03,c\n".repeat(5);
    for (header, names) in [
        ("id,date\n", "id,date,column_3\n"),
        ("id,,date,name\n", "id,date,name\n"),
        ("id,\"date,name\n", "id,\"\"\"date\",name\n"),
    ] {
        let ran = run([header, &rows].concat().as_bytes());
        assert_eq!(text(&ran), [names, &rows].concat());
    }
    let ran = run(["id,date,name,note\n", &rows].concat().as_bytes());
    assert_eq!(text(&ran), ["id,date,name,note\n", &rows.replace('\n', ",\n")].concat());
    assert_eq!(ran.summary.dialect.rows_mended, 15);
}

#[test]
fn quotes_without_an_escape_and_behind_a_backslash_are_found() {
    let quoted =
        |inner: &str| format!("id,size,name\n{}", format!("1,2,\"a {inner} pipe, blue\"\n").repeat(20));
    assert_eq!(run(quoted("5\"").as_bytes()).summary.dialect.escape, Escape::None);
    assert_eq!(run(quoted("5\\\"").as_bytes()).summary.dialect.escape, Escape::Byte(b'\\'));
    assert_eq!(run(quoted("5\"\"").as_bytes()).summary.dialect.escape, Escape::Doubled);
    let unquoted = format!("id\tname\n{}", "1\t\"So\" he said\n2\t\"it is\n".repeat(20));
    assert_eq!(run(unquoted.as_bytes()).summary.dialect.quote, Quote::None);
}

#[test]
fn a_first_row_with_a_stray_quote_is_no_header_where_there_is_none() {
    let input = b"1,\"2\n3,4\n5,6\n7,8\n";
    let told = Told { header_lines: Some(0), trusts_header: false, ..Told::rfc4180() };
    let ran = run_chunked(input, &[], &with(told.clone())).unwrap();
    assert_eq!(text(&ran), "column_1,column_2\n3,4\n5,6\n7,8\n");
    assert_eq!((ran.summary.dialect.header_lines, ran.summary.counts.rows_rejected), (0, 1));
    let repair = Policies { stray_quotes: StrayQuotes::Repair, ..Policies::default() };
    let ran = run_chunked(input, &[], &Options { policies: repair, ..with(told.clone()) }).unwrap();
    assert_eq!(text(&ran), "column_1,column_2\n1,\"\"\"2\"\n3,4\n5,6\n7,8\n");
    let input = b"1,\"\xff\n3,4\n5,6\n7,8\n";
    let ran = run_chunked(input, &[], &Options { policies: repair, ..with(told) }).unwrap();
    assert_eq!(text(&ran), "column_1,column_2\n3,4\n5,6\n7,8\n");
}

#[test]
fn the_rows_width_is_looked_at_also_where_all_else_is_told() {
    let told = Told { trusts_header: false, ..Told::rfc4180() };
    reads(told, "a,b\n1,2,3\n4,5,6\n7,8,9\n", "a,b,column_3\n1,2,3\n4,5,6\n7,8,9\n");
    let ran = run_chunked(b"a,b\n1,2,3\n", &[], &with(Told::rfc4180())).unwrap();
    assert_eq!(ran.summary.counts.rows_rejected, 1);
}

#[test]
fn fields_that_trimming_empties_are_empty() {
    let ragged = Ragged { pad: false, truncate_empty: true };
    let ran = run_chunked(
        b"a,b\n1,2, ,\t\n3,4, x\n",
        &[],
        &policies(Policies { ragged, trim: true, ..Policies::default() }),
    )
    .unwrap();
    assert_eq!((text(&ran), ran.rejects.len()), ("a,b\n1,2\n", 1));
}

#[test]
fn zero_bytes_in_the_header_fail_the_file_where_policy_rejects_them() {
    let nul = |nul| policies(Policies { nul, ..Policies::default() });
    match run_chunked(b"a,\0b\n1,2\n", &[], &nul(NulBytes::Reject)) {
        Err(EngineError::BadFile(bad)) => {
            assert_eq!((bad.code, bad.line), ("unreadable_header", Some(1)));
        }
        other => panic!("{:?}", other.map(|ran| ran.summary)),
    }
    assert_eq!(text(&run_chunked(b"a,\0b\n1,2\n", &[], &nul(NulBytes::Remove)).unwrap()), "a,b\n1,2\n");
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let message = |input: &[u8]| {
        let options = Options { max_record_bytes: 20, ..policies(Policies::default()) };
        let ran = run_chunked(input, &[], &options).unwrap();
        ran.rejects[0]["message"].as_str().unwrap().to_owned()
    };
    assert!(message(b"a,b\n\"1,2\n3,4\n").contains("before the file ends"));
    assert!(message(b"a,b,c\n\"1,2\n3\"4,5\n").contains("closes 1 lines below"));
    assert!(message(b"a,b\n\"1,2\n3,4\n5,6\n7,8\n9,10\n").contains("within 20 bytes"));
    let most = Policies { max_rejects: Some(MaxRejects::Rows(1)), ..Policies::default() };
    let Err(EngineError::BadFile(bad)) = run_chunked(b"a,b\n1\n2\n3,4\n", &[], &policies(most)) else {
        panic!("it passed")
    };
    assert_eq!((bad.code, bad.line), ("too_many_rejects", Some(3)));
}

#[test]
fn a_quote_or_an_escape_that_was_told_is_no_delimiter() {
    for told in [
        Told { quote: Some(Quote::Byte(b'|')), ..Told::default() },
        Told { escape: Some(Escape::Byte(b'|')), ..Told::default() },
    ] {
        let ran =
            run_chunked(b"id|day;t\n1|1;a\n2|2;b\n", &[], &Options { told, ..Options::default() }).unwrap();
        assert_eq!(ran.summary.dialect.delimiter, b";");
    }
}
