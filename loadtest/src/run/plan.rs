//! What is sent: each file a function of its number, so that a run can be made again.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::generate::{Compression, Dirt, Length, Spec};
use crate::records::parse;
use crate::report::binary_bytes;

/// What the keys of all files begin with.
pub(crate) const PREFIX: &str = "loadtest/";

/// The largest weight of a kind.
const MAX_WEIGHT: u64 = 1_000_000;

/// A file to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// Its key.
    pub(crate) key: String,
    /// What it is made of.
    pub(crate) spec: Spec,
    /// The same in words.
    pub(crate) kind: String,
}

/// All files of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    run: String,
    /// Kinds of files, each with its weight.
    kinds: Vec<(u64, Spec)>,
}

/// Columns of a mix.
const COLUMNS: [&str; 5] = ["weight", "profile", "size", "compression", "dirty"];

impl Plan {
    /// Files of one kind.
    pub(crate) fn of(run: String, spec: Spec) -> Self {
        Self { run, kinds: vec![(1, spec)] }
    }

    /// Files as a mix says: a CSV with the columns weight, profile, size, compression, dirty. What a line leaves empty
    /// is as `spec` has it.
    pub(crate) fn mixed(run: String, spec: &Spec, mix: &Path) -> anyhow::Result<Self> {
        let shown = mix.display();
        let text = std::fs::read_to_string(mix).with_context(|| format!("read {shown}"))?;
        let records = parse(&text).with_context(|| format!("read {shown}"))?;
        let (header, lines) = records.split_first().with_context(|| format!("{shown} is empty"))?;
        if let Some(other) = header.iter().find(|name| !COLUMNS.contains(name)) {
            bail!("{shown} has a column {other:?}; there are {}", COLUMNS.join(", "));
        }
        let mut kinds = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let given = header.iter().zip(line).map(|(name, value)| (name, value.trim()));
            let given = given.filter(|(_, value)| !value.is_empty()).collect();
            kinds.push(of_line(&given, spec).with_context(|| format!("line {} of {shown}", number + 2))?);
        }
        ensure!(kinds.iter().any(|(weight, _)| *weight > 0), "{shown} has no line with a weight");
        Ok(Self { run, kinds })
    }

    /// The kinds in words.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let whole: u64 = self.kinds.iter().map(|(weight, _)| weight).sum();
        let share = |weight: u64| format!("{:.0} % ", weight as f64 / whole as f64 * 100.0);
        let several = self.kinds.len() > 1;
        let told = |(weight, spec): &(u64, Spec)| {
            format!("{}{}", if several { share(*weight) } else { String::new() }, kind(spec))
        };
        self.kinds.iter().map(told).collect()
    }

    /// Whether any file is compressed so.
    pub(crate) fn has(&self, is: impl Fn(&Spec) -> bool) -> bool {
        self.kinds.iter().any(|(weight, spec)| *weight > 0 && is(spec))
    }

    /// The file with this number.
    pub(crate) fn file(&self, number: u64) -> Planned {
        let whole: u64 = self.kinds.iter().map(|(weight, _)| weight).sum();
        let mut left = fastrand::Rng::with_seed(number).u64(..whole.max(1));
        let mut chosen = &self.kinds[0].1;
        for (weight, spec) in &self.kinds {
            if left < *weight {
                chosen = spec;
                break;
            }
            left -= weight;
        }
        let spec = Spec { seed: chosen.seed.wrapping_add(number), ..chosen.clone() };
        let key = format!("{PREFIX}{}/{number:05}.csv{}", self.run, spec.compression.suffix());
        Planned { key, kind: kind(&spec), spec }
    }
}

/// As the command line would have it, without the seed.
fn kind(spec: &Spec) -> String {
    let length = match spec.length {
        Length::Rows(rows) => format!("{rows} rows"),
        Length::Bytes(bytes) => binary_bytes(bytes as f64),
    };
    let mut words = format!("{} {length}", spec.profile.name());
    if spec.compression != Compression::None {
        words = format!("{words} {}", spec.compression);
    }
    if let Some(dirt) = &spec.dirt {
        words = format!("{words} dirty {dirt}");
    }
    words
}

/// A kind and its weight. What is not given is as `others` have it.
fn of_line(given: &BTreeMap<&str, &str>, others: &Spec) -> anyhow::Result<(u64, Spec)> {
    let weight = given.get("weight").context("it has no weight")?;
    let weight = weight.parse().ok().filter(|weight| *weight <= MAX_WEIGHT);
    let weight = weight.with_context(|| format!("a weight is a whole number up to {MAX_WEIGHT}"))?;
    let mut spec = others.clone();
    if let Some(profile) = given.get("profile") {
        spec.profile = profile.parse().map_err(anyhow::Error::msg)?;
    }
    if let Some(size) = given.get("size") {
        spec.length = Length::Bytes(common::size::parse(size).map_err(anyhow::Error::msg)?);
    }
    if let Some(compression) = given.get("compression") {
        spec.compression = clap::ValueEnum::from_str(compression, false).map_err(anyhow::Error::msg)?;
    }
    match given.get("dirty") {
        None => {}
        Some(&"none") => spec.dirt = None,
        Some(dirt) => spec.dirt = Some(dirt.parse::<Dirt>().map_err(anyhow::Error::msg)?),
    }
    Ok((weight, spec))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::generate::Profile;

    fn spec() -> Spec {
        let compression = Compression::None;
        Spec { profile: Profile::Taxi, seed: 1, length: Length::Bytes(1 << 20), compression, dirt: None }
    }

    fn mixed(text: &str) -> anyhow::Result<Plan> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Plan::mixed("r".into(), &spec(), file.path())
    }

    #[test]
    fn every_file_has_rows_of_its_own_and_the_same_ones_in_every_run() {
        let plan = Plan::of("r".into(), spec());
        let (one, two) = (plan.file(0), plan.file(1));
        assert_eq!((one.key.as_str(), two.key.as_str()), ("loadtest/r/00000.csv", "loadtest/r/00001.csv"));
        assert_ne!(one.spec.seed, two.spec.seed);
        assert_eq!(plan.file(1).spec, two.spec);
        assert_eq!(plan.kinds(), ["taxi 1.0 MiB"]);
    }

    #[test]
    fn a_mix_gives_each_kind_its_share() {
        let plan =
            mixed("weight,profile,size,compression,dirty\n3,,,,\n1,narrow,2MiB,gzip,0.01:ragged\n").unwrap();
        let narrow = (0..400).filter(|n| plan.file(*n).spec.profile == Profile::Narrow).count();
        assert!((70..130).contains(&narrow), "{narrow}");
        assert_eq!(plan.kinds(), ["75 % taxi 1.0 MiB", "25 % narrow 2.0 MiB gzip dirty 1/100:ragged"]);
    }

    #[test]
    fn a_mix_that_cannot_be_is_refused_with_its_line() {
        let said = |text: &str| format!("{:#}", mixed(text).unwrap_err());
        assert!(said("weight,profile\n1,nothing\n").contains("line 2 of"));
        assert!(said("weight\n0\n").ends_with("has no line with a weight"));
        assert!(said("weight,colour\n1,red\n").contains("colour"));
    }
}
