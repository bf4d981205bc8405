//! A trace as a waterfall: a line a span, under its parent, with a bar where it lies in time.

use std::time::Duration;

use common::receiver::ReceivedSpan;

/// Columns for the names and for the bars.
const NAME: usize = 26;
const BAR: usize = 44;

/// A span with how deep it lies.
pub struct Row<'a> {
    /// The span.
    pub span: &'a ReceivedSpan,
    /// 0 for the root.
    pub depth: usize,
}

impl Row<'_> {
    /// Without the long names of topic and queue.
    pub fn name(&self) -> &str {
        let name = &self.span.name;
        let is_message = name.starts_with("publish ") || name.starts_with("process ");
        if is_message { &name[..7] } else { name }
    }
}

/// The spans of one trace, each a line.
pub fn waterfall(spans: &[ReceivedSpan]) -> Vec<String> {
    let rows = rows(spans);
    let start = rows.iter().map(|row| row.span.start).min().unwrap_or_default();
    let end = rows.iter().map(|row| row.span.end).max().unwrap_or_default();
    rows.iter().map(|row| line(row, start, end)).collect()
}

/// The spans, each behind its parent. Requests to S3 are left out: what they took shows in the stages.
pub fn rows(spans: &[ReceivedSpan]) -> Vec<Row<'_>> {
    let shown: Vec<&ReceivedSpan> = spans.iter().filter(|span| !span.name.starts_with("S3.")).collect();
    let ids: Vec<&str> = shown.iter().map(|span| span.span_id.as_str()).collect();
    let is_root = |span: &ReceivedSpan| span.parent.as_deref().is_none_or(|parent| !ids.contains(&parent));
    let mut rows = Vec::new();
    under(&shown, &is_root, 0, &mut rows);
    rows
}

/// Those that `is_child` names, each with those under it, in the order in which they began.
fn under<'a>(
    spans: &[&'a ReceivedSpan],
    is_child: &dyn Fn(&ReceivedSpan) -> bool,
    depth: usize,
    rows: &mut Vec<Row<'a>>,
) {
    let mut children: Vec<&ReceivedSpan> = spans.iter().copied().filter(|span| is_child(span)).collect();
    children.sort_by_key(|span| (span.start, span.end));
    for span in children {
        rows.push(Row { span, depth });
        under(spans, &|child| child.parent.as_ref() == Some(&span.span_id), depth + 1, rows);
    }
}

/// Seconds, or nothing where there can't be so many.
pub(crate) fn nanoseconds(seconds: f64) -> u64 {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(duration.as_nanos()).unwrap_or_default()
}

/// Nanoseconds as people read them.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
    match seconds {
        0.0 => "0".into(),
        _ if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 100.0 => format!("{seconds:.2} s"),
        _ => format!("{}:{:02} min", nanoseconds / 60_000_000_000, nanoseconds / 1_000_000_000 % 60),
    }
}

fn line(row: &Row<'_>, start: u64, end: u64) -> String {
    let Row { span, depth } = row;
    let whole = end.saturating_sub(start).max(1);
    let column = |time: u64| {
        let column = u128::from(time.saturating_sub(start)) * BAR as u128 / u128::from(whole);
        usize::try_from(column).unwrap_or(BAR).min(BAR)
    };
    let from = column(span.start).min(BAR - 1);
    let to = column(span.end).max(from + 1);
    let bar = format!("{}{}", " ".repeat(from), "━".repeat(to - from));
    let name: String = format!("{}{}", "  ".repeat(*depth), row.name()).chars().take(NAME).collect();
    let took = duration(span.end.saturating_sub(span.start));
    let mark = span.error.as_ref().map(|_| " failed").unwrap_or_default();
    format!("{name:<NAME$} {bar:<BAR$} {took:>10}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, name: &str, start: u64, end: u64) -> ReceivedSpan {
        let (start, end) = (start * 1_000_000, end * 1_000_000);
        let parent = parent.map(str::to_owned);
        ReceivedSpan { span_id: id.into(), parent, name: name.into(), start, end, ..ReceivedSpan::default() }
    }

    #[test]
    fn each_span_lies_under_its_parent_and_where_it_was() {
        let failed = ReceivedSpan { error: Some("why".into()), ..span("3", Some("2"), "transfer", 60, 100) };
        let spans = [
            failed,
            span("4", Some("2"), "S3.HeadObject", 55, 60),
            span("5", Some("2"), "detect", 50, 60),
            span("1", None, "upload", 0, 10),
            span("2", Some("1"), "file", 50, 100),
            span("6", Some("3"), "publish the-topic", 99, 100),
        ];
        let lines = waterfall(&spans);
        let columns: Vec<(String, usize, usize)> = lines
            .iter()
            .map(|line| {
                let bar: Vec<char> = line.chars().skip(NAME + 1).take(BAR).collect();
                let first = bar.iter().position(|char| *char == '━').unwrap();
                let length = bar.iter().filter(|char| **char == '━').count();
                (line.chars().take(NAME).collect::<String>().trim_end().to_owned(), first, length)
            })
            .collect();
        let expected = [
            ("upload", 0, 4),
            ("  file", 22, 22),
            ("    detect", 22, 4),
            ("    transfer", 26, 18),
            ("      publish", 43, 1),
        ];
        assert_eq!(columns, expected.map(|(name, first, length)| (name.to_owned(), first, length)));
        assert!(lines[3].ends_with("40.0 ms failed"), "{}", lines[3]);
        assert!(waterfall(&[]).is_empty());
    }
}
