//! The consumer as a Lambda function.

use std::process::ExitCode;
use std::sync::Arc;

use common::config::{self, ConsumerConfig};
use common::queue::SqsQueues;
use common::store::{S3Store, TracedStore};
use common::trace::{self, Destination, InvocationLayer};
use common::{aws, telemetry};
use consumer::notify::{Builder, Live};
use consumer::{Consumer, Invocation};
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};

// One thread: the work is waiting for S3, and the function has a fraction of a core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    tracing::error!(error = telemetry::chain(&*error), "the function can't run");
    ExitCode::FAILURE
}

async fn run() -> Result<(), Error> {
    let config = ConsumerConfig::from_lookup(config::environment)?;
    let sdk = aws::with_short_time_outs(&aws::sdk_config().await);
    let function = config::environment("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "consumer".into());
    trace::start(&function, &Destination::from_lookup(config::environment), Some(&sdk));
    let store = Arc::new(TracedStore::new(Arc::new(S3Store::new(aws::s3_client(&sdk)))));
    let queues = Arc::new(SqsQueues::new(aws_sdk_sqs::Client::new(&sdk)));
    let builder = Builder::new(&sdk, &config);
    let notifier = Live::load(config.notifications.as_deref(), store.clone(), builder).await?;
    let consumer = Arc::new(Consumer::new(store, queues, notifier, &config));
    let handle = move |event: LambdaEvent<_>| {
        let consumer = Arc::clone(&consumer);
        async move {
            let invocation = Invocation::new(&event.context);
            consumer.invoke(event.payload, &invocation).await.map_err(Error::from)
        }
    };
    Runtime::new(service_fn(handle)).layer(InvocationLayer::new("pubsub")).run().await
}
