//! The deployed system: on MiniStack, started for this run, or a stage in AWS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use common::contract::{Source, receipt_key};
use common::receiver::SpanReceiver;
use common::store::{S3Store, Store};
use common::trace::{Destination, TRACEPARENT};
use common::{aws, contract};
use local::demo::queues::GivenUp;
use local::ending::UsageError;
use local::stack::{Clients, Outputs, Stack, StackOptions};
use local::terminal::Terminal;
use local::upload::Uploaded;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::chaos::{Chaos, Fault};
use super::invoke::hand_over;
use super::plan::{PREFIX, Planned};
use super::processes::Family;
use super::proxy::Proxy;
use super::upload::upload;
use super::world::look_for;

/// With faults: so that five receives outlast a claim of an invocation that was killed, twice over.
const VISIBLE_AFTER_CHAOS: u32 = 35;
/// How long what lay under a key before may take to come through.
const OLDER_WITHIN: Duration = Duration::from_mins(2);

/// The system, deployed.
pub(crate) struct Deployed {
    clients: Clients,
    outputs: Outputs,
    chaos: Arc<Chaos>,
    given_up: Arc<GivenUp>,
    /// MiniStack's, where it was started for this run.
    stack: Option<Stack>,
    _watching: AbortOnDropHandle<()>,
    proxy: Option<Proxy>,
}

impl Deployed {
    /// Starts the whole system on this machine.
    pub(crate) async fn start_local(
        spans: &SpanReceiver,
        chaos: &Arc<Chaos>,
        terminal: &Terminal,
    ) -> anyhow::Result<Self> {
        let mut options =
            StackOptions { spans_to: Destination::Otlp(spans.endpoint()), ..StackOptions::default() };
        let proxy = if chaos.is_asked_for() {
            Some(Proxy::start(Arc::clone(chaos)).await.context("start the proxy")?)
        } else {
            None
        };
        if let Some(proxy) = &proxy {
            options.functions_through = Some(proxy.endpoint());
            options.visibility_seconds = VISIBLE_AFTER_CHAOS;
        }
        let stack = Box::pin(Stack::start(&options, terminal)).await?;
        if let (Some(proxy), Some(group)) = (&proxy, stack.process_group()) {
            proxy.stand_before(stack.endpoint(), Family::Group(group));
        }
        let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
        Ok(Self::new(clients, outputs, chaos, Some(stack), proxy))
    }

    /// Finds a stage by its stack's name.
    pub(crate) async fn find(
        stack_name: &str,
        region: Option<&str>,
        chaos: &Arc<Chaos>,
    ) -> anyhow::Result<Self> {
        let mut sdk = aws::sdk_config().await;
        if let Some(region) = region {
            let region = aws_sdk_s3::config::Region::new(region.to_owned());
            sdk = sdk.to_builder().region(region).build();
        }
        if sdk.region().is_none() {
            let text = "no region is known to look for the stack in: name it by --region, or by AWS_REGION";
            return Err(UsageError(text.into()).into());
        }
        let clients = Clients {
            cloudformation: aws_sdk_cloudformation::Client::new(&sdk),
            s3: aws::s3_client(&sdk),
            sqs: aws_sdk_sqs::Client::new(&sdk),
        };
        let outputs = Outputs::of_stack(&clients.cloudformation, stack_name).await?;
        Ok(Self::new(clients, outputs, chaos, None, None))
    }

    fn new(
        clients: Clients,
        outputs: Outputs,
        chaos: &Arc<Chaos>,
        stack: Option<Stack>,
        proxy: Option<Proxy>,
    ) -> Self {
        let given_up = Arc::new(GivenUp::default());
        let watching = {
            let (given_up, clients, outputs) = (Arc::clone(&given_up), clients.clone(), outputs.clone());
            // A stage's queues are others' too: a look makes messages invisible for an instant, and counts as a receive.
            let is_ours = stack.is_some();
            tokio::spawn(async move {
                if is_ours {
                    given_up.watch(&clients, &outputs).await;
                }
            })
        };
        Self {
            clients,
            outputs,
            chaos: Arc::clone(chaos),
            given_up,
            stack,
            _watching: AbortOnDropHandle::new(watching),
            proxy,
        }
    }

