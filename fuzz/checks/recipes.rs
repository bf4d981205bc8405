//! Recipes for the columns that a file without names has.

use std::sync::{Arc, LazyLock};

use engine::recipe::{Recipe, RecipeFile, Work};
use engine::{Comment, Compression, Options, Told};
use serde_json::{Value, json};

use super::running::{Ran, run, same};

/// A type, a new column and a filter; a mask, so that rejects are withheld; rows that are compared.
static WORKS: LazyLock<[Option<Arc<Work>>; 3]> = LazyLock::new(|| {
    let number = json!({ "name": "column_1", "type": "integer", "constraints": { "maximum": 1000 } });
    [
        json!({
            "match": "**",
            "schema": { "fields": [number] },
            "cast": "all",
            "derive": [{ "name": "more", "value": "100 / column_1" }],
            "filter": "column_1 != 7",
        }),
        json!({ "match": "**", "mask": { "column_1": { "partial": { "first": 1, "last": 1 } } } }),
        json!({ "match": "**", "schema": { "fields": [{ "name": "column_1" }], "primaryKey": ["column_1"] } }),
    ]
    .map(work_of)
});

/// A recipe that lets rows be copied as they lie from a file with this delimiter, and the same with a filter, which wants every
/// value.
type Glance = (&'static str, [Option<Arc<Work>>; 2]);

static GLANCES: LazyLock<[Glance; 3]> = LazyLock::new(|| {
    [",", ";", "\t"].map(|delimiter| {
        let field = json!({ "name": "column_1", "type": "number", "constraints": { "minimum": 5 } });
        let seen = json!({
            "match": "**",
            "schema": { "fields": [field] },
            "rename": { "column_1": "x" },
            "output": { "delimiter": delimiter },
        });
        let mut read = seen.clone();
        read["filter"] = json!("true");
        (delimiter, [seen, read].map(work_of))
    })
});

/// Rows that a glance is enough for come out as they do where every value is read, and where every record is found by
/// itself, as it is where there may be comments.
pub(crate) fn a_glance_changes_nothing(file: &[u8], sizes: &[usize], options: &Options) {
    let told = options.told.delimiter.as_deref().unwrap_or(b",");
    let found = GLANCES.iter().find(|(delimiter, _)| delimiter.as_bytes() == told);
    let Some((_, [seen, read])) = found else { return };
    let never = Comment::Prefix(vec![1, 2]);
    let [seen, read, sought] =
        [(seen, Comment::None), (read, Comment::None), (read, never)].map(|(work, comment)| {
            let told = Told { comment: Some(comment), ..options.told.clone() };
            let mut ran = run(file, sizes, &Options { work: work.clone(), told, ..options.clone() });
            if let Ok(ran) = &mut ran {
                ran.summary.dialect.comment = Comment::None;
            }
            ran
        });
    same(&seen, &read);
    // Some file might have such comments after all.
    let is_plain = |ran: &Ran| ran.summary.input_compression == Compression::None && !file.contains(&1);
    if seen.as_ref().is_ok_and(is_plain) {
        same(&seen, &sought);
    }
}

fn work_of(recipe: Value) -> Option<Arc<Work>> {
    let file: RecipeFile = serde_json::from_value(recipe).expect("a recipe");
    Recipe::new(&file, None).expect("a sound recipe").work
}

/// The work of one of them, or none.
pub(crate) fn work(pick: usize) -> Option<Arc<Work>> {
    WORKS.get(pick.checked_sub(1)?)?.clone()
}
