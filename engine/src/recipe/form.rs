//! A row's fields into the output's text.

use memchr::memchr;

use super::file::CompressionWord;

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// Fields with something between them.
    Separated {
        delimiter: Vec<u8>,
        /// Whether every field is quoted.
        quote_all: bool,
        header: bool,
    },
    /// A JSON object a line.
    Ndjson,
    /// Not row by row: `parquet` gathers the columns.
    Parquet(CompressionWord),
}

impl Default for Form {
    fn default() -> Self {
        Self::Separated { delimiter: b",".to_vec(), quote_all: false, header: true }
    }
}

/// What a field is to JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonType {
    Null,
    /// As it is spelled.
    Bare,
    Text,
}

impl Form {
    /// Appends a field, the row's first or a later one. `key` is its name with what JSON has around it.
    pub(super) fn field(&self, is_first: bool, key: &[u8], text: &[u8], json: JsonType, out: &mut Vec<u8>) {
        match self {
            Self::Separated { delimiter, quote_all, .. } => {
                self.delimit(is_first, out);
                separated(text, delimiter, *quote_all, out);
            }
            Self::Ndjson => {
                out.push(if is_first { b'{' } else { b',' });
                out.extend_from_slice(key);
                match json {
                    JsonType::Null => out.extend_from_slice(b"null"),
                    JsonType::Bare => out.extend_from_slice(text),
                    JsonType::Text => json_text(text, out),
                }
            }
            Self::Parquet(_) => {}
        }
    }

    /// Appends what stands before a field, in text with something between its fields.
    pub(super) fn delimit(&self, is_first: bool, out: &mut Vec<u8>) {
        if let Self::Separated { delimiter, .. } = self
            && !is_first
        {
            out.extend_from_slice(delimiter);
        }
    }

    /// Ends a row that began at `start`: one of a single empty field must not be a blank line.
    pub(super) fn end(&self, start: usize, out: &mut Vec<u8>) {
        match self {
            Self::Separated { .. } if out.len() == start => out.extend_from_slice(b"\"\"\n"),
            Self::Separated { .. } => out.push(b'\n'),
            Self::Ndjson if out.len() == start => out.extend_from_slice(b"{}\n"),
            Self::Ndjson => out.extend_from_slice(b"}\n"),
            Self::Parquet(_) => {}
        }
    }

    pub(super) fn has_header(&self) -> bool {
        matches!(self, Self::Separated { header: true, .. })
    }
}

/// A column's name as JSON has it, with the colon behind it.
pub(super) fn json_key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    json_text(name.as_bytes(), &mut key);
    key.push(b':');
    key
}

fn separated(text: &[u8], delimiter: &[u8], quote_all: bool, out: &mut Vec<u8>) {
    let needs_quotes = || {
        let first = delimiter.first().copied().unwrap_or(b',');
        text.iter().any(|byte| *byte == first || matches!(byte, b'"' | b'\n' | b'\r'))
    };
    if !quote_all && !needs_quotes() {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn json_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_texts_are_read_back_as_they_were() {
        for text in ["", "a", "\"\\\u{0}\u{1f}\n\r\t", "ä€😀/"] {
            let mut out = Vec::new();
            json_text(text.as_bytes(), &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn fields_are_quoted_where_they_need_it_or_all() {
        let written = |form: &Form, fields: &[&str]| {
            let mut out = Vec::new();
            for (at, field) in fields.iter().enumerate() {
                form.field(at == 0, b"", field.as_bytes(), JsonType::Text, &mut out);
            }
            form.end(0, &mut out);
            String::from_utf8(out).unwrap()
        };
        let of = |delimiter: &str, quote_all| Form::Separated {
            delimiter: delimiter.into(),
            quote_all,
            header: true,
        };
        assert_eq!(written(&of("\t", false), &["a,b", "c\td", ""]), "a,b\t\"c\td\"\t\n");
        assert_eq!(written(&of(", ", false), &["a,b", "c d"]), "\"a,b\", c d\n");
        assert_eq!(written(&of(";", true), &["a", ""]), "\"a\";\"\"\n");
        assert_eq!(written(&of(",", false), &[""]), "\"\"\n");
    }
}
