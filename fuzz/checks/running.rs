//! Runs the engine on bytes in memory.

use bytes::Bytes;
use engine::{BadFile, EngineError, Options, Summary};

/// What a run gave, or why the file can't be processed.
#[derive(Debug, PartialEq)]
pub(crate) struct Ran {
    pub(crate) output: Vec<u8>,
    pub(crate) rejects: Vec<u8>,
    pub(crate) summary: Summary,
}

/// Panics unless two runs over the same file came to the same end. Where a decoder sees damage, and whether it takes it for a
/// missing end, depends on how much it is given at once; so does whether it sees it before the text is too large.
pub(crate) fn same(one: &Result<Ran, BadFile>, other: &Result<Ran, BadFile>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "the chunks decide"),
        (Err(one), Err(other)) if [one, other].iter().any(|bad| is_too_large(bad)) => {
            let is_such = |bad: &BadFile| is_too_large(bad) || kind(bad) != bad.code;
            assert!(is_such(one) && is_such(other), "the chunks decide: {one:?}, {other:?}");
        }
        (Err(one), Err(other)) => {
            assert_eq!((kind(one), one.line), (kind(other), other.line), "the chunks decide");
        }
        (one, other) => panic!("the chunks decide: {one:?}, {other:?}"),
    }
}

fn is_too_large(bad: &BadFile) -> bool {
    bad.code == "decompressed_too_large"
}

fn kind(bad: &BadFile) -> &str {
    bad.code.trim_start_matches("truncated_").trim_start_matches("corrupt_")
}

/// Processes `input` in chunks of the given sizes, over and over; a size of 0 is an empty chunk.
pub(crate) fn run(input: &[u8], sizes: &[usize], options: &Options) -> Result<Ran, BadFile> {
    let mut rest = Bytes::copy_from_slice(input);
    let sizes = if sizes.iter().all(|size| *size == 0) { &[usize::MAX][..] } else { sizes };
    let mut sizes = sizes.iter().cycle();
    let chunks = std::iter::from_fn(|| {
        let size = sizes.next().copied().unwrap_or(usize::MAX);
        (!rest.is_empty()).then(|| Ok(rest.split_to(size.min(rest.len()))))
    });
    let (mut output, mut rejects) = (Vec::new(), Vec::new());
    let running = engine::run(futures::stream::iter(chunks), &mut output, &mut rejects, options);
    match futures::executor::block_on(running) {
        Ok(summary) => Ok(Ran { output, rejects, summary }),
        Err(EngineError::BadFile(bad)) => Err(bad),
        Err(error) => panic!("{error:?}"),
    }
}
