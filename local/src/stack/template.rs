//! The deployed system's template, changed as little as MiniStack needs. Pure: text in, text out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What `serverless.yml` became when it was last packaged; `just template-update` keeps it.
pub(super) const GOLDEN: &str = include_str!("../../template.json");

/// The functions by their logical ids, and the binaries that they run.
const FUNCTIONS: [(&str, &str); 2] =
    [("ProcessorLambdaFunction", "processor"), ("ConsumerLambdaFunction", "consumer")];

/// The types that MiniStack deploys as the template writes them. Any other is refused here, so that a change to
/// the infrastructure is not quietly left out of the demo and of the tests.
const DEPLOYED: [&str; 19] = [
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::EC2::SecurityGroup",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
];

/// Where the functions' zips are: in `bucket`, as `<binary>.zip`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code<'a> {
    /// A bucket outside the stack.
    pub bucket: &'a str,
}

/// The key of a function's zip.
pub(super) fn zip_key(binary: &str) -> String {
    format!("{binary}.zip")
}

/// A resource that the local stack goes without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its logical id.
    pub id: String,
    /// Why.
    pub because: &'static str,
}

/// What was left out, by reason.
pub(super) fn by_reason(dropped: &[Dropped]) -> BTreeMap<&'static str, Vec<&str>> {
    let mut reasons: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Dropped { id, because } in dropped {
        reasons.entry(*because).or_default().push(id.as_str());
    }
    reasons
}

/// A template for MiniStack, and what it lacks.
#[derive(Debug, Clone)]
pub(super) struct Local {
    /// The template.
    pub body: String,
    /// What was left out.
    pub dropped: Vec<Dropped>,
}

/// Why a template can't be deployed to MiniStack.
#[derive(Debug, thiserror::Error)]
pub(super) enum TemplateError {
    /// Not JSON, or no template.
    #[error("the template is malformed")]
    Json(#[from] serde_json::Error),
    /// It has no resources.
    #[error("the template has no Resources")]
    NoResources,
    /// A type that nobody has tried.
    #[error(
        "{id} is of type {kind}, which the local stack does not know: add it to local/src/stack/template.rs"
    )]
    UnknownType {
        /// The resource.
        id: String,
        /// Its type.
        kind: String,
    },
    /// A function without a binary.
    #[error("{0} is a function, and no binary is known for it: add it to local/src/stack/template.rs")]
    UnknownFunction(String),
    /// What was left out is needed after all.
    #[error("{0} can't be deployed to MiniStack, and another resource refers to it")]
    StillNeeded(String),
}

/// Changes a packaged template for MiniStack: functions from zips instead of images, a shorter visibility
/// time-out so that redelivery takes seconds, and without what MiniStack refuses.
pub(super) fn localize(
    packaged: &str,
    code: Code<'_>,
    visibility_seconds: u32,
) -> Result<Local, TemplateError> {
    let mut template: Value = serde_json::from_str(packaged)?;
    let resources =
        template.get_mut("Resources").and_then(Value::as_object_mut).ok_or(TemplateError::NoResources)?;

    let mut dropped = Vec::new();
    for (id, resource) in resources.iter() {
        if let Some(because) = refusal(id, resource)? {
            dropped.push(Dropped { id: id.clone(), because });
        }
    }
    resources.retain(|id, _| dropped.iter().all(|dropped| dropped.id != *id));
    for (id, resource) in resources.iter_mut() {
        forget(resource, &dropped);
        hide_alarms(resource, &dropped);
        let kind = resource["Type"].as_str().unwrap_or_default().to_owned();
        let Some(properties) = resource.get_mut("Properties").and_then(Value::as_object_mut) else {
            continue;
        };
        match kind.as_str() {
            "AWS::Lambda::Function" => {
                run_from_zip(id, properties, code)?;
                retry_soon(properties, visibility_seconds);
            }
            "AWS::SQS::Queue" if properties.contains_key("VisibilityTimeout") => {
                properties.insert("VisibilityTimeout".into(), visibility_seconds.into());
            }
            _ => {}
        }
    }
    if let Some(needed) = dropped.iter().find(|dropped| refers(&template, &dropped.id)) {
        return Err(TemplateError::StillNeeded(needed.id.clone()));
    }
    Ok(Local { body: template.to_string(), dropped })
}

