//! The flags that say how the file is written, and what becomes of bad rows.

use common::contract::Dialect;
use engine::{
    Comment, Encoding, Escape, InvalidBytes, MaxRejects, NulBytes, Policies, Quote, Ragged, RunawayQuote,
    StrayQuotes, Terminator, Told,
};

/// How the file is written. What is not given is found out.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How the file is written (found out from its first bytes where not given)")]
pub(super) struct DialectArgs {
    /// What stands between fields: one character or more, such as `;`, `\t`, `\x01` or `, `
    #[arg(long, value_name = "TEXT", value_parser = delimiter, allow_hyphen_values = true)]
    delimiter: Option<Bytes>,
    /// What stands around fields, or `none` where quotes mean nothing
    #[arg(long, value_name = "CHAR|none", value_parser = quote)]
    quote: Option<Quote>,
    /// How a quote stands inside quotes: `doubled`, `none` (as it is), or behind this character, such as `\`
    #[arg(long, value_name = "CHAR|doubled|none", value_parser = escape)]
    escape: Option<Escape>,
    /// The encoding, such as utf-8, utf-16le or windows-1252; a byte-order mark is believed first
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Option<&'static Encoding>,
    /// What ends a record; without it, whichever of the three comes
    #[arg(long, value_name = "KIND")]
    terminator: Option<TerminatorArg>,
    /// Records that hold the columns' names, joined with a space; 0 if there are none: `column_1`, `column_2`, …
    #[arg(long, value_name = "N")]
    header_lines: Option<u64>,
    /// Lines above the header that are no part of the table
    #[arg(long, value_name = "N")]
    preamble_lines: Option<u64>,
    /// Lines at the end of the file that are no part of the table; 0 if there are none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1000))]
    footnote_lines: Option<u64>,
    /// What begins a line that is a comment, or `none`
    #[arg(long, value_name = "TEXT|none", value_parser = comment)]
    comment: Option<Comment>,
}

