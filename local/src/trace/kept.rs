//! What the last `penstock up` or `penstock demo` received.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use common::receiver::{ReceivedSpan, SpanReceiver};
use common::trace::Destination;
use tempfile::NamedTempFile;

use super::is_file;
use crate::stack::StackOptions;
use crate::workspace;

/// The spans of a file's last trace.
pub(super) fn trace(key: &str) -> anyhow::Result<Vec<ReceivedSpan>> {
    let path = path()?;
    let what = || format!("read {}", path.display());
    let mut last: Option<ReceivedSpan> = None;
    each(&path, |span| {
        if is_file(&span, key) && last.as_ref().is_none_or(|last| last.start <= span.start) {
            last = Some(span);
        }
    })
    .with_context(what)?;
    let Some(last) = last else {
        bail!("no trace of {key} was received by the last penstock up or penstock demo");
    };
    let mut spans = Vec::new();
    each(&path, |span| {
        if span.trace_id == last.trace_id {
            spans.push(span);
        }
    })
    .with_context(what)?;
    Ok(spans)
}

fn each(path: &Path, mut take: impl FnMut(ReceivedSpan)) -> std::io::Result<()> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = String::new();
    loop {
        line.clear();
        lines.read_line(&mut line)?;
        // Also of a line that is still being written.
        if !line.ends_with('\n') {
            return Ok(());
        }
        take(serde_json::from_str(&line)?);
    }
}

/// Receives a stack's spans, where they go nowhere else, and keeps them for `penstock trace`. Not of one that is left
/// running: it would go on sending to a receiver that is gone.
pub(crate) async fn receive(options: &mut StackOptions) -> anyhow::Result<Option<SpanReceiver>> {
    if options.spans_to != Destination::None || options.detached {
        return Ok(None);
    }
    let path = path()?;
    let what = || format!("create {}", path.display());
    let folder = path.parent().with_context(what)?;
    // A file of its own: another command may still be writing the one that lies there.
    let file = NamedTempFile::new_in(folder).with_context(what)?.persist(&path).with_context(what)?;
    let receiver = SpanReceiver::keeping(file).await.context("receive spans")?;
    options.spans_to = Destination::Otlp(receiver.endpoint());
    Ok(Some(receiver))
}

fn path() -> anyhow::Result<PathBuf> {
    Ok(workspace::target()?.join("traces.ndjson"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_that_is_still_being_written_is_passed_over() {
        let mut file = NamedTempFile::new().unwrap();
        let span =
            serde_json::to_string(&ReceivedSpan { name: "a".into(), ..ReceivedSpan::default() }).unwrap();
        write!(file, "{span}\n{span}\n{}", &span[..span.len() / 2]).unwrap();
        let mut names = Vec::new();
        each(file.path(), |span| names.push(span.name)).unwrap();
        assert_eq!(names, ["a", "a"]);
        writeln!(file, "\n").unwrap();
        assert!(each(file.path(), drop).is_err(), "what is no span is told of");
    }
}