/// Why MiniStack can't have a resource; none when it can.
fn refusal(id: &str, resource: &Value) -> Result<Option<&'static str>, TemplateError> {
    let kind = resource["Type"].as_str().unwrap_or_default();
    Ok(match kind {
        "AWS::S3::BucketPolicy" if demands_tls(resource) => Some("MiniStack is spoken to without TLS"),
        "AWS::Logs::QueryDefinition" => Some("MiniStack has no saved log queries"),
        "AWS::CloudWatch::Alarm" if resource["Properties"].get("Metrics").is_some() => {
            Some("MiniStack has no metric math")
        }
        _ if DEPLOYED.contains(&kind) => None,
        _ => return Err(TemplateError::UnknownType { id: id.into(), kind: kind.into() }),
    })
}

fn demands_tls(policy: &Value) -> bool {
    let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array();
    statements
        .into_iter()
        .flatten()
        .any(|statement| statement["Condition"]["Bool"].get("aws:SecureTransport").is_some())
}

fn run_from_zip(id: &str, properties: &mut Map<String, Value>, code: Code<'_>) -> Result<(), TemplateError> {
    let binary = FUNCTIONS.iter().find(|(function, _)| *function == id).map(|(_, binary)| *binary);
    let binary = binary.ok_or_else(|| TemplateError::UnknownFunction(id.into()))?;
    properties.remove("PackageType");
    properties.remove("ImageConfig");
    properties.insert("Runtime".into(), "provided.al2023".into());
    properties.insert("Handler".into(), "bootstrap".into());
    properties.insert("Code".into(), json!({ "S3Bucket": code.bucket, "S3Key": zip_key(binary) }));
    // It runs as a process of this machine.
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x86_64" };
    properties.insert("Architectures".into(), json!([architecture]));
    Ok(())
}

/// What fails comes back as much sooner as the queue hands messages out.
fn retry_soon(properties: &mut Map<String, Value>, visibility_seconds: u32) {
    let variables =
        properties.get_mut("Environment").and_then(|environment| environment.get_mut("Variables"));
    if let Some(seconds) = variables.and_then(|variables| variables.get_mut("RETRY_AFTER_SECONDS")) {
        *seconds = (visibility_seconds / 2).clamp(1, 20).to_string().into();
    }
}

/// Takes what was dropped out of a resource's `DependsOn`.
fn forget(resource: &mut Value, dropped: &[Dropped]) {
    let was_dropped = |id: &Value| dropped.iter().any(|dropped| *id == *dropped.id);
    let Some(resource) = resource.as_object_mut() else { return };
    match resource.get_mut("DependsOn") {
        Some(Value::Array(ids)) => ids.retain(|id| !was_dropped(id)),
        Some(id) if was_dropped(id) => drop(resource.remove("DependsOn")),
        _ => {}
    }
}

/// Takes what was dropped off a dashboard's list of alarms, which names them all.
fn hide_alarms(resource: &mut Value, dropped: &[Dropped]) {
    let body = match resource["Type"].as_str() {
        Some("AWS::CloudWatch::Dashboard") => resource.pointer_mut("/Properties/DashboardBody/Fn::Sub"),
        _ => None,
    };
    let Some(Value::String(text)) = body else { return };
    // One that is no JSON is for the server to refuse.
    let Ok(mut dashboard) = serde_json::from_str::<Value>(text) else { return };
    let widgets = dashboard["widgets"].as_array_mut().into_iter().flatten();
    for alarms in widgets.filter_map(|widget| widget["properties"]["alarms"].as_array_mut()) {
        alarms.retain(|alarm| dropped.iter().all(|dropped| *alarm != *format!("${{{}.Arn}}", dropped.id)));
    }
    *text = dashboard.to_string();
}