/// What becomes of rows that are not as they should be. The defaults lose nothing and change no value.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What becomes of bad rows")]
pub(super) struct PolicyArgs {
    /// Rows of another width than the header's: rejected, padded with empty fields, or freed of the empty fields at
    /// their end; `pad,truncate-empty` does both
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_value = "reject")]
    ragged: Vec<RaggedArg>,
    /// Bytes that the encoding does not have: their row is rejected, or they become U+FFFD
    #[arg(long, value_name = "KIND", default_value = "reject")]
    invalid_bytes: InvalidBytesArg,
    /// Zero bytes: they stay, are left out, or cost their row
    #[arg(long, value_name = "KIND", default_value = "keep")]
    nul_bytes: NulBytesArg,
    /// A row that a stray quote gives another width: rejected, or read with one quote taken as it stands, if that fits in
    /// one way only
    #[arg(long, value_name = "KIND", default_value = "reject")]
    stray_quotes: StrayQuotesArg,
    /// A quote that does not close within the longest record: its line is rejected and the next one read, or the file
    /// fails
    #[arg(long, value_name = "KIND", default_value = "resync")]
    on_runaway_quote: RunawayQuoteArg,
    /// The longest record, such as 16MiB; memory is bounded by it
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = max_record_bytes)]
    max_record_bytes: usize,
    /// The most rows that may be rejected before the file fails, as a number or in per cent
    #[arg(long, value_name = "N|P%", value_parser = max_rejects)]
    max_rejects: Option<MaxRejects>,
    /// Take the spaces and tabs around fields away
    #[arg(long)]
    trim: bool,
    /// Put an apostrophe before fields that a spreadsheet would take for formulas (=, +, -, @ first; numbers stay)
    #[arg(long)]
    neutralize_formulas: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TerminatorArg {
    Any,
    Lf,
    Crlf,
    Cr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RaggedArg {
    Reject,
    Pad,
    TruncateEmpty,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum InvalidBytesArg {
    Reject,
    Replace,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum NulBytesArg {
    Keep,
    Remove,
    Reject,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum StrayQuotesArg {
    Reject,
    Repair,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RunawayQuoteArg {
    Resync,
    Fail,
}

impl DialectArgs {
    pub(super) fn told(&self) -> Told {
        Told {
            delimiter: self.delimiter.clone().map(|delimiter| delimiter.0),
            quote: self.quote,
            escape: self.escape,
            encoding: self.encoding,
            terminator: self.terminator.map(|terminator| match terminator {
                TerminatorArg::Any => Terminator::Any,
                TerminatorArg::Lf => Terminator::Lf,
                TerminatorArg::Crlf => Terminator::CrLf,
                TerminatorArg::Cr => Terminator::Cr,
            }),
            header_lines: self.header_lines,
            preamble_lines: self.preamble_lines,
            footnote_lines: self.footnote_lines,
            comment: self.comment.clone(),
            trusts_header: false,
        }
    }

    /// Why what was given makes no sense together, if it doesn't.
    pub(super) fn contradiction(&self) -> Option<String> {
        let delimiter = &self.delimiter.as_ref()?.0;
        let quote = match self.quote {
            Some(Quote::Byte(quote)) => Some(quote),
            Some(Quote::None) => None,
            None => Some(b'"'),
        };
        let escape = match self.escape {
            Some(Escape::Byte(escape)) => Some(escape),
            _ => None,
        };
        let first = delimiter.first().copied();
        (first == quote || first == escape)
            .then(|| "--delimiter begins with the quote or the escape: give three that differ".into())
    }
}

impl PolicyArgs {
    pub(super) fn policies(&self) -> Policies {
        Policies {
            ragged: Ragged {
                pad: self.ragged.contains(&RaggedArg::Pad),
                truncate_empty: self.ragged.contains(&RaggedArg::TruncateEmpty),
            },
            invalid_bytes: match self.invalid_bytes {
                InvalidBytesArg::Reject => InvalidBytes::Reject,
                InvalidBytesArg::Replace => InvalidBytes::Replace,
            },
            nul: match self.nul_bytes {
                NulBytesArg::Keep => NulBytes::Keep,
                NulBytesArg::Remove => NulBytes::Remove,
                NulBytesArg::Reject => NulBytes::Reject,
            },
            stray_quotes: match self.stray_quotes {
                StrayQuotesArg::Reject => StrayQuotes::Reject,
                StrayQuotesArg::Repair => StrayQuotes::Repair,
            },
            runaway_quote: match self.on_runaway_quote {
                RunawayQuoteArg::Resync => RunawayQuote::Resync,
                RunawayQuoteArg::Fail => RunawayQuote::Fail,
            },
            trim: self.trim,
            neutralize_formulas: self.neutralize_formulas,
            max_rejects: self.max_rejects,
        }
    }

    pub(super) fn max_record_bytes(&self) -> usize {
        self.max_record_bytes
    }
}

/// What is told of a file that was not written as most are, for people.
pub(super) fn unusual(dialect: &Dialect) -> Vec<String> {
    let mut told = Vec::new();
    if dialect.delimiter != "," {
        told.push(format!("delimiter {:?}", dialect.delimiter));
    }
    match dialect.quote.as_deref() {
        Some("\"") => {}
        Some(quote) => told.push(format!("quote {quote}")),
        None => told.push("no quotes".into()),
    }
    match dialect.escape.as_deref() {
        Some("doubled") | None => {}
        Some("none") => told.push("quotes not escaped".into()),
        Some(escape) => told.push(format!("escape {escape}")),
    }
    if dialect.encoding != "utf-8" {
        told.push(dialect.encoding.clone());
    }
    for (lines, what) in [
        (dialect.preamble_lines, "preamble"),
        (dialect.comment_lines, "comment"),
        (dialect.footnote_lines, "footnote"),
    ] {
        if lines > 0 {
            told.push(format!("{lines} {what} line{}", if lines == 1 { "" } else { "s" }));
        }
    }
    match dialect.header_lines {
        0 => told.push("no header".into()),
        1 => {}
        lines => told.push(format!("{lines} header lines")),
    }
    told
}

/// Bytes that a flag was given. A list of its own, as clap takes a `Vec` for a flag that comes several times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bytes(Vec<u8>);

/// Text with `\t`, `\\` and `\xHH` for what a shell makes hard to type.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let (byte, length) = match rest.as_bytes() {
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'0', ..] => (0, 1),
            [b'x', ..] => {
                let byte = rest.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (byte.ok_or("\\x wants two hexadecimal digits")?, 3)
            }
            // One alone is meant as it stands.
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn delimiter(text: &str) -> Result<Bytes, String> {
    let bytes = unescaped(text)?;
    match bytes.len() {
        0 => Err("it is empty".into()),
        _ if bytes.contains(&0) => Err(ZERO.into()),
        1..=16 if !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) => Ok(Bytes(bytes)),
        1..=16 => Err("it has a line's end".into()),
        _ => Err("it is longer than 16 bytes".into()),
    }
}

/// A file with zero bytes at its start is a binary one, or in UTF-16.
const ZERO: &str = "a zero byte can't be told: a file that has them is taken for a binary one";

fn one_byte(text: &str) -> Result<u8, String> {
    match unescaped(text)?[..] {
        [0] => Err(ZERO.into()),
        [byte] if !matches!(byte, b'\n' | b'\r') => Ok(byte),
        _ => Err("one character of ASCII is wanted".into()),
    }
}

fn quote(text: &str) -> Result<Quote, String> {
    if text == "none" { Ok(Quote::None) } else { one_byte(text).map(Quote::Byte) }
}

fn escape(text: &str) -> Result<Escape, String> {
    match text {
        "doubled" => Ok(Escape::Doubled),
        "none" => Ok(Escape::None),
        "backslash" => Ok(Escape::Byte(b'\\')),
        _ => one_byte(text).map(Escape::Byte),
    }
}

fn comment(text: &str) -> Result<Comment, String> {
    match (text, unescaped(text)?) {
        ("none", _) => Ok(Comment::None),
        (_, prefix) if prefix.is_empty() => Err("it is empty".into()),
        (_, prefix) => Ok(Comment::Prefix(prefix)),
    }
}

fn encoding(label: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| "no encoding has this name; utf-8, utf-16le and windows-1252 are some".into())
}

fn max_record_bytes(text: &str) -> Result<usize, String> {
    let bytes = common::size::parse(text)?;
    match usize::try_from(bytes) {
        Ok(bytes) if (1..=1 << 30).contains(&bytes) => Ok(bytes),
        _ => Err("from 1 byte to 1 GiB".into()),
    }
}

fn max_rejects(text: &str) -> Result<MaxRejects, String> {
    let wrong = || "a number of rows is wanted, or a share such as 0.5%".to_owned();
    match text.strip_suffix('%') {
        None => text.parse().map(MaxRejects::Rows).map_err(|_not_a_number| wrong()),
        Some(share) => match share.trim().parse() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(MaxRejects::Percent(share)),
            _ => Err(wrong()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_makes_hard_to_type_can_be_spelled() {
        for (text, bytes) in [
            (";", &b";"[..]),
            ("\\t", b"\t"),
            (", ", b", "),
            ("\\x01", b"\x01"),
            ("§", "§".as_bytes()),
            ("\\", b"\\"),
        ] {
            assert_eq!(delimiter(text).unwrap().0, bytes, "{text}");
        }
        for text in ["", "\n", "\\xg", "12345678901234567", "\\0", "a\\x00"] {
            assert!(delimiter(text).is_err(), "{text}");
        }
        assert!(quote("\\0").is_err() && escape("\\0").is_err());
    }

    #[test]
    fn only_what_is_unusual_is_told() {
        let mut dialect: Dialect = serde_json::from_value(serde_json::json!({
            "delimiter": ",", "quote": "\"", "escape": "doubled", "encoding": "utf-8", "bom": false,
            "terminator": "\n", "header": true, "header_lines": 1, "preamble_lines": 0,
        }))
        .unwrap();
        assert!(unusual(&dialect).is_empty());
        dialect = Dialect {
            delimiter: "\t".into(),
            encoding: "utf-16le".into(),
            header_lines: 0,
            preamble_lines: 1,
            ..dialect
        };
        assert_eq!(unusual(&dialect), ["delimiter \"\\t\"", "utf-16le", "1 preamble line", "no header"]);
    }

    #[test]
    fn flags_say_what_they_mean() {
        assert_eq!(quote("none"), Ok(Quote::None));
        assert_eq!(quote("'"), Ok(Quote::Byte(b'\'')));
        assert!(quote("ab").is_err());
        assert_eq!(escape("\\"), Ok(Escape::Byte(b'\\')));
        assert_eq!(escape("doubled"), Ok(Escape::Doubled));
        assert_eq!(encoding("latin1").unwrap().name(), "windows-1252");
        assert!(encoding("klingon").is_err());
        assert_eq!(max_rejects("10"), Ok(MaxRejects::Rows(10)));
        assert_eq!(max_rejects("2.5%"), Ok(MaxRejects::Percent(2.5)));
        assert!(max_rejects("101%").is_err());
        assert_eq!(max_record_bytes("16MiB"), Ok(16 << 20));
    }
}
