//! `penstock process --limit`: what becomes of the first rows.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use console::{measure_text_width, truncate_str};
use engine::recipe::Recipe;
use engine::{Compression, EngineError, Options, Sink};
use futures::StreamExt as _;
use serde::Deserialize;

use super::input::Input;
use super::{Args, options};
use crate::ending::Ending;
use crate::terminal::Terminal;

/// The widest column.
const MAX_WIDTH: usize = 32;

/// What is read at once: little, so that reading ends soon after the rows wanted.
const BLOCK_BYTES: usize = 4096;

/// The first rows of a file, and what was rejected among them.
pub(crate) struct Excerpt {
    /// The columns' names.
    pub(crate) names: Vec<String>,
    /// The rows' fields.
    pub(crate) rows: Vec<Vec<String>>,
    /// A line of the rejects for each.
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    line: u64,
    column: Option<String>,
    reason: String,
    message: String,
}

/// Keeps what comes until there are so many lines, then asks for no more.
struct Kept {
    bytes: Vec<u8>,
    lines: usize,
    most: usize,
    enough: Arc<AtomicBool>,
}

impl Sink for Kept {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        if self.lines <= self.most {
            self.lines += memchr::memchr_iter(b'\n', &chunk).count();
            self.bytes.extend_from_slice(&chunk);
        }
        if self.lines > self.most {
            self.enough.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Reads until there are `most` rows, or as many rejected ones.
pub(crate) async fn excerpt(input: Input, options: &Options, most: usize) -> anyhow::Result<Excerpt> {
    let enough = Arc::new(AtomicBool::new(false));
    let kept = |most| Kept { bytes: Vec::new(), lines: 0, most, enough: Arc::clone(&enough) };
    let (mut clean, mut rejects) = (kept(most), kept(most));
    let options = Options {
        block_bytes: BLOCK_BYTES,
        threads: 1,
        output_compression: Some(Compression::None),
        ..options.clone()
    };
    // In small pieces, each of which is looked at only if there is not enough yet.
    let pieces = input.flat_map(|chunk| {
        let pieces: Vec<io::Result<Bytes>> = match chunk {
            Ok(chunk) => (0..chunk.len())
                .step_by(BLOCK_BYTES)
                .map(|at| Ok(chunk.slice(at..chunk.len().min(at + BLOCK_BYTES))))
                .collect(),
            Err(error) => vec![Err(error)],
        };
        futures::stream::iter(pieces)
    });
    let wanted = Arc::clone(&enough);
    let pieces = std::pin::pin!(pieces.map(move |piece| {
        if wanted.load(Ordering::Relaxed) { Err(io::ErrorKind::Interrupted.into()) } else { piece }
    }));
    match engine::run(pieces, &mut clean, &mut rejects, &options).await {
        Err(EngineError::Input { .. }) if enough.load(Ordering::Relaxed) => {}
        Err(EngineError::BadFile(bad)) => {
            anyhow::bail!("{} [{}]", bad.message, bad.code)
        }
        ran => _ = ran?,
    }
    let mut rows = fields(&clean.bytes);
    rows.truncate(most + 1);
    let names = if rows.is_empty() { Vec::new() } else { rows.remove(0) };
    let lines = rejects.bytes.split_inclusive(|byte| *byte == b'\n').take(most);
    let rejected: Result<_, _> = lines.map(serde_json::from_slice).collect();
    Ok(Excerpt { names, rows, rejected: rejected.context("read the rejects")? })
}

/// Shows what a recipe makes of a file's first rows.
pub(super) async fn show(
    args: &Args,
    recipe: &Recipe,
    most: usize,
    terminal: &Terminal,
) -> anyhow::Result<Ending> {
    let input = Input::open(&args.input, terminal)?;
    let options = options(args, &recipe.for_preview())?;
    let excerpt = excerpt(input, &options, most).await?;
    for line in table(&excerpt) {
        terminal.print(&line)?;
    }
    for Rejected { line, column, reason, message } in &excerpt.rejected {
        let column = column.as_ref().map(|name| format!(", column {name}")).unwrap_or_default();
        terminal.print(&format!("rejected: line {line}{column}: {message} [{reason}]"))?;
    }
    Ok(Ending::Done)
}

/// Rows in columns of the same width, under a line below their names.
fn table(excerpt: &Excerpt) -> Vec<String> {
    let shown = |field: &String| {
        let line = field.replace(|letter: char| letter.is_control(), " ");
        truncate_str(&line, MAX_WIDTH, "…").into_owned()
    };
    let mut rows: Vec<Vec<String>> = vec![excerpt.names.iter().map(shown).collect()];
    rows.extend(excerpt.rows.iter().map(|row| row.iter().map(shown).collect()));
    let width = |at: usize| {
        rows.iter().filter_map(|row: &Vec<String>| row.get(at)).map(|field| measure_text_width(field)).max()
    };
    let widths: Vec<usize> = (0..excerpt.names.len()).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let fields = row.iter().zip(&widths).map(|(field, width)| {
            format!("{field}{}", " ".repeat(width.saturating_sub(measure_text_width(field))))
        });
        fields.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    lines.insert(1, rule.join("  "));
    lines
}

/// The fields of canonical CSV.
fn fields(text: &[u8]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut field): (Vec<String>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut quoted = false;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.peek() == Some(&b'"') => {
                field.push(b'"');
                bytes.next();
            }
            b'"' => quoted = !quoted,
            b',' | b'\n' if !quoted => {
                row.push(String::from_utf8_lossy(&std::mem::take(&mut field)).into_owned());
                if byte == b'\n' {
                    rows.push(std::mem::take(&mut row));
                }
            }
            byte => field.push(byte),
        }
    }
    rows
}

/// An excerpt of these.
#[cfg(test)]
pub(crate) fn excerpt_of<const N: usize>(names: &[&str; N], rows: &[[&str; N]]) -> Excerpt {
    let strings = |row: &[&str; N]| row.iter().map(ToString::to_string).collect();
    Excerpt { names: strings(names), rows: rows.iter().map(strings).collect(), rejected: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_columns() {
        let rows = fields(b"id,name\n1,\"a,\"\"b\"\"\nc\"\n22,\n");
        assert_eq!(rows, [vec!["id", "name"], vec!["1", "a,\"b\"\nc"], vec!["22", ""]]);
        let excerpt = Excerpt { names: rows[0].clone(), rows: rows[1..].to_vec(), rejected: Vec::new() };
        assert_eq!(table(&excerpt), ["id  name", "──  ───────", "1   a,\"b\" c", "22"]);
    }
}
