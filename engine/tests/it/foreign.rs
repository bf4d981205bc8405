//! Files as programs and people write them, with what a reader of them expects. Nothing is told of any.

use crate::harness::{Ran, run};

/// What is expected of a file: the clean one, and why rows are missing.
struct Case {
    name: &'static str,
    file: Vec<u8>,
    clean: &'static str,
    rejected: &'static [&'static str],
}

fn case(name: &'static str, file: impl Into<Vec<u8>>, clean: &'static str) -> Case {
    Case { name, file: file.into(), clean, rejected: &[] }
}

impl Case {
    fn rejecting(self, rejected: &'static [&'static str]) -> Self {
        Self { rejected, ..self }
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[track_caller]
fn come_out(cases: impl IntoIterator<Item = Case>) {
    for Case { name, file, clean, rejected } in cases {
        let Ran { output, rejects, summary } = run(&file);
        let dialect = &summary.dialect;
        assert_eq!(String::from_utf8_lossy(&output), clean, "{name}: {dialect:?}");
        let reasons: Vec<_> = rejects.iter().filter_map(|reject| reject["reason"].as_str()).collect();
        assert_eq!(reasons, rejected, "{name}");
    }
}

const AMOUNTS: &str = "id,name,amount\n1,Anna,1.50\n2,Bob,2.75\n3,Cid,3.00\n";

/// The same table with another delimiter.
fn amounts(delimiter: &str) -> String {
    AMOUNTS.replace(',', delimiter)
}

#[test]
fn spreadsheets_exports_come_out() {
    let german = "id;betrag\r\n1;1.234,50\r\n2;-2,75\r\n3;0,00\r\n";
    come_out([
        case("a line for Excel", ["sep=;\r\n", &amounts(";").replace('\n', "\r\n")].concat(), AMOUNTS),
        case("a quoted one", ["\"sep=\t\"\r\n", &amounts("\t")].concat(), AMOUNTS),
        case("Unicode text", utf16(&["\u{feff}", &amounts("\t").replace('\n', "\r\n")].concat()), AMOUNTS),
        case("such a line in UTF-16", utf16(&["\u{feff}sep=;\r\n", &amounts(";")].concat()), AMOUNTS),
        case("decimal commas", german, "id,betrag\n1,\"1.234,50\"\n2,\"-2,75\"\n3,\"0,00\"\n"),
        case(
            "a mark before quotes",
            "\u{feff}\"id\",\"note\"\r\n\"1\",\"a, b\"\r\n\"2\",\"c\"\r\n",
            "id,note\n1,\"a, b\"\n2,c\n",
        ),
        case(
            "numbers as texts",
            "id,zip\n1,=\"01234\"\n2,=\"00123\"\n",
            "id,zip\n1,\"=\"\"01234\"\"\"\n2,\"=\"\"00123\"\"\"\n",
        ),
        case(
            "each line quoted once more",
            "\"id,name\"\n\"1,\"\"Anna\"\"\"\n\"2,\"\"Bob\"\"\"\n",
            "\"id,name\"\n\"1,\"\"Anna\"\"\"\n\"2,\"\"Bob\"\"\"\n",
        ),
        case(
            "names over two lines",
            "\"id\",\"amount\n(EUR)\"\n1,1.50\n2,2.75\n",
            "id,\"amount\n(EUR)\"\n1,1.50\n2,2.75\n",
        ),
        case("old Macs", AMOUNTS.replace('\n', "\r"), AMOUNTS),
        case("lines' ends of all kinds", "id,name\r\n1,a\n2,b\r3,c\r\n", "id,name\n1,a\n2,b\n3,c\n"),
        case("a mark of the file's end", "id,name\n1,a\n2,b\n\x1a", "id,name\n1,a\n2,b\n")
            .rejecting(&["too_few_fields"]),
    ]);
}

#[test]
fn databases_exports_come_out() {
    let ruled = "id,name,amount\r\n--,----,------\r\n1,Anna,1.50\r\n2,Bob,2.75\r\n3,Cid,3.00\r\n\r\n(3 rows affected)\r\n";
    let escaped = "1\tab\\\ncd\tx\n2\tef\ty\n3\tg\\\th\tz\n";
    come_out([
        case("a rule below names, and a count", ruled, AMOUNTS).rejecting(&["footnote"]),
        case("a count right below", [&amounts("|"), "(3 rows)\n"].concat(), AMOUNTS)
            .rejecting(&["too_few_fields"]),
        case(
            "a table in text",
            "|id|name|\n|----|-----|\n|1|Anna|\n|2|Bob|\n",
            "column_1,id,name,column_4\n,1,Anna,\n,2,Bob,\n",
        ),
        case(
            "delimiters at the ends",
            "id|name|amount|\n1|Anna|1.50|\n2|Bob|2.75|\n",
            "id,name,amount,column_4\n1,Anna,1.50,\n2,Bob,2.75,\n",
        ),
        case("a name too many", "id,name,amount,\n1,Anna,1.50\n2,Bob,2.75\n3,Cid,3.00\n", AMOUNTS),
        case(
            "line ends behind a backslash",
            escaped,
            "column_1,column_2,column_3\n1,\"ab\ncd\",x\n2,ef,y\n3,g\th,z\n",
        ),
        case(
            "colons twice, and lists",
            "1::Heat (1995)::Action|Crime\n2::Jumanji (1995)::Family|Magic\n",
            "column_1,column_2,column_3\n1,Heat (1995),Action|Crime\n2,Jumanji (1995),Family|Magic\n",
        ),
        case("bytes of control", amounts("\u{1}"), AMOUNTS),
        case("several characters", amounts("~|~"), AMOUNTS),
        case(
            "paths of Windows",
            "path,size\nC:\\Temp\\,5\nC:\\new\\a.txt,6\n",
            "path,size\nC:\\Temp\\,5\nC:\\new\\a.txt,6\n",
        ),
    ]);
}

#[test]
fn what_stands_around_a_table_is_told_from_it() {
    let titles = ["Report;Sales\nMade;2026-11-28;10:00\n\n", &amounts(";").replace('\n', ";x\n")].concat();
    let notes = "Acme\nAnnual report, 2026, final version\nTel: 123\n\n";
    let bank = "\"Account:\";\"DE12 3456\";\n\n\"From:\";\"01.10.2026\";\n\"Balance:\";\"1.234,56 EUR\";\n\n\
                \"Day\";\"Text\";\"Who\";\"Amount\";\n\"01.10.2026\";\"a\";\"b\";\"-1,50\";\n\"02.10.2026\";\"c\";\"d\";\"2,50\";\n";
    come_out([
        case(
            "titles with delimiters",
            titles,
            "id,name,amount,x\n1,Anna,1.50,x\n2,Bob,2.75,x\n3,Cid,3.00,x\n",
        ),
        case(
            "notes with commas",
            [notes, &AMOUNTS.replace('\n', ",x\n")].concat(),
            "id,name,amount,x\n1,Anna,1.50,x\n2,Bob,2.75,x\n3,Cid,3.00,x\n",
        ),
        case(
            "a bank's",
            bank,
            "Day,Text,Who,Amount,column_5\n01.10.2026,a,b,\"-1,50\",\n02.10.2026,c,d,\"2,50\",\n",
        ),
        case("comments", ["# by hand\n# in 2026\n", AMOUNTS].concat(), AMOUNTS),
        case("other comments", ["// by hand\n// in 2026\n", AMOUNTS].concat(), AMOUNTS),
        case(
            "names behind a comment's mark",
            ["#", &amounts("\t")].concat(),
            "#id,name,amount\n1,Anna,1.50\n2,Bob,2.75\n3,Cid,3.00\n",
        ),
        case("blank lines everywhere", AMOUNTS.replace('\n', "\n\n"), AMOUNTS),
        case("a sum", [AMOUNTS, "Total: 3 rows\n"].concat(), AMOUNTS).rejecting(&["too_few_fields"]),
        case("notes below", [AMOUNTS, "\nSource: the office\n"].concat(), AMOUNTS).rejecting(&["footnote"]),
        // The first of two tables is no preamble of the second: its rows are not skipped.
        case("two tables", "id,name\n1,a\n2,b\n\nid,price,qty\n1,2.5,3\n2,3.5,4\n", "id,name\n1,a\n2,b\n")
            .rejecting(&["too_many_fields"; 3]),
    ]);
}

#[test]
fn names_are_told_from_rows() {
    let years = "country,2024,2025\nDE,1.5,2.5\nFR,1.0,2.0\n";
    let numbered = ",0,1,2\n0,0.5,3.25,0.1\n1,1.5,4.25,2.1\n2,2.5,5.25,4.1\n";
    let ages = "1950,1960,1970\n1951,1961,1971\n1952,1962,1972\n";
    come_out([
        case("years as names", years, years),
        case(
            "years that are rows",
            ages,
            "column_1,column_2,column_3\n1950,1960,1970\n1951,1961,1971\n1952,1962,1972\n",
        ),
        case(
            "dates as names",
            "shop,2026-01-01,2026-01-02\nA,5,6\nB,7,8\n",
            "shop,2026-01-01,2026-01-02\nA,5,6\nB,7,8\n",
        ),
        case(
            "numbers of columns",
            numbered,
            "column_1,0,1,2\n0,0.5,3.25,0.1\n1,1.5,4.25,2.1\n2,2.5,5.25,4.1\n",
        ),
        case("names alone", "id;name;amount\r\n", "id,name,amount\n"),
        case("one row alone", "1,Berlin,2020-01-01\n", "column_1,column_2,column_3\n1,Berlin,2020-01-01\n"),
        case(
            "names twice and none",
            "id,name,name,\n1,a,b,c\n2,d,e,f\n",
            "id,name,name_2,column_4\n1,a,b,c\n2,d,e,f\n",
        ),
    ]);
}

#[test]
fn a_single_column_stays_one() {
    let sentences = "comment\nHello, world\nThis is fine\nI like it, really, a lot\nok\n";
    let aligned = "id    name      amount\n1     Anna      1.50\n2     Bobo      2.75\n";
    come_out([
        case(
            "sentences",
            sentences,
            "comment\n\"Hello, world\"\nThis is fine\n\"I like it, really, a lot\"\nok\n",
        ),
        case(
            "paths",
            "/usr/bin/a\n/usr/bin/b\n/usr/lib/c\n",
            "column_1\n/usr/bin/a\n/usr/bin/b\n/usr/lib/c\n",
        ),
        case(
            "times",
            "at\n2026-01-01 10:00:00\n2026-01-02 11:00:00\n",
            "at\n2026-01-01 10:00:00\n2026-01-02 11:00:00\n",
        ),
        case("mails", "email\na@example.com\nb@example.com\n", "email\na@example.com\nb@example.com\n"),
        case("columns lined up with spaces", aligned, aligned),
        case("one word", "hello", "hello\n"),
    ]);
}

#[test]
fn what_a_field_holds_splits_no_row() {
    let json =
        "id\tpayload\n1\t{\"a\": 1, \"b\": [1,2], \"c\": \"x\"}\n2\t{\"a\": 2, \"b\": [3,4], \"c\": \"y\"}\n";
    let inches =
        "id\ttext\n1\t5\" pipe\n2\t6\" pipe\n3\t7\" pipe\n4\t\"only begun\n5\tplain\n6\t12\" x 3\"\n";
    let logged = "at;value\n2026-11-28 10:00:00,123;0,5\n2026-11-28 10:00:01,456;1,5\n";
    come_out([
        case(
            "lists and objects as they are",
            json,
            "id,payload\n1,\"{\"\"a\"\": 1, \"\"b\"\": [1,2], \"\"c\"\": \"\"x\"\"}\"\n2,\"{\"\"a\"\": 2, \"\"b\"\": [3,4], \"\"c\"\": \"\"y\"\"}\"\n",
        ),
        case(
            "lists and objects in quotes",
            "id,tags\n1,\"[\"\"a\"\",\"\"b\"\"]\"\n2,\"[\"\"c\"\"]\"\n",
            "id,tags\n1,\"[\"\"a\"\",\"\"b\"\"]\"\n2,\"[\"\"c\"\"]\"\n",
        ),
        // Two of its quotes, three lines apart, would make one field of three rows.
        case(
            "quotes that mean inches",
            inches,
            "id,text\n1,\"5\"\" pipe\"\n2,\"6\"\" pipe\"\n3,\"7\"\" pipe\"\n4,\"\"\"only begun\"\n5,plain\n6,\"12\"\" x 3\"\"\"\n",
        ),
        case(
            "commas in times and numbers",
            logged,
            "at,value\n\"2026-11-28 10:00:00,123\",\"0,5\"\n\"2026-11-28 10:00:01,456\",\"1,5\"\n",
        ),
        case(
            "numbers with spaces between",
            "x y z\n0 0.5 0\n1 2.5 3\n2 4.5 6\n",
            "x,y,z\n0,0.5,0\n1,2.5,3\n2,4.5,6\n",
        ),
        case(
            "apostrophes",
            "id,name\n1,O'Brien\n2,'s-Hertogenbosch\n",
            "id,name\n1,O'Brien\n2,'s-Hertogenbosch\n",
        ),
        case(
            "lists of words",
            "id,tags,score\n1,a;b;c,0.5\n2,d;e;f,1.5\n",
            "id,tags,score\n1,a;b;c,0.5\n2,d;e;f,1.5\n",
        ),
        case(
            "colours",
            "name,colour\nred,#ff0000\nblue,#0000ff\n",
            "name,colour\nred,#ff0000\nblue,#0000ff\n",
        ),
        case(
            "a comma that nobody quoted",
            "id,name,city\n1,Anna,Ulm\n2,Bob, Jr.,Bonn\n3,Cid,Kiel\n",
            "id,name,city\n1,Anna,Ulm\n3,Cid,Kiel\n",
        )
        .rejecting(&["too_many_fields"]),
    ]);
}

#[test]
fn letters_that_come_late_and_lines_that_are_long_are_read() {
    let plain = "1,plain\n".repeat(300);
    let late = [b"id,name\n", plain.as_bytes(), b"301,M\xfcller\n302,Gro\xdf\n"].concat();
    let ran = run(&late);
    assert!(ran.output.ends_with("301,Müller\n302,Groß\n".as_bytes()));
    assert_eq!(ran.summary.counts.rows_rejected, 0);
    let title = "x".repeat(300_000);
    let ran = run([&title, "\n", AMOUNTS].concat().as_bytes());
    assert_eq!((ran.summary.dialect.preamble_lines, ran.summary.dialect.header_lines), (1, 1));
    assert_eq!(ran.output, AMOUNTS.as_bytes());
}