    /// Both buckets, without faults.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(S3Store::new(self.clients.s3.clone()))
    }

    /// Where files are put, and where they come out.
    pub(crate) fn buckets(&self) -> (&str, &str) {
        (&self.outputs.input_bucket, &self.outputs.output_bucket)
    }

    /// The functions' processes, where they can be seen, and the processor's name.
    pub(crate) fn family(&self) -> Option<(Family, &str)> {
        let group = self.stack.as_ref().and_then(Stack::process_group)?;
        Some((Family::Group(group), &self.outputs.processor_function))
    }

    /// Sends a file. `older` is what lies under its key before, whose event then comes again.
    pub(crate) async fn send(
        &self,
        file: &Planned,
        older: Option<&Planned>,
    ) -> anyhow::Result<(Uploaded, Option<Source>)> {
        let mut stale = None;
        if let Some(older) = older {
            let put = upload(&self.clients.s3, &self.outputs.input_bucket, older).await?;
            let store = self.store();
            let key = receipt_key(&older.key)?;
            let ours = |receipt: &contract::Receipt| receipt.source.version_id == put.version_id;
            let deadline = Instant::now() + OLDER_WITHIN;
            let receipt =
                look_for(&*store, &self.outputs.output_bucket, &key, ours, deadline, || None).await?;
            stale = receipt.ok().map(|receipt| receipt.source);
        }
        let put = upload(&self.clients.s3, &self.outputs.input_bucket, file).await?;
        Ok((put, stale))
    }

    /// Sends events again, as chaos has it: the file's own while it is at work, and an older one behind it.
    pub(crate) async fn repeat(&self, source: &Source, stale: Option<Source>) -> anyhow::Result<()> {
        let Some(stack) = &self.stack else { return Ok(()) };
        let function = &self.outputs.processor_function;
        if self.chaos.is_due(Fault::Duplicate) {
            self.chaos.count(Fault::Duplicate);
            hand_over(stack.endpoint(), function, source).await?;
        }
        if let Some(stale) = stale {
            self.chaos.count(Fault::Disorder);
            hand_over(stack.endpoint(), function, &stale).await?;
        }
        Ok(())
    }

    /// Sends a message again, as chaos has it: with its trace, as SQS would.
    pub(crate) async fn repeat_message(&self, body: String, traceparent: &str) -> anyhow::Result<()> {
        if self.stack.is_some() && self.chaos.is_due(Fault::Duplicate) {
            self.chaos.count(Fault::Duplicate);
            let trace =
                MessageAttributeValue::builder().data_type("String").string_value(traceparent).build()?;
            let send = self.clients.sqs.send_message().queue_url(&self.outputs.event_queue_url);
            let send = send.message_body(body).message_attributes(TRACEPARENT, trace);
            send.send().await.context("send a message again")?;
        }
        Ok(())
    }

    /// Why a version of a file was given up, if it was.
    pub(crate) fn given_up(&self, version_id: Option<&str>) -> Option<String> {
        self.given_up.why(version_id?)
    }

    /// Messages that wait or are at work; unknown where the queue can't be asked.
    pub(crate) async fn queue_depth(&self) -> Option<u64> {
        let ask = self.clients.sqs.get_queue_attributes().queue_url(&self.outputs.event_queue_url);
        let attributes = ask.attribute_names(QueueAttributeName::All).send().await.ok()?.attributes?;
        let number =
            |name| attributes.get(&name).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        Some(
            number(QueueAttributeName::ApproximateNumberOfMessages)
                + number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        )
    }

    /// Keys of a run's uploads that nobody completed or aborted.
    pub(crate) async fn open_uploads(&self, run: &str) -> anyhow::Result<Vec<String>> {
        let mut open = Vec::new();
        for folder in ["clean", "rejects"] {
            let list = self.clients.s3.list_multipart_uploads().bucket(&self.outputs.output_bucket);
            let list = list.prefix(format!("{folder}/{PREFIX}{run}/")).send().await;
            let uploads = list.context("list the uploads")?.uploads.unwrap_or_default();
            open.extend(uploads.into_iter().filter_map(|upload| upload.key));
        }
        Ok(open)
    }

    /// How many catalogue entries each version of a run's files has that say `processed`.
    pub(crate) async fn entries(&self, run: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        // A stage's catalogue may hold millions.
        if self.stack.is_none() {
            return Ok(counts);
        }
        let list =
            self.clients.s3.list_objects_v2().bucket(&self.outputs.output_bucket).prefix("catalog/dt=");
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            for object in page.context("list the catalogue")?.contents.unwrap_or_default() {
                let Some(entry) = self.entry(object.key.unwrap_or_default()).await? else { continue };
                let is_ours = entry.source_key.starts_with(&format!("{PREFIX}{run}/"));
                if is_ours && entry.status == contract::CatalogStatus::Processed {
                    let version = entry.source_version_id.unwrap_or_default();
                    *counts.entry(format!("{}?{version}", entry.source_key)).or_default() += 1;
                }
            }
        }
        Ok(counts)
    }

    async fn entry(&self, key: String) -> anyhow::Result<Option<contract::CatalogEntry>> {
        super::world::read(&*self.store(), &self.outputs.output_bucket, &key).await
    }

    /// What invocations were at that were killed.
    pub(crate) fn killed(&self) -> Vec<String> {
        self.proxy.as_ref().map(Proxy::killed).unwrap_or_default()
    }

    /// Keeps the log of a stack that was started for this run; says where.
    pub(crate) fn keep_log(&self) -> Option<std::path::PathBuf> {
        self.stack.as_ref()?.keep_log().ok()
    }

    /// Ends what was started.
    pub(crate) async fn stop(self) {
        if let Some(stack) = self.stack {
            stack.stop().await;
        }
    }
}
