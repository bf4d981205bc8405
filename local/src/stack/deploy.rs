//! The system into MiniStack: the functions' zips, then the template.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_cloudformation::types::{Capability, Parameter, Stack as Described, StackStatus};
use aws_sdk_s3::primitives::ByteStream;
use tokio::time::Instant;

use super::StackOptions;
use super::clients::Clients;
use super::functions::Zips;
use super::template::{self, Code, Dropped};

/// The bucket of the zips and of the template, outside the stack as the deployed functions' images are.
const CODE_BUCKET: &str = "penstock-code";
/// The template's key there: a request itself may hold no more than 51,200 bytes of one.
const TEMPLATE_KEY: &str = "template.json";
/// The stack's name, as `osls` would name it.
pub const STACK_NAME: &str = "penstock-dev";
/// MiniStack takes less than a second.
const DEPLOYED_WITHIN: Duration = Duration::from_mins(1);

/// What the template says of the deployed system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// Where files are put.
    pub input_bucket: String,
    /// Where they come out.
    pub output_bucket: String,
    /// Of every file.
    pub event_topic_arn: String,
    /// Of what went wrong.
    pub alert_topic_arn: String,
    /// From the topic to the consumer.
    pub event_queue_url: String,
    /// Messages that the consumer gave up.
    pub dead_letter_queue_url: String,
    /// Events that the processor gave up.
    pub failures_queue_url: String,
    /// The processor's name.
    pub processor_function: String,
    /// The consumer's name.
    pub consumer_function: String,
}

impl Outputs {
    /// Of a stack that is deployed.
    pub async fn of_stack(
        cloudformation: &aws_sdk_cloudformation::Client,
        stack_name: &str,
    ) -> anyhow::Result<Self> {
        let described = cloudformation.describe_stacks().stack_name(stack_name).send().await;
        let described = described.with_context(|| format!("describe the stack {stack_name}"))?;
        let stack = described.stacks.unwrap_or_default().into_iter().next();
        Self::of_described(stack.with_context(|| format!("there is no stack {stack_name}"))?)
    }

    fn of_described(stack: Described) -> anyhow::Result<Self> {
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let outputs = outputs.filter_map(|output| Some((output.output_key?, output.output_value?)));
        Self::from_map(outputs.collect())
    }

    pub(crate) fn from_map(mut values: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut take =
            |name: &str| values.remove(name).with_context(|| format!("the stack has no output {name}"));
        Ok(Self {
            input_bucket: take("InputBucketName")?,
            output_bucket: take("OutputBucketName")?,
            event_topic_arn: take("EventTopicArn")?,
            alert_topic_arn: take("AlertTopicArn")?,
            event_queue_url: take("EventQueueUrl")?,
            dead_letter_queue_url: take("DeadLetterQueueUrl")?,
            failures_queue_url: take("FailuresQueueUrl")?,
            processor_function: take("ProcessorFunctionName")?,
            consumer_function: take("ConsumerFunctionName")?,
        })
    }
}

/// Deploys the packaged template; says what came of it, and what was left out.
pub(super) async fn deploy(
    endpoint: &str,
    clients: &Clients,
    zips: &Zips,
    options: &StackOptions,
) -> anyhow::Result<(Outputs, Vec<Dropped>)> {
    let code = Code { bucket: CODE_BUCKET };
    let local = template::localize(&options.template, code, options.visibility_seconds)?;
    upload(&clients.s3, zips).await?;
    let body = ByteStream::from(local.body.into_bytes());
    let put = clients.s3.put_object().bucket(CODE_BUCKET).key(TEMPLATE_KEY).body(body).send();
    put.await.context("upload the template")?;
    let parameter = |(name, value): (&String, &String)| {
        Parameter::builder().parameter_key(name).parameter_value(value).build()
    };
    clients
        .cloudformation
        .create_stack()
        .stack_name(STACK_NAME)
        .template_url(format!("{endpoint}/{CODE_BUCKET}/{TEMPLATE_KEY}"))
        .set_parameters(Some(options.parameters.iter().map(parameter).collect()))
        .capabilities(Capability::CapabilityIam)
        .send()
        .await
        .context("create the stack")?;
    let stack = created(clients).await?;
    Ok((Outputs::of_described(stack)?, local.dropped))
}

async fn upload(s3: &aws_sdk_s3::Client, zips: &Zips) -> anyhow::Result<()> {
    s3.create_bucket()
        .bucket(CODE_BUCKET)
        .send()
        .await
        .context("create the bucket of the functions' code")?;
    for (binary, zip) in zips {
        let key = template::zip_key(binary);
        let body = ByteStream::from(zip.clone());
        let put = s3.put_object().bucket(CODE_BUCKET).key(&key).body(body).send();
        put.await.with_context(|| format!("upload {key}"))?;
        // A function whose code is missing deploys all the same, and answers with a mock.
        let head = s3.head_object().bucket(CODE_BUCKET).key(&key).send().await;
        let size = head.with_context(|| format!("find {key}"))?.content_length.unwrap_or_default();
        if u64::try_from(size).ok() != Some(zip.len() as u64) {
            bail!("{key} has {size} bytes after the upload instead of {}", zip.len());
        }
    }
    Ok(())
}

/// Waits for the stack's creation.
async fn created(clients: &Clients) -> anyhow::Result<Described> {
    let deadline = Instant::now() + DEPLOYED_WITHIN;
    loop {
        let described = clients.cloudformation.describe_stacks().stack_name(STACK_NAME).send().await;
        let stack = described.context("describe the stack")?.stacks.unwrap_or_default().into_iter().next();
        let stack = stack.context("the stack is gone")?;
        match stack.stack_status() {
            Some(StackStatus::CreateComplete) => return Ok(stack),
            Some(StackStatus::CreateInProgress) if Instant::now() < deadline => {}
            status => {
                let status = status.map_or("unknown", StackStatus::as_str);
                let reason = stack.stack_status_reason().unwrap_or("no reason given");
                bail!("the stack is {status} ({reason})\n{}", failures(clients).await);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the stack's events say went wrong, a line each.
async fn failures(clients: &Clients) -> String {
    let events = clients.cloudformation.describe_stack_events().stack_name(STACK_NAME).send().await;
    let events = events.ok().and_then(|events| events.stack_events).unwrap_or_default();
    let failed =
        events.iter().filter(|event| event.resource_status().is_some_and(|s| s.as_str().ends_with("FAILED")));
    let lines = failed.map(|event| {
        let id = event.logical_resource_id().unwrap_or("?");
        format!("{id}: {}", event.resource_status_reason().unwrap_or("no reason given"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_template_has_every_output() {
        let template: serde_json::Value = serde_json::from_str(template::GOLDEN).unwrap();
        let names = template["Outputs"].as_object().unwrap().keys();
        let values: BTreeMap<_, _> = names.map(|name| (name.clone(), name.to_lowercase())).collect();
        assert_eq!(Outputs::from_map(values.clone()).unwrap().input_bucket, "inputbucketname");
        let without = values.into_iter().filter(|(name, _)| name != "EventQueueUrl").collect();
        let error = Outputs::from_map(without).unwrap_err();
        assert_eq!(error.to_string(), "the stack has no output EventQueueUrl");
    }
}
