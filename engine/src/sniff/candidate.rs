//! The dialects that are tried: those whose bytes are there.

use memchr::memmem;

use crate::dialect::{Escape, Quote, Reading, Told};

/// Delimiters that are tried, and how much they are to be expected where nothing else tells.
pub(super) const DELIMITERS: &[(&[u8], f64)] = &[
    (b",", 1.0),
    (b";", 1.0),
    (b"\t", 1.0),
    (b"|", 0.99),
    (b", ", 0.97),
    (b"; ", 0.97),
    (b"\x01", 0.98),
    (b"\x1f", 0.98),
    (b"\x1e", 0.98),
    (b"||", 0.97),
    (b"::", 0.9),
    (b"|~|", 0.97),
    (b"~|~", 0.97),
    (b"^|^", 0.97),
    (b"|^|", 0.97),
    (b"~", 0.9),
    (b"^", 0.9),
    ("¦".as_bytes(), 0.97),
    ("§".as_bytes(), 0.9),
    ("¬".as_bytes(), 0.97),
    (b"#", 0.7),
    (b"*", 0.7),
    (b"!", 0.7),
    (b"&", 0.6),
    (b"$", 0.6),
    (b"/", 0.4),
    (b":", 0.6),
    (b" ", 0.6),
    (b"-", 0.3),
    (b"_", 0.3),
    (b"=", 0.3),
];

/// Fields apart by nothing: a table of one column.
const NOTHING: &[u8] = b",";

/// Delimiters that no text has.
const UNSEEN: &[&[u8]] = &[b"\x1f", b"\x1e", b"\x01"];

/// A delimiter that is not there.
pub(super) fn absent_delimiter(look: &[u8]) -> Option<&'static [u8]> {
    UNSEEN.iter().copied().find(|delimiter| memmem::find(look, delimiter).is_none())
}

/// Every reading worth trying. One of a single column is among them.
pub(super) fn candidates(look: &[u8], told: &Told, reading: &Reading) -> Vec<Reading> {
    let delimiters: Vec<&[u8]> = match &told.delimiter {
        Some(delimiter) => vec![delimiter],
        None => DELIMITERS
            .iter()
            .map(|(delimiter, _)| *delimiter)
            .filter(|delimiter| *delimiter == NOTHING || memmem::find(look, delimiter).is_some())
            .collect(),
    };
    let mut candidates = Vec::new();
    for delimiter in delimiters {
        let quotes = match told.quote {
            Some(quote) => vec![quote],
            None => quotes(look, delimiter),
        };
        // What begins a delimiter can't be the quote, nor the escape.
        let differs = |byte: Option<u8>| byte.is_none() || byte != delimiter.first().copied();
        for quote in quotes.into_iter().filter(|quote| differs(quote.byte())) {
            let escapes = match told.escape {
                Some(escape) => vec![escape],
                None => escapes(look, delimiter, quote),
            };
            let escapes = escapes.into_iter().filter(|escape| match escape {
                Escape::Byte(byte) => differs(Some(*byte)),
                Escape::Doubled | Escape::None => true,
            });
            candidates.extend(escapes.map(|escape| Reading {
                delimiter: delimiter.to_vec(),
                quote,
                escape,
                ..reading.clone()
            }));
        }
    }
    candidates
}

/// The quotes that open a field somewhere and close one somewhere; `"` also where there is none at all.
fn quotes(look: &[u8], delimiter: &[u8]) -> Vec<Quote> {
    let stands = |quote: u8| {
        let behind = [delimiter, &[quote]].concat();
        let before = [&[quote], delimiter].concat();
        let opens = look.first() == Some(&quote)
            || [&behind[..], &[b'\n', quote], &[b'\r', quote]]
                .iter()
                .any(|opening| memmem::find(look, opening).is_some());
        let closes = look.last() == Some(&quote)
            || [&before[..], &[quote, b'\n'], &[quote, b'\r']]
                .iter()
                .any(|closing| memmem::find(look, closing).is_some());
        opens && closes
    };
    let mut quotes = vec![Quote::Byte(b'"')];
    if stands(b'\'') {
        quotes.push(Quote::Byte(b'\''));
    }
    if memchr::memchr(b'"', look).is_some() {
        quotes.push(Quote::None);
    }
    quotes
}

/// Doubled quotes are what most mean; others are tried where their marks are there.
fn escapes(look: &[u8], delimiter: &[u8], quote: Quote) -> Vec<Escape> {
    let mut escapes = vec![Escape::Doubled];
    let is_escaped = |bytes: &[u8]| memmem::find(look, &[b"\\", bytes].concat()).is_some();
    let quote = quote.byte();
    if is_escaped(delimiter)
        || is_escaped(b"\n")
        || is_escaped(b"\r")
        || quote.is_some_and(|quote| is_escaped(&[quote]))
    {
        escapes.push(Escape::Byte(b'\\'));
    }
    if quote.is_some_and(|quote| memchr::memchr(quote, look).is_some()) {
        escapes.push(Escape::None);
    }
    escapes
}