/// Whether anything refers to the resource, by `Ref`, `Fn::GetAtt` or within an `Fn::Sub`.
fn refers(value: &Value, id: &str) -> bool {
    let names = |text: &str| text == id || text.strip_prefix(id).is_some_and(|rest| rest.starts_with('.'));
    let substitutes =
        |text: &str| text.split("${").skip(1).any(|rest| rest.split('}').next().is_some_and(names));
    match value {
        Value::Array(items) => items.iter().any(|item| refers(item, id)),
        Value::Object(fields) => fields.iter().any(|(field, inner)| match (field.as_str(), inner) {
            ("Ref" | "Fn::GetAtt", Value::String(text)) => names(text),
            ("Fn::GetAtt", Value::Array(parts)) => parts.first().is_some_and(|first| *first == *id),
            ("Fn::Sub", Value::String(text)) => substitutes(text),
            ("Fn::Sub", Value::Array(parts)) => {
                parts.first().and_then(Value::as_str).is_some_and(substitutes) || refers(inner, id)
            }
            _ => refers(inner, id),
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Code<'static> = Code { bucket: "code" };

    fn localized(resources: &Value) -> Result<(Value, Vec<Dropped>), TemplateError> {
        let local = localize(&json!({ "Resources": resources }).to_string(), CODE, 2)?;
        Ok((serde_json::from_str(&local.body).unwrap(), local.dropped))
    }

    #[test]
    fn the_golden_template_becomes_a_local_one() {
        let local = localize(GOLDEN, CODE, 2).unwrap();
        let template: Value = serde_json::from_str(&local.body).unwrap();
        for (id, binary) in FUNCTIONS {
            let properties = &template["Resources"][id]["Properties"];
            assert_eq!(properties["Code"], json!({ "S3Bucket": "code", "S3Key": zip_key(binary) }));
            assert_eq!(properties["Runtime"], "provided.al2023");
            assert_eq!(properties.get("PackageType"), None);
        }
        assert_eq!(template["Resources"]["EventQueue"]["Properties"]["VisibilityTimeout"], 2);
        let consumer = &template["Resources"]["ConsumerLambdaFunction"]["Properties"]["Environment"];
        assert_eq!(consumer["Variables"]["RETRY_AFTER_SECONDS"], "1");
        assert!(local.dropped.iter().any(|dropped| dropped.id == "InputBucketPolicy"));
        // CloudFormation's limit on a template that is in a bucket.
        assert!(local.body.len() < 1_000_000, "{}", local.body.len());
    }

    #[test]
    fn only_a_queue_that_has_a_visibility_timeout_gets_another() {
        let (template, _) = localized(&json!({
            "Work": { "Type": "AWS::SQS::Queue", "Properties": { "VisibilityTimeout": 180 } },
            "Dead": { "Type": "AWS::SQS::Queue", "Properties": { "MessageRetentionPeriod": 60 } },
            "Plain": { "Type": "AWS::SQS::Queue" },
        }))
        .unwrap();
        assert_eq!(template["Resources"]["Work"]["Properties"]["VisibilityTimeout"], 2);
        assert_eq!(template["Resources"]["Dead"]["Properties"].get("VisibilityTimeout"), None);
    }

    #[test]
    fn what_ministack_refuses_is_left_out_and_named() {
        let tls = json!({ "Statement": [{ "Condition": { "Bool": { "aws:SecureTransport": "false" } } }] });
        let (template, dropped) = localized(&json!({
            "Tls": { "Type": "AWS::S3::BucketPolicy", "Properties": { "PolicyDocument": tls } },
            "Other": { "Type": "AWS::S3::BucketPolicy", "Properties": { "PolicyDocument": { "Statement": [] } } },
            "Query": { "Type": "AWS::Logs::QueryDefinition" },
            "Math": { "Type": "AWS::CloudWatch::Alarm", "Properties": { "Metrics": [] } },
            "Alarm": { "Type": "AWS::CloudWatch::Alarm", "Properties": {}, "DependsOn": ["Math", "Other"] },
            "Second": { "Type": "AWS::CloudWatch::Alarm", "Properties": {}, "DependsOn": "Query" },
        }))
        .unwrap();
        let ids: Vec<&str> = dropped.iter().map(|dropped| dropped.id.as_str()).collect();
        assert_eq!(ids, ["Math", "Query", "Tls"]);
        assert_eq!(by_reason(&dropped)["MiniStack has no metric math"], ["Math"]);
        let resources = template["Resources"].as_object().unwrap();
        assert_eq!(resources.keys().collect::<Vec<_>>(), ["Alarm", "Other", "Second"]);
        assert_eq!(resources["Alarm"]["DependsOn"], json!(["Other"]));
        assert_eq!(resources["Second"].get("DependsOn"), None);
    }

    #[test]
    fn a_dashboard_goes_without_the_alarms_that_were_left_out() {
        let resources = |widget: Value| {
            let body = json!({ "widgets": [widget] }).to_string();
            json!({
                "Math": { "Type": "AWS::CloudWatch::Alarm", "Properties": { "Metrics": [] } },
                "Plain": { "Type": "AWS::CloudWatch::Alarm", "Properties": {} },
                "Dashboard": {
                    "Type": "AWS::CloudWatch::Dashboard",
                    "Properties": { "DashboardBody": { "Fn::Sub": body } },
                },
            })
        };
        let alarms = json!({ "properties": { "alarms": ["${Math.Arn}", "${Plain.Arn}"] } });
        let (template, dropped) = localized(&resources(alarms)).unwrap();
        assert_eq!(dropped.iter().map(|dropped| &*dropped.id).collect::<Vec<_>>(), ["Math"]);
        let body = &template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
        let body: Value = serde_json::from_str(body.as_str().unwrap()).unwrap();
        assert_eq!(body["widgets"][0]["properties"]["alarms"], json!(["${Plain.Arn}"]));

        let elsewhere = json!({ "properties": { "title": "${Math.Arn}" } });
        assert!(
            matches!(localized(&resources(elsewhere)), Err(TemplateError::StillNeeded(id)) if id == "Math")
        );
    }

    #[test]
    fn an_unknown_type_is_not_left_out_quietly() {
        let error = localized(&json!({ "Table": { "Type": "AWS::DynamoDB::Table" } })).unwrap_err();
        assert!(error.to_string().starts_with("Table is of type AWS::DynamoDB::Table"), "{error}");
        let function = json!({ "Third": { "Type": "AWS::Lambda::Function", "Properties": {} } });
        assert!(
            matches!(localized(&function).unwrap_err(), TemplateError::UnknownFunction(id) if id == "Third")
        );
    }

    #[test]
    fn what_others_refer_to_is_not_left_out() {
        for reference in [
            json!({ "Ref": "Query" }),
            json!({ "Fn::GetAtt": ["Query", "Arn"] }),
            json!({ "Fn::GetAtt": "Query.Arn" }),
            json!({ "Fn::Sub": "arn:${AWS::Partition}:${Query.Arn}" }),
            json!({ "Fn::Sub": ["${Query}", {}] }),
            json!({ "Fn::Sub": ["${name}", { "name": { "Ref": "Query" } }] }),
        ] {
            let resources = json!({
                "Query": { "Type": "AWS::Logs::QueryDefinition" },
                "Topic": { "Type": "AWS::SNS::Topic", "Properties": { "DisplayName": reference } },
            });
            assert!(matches!(localized(&resources), Err(TemplateError::StillNeeded(_))), "{resources}");
        }
        let text = json!({
            "Query": { "Type": "AWS::Logs::QueryDefinition" },
            "Topic": { "Type": "AWS::SNS::Topic", "Properties": { "DisplayName": "Query ${Queries}" } },
        });
        assert!(localized(&text).is_ok());
    }
}
