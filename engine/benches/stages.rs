//! What each kind of input costs the engine, in memory: `cargo bench -p engine`, or `-- gzip` for those so named.
//!
//! One thread, whole files: what differs between two lines is the stage that only one of them needs.

#![allow(clippy::unwrap_used, reason = "a bench that can't go on fails")]

use std::io::Write as _;

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use engine::recipe::{MaskKey, Recipe, RecipeFile};
use engine::{Compression, Options, Sink, Told};
use serde_json::json;

const TEXT_BYTES: usize = 16 * 1024 * 1024;

/// As a range of an object comes: small enough that nothing depends on where one ends.
const CHUNK_BYTES: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// Counts, so that what is measured is not the sink.
#[derive(Default)]
struct Counted(u64);

impl Sink for Counted {
    async fn write(&mut self, chunk: Bytes) -> std::io::Result<()> {
        self.0 += black_box(&chunk).len() as u64;
        Ok(())
    }
}

/// Rows of numbers, the first of which serves as header: each field between `quote`s, each row ended by `end`.
fn text(columns: usize, quote: &str, end: &str) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = Vec::with_capacity(TEXT_BYTES + 128 * 1024);
    while text.len() < TEXT_BYTES {
        for column in 0..columns {
            let comma = if column == 0 { "" } else { "," };
            write!(text, "{comma}{quote}{}{quote}", random.u32(0..1_000_000)).unwrap();
        }
        text.extend_from_slice(end.as_bytes());
    }
    text
}

fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Runs the engine over `file`, which holds `text_bytes` of text; throughput is that of the text.
fn run(bencher: Bencher<'_, '_>, file: Vec<u8>, text_bytes: usize, output: Option<Compression>) {
    run_with(
        bencher,
        file,
        text_bytes,
        &Options { output_compression: output, told: Told::rfc4180(), ..Options::default() },
    );
}

fn run_told(
    bencher: Bencher<'_, '_>,
    file: Vec<u8>,
    text_bytes: usize,
    output: Option<Compression>,
    told: Told,
) {
    run_with(bencher, file, text_bytes, &Options { output_compression: output, told, ..Options::default() });
}

fn run_with(bencher: Bencher<'_, '_>, file: Vec<u8>, text_bytes: usize, options: &Options) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let file = Bytes::from(file);
    bencher.counter(BytesCount::new(text_bytes)).bench_local(|| {
        let chunks = (0..file.len()).step_by(CHUNK_BYTES);
        let chunks = chunks.map(|at| Ok(file.slice(at..file.len().min(at + CHUNK_BYTES))));
        let (mut clean, mut rejects) = (Counted::default(), Counted::default());
        let run = engine::run(futures::stream::iter(chunks), &mut clean, &mut rejects, options);
        let summary = runtime.block_on(run).unwrap();
        assert_eq!(summary.decompressed_bytes, text_bytes as u64);
        (clean.0, rejects.0)
    });
}

#[divan::bench]
fn plain(bencher: Bencher<'_, '_>) {
    let text = text(9, "", "\n");
    run(bencher, text.clone(), text.len(), None);
}

/// What is not told is found.
#[divan::bench]
fn found(bencher: Bencher<'_, '_>) {
    let text = text(9, "", "\n");
    run_told(bencher, text.clone(), text.len(), None, Told::default());
}

#[divan::bench]
fn semicolons(bencher: Bencher<'_, '_>) {
    let text = String::from_utf8(text(9, "", "\n")).unwrap().replace(',', ";");
    run_told(bencher, text.clone().into(), text.len(), None, Told::default());
}

#[divan::bench]
fn quoted_semicolons(bencher: Bencher<'_, '_>) {
    let text = String::from_utf8(text(9, "\"", "\n")).unwrap().replace(',', ";");
    run_told(bencher, text.clone().into(), text.len(), None, Told::default());
}

#[divan::bench]
fn utf16(bencher: Bencher<'_, '_>) {
    let text = String::from_utf8(text(9, "", "\n")).unwrap();
    let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    run_told(bencher, text.clone(), text.len(), None, Told::default());
}

#[divan::bench]
fn needlessly_quoted(bencher: Bencher<'_, '_>) {
    let text = text(9, "\"", "\n");
    run(bencher, text.clone(), text.len(), None);
}

#[divan::bench]
fn crlf(bencher: Bencher<'_, '_>) {
    let text = text(9, "", "\r\n");
    run(bencher, text.clone(), text.len(), None);
}

#[divan::bench]
fn wide(bencher: Bencher<'_, '_>) {
    let text = text(10_000, "", "\n");
    run(bencher, text.clone(), text.len(), None);
}

/// A header of two columns above rows of nine.
#[divan::bench]
fn all_rejected(bencher: Bencher<'_, '_>) {
    let text = [b"a,b\n", &text(9, "", "\n")[..]].concat();
    run(bencher, text.clone(), text.len(), None);
}

