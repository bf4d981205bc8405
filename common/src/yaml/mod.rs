//! Files that people write: YAML (so JSON, too) into a typed value, with every fault at once, each with its place and what
//! to do.
//!
//! - `node`: the text as a tree that knows its places.
//! - `decode`: the tree into a type, and what does not fit.
//! - `fault`: what is wrong, and where.

mod decode;
mod fault;
mod node;

use serde::de::DeserializeOwned;
use serde_saphyr::{Spanned, UserMessageFormatter, options};

pub use fault::{Fault, Faults};
use node::{Node, Tree as _};

/// The largest file that is read: hundreds of times what anyone writes.
const MAX_BYTES: usize = 256 * 1024;

/// A file's text, parsed; its places are still known.
#[derive(Debug, Clone)]
pub struct Document {
    file: String,
    root: Spanned<Node>,
}

impl Document {
    /// Parses a text. `file` is its name, as faults give it.
    ///
    /// # Errors
    ///
    /// The one fault that keeps it from being YAML.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let fault = |line, column, message| Fault { file: file.to_owned(), line, column, message };
        if text.len() > MAX_BYTES {
            let message =
                format!("the file has {} bytes, more than the {MAX_BYTES} that are read", text.len());
            return Err(fault(1, 1, message).into());
        }
        let options = options! {
            strict_booleans: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_depth: 64, max_nodes: 20_000 },
        };
        let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
            let message = error.render_with_formatter(&UserMessageFormatter);
            // The place is said in front.
            let message = message.split(" at line ").next().unwrap_or_default().trim_end_matches([':', ',']);
            Faults::from(fault(line, column, message.to_owned()))
        })?;
        Ok(Self { file: file.to_owned(), root })
    }

    /// The value that the text means.
    ///
    /// # Errors
    ///
    /// Everything that does not fit: unknown keys with the nearest known one, values of another type, missing keys.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Faults> {
        decode::decode(&self.file, &self.root, true)
    }

    /// The same, where keys that are not known mean something to somebody else.
    ///
    /// # Errors
    ///
    /// Everything that does not fit, but unknown keys.
    pub fn decode_known<T: DeserializeOwned>(&self) -> Result<T, Faults> {
        decode::decode(&self.file, &self.root, false)
    }

    /// A fault that shows only once the value is understood. `pointer` is where, as RFC 6901 spells it
    /// (`/schema/fields/0/name`); what is not there stands for what it would lie in.
    pub fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        let (line, column) = node::place(self.root.find(pointer));
        Fault { file: self.file.clone(), line, column, message: message.into() }
    }
}

/// The nearest of the names that are known, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let most = (name.chars().count() / 3).clamp(1, 3);
    let near = known.into_iter().map(|other| (distance(other), other)).filter(|(far, _)| *far <= most);
    near.min_by_key(|(far, _)| *far).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        name: String,
        #[serde(default)]
        policies: Option<Policies>,
        #[serde(default)]
        rules: Vec<Rule>,
        #[serde(default)]
        rename: BTreeMap<String, String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Policies {
        #[serde(default)]
        on_violation: OnViolation,
        #[serde(default)]
        limit: u32,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum OnViolation {
        #[default]
        Reject,
        Warn,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        when: String,
    }

    fn decoded(text: &str) -> Result<File, Faults> {
        Document::parse("r.yml", text)?.decode()
    }

    fn faults(text: &str) -> Vec<String> {
        decoded(text).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_text_becomes_its_value_and_json_is_yaml() {
        let yaml =
            "name: 'a' # why\npolicies: { on_violation: warn }\nrules:\n  - when: x > 1\nrename:\n  a: b\n";
        let json = r#"{"name": "a", "policies": {"on_violation": "warn"}, "rules": [{"when": "x > 1"}], "rename": {"a": "b"}}"#;
        assert_eq!(decoded(yaml).unwrap(), decoded(json).unwrap());
        assert_eq!(decoded(yaml).unwrap().rules, [Rule { when: "x > 1".into() }]);
    }

    #[test]
    fn every_fault_is_told_with_its_place_and_what_to_do() {
        let text = "\
nmae: a
policies:
  on_violaton: warn
  limit: lots
rules:
  - when: 7
  - wen: x
    when: y
  - {}
rename: [a]
";
        assert_eq!(
            faults(text),
            [
                "r.yml:1:1: unknown key `nmae`: did you mean `name`?",
                "r.yml:3:3: unknown key `on_violaton`: did you mean `on_violation`?",
                "r.yml:4:10: `limit`: invalid type: string \"lots\", expected a whole number",
                "r.yml:6:11: `when`: invalid type: integer `7`, expected a string: put it in quotes",
                "r.yml:7:5: unknown key `wen`: did you mean `when`?",
                "r.yml:9:5: `when` is missing",
                "r.yml:10:9: `rename`: invalid type: sequence, expected a map",
            ]
        );
        assert_eq!(
            faults("name: x\npolicies:\n  on_violation: wran\n"),
            ["r.yml:3:17: `on_violation` can't be `wran`: did you mean `warn`?"]
        );
        assert_eq!(
            faults("name: x\nfoo: 1\n"),
            ["r.yml:2:1: unknown key `foo`: known are `name`, `policies`, `rules`, `rename`"]
        );
        assert_eq!(faults("rules: []\n"), ["r.yml:1:1: `name` is missing"]);
        assert_eq!(
            faults("just text"),
            ["r.yml:1:1: invalid type: string \"just text\", expected keys and their values"]
        );
    }

    #[test]
    fn what_is_no_yaml_has_its_place() {
        for (text, place) in [
            ("name: [a\n", "r.yml:"),
            ("name: a\nname: b\n", "r.yml:2:1: "),
            ("name: 'a\n", "r.yml:"),
            ("a: &x [1]\nb: *y\n", "r.yml:2:"),
            ("", "r.yml:1:1: "),
        ] {
            let faults = faults(text);
            assert!(faults.len() == 1 && faults[0].starts_with(place), "{text:?} {faults:?}");
        }
    }

    #[test]
    fn a_file_made_to_use_up_memory_is_refused() {
        let laughs = (1..20).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, at| {
            format!("{text}a{at}: &a{at} [{}]\n", vec![format!("*a{}", at - 1); 10].join(", "))
        });
        assert_eq!(faults(&laughs).len(), 1);
        assert_eq!(faults(&"[".repeat(100_000)).len(), 1);
        assert!(faults(&"x".repeat(MAX_BYTES + 1))[0].contains("more than"));
    }

    #[test]
    fn faults_found_later_have_the_place_of_what_they_mean() {
        let document = Document::parse("r.yml", "name: a\nrules:\n  - when: x\n  - when: y\n").unwrap();
        let place = |pointer| document.fault(pointer, "bad").to_string();
        assert_eq!(place("/rules/1/when"), "r.yml:4:11: bad");
        assert_eq!(place("/rules/0"), "r.yml:3:5: bad");
        assert_eq!(place("/rules/7/when"), "r.yml:3:3: bad");
        assert_eq!(place(""), "r.yml:1:1: bad");
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_not() {
        let known = ["delimiter", "quote", "match"];
        assert_eq!(nearest("delimeter", known), Some("delimiter"));
        assert_eq!(nearest("Match", known), Some("match"));
        assert_eq!(nearest("colour", known), None);
    }
}
