//! Recipes: the documents', the examples, and those that the function reads.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::config::{ProcessorConfig, RecipesPlace};
use common::contract::{ObjectRef, Status, hex, partition_key, partition_prefix};
use common::secrets::MemorySecrets;
use common::store::{Condition, Fault, FaultyStore, NewObject, Operation, Payload, Store as _};
use engine::recipe::{FormatWord, MaskKey, Piece, suffix};
use engine::{Compression, Options, Sink};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use processor::recipes::{
    POINTER, Pointer, PublishedFile, Push, RecipeSet, Recipes, RecipesError, load, load_file, object_name,
};
use sha2::{Digest as _, Sha256};

use crate::world::{OUT, World, gunzip};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn key() -> MaskKey {
    MaskKey::new(b"sixteen bytes or more").unwrap()
}

/// An output in one piece, and the objects of one that is partitioned: each one's name, how it is compressed and its bytes, by their numbers.
#[derive(Default)]
struct Made {
    one: Vec<u8>,
    objects: Vec<(String, Compression, Vec<u8>)>,
    format: FormatWord,
}

impl Sink for Made {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.one.write(chunk).await
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        let at = piece.object as usize;
        if at == self.objects.len() {
            // As in its key, but for an id that would be another each time.
            let key = partition_key(
                "",
                &piece.path,
                "<event id>",
                piece.sequence,
                &suffix(self.format, piece.compression),
            );
            let name = key.strip_prefix(&partition_prefix("")).unwrap().to_owned();
            self.objects.push((name, piece.compression, Vec::new()));
        }
        self.objects[at].2.extend(piece.chunks.concat());
        Ok(())
    }
}

/// Bytes as a reader shows them.
fn shown(bytes: Vec<u8>, format: FormatWord) -> String {
    if format != FormatWord::Parquet {
        return String::from_utf8(bytes).unwrap();
    }
    let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let mut shown = String::new();
    for row in file.get_row_iter(None).unwrap() {
        writeln!(shown, "{}", row.unwrap()).unwrap();
    }
    shown
}

/// What a recipe makes of a text: the output, as its reader shows it where it is Parquet, of one that is partitioned each
/// object below its name; and a line for each rejected row.
async fn made(recipe: &engine::recipe::Recipe, input: &[u8]) -> (String, String) {
    let mut options = Options::default();
    recipe.apply(&mut options);
    let is_partitioned = recipe.is_partitioned();
    options.output_compression =
        options.output_compression.filter(|_| is_partitioned).or(Some(Compression::None));
    options.mask_key = Some(key());
    let input = futures::stream::iter([Ok(Bytes::copy_from_slice(input))]);
    let (mut output, mut rejects) = (Made { format: recipe.format, ..Made::default() }, Vec::new());
    engine::run(input, &mut output, &mut rejects, &options).await.unwrap();
    let told = |line: &[u8]| {
        let reject: serde_json::Value = serde_json::from_slice(line).unwrap();
        let column = reject["column"].as_str().map(|name| format!(", {name}")).unwrap_or_default();
        format!("line {}{column}: {}\n", reject["line"], reject["reason"].as_str().unwrap())
    };
    let rejected = rejects.split_inclusive(|byte| *byte == b'\n').map(told).collect();
    let Made { one, objects, format } = output;
    let mut text = if is_partitioned { String::new() } else { shown(one, format) };
    for (name, compression, bytes) in objects {
        let bytes = if compression == Compression::Gzip { gunzip(&bytes) } else { bytes };
        writeln!(text, "{name}:\n{}", shown(bytes, format).trim_end()).unwrap();
    }
    (text, rejected)
}

/// The fenced blocks of a document: what is said behind the fence, and the text.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut is_open = false;
    for line in document.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            is_open = !is_open;
            if is_open {
                found.push((kind.to_owned(), String::new()));
            }
        } else if is_open && let Some((_, text)) = found.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

