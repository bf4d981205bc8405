//! What must hold of a dialect that was found.

use engine::{Comment, Encoding, Options, Told};

use super::running::{run, same};

/// Panics where something does not hold of the file that `data` is, but for its first byte.
pub(crate) fn holds(data: &[u8]) {
    let Some((size, file)) = data.split_first() else { return };
    let found = run(file, &[], &Options::default());
    same(&found, &run(file, &[usize::from(*size)], &Options::default()));
    let Ok(found) = found else { return };
    let dialect = &found.summary.dialect;
    let confidence = dialect.confidence;
    for sure in [confidence.encoding, confidence.structure, confidence.header] {
        assert!(sure <= 100, "{confidence:?}");
    }
    assert!(
        !dialect.delimiter.is_empty() && !dialect.delimiter.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    );
    // Who finds comments takes a line as wide as the table for none, and a quote in a preamble hides its lines' ends.
    // Where a quote has the names take the whole file, they are fewer lines than were found to be names.
    let is_all_names = dialect.header && found.summary.counts.rows_in == 0;
    if dialect.comment != Comment::None || dialect.preamble_lines > 0 || is_all_names {
        return;
    }
    let told = Told {
        delimiter: Some(dialect.delimiter.clone()),
        quote: Some(dialect.quote),
        escape: Some(dialect.escape),
        encoding: Encoding::for_label(dialect.encoding.as_bytes()),
        terminator: None,
        header_lines: Some(dialect.header_lines),
        preamble_lines: Some(0),
        footnote_lines: None,
        comment: Some(Comment::None),
        trusts_header: false,
    };
    let told =
        run(file, &[], &Options { told, ..Options::default() }).expect("told what was found, the file fails");
    assert!(found.output == told.output, "told what was found, the output is another one");
    assert_eq!(found.summary.counts, told.summary.counts);
}
