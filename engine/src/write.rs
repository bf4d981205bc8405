//! Fields into a row of the canonical dialect.

use std::borrow::Cow;

use bytes::BytesMut;
use memchr::memchr;

use crate::fields::Fields;
use crate::policy::{InvalidBytes, NulBytes, Policies};

/// Appends a row of `width` fields, those that `fields` lacks empty.
pub(crate) fn write_row(fields: &Fields, width: usize, policies: &Policies, out: &mut BytesMut) {
    let start = out.len();
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b",");
        }
        if policies.touch_every_row() || policies.invalid_bytes == InvalidBytes::Replace {
            write_field(&mended(field, policies), out);
        } else {
            write_field(field, out);
        }
    }
    for _ in fields.len()..width {
        out.extend_from_slice(b",");
    }
    end_row(start, out);
}

/// Ends a row that began at `start`: one of a single empty field must not be a blank line.
pub(crate) fn end_row(start: usize, out: &mut BytesMut) {
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\n");
}

/// Appends one field, in quotes if it needs them.
pub(crate) fn write_field(field: &[u8], out: &mut BytesMut) {
    if !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(field);
        return;
    }
    out.extend_from_slice(b"\"");
    let mut rest = field;
    while let Some(at) = memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.extend_from_slice(b"\"");
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\"");
}

/// A field as the policies want it.
pub(crate) fn mended<'a>(field: &'a [u8], policies: &Policies) -> Cow<'a, [u8]> {
    let mut field = Cow::Borrowed(field);
    if policies.nul == NulBytes::Remove && memchr(0, &field).is_some() {
        field = field.iter().copied().filter(|byte| *byte != 0).collect::<Vec<u8>>().into();
    }
    if policies.trim {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let front = field.iter().take_while(|byte| blank(byte)).count();
        let back = field[front..].iter().rev().take_while(|byte| blank(byte)).count();
        let kept = front..field.len() - back;
        field = match field {
            Cow::Borrowed(field) => Cow::Borrowed(&field[kept]),
            Cow::Owned(field) => Cow::Owned(field[kept].to_vec()),
        };
    }
    if policies.invalid_bytes == InvalidBytes::Replace
        && let Cow::Owned(text) = String::from_utf8_lossy(&field)
    {
        field = text.into_bytes().into();
    }
    if policies.neutralize_formulas && is_formula(&field) {
        field = [b"'", &field[..]].concat().into();
    }
    field
}

/// Whether a spreadsheet would calculate it. A plain number is no formula, whatever its sign.
pub(crate) fn is_formula(field: &[u8]) -> bool {
    let number = |rest: &[u8]| {
        let grouped = || rest.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
        let parsed = || str::from_utf8(rest).is_ok_and(|text| text.parse::<f64>().is_ok());
        rest.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') && (grouped() || parsed())
    };
    match field {
        [b'=' | b'@' | b'\t' | b'\r', ..] => true,
        [b'+' | b'-', rest @ ..] => !number(rest),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &[&[u8]], width: usize, policies: &Policies) -> BytesMut {
        let mut row = Fields::default();
        for field in fields {
            row.push(field);
        }
        let mut out = BytesMut::new();
        write_row(&row, width, policies, &mut out);
        out
    }

    #[test]
    fn quotes_stand_only_where_they_are_needed() {
        let plain = Policies::default();
        assert_eq!(
            written(&[b"a b", b"c,d", b"e\"f", b"", b"g\nh"], 5, &plain)[..],
            *b"a b,\"c,d\",\"e\"\"f\",,\"g\nh\"\n"
        );
        assert_eq!(written(&[b""], 1, &plain)[..], *b"\"\"\n");
        assert_eq!(written(&[b"a"], 3, &plain)[..], *b"a,,\n");
    }

    #[test]
    fn the_policies_change_what_they_name() {
        let trim = Policies { trim: true, ..Policies::default() };
        assert_eq!(written(&[b" a ", b"\t", b"b c"], 3, &trim)[..], *b"a,,b c\n");
        let nul = Policies { nul: NulBytes::Remove, ..Policies::default() };
        assert_eq!(written(&[b"a\0b", b"\0"], 2, &nul)[..], *b"ab,\n");
        let formulas = Policies { neutralize_formulas: true, ..Policies::default() };
        assert_eq!(
            written(&[b"=1+1", b"-5.2e-7", b"-a", b"@x", b"+49 30", b"a=b", b"-.5"], 7, &formulas)[..],
            *b"'=1+1,-5.2e-7,'-a,'@x,'+49 30,a=b,-.5\n"
        );
        let replace = Policies { invalid_bytes: InvalidBytes::Replace, ..Policies::default() };
        assert_eq!(written(&[b"caf\xe9"], 1, &replace)[..], *"caf\u{fffd}\n".as_bytes());
    }
}
