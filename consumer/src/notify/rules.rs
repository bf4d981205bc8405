//! `notifications.yml`: who can be told, and who is to hear of what.

use std::collections::{BTreeMap, BTreeSet};

use common::contract::FileEvent;
use common::expression::Expression;
use common::glob::Glob;
use common::yaml::{Document, Fault, Faults};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::webhook::{SlackUrl, Webhook};
use super::{ALERTS, NoticeKind};
use crate::http::HttpClient;

/// What `when` may name.
const VARIABLES: [&str; 5] = ["event", "receipt", "kind", "reject_ratio", "seconds"];

/// The file, as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Who can be told, by name. `alerts` is the alert topic, and need not be named here.
    #[serde(default)]
    targets: BTreeMap<String, TargetEntry>,
    /// Who is to hear of what. A target hears of an event once, however many rules name it.
    #[serde(default)]
    rules: Vec<RuleEntry>,
    /// Hosts of webhooks that may have private or local addresses, and may be spoken to without TLS.
    #[serde(default)]
    allow_private_hosts: Vec<String>,
    /// Who gets the daily digest; by default `alerts`. The digest's schedule is a parameter of the deployment.
    #[serde(default)]
    digest: Vec<String>,
}

/// Somebody who can be told: exactly one of `sns`, `webhook`, `slack`, `slack_secret`, `eventbridge`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TargetEntry {
    /// ARN of an SNS topic.
    sns: Option<String>,
    /// URL of a webhook, signed as Standard Webhooks has it with the secret that `secret` names.
    webhook: Option<String>,
    /// Name or ARN of the webhook's secret in Secrets Manager: `whsec_…`, or several with spaces between them.
    secret: Option<String>,
    /// URL of an incoming webhook of Slack, or of what takes the same messages.
    slack: Option<String>,
    /// Name or ARN of the secret that holds that URL.
    slack_secret: Option<String>,
    /// Name or ARN of an `EventBridge` bus.
    eventbridge: Option<String>,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Processed,
    Failed,
    Mismatch,
}

/// Whom to tell of which events. Everything that is given has to hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    /// Only events of these types; by default all.
    #[serde(default)]
    types: Vec<Kind>,
    /// Only files whose key matches: `orders/**`, `*.csv.gz`.
    key: Option<String>,
    /// Only files that this recipe was applied to.
    recipe: Option<String>,
    /// Only if a larger share of the rows was rejected: 0.01 is one in a hundred.
    reject_ratio_over: Option<f64>,
    /// Only if there were more rows.
    rows_over: Option<u64>,
    /// Only if there were fewer rows.
    rows_under: Option<u64>,
    /// Only if the processor took longer.
    seconds_over: Option<f64>,
    /// Only if this expression (CEL) holds. It knows `event`, `receipt`, `kind`, `reject_ratio` and `seconds`.
    when: Option<String>,
    /// Names of targets.
    to: Vec<String>,
}

/// Somebody who can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TargetPlan {
    Sns(String),
    Webhook(Webhook),
    Bus(String),
}

/// What the file means.
#[derive(Default)]
pub struct Notifications {
    pub(super) targets: BTreeMap<String, TargetPlan>,
    pub(super) allowed_hosts: Vec<String>,
    rules: Vec<Rule>,
    digest: Vec<String>,
}

struct Rule {
    entry: RuleEntry,
    key: Option<Glob>,
    when: Option<Expression>,
}

/// The file's JSON Schema.
pub fn schema() -> Value {
    schemars::schema_for!(File).to_value()
}