#[tokio::test]
async fn the_document_says_what_happens() {
    let document = std::fs::read_to_string(root().join("docs/recipes.md")).unwrap();
    let mut run = 0;
    let mut blocks = blocks(&document).into_iter().peekable();
    while let Some((kind, text)) = blocks.next() {
        if kind != "yaml recipe" {
            continue;
        }
        let recipe = load("docs.yml", &text, &|_| Err("nothing".into())).unwrap().recipe;
        let mut of = |wanted: &str| blocks.next_if(|(kind, _)| kind == wanted).map(|(_, text)| text);
        let input = of("text input").expect("a file beneath the recipe");
        let expected = (of("text output").expect("an output"), of("text rejected").unwrap_or_default());
        assert_eq!(made(&recipe, input.as_bytes()).await, expected, "{text}");
        run += 1;
    }
    assert!(run >= 7, "{run} recipes");
}

#[tokio::test]
async fn the_examples_give_what_lies_beside_them() {
    let folder = root().join("recipes/examples");
    let paths = RecipeSet::files_of(&folder).unwrap();
    RecipeSet::of_files(&paths).unwrap();
    assert_eq!(paths.len(), 4);
    for path in paths {
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .starts_with("# yaml-language-server: $schema=../recipe.schema.json\n")
        );
        let recipe = load_file(&path).unwrap().recipe;
        let sample = ["csv", "txt"].map(|suffix| path.with_extension(suffix));
        let input = std::fs::read(sample.iter().find(|sample| sample.is_file()).unwrap()).unwrap();
        let (output, rejected) = made(&recipe, &input).await;
        let expected = std::fs::read_to_string(path.with_extension("expected")).unwrap();
        assert_eq!(format!("{output}---\n{rejected}"), expected, "{}", path.display());
    }
}

#[test]
fn the_recipes_that_the_image_brings_are_right() {
    RecipeSet::of_folder(&root().join("recipes")).unwrap_or_else(|error| panic!("{error}"));
}

pub(crate) fn set(files: &[(&str, &str)]) -> RecipeSet {
    let files: Vec<(String, String)> =
        files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    RecipeSet::new(&files, &|_, name| Err(format!("{name} is not there"))).unwrap()
}

#[tokio::test]
async fn a_file_has_the_recipe_that_its_key_matches() {
    let mut world = World::new().await;
    world.processor.recipes =
        Recipes::fixed(set(&[("lines.yml", "match: lines/*\nselect: [b]\noutput: { format: ndjson }\n")]));
    for key in ["lines/x.csv", "other/x.csv"] {
        let event = world.upload(key, b"a,b\n1,2\n", "01").await;
        world.handle(&event).await.unwrap();
        world.assert_whole(key).await;
    }
    let (lines, other) = (world.receipt("lines/x.csv").unwrap(), world.receipt("other/x.csv").unwrap());
    assert_eq!((lines.recipe.name.as_str(), other.recipe.name.as_str()), ("lines", "default"));
    assert_ne!(lines.recipe.sha256, other.recipe.sha256);
    assert_eq!(world.read("clean/lines/x.ndjson").unwrap(), b"{\"b\":\"2\"}\n");
    assert_eq!(lines.outputs[0].key, "clean/lines/x.ndjson");

    // Another file that would have the same output fails, and touches nothing.
    let event = world.upload("lines/x.csv.gz", &crate::world::gzip(b"a,b\n3,4\n"), "02").await;
    world.handle(&event).await.unwrap();
    assert_eq!(world.read("clean/lines/x.ndjson").unwrap(), b"{\"b\":\"2\"}\n");
    let failed = world.events().pop().unwrap();
    assert_eq!(failed.data.receipt.status, Status::Failed);
    assert_eq!(failed.data.receipt.error.unwrap().code, "output_taken");
}

#[tokio::test]
async fn another_recipe_is_another_outcome() {
    let mut world = World::new().await;
    let event = world.upload("x.csv", b"a,b\n1,2\n", "01").await;
    world.handle(&event).await.unwrap();
    let first = world.receipt("x.csv").unwrap();
    world.processor.recipes = Recipes::fixed(set(&[("b.yml", "match: '*'\nselect: [b]\n")]));
    let answer = world.handle(&event).await.unwrap();
    assert_eq!((answer.processed, answer.republished), (1, 0));
    let second = world.receipt("x.csv").unwrap();
    assert_ne!(first.event_id, second.event_id);
    assert_eq!(world.read("clean/x.csv").unwrap(), b"b\n2\n");
    assert_eq!(world.handle(&event).await.unwrap().republished, 1);
}

