//! A deployed stage: its outputs, and clients that reach it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use aws_sdk_s3::config::Region;
use common::aws;
use common::store::S3Store;

use crate::stack::Outputs;

/// Which stage, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct StageArgs {
    /// The stage: its stack is penstock-NAME
    #[arg(long, value_name = "NAME", default_value = "dev")]
    stage: String,
    /// Where the stage is [default: as the AWS CLI is configured]
    #[arg(long)]
    region: Option<String>,
}

/// A stage that was found. Whoever runs the command is who asks: by the AWS CLI's variables, profiles and endpoints.
pub struct Deployed {
    /// Names and addresses.
    pub outputs: Outputs,
    /// Its objects.
    pub store: Arc<S3Store>,
    /// Its queues.
    pub sqs: aws_sdk_sqs::Client,
    /// Its functions.
    pub lambda: aws_sdk_lambda::Client,
}

impl Deployed {
    /// Finds a stage by its stack.
    pub async fn find(args: &StageArgs) -> anyhow::Result<Self> {
        let mut sdk = aws::sdk_config().await;
        if let Some(region) = &args.region {
            sdk = sdk.to_builder().region(Region::new(region.clone())).build();
        }
        if sdk.region().is_none() {
            bail!("no region is configured: give --region, or set AWS_REGION");
        }
        let stack = format!("penstock-{}", args.stage);
        let client = aws_sdk_cloudformation::Client::new(&sdk);
        let answer = Box::pin(client.describe_stacks().stack_name(&stack).send()).await;
        let answer = answer.with_context(|| format!("describe the stack {stack}"))?;
        let outputs = answer.stacks.unwrap_or_default().into_iter().next().and_then(|stack| stack.outputs);
        let outputs: BTreeMap<String, String> = outputs
            .unwrap_or_default()
            .into_iter()
            .filter_map(|output| Some((output.output_key?, output.output_value?)))
            .collect();
        Ok(Self {
            outputs: Outputs::from_map(outputs).with_context(|| format!("read the outputs of {stack}"))?,
            store: Arc::new(S3Store::new(aws::s3_client(&sdk))),
            sqs: aws_sdk_sqs::Client::new(&sdk),
            lambda: aws_sdk_lambda::Client::new(&sdk),
        })
    }

    /// Invokes the processor and does not wait: as S3 does. Lambda has the event once this returns.
    pub async fn invoke_processor(&self, event: &serde_json::Value) -> anyhow::Result<()> {
        let function = &self.outputs.processor_function;
        let invoke = self.lambda.invoke().function_name(function);
        let invoke = invoke.invocation_type(aws_sdk_lambda::types::InvocationType::Event);
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        Box::pin(invoke.payload(payload).send()).await.with_context(|| format!("invoke {function}"))?;
        Ok(())
    }
}
