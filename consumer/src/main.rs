//! The consumer as a Lambda function.

use std::process::ExitCode;
use std::sync::Arc;

use common::config::{self, ConsumerConfig};
use common::store::{S3Store, TracedStore};
use common::topic::{SnsTopic, Topic};
use common::trace::{self, Destination, InvocationLayer};
use common::{aws, telemetry};
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
    let sdk = aws::sdk_config().await;
    let function = config::environment("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "consumer".into());
    trace::start(&function, &Destination::from_lookup(config::environment), Some(&sdk));
    let store = Arc::new(TracedStore::new(Arc::new(S3Store::new(aws::s3_client(&sdk)))));
    let alerts = config
        .alert_topic_arn
        .as_ref()
        .map(|arn| -> Arc<dyn Topic> { Arc::new(SnsTopic::new(aws_sdk_sns::Client::new(&sdk), arn)) });
    let consumer = Arc::new(Consumer::new(store, alerts, &config));
    let handle = move |event: LambdaEvent<_>| {
        let consumer = Arc::clone(&consumer);
        async move {
            let invocation = Invocation::new(&event.context);
            consumer.handle(event.payload, &invocation).await.map_err(Error::from)
        }
    };
    Runtime::new(service_fn(handle)).layer(InvocationLayer::new("pubsub")).run().await
}