async fn publish(world: &World, files: &[(&str, &str)], sha256: Option<&str>) {
    let mut pointer = Pointer::default();
    let mut objects = Vec::new();
    for (name, text) in files {
        let hash = sha256.map_or_else(|| hex(&Sha256::digest(text.as_bytes())), ToOwned::to_owned);
        let file = PublishedFile { name: (*name).into(), sha256: hash };
        objects.push((object_name(&file), (*text).to_owned()));
        pointer.files.push(file);
    }
    objects.push((POINTER.into(), serde_json::to_string(&pointer).unwrap()));
    for (name, text) in objects {
        let object = ObjectRef::new(OUT, format!("recipes/{name}"));
        let new = NewObject { object, content_type: "text/plain", metadata: [].into() };
        world.memory.put(&new, Payload::new(text.into_bytes().into()), &Condition::Always).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn published_recipes_come_into_force_as_a_whole_or_not_at_all() {
    let world = World::direct();
    let place = RecipesPlace::Published { bucket: OUT.into(), prefix: "recipes/".into() };
    let store = &*world.memory;
    let recipes = Recipes::open(&place, store, false).await.unwrap();
    let name = |key: &str| recipes.choose(key).reference.name.clone();
    let later = async || {
        tokio::time::advance(std::time::Duration::from_secs(11)).await;
        recipes.refresh(store).await;
    };
    assert_eq!(name("x"), "default");
    let schema = r#"{ "fields": [{ "name": "a", "type": "integer", "unknown": 1 }] }"#;
    publish(&world, &[("a.yml", "match: a*\nschema: s.json\n"), ("s.json", schema)], None).await;
    recipes.refresh(store).await;
    assert_eq!(name("a1"), "default", "not looked at again so soon");
    later().await;
    assert_eq!(name("a1"), "a");
    // Wrong ones, wrong hashes, and those that need a key that is not there stay out.
    for (files, hash) in [
        (vec![("b.yml", "match: a*\nnonsense: 1\n")], None),
        (vec![("b.yml", "match: a*\n")], Some("00")),
        (vec![("b.yml", "match: a*\nmask: { x: hash }\n")], None),
        (vec![("b.yml", "match: a*\nschema: absent.json\n")], None),
    ] {
        publish(&world, &files, hash).await;
        later().await;
        assert_eq!(name("a1"), "a", "{files:?}");
        assert!(Recipes::open(&place, store, false).await.is_err(), "a cold start refuses {files:?}");
    }
    publish(&world, &[("b.yml", "match: a*\n")], None).await;
    later().await;
    assert_eq!(name("a1"), "b");
}

/// A folder of these files, for as long as it is held.
struct Folder(PathBuf);

impl Folder {
    fn of(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("penstock-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn push(&self) -> Result<Push, RecipesError> {
        Push::of_files(&RecipeSet::files_of(&self.0).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

#[tokio::test]
async fn what_is_pushed_is_in_force_with_what_it_names() {
    let world = World::direct();
    let store = &*world.memory;
    let schema = r#"{ "fields": [{ "name": "a", "type": "integer" }] }"#;
    let first = Folder::of(
        "push-first",
        &[
            ("a.yml", "match: a*\nschema: s.json\n"),
            ("s.json", schema),
            ("b.yml", "match: b*\nmask: { x: hash }\n"),
        ],
    );
    let push = first.push().unwrap();
    assert_eq!(push.masking(), ["b"]);
    let pushed = push.publish(store, OUT, "recipes/").await.unwrap();
    assert_eq!(pushed.changed, ["a.yml", "b.yml", "s.json"]);
    let place = RecipesPlace::Published { bucket: OUT.into(), prefix: "recipes/".into() };
    let recipes = Recipes::open(&place, store, true).await.unwrap();
    let hash = |key: &str| recipes.choose(key).reference.sha256.clone();
    assert_eq!(hash("a1"), load_file(&first.0.join("a.yml")).unwrap().reference.sha256);
    // The same once more changes nothing; without `b.yml` it is out of force, and its object stays.
    assert_eq!(first.push().unwrap().publish(store, OUT, "recipes/").await.unwrap().changed, [""; 0]);
    std::fs::remove_file(first.0.join("b.yml")).unwrap();
    let fewer = first.push().unwrap().publish(store, OUT, "recipes/").await.unwrap();
    assert_eq!(fewer.changed, ["b.yml"]);
    let recipes = Recipes::open(&place, store, false).await.unwrap();
    assert_eq!(recipes.choose("b1").reference.name, "default");
    assert_eq!(world.memory.keys(OUT, "recipes/").iter().filter(|key| key.ends_with("/b.yml")).count(), 1);
}

/// Whatever somebody else wrote under the prefix, a push puts right: a pointer that can't be read, one that names what is not
/// there, and a file that is not what its name says.
#[tokio::test]
async fn a_push_mends_what_was_written_around_it() {
    let world = World::direct();
    let store = &*world.memory;
    let folder = Folder::of("push-mends", &[("a.yml", "match: a*\nselect: [x]\n")]);
    let place = RecipesPlace::Published { bucket: OUT.into(), prefix: "recipes/".into() };
    let pushed = folder.push().unwrap().publish(store, OUT, "recipes/").await.unwrap();
    let file = object_name(&pushed.pointer.files[0]);
    for (name, text) in [
        (POINTER, "{ \"files\": [ oops"),
        (POINTER, "{ \"files\": [{ \"name\": \"a.yml\", \"sha256\": \"00\" }] }"),
        (&file, "match: a*\n"),
        (&file, "match: b*\nselect: [y]\n"),
    ] {
        let object = ObjectRef::new(OUT, format!("recipes/{name}"));
        let new = NewObject { object, content_type: "text/plain", metadata: [].into() };
        let payload = Payload::new(text.as_bytes().to_vec().into());
        store.put(&new, payload, &Condition::Always).await.unwrap();
        assert!(Recipes::open(&place, store, false).await.is_err(), "a cold start refuses {text}");

        let mended = folder.push().unwrap().publish(store, OUT, "recipes/").await.unwrap();
        assert_eq!(
            (&mended.pointer, &*mended.changed),
            (&pushed.pointer, &["a.yml".to_owned()][..]),
            "{text}"
        );
        let recipes = Recipes::open(&place, store, false).await.unwrap();
        assert_eq!(recipes.choose("a1").reference.name, "a", "{text}");
    }
}

#[tokio::test]
async fn what_a_push_needs_of_the_function_is_told() {
    let folder = Folder::of(
        "push-needs",
        &[
            ("a.yml", "match: a*\noutput: { format: parquet }\n"),
            ("b.yml", "match: b*\nmask: { x: tokenise }\n"),
        ],
    );
    let push = folder.push().unwrap();
    assert_eq!((push.parquet(), push.masking()), (&["a".to_owned()][..], &["b".to_owned()][..]));
}

#[tokio::test(start_paused = true)]
async fn nothing_wrong_is_pushed_and_nobody_is_overwritten() {
    let wrong = Folder::of(
        "push-wrong",
        &[("a.yml", "match: a*\nselct: [a]\n"), ("b.yml", "match: b*\nschema: s.json\n")],
    );
    let RecipesError::Faults(faults) = wrong.push().unwrap_err() else { panic!("faults are wanted") };
    assert_eq!(faults.0.len(), 2, "{faults}");
    let twins = Folder::of(
        "push-twins",
        &[
            ("one/a.yml", "match: a*\nschema: s.json\n"),
            ("one/s.json", "{\"fields\": []}"),
            ("other/b.yml", "match: b*\nschema: s.json\n"),
            ("other/s.json", "{\"fields\": [{\"name\": \"x\"}]}"),
        ],
    );
    let paths = [twins.0.join("one/a.yml"), twins.0.join("other/b.yml")];
    assert!(
        matches!(Push::of_files(&paths), Err(RecipesError::Unpublishable(what)) if what.contains("s.json"))
    );

    // The processor tells recipes from what they name by their suffixes.
    let schema = r#"{ "fields": [{ "name": "a" }] }"#;
    let suffixes = Folder::of(
        "push-suffixes",
        &[
            ("a.yml", "match: a*\nschema: s.yaml\n"),
            ("s.yaml", schema),
            ("b.json", "{ \"match\": \"b*\", \"schema\": \"s.json\" }"),
            ("s.json", schema),
        ],
    );
    for (name, why) in [("a.yml", "s.yaml is a schema"), ("b.json", "b.json is a recipe")] {
        let refused = Push::of_files(&[suffixes.0.join(name)]);
        assert!(
            matches!(&refused, Err(RecipesError::Unpublishable(what)) if what.contains(why)),
            "{refused:?}"
        );
    }

    // Somebody else's pointer comes between the look at it and the write.
    let world = World::direct();
    let ours = Folder::of("push-ours", &[("a.yml", "match: a*\n")]);
    let theirs = Folder::of("push-theirs", &[("b.yml", "match: b*\n")]);
    let slow = FaultyStore::new(world.memory.clone());
    slow.plan(Operation::Put, Fault::Late(std::time::Duration::from_secs(1)));
    let (overtaken, pushed) = tokio::join!(
        ours.push().unwrap().publish(&slow, OUT, "recipes/"),
        theirs.push().unwrap().publish(&*world.memory, OUT, "recipes/"),
    );
    assert!(matches!(overtaken, Err(RecipesError::Overtaken { .. })), "{overtaken:?}");
    let pointer: Pointer = serde_json::from_slice(&world.read("recipes/current.json").unwrap()).unwrap();
    assert_eq!(pointer, pushed.unwrap().pointer);
}

#[tokio::test]
async fn the_mask_key_comes_from_secrets_manager() {
    const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mask-AbCdEf";
    let folder = Folder::of("mask-key", &[("a.yml", "match: '*'\nmask: { x: hash }\n")]);
    let config = |vars: &[(&str, &str)]| {
        let place = folder.0.display().to_string();
        let base = [
            ("OUTPUT_BUCKET", OUT),
            ("TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:events"),
            ("RECIPES", place.as_str()),
        ];
        let found = |name: &str| base.iter().chain(vars).find(|(key, _)| *key == name);
        ProcessorConfig::from_lookup(|name| found(name).map(|(_, value)| (*value).to_owned())).unwrap()
    };
    let secrets = |text: &str| MemorySecrets([(ARN.to_owned(), text.to_owned())].into());
    let started = async |vars: &[(&str, &str)], secrets: MemorySecrets| {
        World::direct().processor.with_recipes(&config(vars), &secrets).await
    };
    let key = "sixteen bytes or more";
    let mut outputs = Vec::new();
    for vars in [[("MASK_KEY_ARN", ARN)], [("MASK_KEY", key)]] {
        let mut world = World::direct();
        world.processor = world.processor.with_recipes(&config(&vars), &secrets(key)).await.unwrap();
        let event = world.upload("x.csv", b"x\nsecret\n", "01").await;
        world.handle(&event).await.unwrap();
        outputs.push(world.read("clean/x.csv").unwrap());
    }
    assert!(outputs[0].len() > 64 && outputs[0] == outputs[1], "{outputs:?}");
    let error = |started: Result<_, RecipesError>| started.err().unwrap().to_string();
    assert!(
        error(started(&[("MASK_KEY_ARN", ARN)], MemorySecrets::default()).await)
            .starts_with("get secret arn:")
    );
    assert!(
        error(started(&[("MASK_KEY_ARN", ARN)], secrets("short")).await)
            .starts_with("the mask key is malformed")
    );
    assert!(error(started(&[], secrets(key)).await).contains("set MASK_KEY_ARN"));
}

#[tokio::test]
async fn a_folder_with_a_wrong_recipe_is_refused_with_every_fault() {
    let folder = std::env::temp_dir().join(format!("penstock-recipes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.yml"), "match: x\nfilter: a >\nselct: [a]\n").unwrap();
    let world = World::direct();
    let place = RecipesPlace::Folder(folder.display().to_string());
    let error = Recipes::open(&place, &*world.memory, false).await.unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    let RecipesError::Faults(faults) = error else { panic!("{error}") };
    assert!(
        faults.to_string().contains("a.yml:3:1: unknown key `selct`: did you mean `select`?"),
        "{faults}"
    );
    let gone = Recipes::open(&place, &*world.memory, false).await.unwrap_err();
    assert!(matches!(gone, RecipesError::Read { .. }), "{gone}");
}