impl Notifications {
    /// Reads a file's text; `name` is what faults call it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with its place.
    pub fn parse(name: &str, text: &str) -> Result<Self, Faults> {
        let document = Document::parse(name, text)?;
        let file: File = document.decode()?;
        let mut faults = Vec::new();
        let mut targets = BTreeMap::new();
        let client = HttpClient::new(file.allow_private_hosts.iter().cloned());
        for (name, entry) in &file.targets {
            match plan(entry, &client) {
                Ok(plan) => drop(targets.insert(name.clone(), plan)),
                Err(why) => faults.push(document.fault(&format!("/targets/{}", escaped(name)), why)),
            }
        }
        if file.targets.contains_key(ALERTS) {
            faults
                .push(document.fault("/targets/alerts", "`alerts` is the alert topic: choose another name"));
        }
        let known = |name: &String| name == ALERTS || file.targets.contains_key(name);
        for (at, name) in file.digest.iter().enumerate().filter(|(_, name)| !known(name)) {
            faults.push(document.fault(&format!("/digest/{at}"), format!("there is no target `{name}`")));
        }
        let mut rules = Vec::new();
        for (at, entry) in file.rules.into_iter().enumerate() {
            rules.extend(rule(&document, at, entry, &known, &mut faults));
        }
        if !faults.is_empty() {
            faults.sort();
            return Err(Faults(faults));
        }
        Ok(Self { targets, allowed_hosts: file.allow_private_hosts, rules, digest: file.digest })
    }

    /// The targets that the rules name for an event.
    pub(super) fn matching(&self, event: &FileEvent, kind: NoticeKind) -> BTreeSet<&str> {
        let facts = Facts::new(event, kind);
        let matching = self.rules.iter().filter(|rule| rule.matches(&facts));
        matching.flat_map(|rule| rule.entry.to.iter().map(String::as_str)).collect()
    }

    pub(super) fn digest_targets(&self) -> Vec<&str> {
        self.digest.iter().map(String::as_str).collect()
    }
}

/// RFC 6901.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn plan(entry: &TargetEntry, client: &HttpClient) -> Result<TargetPlan, String> {
    let TargetEntry { sns, webhook, secret, slack, slack_secret, eventbridge } = entry;
    let given = [sns, webhook, slack, slack_secret, eventbridge].into_iter().flatten().count();
    if given != 1 {
        return Err("a target has exactly one of sns, webhook, slack, slack_secret, eventbridge".into());
    }
    if secret.is_some() && webhook.is_none() {
        return Err("only a `webhook` has a `secret`".into());
    }
    let url = |url: &String| {
        // Its host's addresses are looked at when it is called.
        client.check(url).map(|()| url.clone()).map_err(|error| error.to_string())
    };
    Ok(match (sns, webhook, slack, slack_secret, eventbridge) {
        (Some(arn), ..) if arn.split(':').nth(2) != Some("sns") => {
            return Err("`sns` is a topic's ARN, arn:aws:sns:<region>:<account>:<name>".into());
        }
        (Some(arn), ..) => TargetPlan::Sns(arn.clone()),
        (_, Some(webhook), ..) => {
            let secret = secret.clone().ok_or("a webhook needs a `secret` to sign with")?;
            TargetPlan::Webhook(Webhook::Standard { url: url(webhook)?, secret })
        }
        (_, _, Some(slack), ..) => TargetPlan::Webhook(Webhook::Slack(SlackUrl::Plain(url(slack)?))),
        (.., Some(name), _) => TargetPlan::Webhook(Webhook::Slack(SlackUrl::Secret(name.clone()))),
        (.., bus) => TargetPlan::Bus(bus.clone().unwrap_or_default()),
    })
}

fn rule(
    document: &Document,
    at: usize,
    entry: RuleEntry,
    known: &impl Fn(&String) -> bool,
    faults: &mut Vec<Fault>,
) -> Option<Rule> {
    let before = faults.len();
    let mut fault =
        |field: &str, why: String| faults.push(document.fault(&format!("/rules/{at}/{field}"), why));
    if entry.to.is_empty() {
        fault("to", "a rule needs somebody `to` tell".into());
    }
    for (index, name) in entry.to.iter().enumerate().filter(|(_, name)| !known(name)) {
        fault(&format!("to/{index}"), format!("there is no target `{name}`"));
    }
    if entry.reject_ratio_over.is_some_and(|ratio| !(0.0..1.0).contains(&ratio)) {
        fault("reject_ratio_over", "a share of the rows is at least 0 and less than 1".into());
    }
    let key = entry.key.as_deref().map(Glob::parse).transpose();
    let key = key.map_err(|error| fault("key", error.to_string()));
    let when = entry.when.as_deref().map(|text| Expression::compile(text, &VARIABLES)).transpose();
    let when = when.map_err(|error| fault("when", error.to_string()));
    let (Ok(key), Ok(when)) = (key, when) else { return None };
    (faults.len() == before).then_some(Rule { entry, key, when })
}

