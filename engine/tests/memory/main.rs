//! How much memory a run takes, whatever the file's length. A process of its own: other tests' memory would hide it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::io;

use bytes::Bytes;
use engine::{Options, Sink, Summary};

/// Counts what it is given, and lets it go.
#[derive(Default)]
struct Counted(u64);

impl Sink for Counted {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.0 += chunk.len() as u64;
        Ok(())
    }
}

/// The most memory that this process had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// So many rows, made while they are read; row 10 opens a quote that nothing closes.
fn rows_with_a_stray_quote(rows: u64) -> impl Iterator<Item = io::Result<Bytes>> {
    const AT_ONCE: u64 = 1000;
    let header = std::iter::once("id,name,amount\n".to_owned());
    let blocks = (0..rows / AT_ONCE).map(|block| {
        let quote = |row| if row == 10 { "\"" } else { "" };
        let row = |row| format!("{row},{}name of {row},{row}.50\n", quote(row));
        (block * AT_ONCE..(block + 1) * AT_ONCE).map(row).collect::<String>()
    });
    header.chain(blocks).map(|text| Ok(Bytes::from(text)))
}

fn run(rows: u64) -> (Summary, u64) {
    let (mut clean, mut rejects) = (Counted::default(), Counted::default());
    let options = Options::default();
    let source = futures::stream::iter(rows_with_a_stray_quote(rows));
    let summary =
        futures::executor::block_on(engine::run(source, &mut clean, &mut rejects, &options)).unwrap();
    (summary, clean.0)
}

#[test]
fn a_stray_quote_costs_a_line_and_memory_stays_flat() {
    let (few, _) = run(100_000);
    let before = peak();
    let (many, written) = run(1_000_000);
    assert_eq!((many.counts.rows_in, many.counts.rows_out), (1_000_000, 999_999));
    assert_eq!(few.counts.rows_rejected, 1);
    assert_eq!(many.spans.rejected, "10,\"name of 10,10.50\n".len() as u64);
    assert_eq!(written, many.spans.header + many.spans.kept);
    // Ten times the rows, and far more text than this.
    let grown = peak() - before;
    assert!(grown < 4 * 1024, "{grown} KiB more for {written} bytes");
}
