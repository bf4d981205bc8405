//! `loadtest sim` from outside, with recipes.

use std::path::Path;

use processor::recipes::{RecipeSet, load_file};
use serde_json::Value;

use crate::run::loadtest;

const SIZE: &str = "2MiB";

/// `sim` by this recipe: the exit code, what it printed, and what it said.
fn sim(recipe: &str, arguments: &[&str], key: Option<&str>) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trips.yml");
    std::fs::write(&path, recipe).unwrap();
    let mut command = loadtest(&["sim", "--size", SIZE, "--recipe"]);
    command.arg(path).args(arguments).env_remove("MASK_KEY").env_remove("MASK_KEY_ARN");
    let output = command.envs(key.map(|key| ("MASK_KEY", key))).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn rows_that_a_recipe_keeps_rejects_and_filters_are_accounted_for_in_every_format() {
    // Passengers are 1 to 6, fares 3 to 89.
    let rows = r#"
match: "other/*"
schema:
  fields:
    - { name: passengers, type: integer, constraints: { maximum: 5 } }
    - { name: fare, type: number }
filter: fare < 10.0
"#;
    let mut sums = Vec::new();
    for format in ["csv", "tsv", "ndjson", "parquet"] {
        let recipe = format!("{rows}output: {{ format: {format} }}\n");
        let (code, printed, said) = sim(&recipe, &["--json"], None);
        assert_eq!(code, 0, "{format}: {said}");
        let document: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(document["every_row_accounted_for"], true, "{format}");
        assert!(document["output_bytes"].as_u64().unwrap() > 1000, "{format}: {document}");
        assert!(document["peak_memory_bytes"].as_u64().unwrap() > 0);
        sums.push(
            ["rows", "rows_out", "rows_rejected", "rows_filtered"]
                .map(|name| document[name].as_u64().unwrap()),
        );
    }
    let [rows, out, rejected, filtered] = sums[0];
    assert_eq!(rows, out + rejected + filtered);
    // A sixth, and of the others 7 of 87.
    assert!((rows / 8..rows / 5).contains(&rejected) && (1..rows / 8).contains(&out), "{sums:?}");
    assert!(sums.iter().all(|found| *found == sums[0]), "{sums:?}");
}

#[test]
fn a_recipe_that_masks_takes_the_key_of_the_environment() {
    let recipe = "match: '*'\nmask: { trip_id: hash }\n";
    let (code, printed, said) = sim(recipe, &[], Some("sixteen bytes or more"));
    assert_eq!(code, 0, "{said}");
    assert!(printed.contains("out, 0 rejected, 0 filtered), every row accounted for"), "{printed}");
    let (code, _, said) = sim(recipe, &[], None);
    assert_eq!(code, 1);
    assert!(said.contains("`trips`") && said.contains("MASK_KEY"), "{said}");
    let (code, _, said) = sim(recipe, &[], Some("short"));
    assert!(code == 1 && said.contains("mask key is malformed") && !said.contains("short\n"), "{said}");
}

#[test]
fn a_wrong_recipe_is_refused_with_its_place() {
    let (code, printed, said) = sim("match: '*'\nselekt: [a]\n", &["--json"], None);
    assert_eq!((code, printed.as_str()), (1, ""));
    assert!(said.contains("trips.yml:2:1") && said.contains("did you mean `select`?"), "{said}");
    let (code, _, said) = sim("match: '*'\n", &["--copy"], None);
    assert!(code == 2 && said.contains("--recipe"), "{said}");
}

#[test]
fn the_benchmarks_recipes_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/recipes");
    let recipes = RecipeSet::files_of(&folder).unwrap();
    assert!(recipes.len() >= 9, "{recipes:?}");
    for path in recipes {
        let text = std::fs::read_to_string(&path).unwrap();
        let schema =
            text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        assert!(folder.join(schema.unwrap()).is_file(), "{}", path.display());
        load_file(&path).unwrap();
    }
}