/// What rules look at.
struct Facts<'a> {
    event: &'a FileEvent,
    kind: NoticeKind,
    reject_ratio: f64,
    seconds: f64,
}

impl<'a> Facts<'a> {
    fn new(event: &'a FileEvent, kind: NoticeKind) -> Self {
        let receipt = &event.data.receipt;
        let reject_ratio = receipt.counts.rows_rejected as f64 / receipt.counts.rows_in.max(1) as f64;
        Self { event, kind, reject_ratio, seconds: receipt.timing.duration_ms as f64 / 1e3 }
    }
}

impl Rule {
    fn matches(&self, facts: &Facts<'_>) -> bool {
        let RuleEntry { types, recipe, reject_ratio_over, rows_over, rows_under, seconds_over, .. } =
            &self.entry;
        let receipt = &facts.event.data.receipt;
        let rows = receipt.counts.rows_in;
        let kind = match facts.kind {
            NoticeKind::Processed => Kind::Processed,
            NoticeKind::Failed => Kind::Failed,
            NoticeKind::Mismatch => Kind::Mismatch,
            NoticeKind::Digest => return false,
        };
        (types.is_empty() || types.contains(&kind))
            && self.key.as_ref().is_none_or(|key| key.matches(&receipt.source.key))
            && recipe.as_ref().is_none_or(|recipe| *recipe == receipt.recipe.name)
            && reject_ratio_over.is_none_or(|most| facts.reject_ratio > most)
            && rows_over.is_none_or(|most| rows > most)
            && rows_under.is_none_or(|least| rows < least)
            && seconds_over.is_none_or(|most| facts.seconds > most)
            && self.when.as_ref().is_none_or(|when| holds(when, facts))
    }
}

