//! The flags that say how the file is written, and what becomes of bad rows.

use common::contract::Dialect;
use engine::{
    Comment, Encoding, Escape, InvalidBytes, MaxRejects, NulBytes, Policies, Quote, Ragged, RunawayQuote,
    StrayQuotes, Terminator, Told, words,
};

/// How the file is written. What is not given is found out.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How the file is written (found out from its first bytes where not given)")]
pub(super) struct DialectArgs {
    /// What stands between fields: one character or more, such as `;`, `\t`, `\x01` or `, `
    #[arg(long, value_name = "TEXT", value_parser = delimiter, allow_hyphen_values = true)]
    delimiter: Option<Bytes>,
    /// With --replay: what stands between the header's names, where the rows have another delimiter
    #[arg(long, value_name = "TEXT", value_parser = delimiter, allow_hyphen_values = true, requires = "replay")]
    header_delimiter: Option<Bytes>,
    /// What stands around fields, or `none` where quotes mean nothing
    #[arg(long, value_name = "CHAR|none", value_parser = words::quote)]
    quote: Option<Quote>,
    /// How a quote stands inside quotes: `doubled`, `none` (as it is), or behind this character, such as `\`
    #[arg(long, value_name = "CHAR|doubled|none", value_parser = words::escape)]
    escape: Option<Escape>,
    /// The encoding, such as utf-8, utf-16le or windows-1252; a byte-order mark is believed first
    #[arg(long, value_name = "NAME", value_parser = words::encoding)]
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
    #[arg(long, value_name = "TEXT|none", value_parser = words::comment)]
    comment: Option<Comment>,
}

/// What becomes of rows that are not as they should be. The defaults lose nothing and change no value.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What becomes of bad rows")]
pub(super) struct PolicyArgs {
    /// Rows of another width than the header's: rejected, padded with empty fields, or freed of the empty fields at
    /// their end; `pad,truncate-empty` does both [default: reject]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    ragged: Vec<RaggedArg>,
    /// Bytes that the encoding does not have: their row is rejected, or they become U+FFFD [default: reject]
    #[arg(long, value_name = "KIND")]
    invalid_bytes: Option<InvalidBytesArg>,
    /// Zero bytes: they stay, are left out, or cost their row [default: keep]
    #[arg(long, value_name = "KIND")]
    nul_bytes: Option<NulBytesArg>,
    /// A row that a stray quote gives another width: rejected, or read with one quote taken as it stands, if that fits in
    /// one way only [default: reject]
    #[arg(long, value_name = "KIND")]
    stray_quotes: Option<StrayQuotesArg>,
    /// A quote that does not close within the longest record: its line is rejected and the next one read, or the file
    /// fails [default: resync]
    #[arg(long, value_name = "KIND")]
    on_runaway_quote: Option<RunawayQuoteArg>,
    /// The longest record, such as 16MiB; memory is bounded by it [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = words::max_record_bytes)]
    max_record_bytes: Option<usize>,
    /// The most rows that may be rejected before the file fails, as a number or in per cent
    #[arg(long, value_name = "N|P%", value_parser = words::max_rejects)]
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
    /// What stands between the names of a replay's header, if that was given.
    pub(super) fn header_delimiter(&self) -> Option<Vec<u8>> {
        self.header_delimiter.clone().map(|delimiter| delimiter.0)
    }

    /// What is told, the flags before `told`.
    pub(super) fn over(&self, told: Told) -> Told {
        let terminator = self.terminator.map(|terminator| match terminator {
            TerminatorArg::Any => Terminator::Any,
            TerminatorArg::Lf => Terminator::Lf,
            TerminatorArg::Crlf => Terminator::CrLf,
            TerminatorArg::Cr => Terminator::Cr,
        });
        Told {
            delimiter: self.delimiter.clone().map(|delimiter| delimiter.0).or(told.delimiter),
            quote: self.quote.or(told.quote),
            escape: self.escape.or(told.escape),
            encoding: self.encoding.or(told.encoding),
            terminator: terminator.or(told.terminator),
            header_lines: self.header_lines.or(told.header_lines),
            preamble_lines: self.preamble_lines.or(told.preamble_lines),
            footnote_lines: self.footnote_lines.or(told.footnote_lines),
            comment: self.comment.clone().or(told.comment),
            trusts_header: told.trusts_header,
        }
    }
}

impl PolicyArgs {
    /// The policies, the flags before `policies`.
    pub(super) fn over(&self, policies: Policies) -> Policies {
        Policies {
            ragged: match &self.ragged[..] {
                [] => policies.ragged,
                kinds => Ragged {
                    pad: kinds.contains(&RaggedArg::Pad),
                    truncate_empty: kinds.contains(&RaggedArg::TruncateEmpty),
                },
            },
            invalid_bytes: match self.invalid_bytes {
                Some(InvalidBytesArg::Reject) => InvalidBytes::Reject,
                Some(InvalidBytesArg::Replace) => InvalidBytes::Replace,
                None => policies.invalid_bytes,
            },
            nul: match self.nul_bytes {
                Some(NulBytesArg::Keep) => NulBytes::Keep,
                Some(NulBytesArg::Remove) => NulBytes::Remove,
                Some(NulBytesArg::Reject) => NulBytes::Reject,
                None => policies.nul,
            },
            stray_quotes: match self.stray_quotes {
                Some(StrayQuotesArg::Reject) => StrayQuotes::Reject,
                Some(StrayQuotesArg::Repair) => StrayQuotes::Repair,
                None => policies.stray_quotes,
            },
            runaway_quote: match self.on_runaway_quote {
                Some(RunawayQuoteArg::Resync) => RunawayQuote::Resync,
                Some(RunawayQuoteArg::Fail) => RunawayQuote::Fail,
                None => policies.runaway_quote,
            },
            trim: self.trim || policies.trim,
            neutralize_formulas: self.neutralize_formulas || policies.neutralize_formulas,
            max_rejects: self.max_rejects.or(policies.max_rejects),
        }
    }

    pub(super) fn max_record_bytes(&self) -> Option<usize> {
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

fn delimiter(text: &str) -> Result<Bytes, String> {
    words::delimiter(text).map(Bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

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

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        dialect: DialectArgs,
        #[command(flatten)]
        policy: PolicyArgs,
        #[arg(long)]
        replay: bool,
    }

    #[test]
    fn flags_override_a_recipe_and_what_they_leave_open_stays() {
        let told = Told { header_lines: Some(0), delimiter: Some(b"|".to_vec()), ..Told::default() };
        let policies = Policies {
            trim: true,
            ragged: Ragged { pad: true, truncate_empty: false },
            nul: NulBytes::Remove,
            ..Policies::default()
        };
        let of = |line: &str| Cli::parse_from(std::iter::once("process").chain(line.split_whitespace()));
        let cli = of("");
        assert_eq!((cli.dialect.over(told.clone()), cli.policy.over(policies)), (told.clone(), policies));
        let cli = of("--delimiter ; --ragged reject --nul-bytes keep --max-rejects 1%");
        assert_eq!(cli.dialect.over(told.clone()), Told { delimiter: Some(b";".to_vec()), ..told });
        let expected = Policies {
            ragged: Ragged::default(),
            nul: NulBytes::Keep,
            max_rejects: Some(MaxRejects::Percent(1.0)),
            ..policies
        };
        assert_eq!(cli.policy.over(policies), expected);
    }
}