/// Rows of nine numbers below names, with a recipe of these keys.
fn recipe(bencher: Bencher<'_, '_>, keys: serde_json::Value) {
    let text = [b"a,b,c,d,e,f,g,h,i\n", &text(9, "", "\n")[..]].concat();
    let mut keys = keys;
    keys["match"] = "**".into();
    let file: RecipeFile = serde_json::from_value(keys).unwrap();
    let mask_key = Some(MaskKey::new(b"sixteen bytes or more").unwrap());
    let mut options = Options { mask_key, ..Options::default() };
    Recipe::new(&file, None).unwrap().apply(&mut options);
    options.told = Told::rfc4180();
    run_with(bencher, text.clone(), text.len(), &options);
}

#[divan::bench]
fn recipe_select(bencher: Bencher<'_, '_>) {
    recipe(bencher, json!({ "select": ["a", "b", "c", "d", "e", "f", "g", "h"], "rename": { "a": "x" } }));
}

/// Select, rename, and five typed columns with constraints.
#[divan::bench]
fn recipe_typed(bencher: Bencher<'_, '_>) {
    let field = |name: &str, kind: &str, constraints: serde_json::Value| json!({ "name": name, "type": kind, "constraints": constraints });
    let fields = [
        field("a", "integer", json!({ "required": true, "minimum": 0 })),
        field("b", "integer", json!({ "maximum": 1_000_000 })),
        field("c", "number", json!({ "minimum": 0, "maximum": 1_000_000 })),
        field("d", "string", json!({ "required": true, "maxLength": 7 })),
        field("e", "number", json!({ "required": true })),
    ];
    let select = ["a", "b", "c", "d", "e", "f", "g", "h"];
    recipe(bencher, json!({ "schema": { "fields": fields }, "select": select, "rename": { "a": "x" } }));
}

#[divan::bench(sample_count = 20)]
fn recipe_filter(bencher: Bencher<'_, '_>) {
    let fields = [json!({ "name": "a", "type": "integer" })];
    recipe(bencher, json!({ "schema": { "fields": fields }, "filter": "a >= 0" }));
}

#[divan::bench(sample_count = 20)]
fn recipe_hash(bencher: Bencher<'_, '_>) {
    recipe(bencher, json!({ "mask": { "a": "hash" } }));
}

/// Nine columns of numbers: two typed, the others texts.
#[cfg(feature = "parquet")]
#[divan::bench(args = ["none", "snappy", "zstd"], sample_count = 20)]
fn recipe_parquet(bencher: Bencher<'_, '_>, compression: &str) {
    let fields = [json!({ "name": "a", "type": "integer" }), json!({ "name": "b", "type": "number" })];
    let output = json!({ "format": "parquet", "compression": compression });
    recipe(bencher, json!({ "schema": { "fields": fields }, "output": output }));
}

/// The same as text, to compare.
#[divan::bench(sample_count = 20)]
fn recipe_ndjson(bencher: Bencher<'_, '_>) {
    let fields = [json!({ "name": "a", "type": "integer" }), json!({ "name": "b", "type": "number" })];
    recipe(bencher, json!({ "schema": { "fields": fields }, "output": { "format": "ndjson" } }));
}

/// Rows of nine fields of one type, to be profiled; `--sample-count` and the like see `plain` and `found` for none.
#[divan::bench(args = ["integers", "numbers", "booleans", "dates", "timestamps", "words", "nulls", "quoted"], sample_count = 10)]
fn profiled(bencher: Bencher<'_, '_>, kind: &str) {
    let mut random = fastrand::Rng::with_seed(2);
    let mut text = b"a,b,c,d,e,f,g,h,i\n".to_vec();
    while text.len() < TEXT_BYTES {
        for column in 0..9 {
            let comma = if column == 0 { "" } else { "," };
            let (one, two) = (random.u32(0..1_000_000), random.u32(0..28));
            match kind {
                "integers" => write!(text, "{comma}{one}"),
                "numbers" => write!(text, "{comma}{one}.{two}"),
                "booleans" => write!(text, "{comma}{}", one % 2 == 0),
                "dates" => write!(text, "{comma}20{:02}-03-{:02}", two, two + 1),
                "timestamps" => {
                    write!(text, "{comma}2024-03-{:02}T12:{:02}:{:02}.5Z", two + 1, one % 60, two)
                }
                "words" => write!(text, "{comma}word{one}"),
                "nulls" => write!(text, "{comma}{}", ["NULL", "", "NA"][two as usize % 3]),
                _ => write!(text, "{comma}\"a, \"\"{one}\"\"\""),
            }
            .unwrap();
        }
        text.push(b'\n');
    }
    let options = Options { told: Told::rfc4180(), profile: true, ..Options::default() };
    run_with(bencher, text.clone(), text.len(), &options);
}

#[divan::bench(sample_count = 20)]
fn gzip_in(bencher: Bencher<'_, '_>) {
    let text = text(9, "", "\n");
    run(bencher, gzipped(&text), text.len(), Some(Compression::None));
}

#[divan::bench(sample_count = 20)]
fn gzip_out(bencher: Bencher<'_, '_>) {
    let text = text(9, "", "\n");
    run(bencher, text.clone(), text.len(), Some(Compression::Gzip));
}
