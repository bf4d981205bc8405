//! The environment, read once and checked: a required variable that is missing, or any that is malformed, stops
//! the function before its first event and is named.

use std::time::Duration;

/// What is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is not set.
    #[error("{name} is not set: {hint}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it is to hold.
        hint: &'static str,
    },
    /// A variable holds what it can't.
    #[error("{name} is malformed: expected {expected}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// What it should look like.
        expected: &'static str,
    },
}

/// Where the recipes lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RecipesPlace {
    /// Nowhere: the default recipe is every file's.
    #[default]
    None,
    /// In a folder.
    Folder(String),
    /// Under a prefix of a bucket.
    Published {
        /// The bucket.
        bucket: String,
        /// Empty, or with a `/` at its end.
        prefix: String,
    },
}

/// What the processor needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessorConfig {
    /// Where clean files, rejects and receipts go.
    pub output_bucket: String,
    /// The SNS topic of the events.
    pub topic_arn: String,
    /// The memory that may be used, in MiB.
    pub memory_budget_mib: u64,
    /// The most bytes of text that a compressed file may hold.
    pub max_decompressed_bytes: u64,
    /// How many times its size a compressed file may grow to.
    pub max_compression_ratio: u64,
    /// Where the recipes lie.
    pub recipes: RecipesPlace,
    /// The key of hashes and surrogates.
    pub mask_key: Option<MaskKeyPlace>,
}

/// Where the mask key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskKeyPlace {
    /// In the environment.
    Here(Secret),
    /// In Secrets Manager, under this ARN.
    Secret(String),
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What the consumer needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerConfig {
    /// Where the processor's objects lie, and the catalogue goes.
    pub output_bucket: String,
    /// The dead-letter queue.
    pub dlq_url: String,
    /// The SNS topic of the alerts, if people are to be told.
    pub alert_topic_arn: Option<String>,
    /// How long a claim holds: longer than the function's time-out.
    pub claim_lease: Duration,
    /// How often the queue hands a message out before it sets it aside, so that the trace can say which time is the last.
    pub max_receives: u32,
    /// How long a message waits after its first receive failed; later ones wait longer.
    pub first_pause: Duration,
    /// Where `notifications.yml` is, if there is one: a file, or `s3://bucket/key`.
    pub notifications: Option<String>,
    /// For links.
    pub region: Option<String>,
    /// What the digest's estimate of costs needs.
    pub prices: Prices,
}

/// What a day's files cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// US dollars for a GB-second of Lambda.
    pub gb_second: f64,
    /// The processor's memory, in MiB.
    pub processor_mib: f64,
}

impl Default for Prices {
    /// arm64's price in us-east-1, and serverless.yml's memory.
    fn default() -> Self {
        Self { gb_second: 0.000_013_333_4, processor_mib: 1769.0 }
    }
}

/// The process's environment.
pub fn environment(name: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::var(name).ok()
}

/// The longest a Lambda function can run.
const LAMBDA_MAX_TIMEOUT: Duration = Duration::from_mins(15);

/// What the function gets when Lambda does not say how much memory it has.
const DEFAULT_MEMORY_MIB: u64 = 512;

/// As `maxReceiveCount` in serverless.yml.
const DEFAULT_MAX_RECEIVES: u32 = 5;

/// With five receives and pauses that grow threefold, a message is tried for 13 minutes at most.
const DEFAULT_FIRST_PAUSE: Duration = Duration::from_secs(20);

/// 1 TiB: more than the longest run can read.
pub const DEFAULT_MAX_DECOMPRESSED_BYTES: u64 = 1 << 40;

/// Close to the most that deflate can do (1,032), far beyond any table worth keeping.
pub const DEFAULT_MAX_COMPRESSION_RATIO: u64 = 1000;

