"""Functions that do not start, or are not started."""

from mutants.edit import PARAMS, YML, Mutant

FUNCTIONS = [
    Mutant(
        "functions on another architecture than their images", YML, "\nprovider:\n",
        "architecture: ${param:architecture}", "architecture: x86_64", "architectures_agree", "is built for",
    ),
    Mutant(
        "images that become an index", YML, "processor: &image", "provenance: 'false'", "provenance: 'true'",
        "architectures_agree", "index",
    ),
    Mutant(
        "the processor's image for the consumer", YML, "<<: *image", "--target=consumer", "--target=processor",
        "architectures_agree", "--target=consumer",
    ),
    Mutant(
        "an image by its tag", YML, "\n  consumer:\n", "${param:consumerImage, 'consumer'}",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/penstock:latest", "osls", "credentials not found",
    ),
    Mutant(
        "the same, past osls", YML, "\n      ConsumerLambdaFunction:\n", "Properties:",
        "Properties:\n          Code:\n            ImageUri: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:latest",
        "images_are_pinned", "by digest",
    ),
    Mutant(
        "more memory than Lambda has", YML, PARAMS, "processorMemory: 1769", "processorMemory: 20480",
        "osls", "processor.memorySize",
    ),
    Mutant(
        "the same, past osls", YML, "\n      ProcessorLambdaFunction:\n",
        "Properties:", "Properties:\n          MemorySize: 20480", "sizes_are_lambdas", "20480 MiB",
    ),
    Mutant(
        "no reserved concurrency where it is asked for", YML, "\n      ProcessorLambdaFunction:\n",
        "ReservedConcurrentExecutions:", None, "processors_are_limited_as_asked", "processorReservedConcurrency",
    ),
    Mutant(
        "a longer time-out than Lambda has", YML, PARAMS, "processorTimeout: 900", "processorTimeout: 1200",
        "osls", "processor.timeout",
    ),
    Mutant(
        "no topic in the processor's environment", YML, "\n  processor:\n", "TOPIC_ARN: !Ref EventTopic", None,
        "environment_is_complete", "TOPIC_ARN",
    ),
    Mutant(
        "another queue in the consumer's environment", YML, "\n  consumer:\n",
        "DLQ_URL: !Ref DeadLetterQueue", "DLQ_URL: !Ref FailuresQueue", "environment_is_complete", "DLQ_URL",
    ),
    Mutant("no traces", YML, "\nprovider:\n", "lambda: true", "lambda: false", "traces_are_on"),
    Mutant(
        "logs without end", YML, "\nprovider:\n", "logRetentionInDays:", None, "logs_end", "ProcessorLogGroup",
    ),
    Mutant(
        "with a key, logs are not under it", YML, "\n      ConsumerLogGroup:\n", "*logKey", "{}",
        "logs_end", "ConsumerLogGroup",
    ),
    Mutant(
        "failed events are dropped", YML, "\n  processor:\n", "destinations:", None,
        "failed_events_are_kept", "nowhere",
    ),
    Mutant(
        "failed events go to the dead letters", YML, "onFailure:", "FailuresQueue.Arn", "DeadLetterQueue.Arn",
        "failed_events_are_kept", "DeadLetterQueue",
    ),
    Mutant(
        "no second attempt", YML, "\n  processor:\n", "maximumRetryAttempts: 2", "maximumRetryAttempts: 0",
        "failed_events_are_kept", "twice",
    ),
    Mutant(
        "events may wait for longer than Lambda lets them", YML, PARAMS,
        "maximumEventAge: 21600", "maximumEventAge: 86400", "osls", "processor.maximumEventAge",
    ),
    Mutant(
        "an event name that S3 does not know", YML, "\n      InputBucket:\n",
        "s3:ObjectCreated:*", "s3:ObjectCreate:*", "uploads_start_the_processor", "no event of an upload",
    ),
    Mutant(
        "uploads in parts are not noticed", YML, "\n      InputBucket:\n",
        "s3:ObjectCreated:*", "s3:ObjectCreated:Put", "uploads_start_the_processor", "every way",
    ),
    Mutant(
        "any account's bucket of that name may invoke", YML, "\n      InputBucketPermission:\n",
        "SourceAccount: !Ref AWS::AccountId", None, "s3_may_invoke", "SourceAccount",
    ),
    Mutant(
        "any bucket may invoke", YML, "\n      InputBucketPermission:\n", "SourceArn:", None,
        "s3_may_invoke", "SourceArn",
    ),
    Mutant(
        "the notification comes before the permission", YML, "\n      InputBucket:\n",
        "DependsOn: InputBucketPermission", None, "s3_may_invoke", "DependsOn",
    ),
    Mutant(
        "one bad message brings its batch back", YML, "\n  consumer:\n",
        "functionResponseType: ReportBatchItemFailures", None,
        "consumer_takes_messages_one_by_one", "ReportBatchItemFailures",
    ),
    Mutant(
        "a large batch without a window", YML, PARAMS, "eventSourceBatchSize: 10", "eventSourceBatchSize: 100",
        "consumer_takes_messages_one_by_one", "eventSourceBatchWindow",
    ),
    Mutant(
        "as many consumers as Lambda likes", YML, "\n  consumer:\n", "maximumConcurrency:", None,
        "consumer_takes_messages_one_by_one", "maximumConcurrency",
    ),
    Mutant(
        "reserved concurrency on the consumer", YML, "\n  consumer:\n",
        "role: ConsumerRole", "role: ConsumerRole\n    reservedConcurrency: 5",
        "consumer_takes_messages_one_by_one", "reserved",
    ),
    Mutant(
        "the consumer stays outside the VPC", YML, "\n      ConsumerLambdaFunction:\n",
        "VpcConfig: *inVpc", "VpcConfig: !Ref AWS::NoValue", "networks_are_as_asked", "in a VPC",
    ),
    Mutant(
        "a digest that nobody asked for", YML, "\n      DigestRule:\n", "Condition: HasDigest", None,
        "a_digest_comes_only_if_asked_for", "only with a schedule",
    ),
    Mutant(
        "any rule of EventBridge may invoke the consumer", YML, "\n      DigestPermission:\n",
        "SourceArn: !GetAtt DigestRule.Arn", None, "a_digest_comes_only_if_asked_for", "DigestPermission",
    ),
]  # fmt: skip
