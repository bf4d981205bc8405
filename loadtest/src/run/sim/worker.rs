//! A function in a process of its own, as Lambda would run it: an event a line in, a line for each message and each
//! answer out. It ends with its standard input.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use common::aws;
use common::config::{ConsumerConfig, DEFAULT_MAX_COMPRESSION_RATIO, DEFAULT_MAX_DECOMPRESSED_BYTES};
use common::config::{Prices, ProcessorConfig, RecipesPlace, environment};
use common::queue::MemoryQueues;
use common::store::{S3Store, Store, TracedStore};
use common::topic::{Message, PublishError, Topic};
use common::trace::{self, Destination};
use consumer::notify::Notifier;
use consumer::{Consumer, Invocation};
use lambda_runtime::LambdaEvent;
use processor::{Processor, handler};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use super::{ACCESS_KEY, OUTPUT_BUCKET, SECRET_KEY};

/// As the functions do.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// How long a claim holds: the consumer's time-out, and the margin that its handler adds.
const CLAIM_LEASE: Duration = Duration::from_secs(90);
/// As the template has it.
const MAX_RECEIVES: u32 = 5;

/// Which function to be.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// What it does
    function: Function,
    /// The S3 to talk to
    #[arg(long)]
    endpoint: String,
    /// The memory that the processor may count on, in MiB
    #[arg(long, default_value_t = 512)]
    memory: u64,
}

/// The functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Function {
    Processor,
    Consumer,
}

impl Function {
    /// As the command line has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Consumer => "consumer",
        }
    }
}

/// An invocation, a line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) event: Value,
    /// How long it may take.
    pub(super) within: Duration,
}

/// What a function says, a line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// It published a message.
    Message { body: String, attributes: BTreeMap<String, String> },
    /// The invocation succeeded.
    Answer(Value),
    /// The invocation failed.
    Error(String),
}

fn say(said: &Said) -> anyhow::Result<()> {
    let line = serde_json::to_string(said).context("write an answer")?;
    let mut output = std::io::stdout();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("write an answer")
}

/// Invokes the function for each line of standard input.
pub(crate) async fn serve(args: &Args) -> anyhow::Result<()> {
    trace::start(args.function.name(), &Destination::from_lookup(environment), None);
    let s3 = S3Store::new(aws::s3_client_at(&args.endpoint, ACCESS_KEY, SECRET_KEY));
    let function = Running::new(args, Arc::new(TracedStore::new(Arc::new(s3))));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.context("read an event")? {
        let job = serde_json::from_str(&line).context("understand an event")?;
        let answer = Box::pin(function.invoke(job)).await;
        say(&answer.map_or_else(|error| Said::Error(format!("{error:#}")), Said::Answer))?;
        trace::flush(FLUSH_WITHIN).await;
    }
    Ok(())
}

/// A function, ready.
enum Running {
    Processor(Box<Processor>),
    Consumer(Box<Consumer>),
}

impl Running {
    fn new(args: &Args, store: Arc<dyn Store>) -> Self {
        match args.function {
            Function::Processor => {
                let config = ProcessorConfig {
                    output_bucket: OUTPUT_BUCKET.into(),
                    topic_arn: "arn:aws:sns:us-east-1:000000000000:sim".into(),
                    memory_budget_mib: args.memory,
                    max_decompressed_bytes: DEFAULT_MAX_DECOMPRESSED_BYTES,
                    max_compression_ratio: DEFAULT_MAX_COMPRESSION_RATIO,
                    recipes: RecipesPlace::None,
                    mask_key: None,
                };
                let mut processor = Processor::new(&config, "sim".into(), store, Arc::new(SaidAloud));
                // Standard output is for the answers.
                processor.emit = |_| {};
                Self::Processor(Box::new(processor))
            }
            Function::Consumer => {
                let config = ConsumerConfig {
                    output_bucket: OUTPUT_BUCKET.into(),
                    dlq_url: "http://sim/dead-letters".into(),
                    alert_topic_arn: None,
                    claim_lease: CLAIM_LEASE,
                    max_receives: MAX_RECEIVES,
                    first_pause: Duration::from_secs(1),
                    notifications: None,
                    region: None,
                    prices: Prices::default(),
                };
                let queues = Arc::new(MemoryQueues::default());
                let consumer = Consumer::new(store, queues, Notifier::silent(), &config);
                Self::Consumer(Box::new(consumer.emitting(|_| {})))
            }
        }
    }

    async fn invoke(&self, job: Job) -> anyhow::Result<Value> {
        let end = SystemTime::now() + job.within;
        let end = end.duration_since(SystemTime::UNIX_EPOCH).context("read the clock")?;
        let mut context = lambda_runtime::Context::default();
        context.deadline = u64::try_from(end.as_millis()).context("read the clock")?;
        match self {
            Self::Processor(processor) => {
                let event = LambdaEvent::new(job.event, context);
                let answer = handler::handle(processor, event, &CancellationToken::new()).await?;
                serde_json::to_value(answer).context("write an answer")
            }
            Self::Consumer(consumer) => {
                let batch: SqsEvent = serde_json::from_value(job.event).context("understand a batch")?;
                let invocation = Invocation::new(&context);
                let answer: SqsBatchResponse = consumer.handle(batch, &invocation).await?;
                serde_json::to_value(answer).context("write an answer")
            }
        }
    }
}

/// A topic that is this process's standard output.
struct SaidAloud;

#[async_trait]
impl Topic for SaidAloud {
    fn name(&self) -> &'static str {
        "sim"
    }

    async fn publish(&self, message: Message) -> Result<String, PublishError> {
        let said = Said::Message { body: message.body, attributes: message.attributes };
        say(&said).map_err(|error| PublishError::new("sim", error))?;
        Ok("said".into())
    }
}