impl ProcessorConfig {
    /// Reads the variables through `lookup`, which gives a variable's value by its name.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let function_memory = lookup("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|mib| mib.parse().ok());
        let memory_budget_mib = match given(&lookup, "MEMORY_BUDGET_MIB") {
            None => function_memory.unwrap_or(DEFAULT_MEMORY_MIB),
            Some(text) => {
                text.parse().ok().filter(|mib| (64..=10_240).contains(mib)).ok_or(ConfigError::Malformed {
                    name: "MEMORY_BUDGET_MIB",
                    expected: "a whole number of MiB from 64 to 10240",
                })?
            }
        };
        Ok(Self {
            max_decompressed_bytes: limit(
                &lookup,
                "MAX_DECOMPRESSED_BYTES",
                DEFAULT_MAX_DECOMPRESSED_BYTES,
                "a whole number of bytes, at least 1, such as 500GiB",
            )?,
            max_compression_ratio: limit(
                &lookup,
                "MAX_COMPRESSION_RATIO",
                DEFAULT_MAX_COMPRESSION_RATIO,
                "a whole number, at least 1",
            )?,
            output_bucket: bucket(&lookup, "OUTPUT_BUCKET")?,
            topic_arn: topic(
                required(&lookup, "TOPIC_ARN", "the ARN of the SNS topic for events")?,
                "TOPIC_ARN",
            )?,
            memory_budget_mib,
            recipes: recipes(&lookup)?,
            mask_key: mask_key(&lookup)?,
        })
    }
}

impl ConsumerConfig {
    /// Reads the variables through `lookup`, which gives a variable's value by its name.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let dlq_url = required(&lookup, "DLQ_URL", "the URL of the dead-letter queue")?;
        if !(dlq_url.starts_with("https://") || dlq_url.starts_with("http://")) {
            return Err(ConfigError::Malformed { name: "DLQ_URL", expected: "a queue's URL, https://…" });
        }
        Ok(Self {
            output_bucket: bucket(&lookup, "OUTPUT_BUCKET")?,
            dlq_url,
            alert_topic_arn: given(&lookup, "ALERT_TOPIC_ARN")
                .map(|arn| topic(arn, "ALERT_TOPIC_ARN"))
                .transpose()?,
            claim_lease: LAMBDA_MAX_TIMEOUT + Duration::from_mins(1),
            max_receives: number(&lookup, "MAX_RECEIVE_COUNT", "a whole number from 1 to 1000", |count| {
                (1..=1000).contains(count)
            })?
            .unwrap_or(DEFAULT_MAX_RECEIVES),
            first_pause: number(
                &lookup,
                "RETRY_AFTER_SECONDS",
                "a whole number from 1 to 3600",
                |seconds| (1..=3600).contains(seconds),
            )?
            .map_or(DEFAULT_FIRST_PAUSE, Duration::from_secs),
            notifications: given(&lookup, "NOTIFICATIONS"),
            region: given(&lookup, "AWS_REGION"),
            prices: Prices {
                gb_second: number(&lookup, "GB_SECOND_PRICE", "US dollars, such as 0.0000133334", |price| {
                    is_amount(*price)
                })?
                .unwrap_or(Prices::default().gb_second),
                processor_mib: number(&lookup, "PROCESSOR_MEMORY_MIB", "a number of MiB", |mib| {
                    is_amount(*mib)
                })?
                .unwrap_or(Prices::default().processor_mib),
            },
        })
    }
}

fn is_amount(amount: f64) -> bool {
    amount.is_finite() && amount >= 0.0
}

fn number<T: std::str::FromStr>(
    lookup: impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
    is_valid: impl Fn(&T) -> bool,
) -> Result<Option<T>, ConfigError> {
    let Some(text) = given(lookup, name) else { return Ok(None) };
    let number = text.trim().parse().ok().filter(is_valid);
    number.map(Some).ok_or(ConfigError::Malformed { name, expected })
}

/// A variable that is set to something.
fn given(lookup: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).filter(|value| !value.trim().is_empty())
}