/// An expression without a value, as of an error that a processed file does not have, does not hold.
fn holds(when: &Expression, facts: &Facts<'_>) -> bool {
    let event = serde_json::to_value(facts.event).unwrap_or_default();
    let receipt = serde_json::to_value(&facts.event.data.receipt).unwrap_or_default();
    let (kind, reject_ratio, seconds) =
        (json!(facts.kind.short()), json!(facts.reject_ratio), json!(facts.seconds));
    let values = [&event, &receipt, &kind, &reject_ratio, &seconds];
    let variables: Vec<(&str, &Value)> = VARIABLES.into_iter().zip(values).collect();
    when.holds(&variables).unwrap_or_else(|error| {
        tracing::warn!(error = %error, "a rule's expression has no value: it does not match");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../../common/tests/fixtures/event-processed.json");
    const TARGETS: &str = "targets: {bus: {eventbridge: default}, other: {eventbridge: other}}\n";

    fn matches(rule: &str, kind: NoticeKind) -> bool {
        let text = format!("{TARGETS}rules: [{{to: [bus], {rule}}}]");
        let notifications =
            Notifications::parse("n.yml", &text).map_err(|faults| faults.to_string()).unwrap();
        !notifications.matching(&FileEvent::parse(EVENT).unwrap(), kind).is_empty()
    }

    fn faults(text: &str) -> Vec<String> {
        let faults = Notifications::parse("n.yml", text).err().unwrap_or(Faults(Vec::new()));
        faults.0.iter().map(ToString::to_string).collect()
    }

    /// The fixture: in/orders.csv.gz, 3 rows of which 1 was rejected, a quarter of a second, recipe default.
    #[test]
    fn each_condition_decides_by_itself() {
        for (holds, fails) in [
            ("types: [processed, failed]", "types: [failed]"),
            ("key: 'in/*.csv.gz'", "key: 'out/**'"),
            ("recipe: default", "recipe: orders"),
            ("reject_ratio_over: 0.33", "reject_ratio_over: 0.34"),
            ("rows_over: 2", "rows_over: 3"),
            ("rows_under: 4", "rows_under: 3"),
            ("seconds_over: 0.2", "seconds_over: 0.25"),
            ("when: receipt.source.size > 60", "when: receipt.source.size > 61"),
            ("when: 'kind == \"processed\" && reject_ratio > 0.3'", "when: 'kind == \"failed\"'"),
            ("when: 'event.subject.startsWith(\"in/\")'", "when: receipt.error.code == 'not_csv'"),
        ] {
            assert!(matches(holds, NoticeKind::Processed), "{holds}");
            assert!(!matches(fails, NoticeKind::Processed), "{fails}");
            let another = if holds.starts_with("rows_over") { "seconds_over: 99" } else { "rows_over: 99" };
            assert!(
                !matches(&format!("{holds}, {another}"), NoticeKind::Processed),
                "{holds}, and {another}"
            );
        }
        assert!(matches("types: [mismatch]", NoticeKind::Mismatch));
        assert!(!matches("types: [mismatch]", NoticeKind::Processed));
    }

    #[test]
    fn a_target_is_named_once_however_many_rules_name_it() {
        let text =
            format!("{TARGETS}rules: [{{to: [bus]}}, {{to: [other, bus]}}, {{to: [other], rows_over: 9}}]");
        let notifications = Notifications::parse("n.yml", &text).ok().unwrap();
        let event = FileEvent::parse(EVENT).unwrap();
        let told: Vec<&str> = notifications.matching(&event, NoticeKind::Processed).into_iter().collect();
        assert_eq!(told, ["bus", "other"]);
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let text = "\
targets:
  a: {sns: alerts}
  b: {webhook: 'https://example.com/'}
  c: {slack: 'ftp://example.com/'}
  d: {sns: 'arn:aws:sns:r:1:t', eventbridge: x}
  e: {eventbridge: x, secret: y}
  alerts: {eventbridge: x}
rules:
  - to: []
  - {to: [nobody], reject_ratio_over: 1.5}
  - {to: [e], key: '/x', when: 'row > 1'}
digest: [nobody]
";
        let faults = faults(text);
        let expected = [
            "n.yml:2:6: `sns` is a topic's ARN",
            "n.yml:3:6: a webhook needs a `secret`",
            "n.yml:4:6: the URL is malformed: it has to begin with https://",
            "n.yml:5:6: a target has exactly one of",
            "n.yml:6:6: only a `webhook` has a `secret`",
            "n.yml:7:11: `alerts` is the alert topic",
            "n.yml:9:9: a rule needs somebody",
            "n.yml:10:11: there is no target `nobody`",
            "n.yml:10:39: a share of the rows",
            "n.yml:11:20: the pattern begins with `/`",
            "n.yml:11:32: ",
            "n.yml:12:10: there is no target `nobody`",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault} is not {expected}");
        }
    }

    #[test]
    fn a_url_that_can_never_be_called_is_found_when_the_file_is_read() {
        let fault = |url: &str, allowed: &str| {
            faults(&format!("{{targets: {{a: {{slack: '{url}'}}}}, allow_private_hosts: [{allowed}]}}"))
        };
        for (url, says) in [
            ("http://hooks.example.com/x", "it has to begin with https://"),
            ("https://user@hooks.example.com/x", "it has a user's name"),
            ("https://hooks.example.com/a b", "it is no URL"),
            ("https:///x", "it is no URL"),
            ("https://:443/x", "it has no host"),
            ("https://hooks.example.com:99999/x", "its port is no port"),
        ] {
            let [fault] = &fault(url, "")[..] else { panic!("one fault of {url}") };
            assert!(fault.ends_with(says), "{fault} does not end with {says}");
        }
        assert!(fault("http://hooks.internal/x", "hooks.internal").is_empty());
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let faults = faults("rules: [{to: [alerts], reject_ratio_ovr: 0.1}]");
        assert!(faults.len() == 1 && faults[0].contains("reject_ratio_over"), "{faults:?}");
    }

    #[test]
    fn the_schema_in_the_repository_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes/notifications.schema.json");
        let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &current).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == current, "{path} is not current: run this test with UPDATE_SCHEMA=1");
    }

    #[test]
    fn the_docs_example_is_right() {
        let docs = include_str!("../../../docs/notifications.md");
        let example = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let notifications = Notifications::parse("docs", example);
        let notifications = notifications.map_err(|faults| faults.to_string()).unwrap();
        assert_eq!((notifications.targets.len(), notifications.rules.len()), (4, 4));
    }
}
