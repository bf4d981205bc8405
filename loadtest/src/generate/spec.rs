//! What to generate: the description that a file can be made again from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::dirt::Dirt;
use super::profile::Profile;
use super::sample::Sample;
use super::text::Text;

/// What makes the bytes of a spec: another number means other bytes.
const VERSION: &str = "1";

/// Bytes of text of a file where nothing says how long it is.
pub const DEFAULT_BYTES: u64 = 1 << 30;

/// Names of an object's metadata.
const KEYS: [&str; 6] = [
    "loadtest-version",
    "loadtest-profile",
    "loadtest-seed",
    "loadtest-rows",
    "loadtest-compression",
    "loadtest-dirt",
];

/// A file to generate. The same spec gives the same bytes on every machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What the rows look like.
    pub profile: Profile,
    /// What the rows' values are drawn by.
    pub seed: u64,
    /// How long it is.
    pub length: Length,
    /// How the text is compressed.
    pub compression: Compression,
    /// What is wrong with it.
    pub dirt: Option<Dirt>,
}

/// How long a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many rows.
    Rows(u64),
    /// As many rows as make so many bytes of text.
    Bytes(u64),
}

/// How the text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// Not at all
    None,
    /// One gzip member, level 6
    Gzip,
    /// Zstd frames of 1 MiB of text or more, level 3
    Zstd,
    /// Gzip members of up to 64 KiB of text, as bgzip and samtools have them, level 6
    Bgzip,
}

impl Compression {
    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bgzip => "bgzip",
        }
    }

    /// What a file's name ends with, behind `.csv`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip | Self::Bgzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A spec, as the command line has it.
#[derive(Debug, Clone, clap::Args)]
pub struct SpecArgs {
    /// What the rows look like
    #[arg(long, default_value = "taxi", value_name = "NAME", value_parser = str::parse::<Profile>)]
    profile: Profile,
    /// Rows like those of a CSV file, up to 16 MiB of it: its columns with their types and distributions
    #[arg(long, value_name = "SAMPLE.csv", conflicts_with = "profile")]
    from: Option<PathBuf>,
    /// Bytes of text, at least: a number with KiB, MiB, GiB, TiB or KB, MB, GB, TB
    /// [default: 1GiB]
    #[arg(long, value_parser = common::size::parse)]
    size: Option<u64>,
    /// Rows, instead of a size
    #[arg(long, conflicts_with = "size")]
    rows: Option<u64>,
    /// Another seed gives other rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the text is compressed
    #[arg(long, default_value = "none", value_name = "FORMAT")]
    compression: Compression,
    /// Rows to spoil: a share such as 0.001, 0.1% or 1/1000, then kinds: 0.001:ragged,quotes,bytes,huge. Without kinds:
    /// ragged, quotes and bytes
    #[arg(long, value_name = "RATE[:KINDS]", value_parser = str::parse::<Dirt>)]
    dirty: Option<Dirt>,
}

impl SpecArgs {
    /// Where the sample lies, where there is one.
    pub(super) fn sample(&self) -> Option<&PathBuf> {
        self.from.as_ref()
    }

    /// Whether they say how long a file is.
    pub(crate) fn are_sized(&self) -> bool {
        self.size.is_some() || self.rows.is_some()
    }

    /// The spec of a file that has so many bytes of text where nothing else is said. Reads the sample, where there is one.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn spec(&self, default_bytes: u64) -> anyhow::Result<Spec> {
        let profile = match &self.from {
            Some(path) => Profile::Sample(Sample::read(path)?.into()),
            None => self.profile.clone(),
        };
        Ok(Spec {
            profile,
            seed: self.seed,
            length: self.rows.map_or(Length::Bytes(self.size.unwrap_or(default_bytes)), Length::Rows),
            compression: self.compression,
            dirt: self.dirty.clone(),
        })
    }
}

impl Spec {
    /// What an object made of this spec carries, so that its text, and what must become of it, can be computed again.
    pub fn metadata(&self, text: &Text) -> BTreeMap<String, String> {
        let dirt = self.dirt.as_ref().map(ToString::to_string);
        let values = [
            Some(VERSION.into()),
            Some(self.profile.name().to_owned()),
            Some(self.seed.to_string()),
            Some(text.rows().to_string()),
            Some(self.compression.to_string()),
            dirt,
        ];
        KEYS.into_iter().zip(values).filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// The spec of an object that carries [`Spec::metadata`]; `sample` is the file it was made from, where it was.
    ///
    /// # Errors
    ///
    /// Says what the metadata lacks.
    pub fn from_metadata(
        metadata: &BTreeMap<String, String>,
        sample: Option<&Sample>,
    ) -> anyhow::Result<Self> {
        let [version, profile, seed, rows, compression, dirt] =
            KEYS.map(|key| metadata.get(key).map(String::as_str));
        let needed = |value: Option<&str>, key: &str| {
            value.map(str::to_owned).with_context(|| {
                format!(
                    "it has no metadata {key:?}: `loadtest generate` did not make it, or a copy has lost it. The \
                     arguments that it was made with tell the same"
                )
            })
        };
        let version = needed(version, KEYS[0])?;
        if version != VERSION {
            bail!("the object was made by version {version} of the generator, this is {VERSION}");
        }
        let number = |value, key| {
            let text = needed(value, key)?;
            text.parse::<u64>().with_context(|| format!("{key} {text:?} is no number"))
        };
        Ok(Self {
            profile: Profile::named(&needed(profile, KEYS[1])?, sample)?,
            seed: number(seed, KEYS[2])?,
            length: Length::Rows(number(rows, KEYS[3])?),
            compression: clap::ValueEnum::from_str(&needed(compression, KEYS[4])?, false)
                .map_err(anyhow::Error::msg)?,
            dirt: dirt.map(|dirt| dirt.parse().map_err(anyhow::Error::msg)).transpose()?,
        })
    }
}