/// Where `RECIPES` says; if it says nothing, in the folder that the image brings.
fn recipes(lookup: impl Fn(&str) -> Option<String>) -> Result<RecipesPlace, ConfigError> {
    let Some(place) = given(&lookup, "RECIPES") else {
        let baked = given(&lookup, "LAMBDA_TASK_ROOT").map(|root| format!("{root}/recipes"));
        let there = baked.filter(|folder| std::path::Path::new(folder).is_dir());
        return Ok(there.map_or(RecipesPlace::None, RecipesPlace::Folder));
    };
    s3_or_folder(&place)
        .ok_or(ConfigError::Malformed { name: "RECIPES", expected: "a folder, or s3://<bucket>/<prefix>" })
}

/// Reads `s3://<bucket>/<prefix>`, and anything else as a folder.
pub fn s3_or_folder(place: &str) -> Option<RecipesPlace> {
    let Some(rest) = place.strip_prefix("s3://") else { return Some(RecipesPlace::Folder(place.to_owned())) };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    is_bucket(bucket).then(|| RecipesPlace::Published { bucket: bucket.to_owned(), prefix })
}

/// Reads where the key of hashes and surrogates is.
pub fn mask_key(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<MaskKeyPlace>, ConfigError> {
    let here = given(&lookup, "MASK_KEY").map(|key| MaskKeyPlace::Here(Secret(key)));
    let Some(arn) = given(&lookup, "MASK_KEY_ARN") else { return Ok(here) };
    let malformed = |expected| Err(ConfigError::Malformed { name: "MASK_KEY_ARN", expected });
    if here.is_some() {
        return malformed("nothing, as MASK_KEY is set: there is one key");
    }
    let is_secret = matches!(arn.split(':').collect::<Vec<_>>()[..], ["arn", _, "secretsmanager", _, _, "secret", name] if !name.is_empty());
    if is_secret {
        Ok(Some(MaskKeyPlace::Secret(arn)))
    } else {
        malformed("a secret's ARN, arn:aws:secretsmanager:<region>:<account>:secret:<name>")
    }
}

fn is_bucket(bucket: &str) -> bool {
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
}

fn limit(
    lookup: impl Fn(&str) -> Option<String>,
    name: &'static str,
    default: u64,
    expected: &'static str,
) -> Result<u64, ConfigError> {
    let Some(text) = given(lookup, name) else { return Ok(default) };
    let read = crate::size::parse(text.trim()).ok().filter(|limit| *limit > 0);
    read.ok_or(ConfigError::Malformed { name, expected })
}

fn required(
    lookup: impl Fn(&str) -> Option<String>,
    name: &'static str,
    hint: &'static str,
) -> Result<String, ConfigError> {
    given(lookup, name).ok_or(ConfigError::Missing { name, hint })
}

fn bucket(lookup: impl Fn(&str) -> Option<String>, name: &'static str) -> Result<String, ConfigError> {
    let bucket = required(lookup, name, "the name of the output bucket")?;
    if !is_bucket(&bucket) {
        return Err(ConfigError::Malformed {
            name,
            expected: "a bucket's name: 3 to 63 of a-z, 0-9, '.' and '-'",
        });
    }
    Ok(bucket)
}

fn topic(arn: String, name: &'static str) -> Result<String, ConfigError> {
    let parts: Vec<&str> = arn.split(':').collect();
    let well_formed = parts.len() == 6 && parts[0] == "arn" && parts[2] == "sns" && !parts[5].is_empty();
    if !well_formed {
        return Err(ConfigError::Malformed {
            name,
            expected: "a topic's ARN, arn:aws:sns:<region>:<account>:<name>",
        });
    }
    Ok(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:events";

    fn processor(vars: &[(&str, &str)]) -> Result<ProcessorConfig, ConfigError> {
        ProcessorConfig::from_lookup(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = processor(&[("TOPIC_ARN", TOPIC)]).unwrap_err();
        assert!(error.to_string().contains("OUTPUT_BUCKET is not set"));
        let error = processor(&[("OUTPUT_BUCKET", "out-bucket"), ("TOPIC_ARN", " ")]).unwrap_err();
        assert!(error.to_string().contains("TOPIC_ARN is not set"));
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (name, value) in [
            ("OUTPUT_BUCKET", "s3://out"),
            ("TOPIC_ARN", "events"),
            ("MEMORY_BUDGET_MIB", "lots"),
            ("MAX_DECOMPRESSED_BYTES", "1 tera"),
            ("MAX_COMPRESSION_RATIO", "0"),
        ] {
            let mut vars = vec![(name, value)];
            vars.extend(
                [("OUTPUT_BUCKET", "out-bucket"), ("TOPIC_ARN", TOPIC)].iter().filter(|(n, _)| *n != name),
            );
            let error = processor(&vars).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{name} is malformed")), "{error}");
        }
    }

    #[test]
    fn the_memory_budget_follows_the_function() {
        let base = [("OUTPUT_BUCKET", "out-bucket"), ("TOPIC_ARN", TOPIC)];
        assert_eq!(processor(&base).unwrap().memory_budget_mib, 512);
        let with = [&base[..], &[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]].concat();
        assert_eq!(processor(&with).unwrap().memory_budget_mib, 128);
        let with = [&with[..], &[("MEMORY_BUDGET_MIB", "256")]].concat();
        assert_eq!(processor(&with).unwrap().memory_budget_mib, 256);
    }

    #[test]
    fn recipes_lie_in_a_folder_or_under_a_prefix() {
        let base = [("OUTPUT_BUCKET", "out-bucket"), ("TOPIC_ARN", TOPIC)];
        let place =
            |value| processor(&[&base[..], &[("RECIPES", value)]].concat()).map(|config| config.recipes);
        let published =
            |prefix: &str| RecipesPlace::Published { bucket: "conf".into(), prefix: prefix.into() };
        assert_eq!(processor(&base).unwrap().recipes, RecipesPlace::None);
        assert_eq!(place("/opt/recipes"), Ok(RecipesPlace::Folder("/opt/recipes".into())));
        assert_eq!(place("s3://conf"), Ok(published("")));
        assert_eq!(place("s3://conf/a/b/"), Ok(published("a/b/")));
        assert!(place("s3://C_/x").unwrap_err().to_string().starts_with("RECIPES is malformed"));
    }

    #[test]
    fn there_is_one_mask_key_and_it_is_never_shown() {
        let base = [("OUTPUT_BUCKET", "out-bucket"), ("TOPIC_ARN", TOPIC)];
        let with =
            |vars: &[(&str, &str)]| processor(&[&base[..], vars].concat()).map(|config| config.mask_key);
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mask-AbCdEf";
        assert_eq!(with(&[("MASK_KEY_ARN", "")]), Ok(None));
        assert_eq!(with(&[("MASK_KEY_ARN", arn)]), Ok(Some(MaskKeyPlace::Secret(arn.into()))));
        let here = with(&[("MASK_KEY", "a key of some bytes")]).unwrap();
        assert!(!format!("{here:?}").contains("bytes"), "{here:?}");
        for vars in
            [&[("MASK_KEY_ARN", TOPIC)][..], &[("MASK_KEY_ARN", arn), ("MASK_KEY", "a key of some bytes")]]
        {
            let error = with(vars).unwrap_err().to_string();
            assert!(
                error.starts_with("MASK_KEY_ARN is malformed") && !error.contains("some bytes"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_consumer_names_its_own() {
        let lookup = |name: &str| match name {
            "OUTPUT_BUCKET" => Some("out-bucket".to_owned()),
            "DLQ_URL" => Some("the queue".to_owned()),
            _ => None,
        };
        assert!(
            ConsumerConfig::from_lookup(lookup).unwrap_err().to_string().starts_with("DLQ_URL is malformed")
        );
    }
}
