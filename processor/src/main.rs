//! The processor's Lambda: telemetry, configuration, run.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::config::{ProcessorConfig, environment};
use common::secrets::SecretsManager;
use common::store::{S3Store, TracedStore};
use common::topic::SnsTopic;
use common::trace::{self, Destination, InvocationLayer};
use common::{aws, telemetry};
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use processor::shutdown::Shutdown;
use processor::{Processor, handler};
use serde_json::Value;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::init();
    match Box::pin(run()).await {
        // Not by returning: the runtime would first wait for threads that still look a name up.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            tracing::error!(error = telemetry::chain(&*error), "the processor does not start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let config = ProcessorConfig::from_lookup(environment)?;
    let function = environment("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "processor".into());
    let (sdk, shutdown) = tokio::join!(aws::sdk_config(), Shutdown::listen());
    trace::start(&function, &Destination::from_lookup(environment), Some(&sdk));
    let shutdown = shutdown?;
    let store = Arc::new(TracedStore::new(Arc::new(S3Store::new(aws::s3_client(&sdk)))));
    let topic = Arc::new(SnsTopic::new(aws_sdk_sns::Client::new(&sdk), &config.topic_arn));
    let processor = Processor::new(&config, function, store, topic);
    let processor = Arc::new(processor.with_recipes(&config, &SecretsManager::new(&sdk)).await?);
    let terminated = shutdown.signal();
    let handle = move |event: LambdaEvent<Value>| {
        let (processor, terminated) = (Arc::clone(&processor), terminated.clone());
        Box::pin(async move { handler::handle(&processor, event, &terminated).await })
    };
    let layer = InvocationLayer::new("datasource").counted_by(shutdown.under_way());
    let runtime = Runtime::new(service_fn(handle)).layer(layer);
    let ended = tokio::select! { ended = runtime.run() => ended, () = shutdown.over() => Ok(()) };
    // Of an invocation that was given up.
    trace::flush(Duration::from_millis(100)).await;
    ended
}
