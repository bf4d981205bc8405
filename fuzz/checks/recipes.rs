//! Recipes for the columns that a file without names has.

use std::sync::{Arc, LazyLock};

use engine::Options;
use engine::recipe::{Recipe, RecipeFile, Work};
use serde_json::{Value, json};

use super::running::{run, same};

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

/// A recipe that lets rows be copied as they lie, and the same with a filter, which wants every value.
static GLANCES: LazyLock<[Option<Arc<Work>>; 2]> = LazyLock::new(|| {
    let fields = json!([{ "name": "column_1", "type": "number", "constraints": { "minimum": 5 } }]);
    let seen = json!({ "match": "**", "schema": { "fields": fields }, "rename": { "column_1": "x" } });
    let mut read = seen.clone();
    read["filter"] = json!("true");
    [seen, read].map(work_of)
});

/// Rows that a glance is enough for come out as they do where every value is read.
pub(crate) fn a_glance_changes_nothing(file: &[u8], sizes: &[usize], options: &Options) {
    let [seen, read] = GLANCES.clone().map(|work| run(file, sizes, &Options { work, ..options.clone() }));
    same(&seen, &read);
}

fn work_of(recipe: Value) -> Option<Arc<Work>> {
    let file: RecipeFile = serde_json::from_value(recipe).expect("a recipe");
    Recipe::new(&file, None).expect("a sound recipe").work
}

/// The work of one of them, or none.
pub(crate) fn work(pick: usize) -> Option<Arc<Work>> {
    WORKS.get(pick.checked_sub(1)?)?.clone()
}
