"""The faults of the mutation run, and who has to catch each.

`by` is a rule, `cfn-lint`, or `osls`, which refuses some at packaging; `hint` is a word that what it says has to hold.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One edit: the first `old` below `below` becomes `new`, or is taken out with what is indented under it."""

    what: str
    file: str
    below: str
    old: str
    new: str | None
    by: str
    hint: str = ""


YML, ALARMS = "serverless.yml", "deploy/alarms.yml"
DASHBOARD, QUERIES = "deploy/dashboard.yml", "deploy/queries.yml"
PARAMS = "\nparams:\n"

ROLES = [
    Fault(
        "the processor may not list its input", YML, "\n      ProcessorRole:\n",
        "- !Sub arn:${AWS::Partition}:s3:::${self:custom.inputBucket}", None,
        "roles_hold_exactly_what_is_needed", "lacks s3:ListBucket",
    ),
    Fault(
        "the consumer may not list the output", YML, "\n      ConsumerRole:\n",
        "- Sid: TellAbsentFromForbidden", None, "roles_hold_exactly_what_is_needed", "lacks s3:ListBucket",
    ),
    Fault(
        "no reading by version", YML, "- Sid: ReadInput", "- s3:GetObjectVersion", None,
        "roles_hold_exactly_what_is_needed", "lacks s3:GetObjectVersion",
    ),
    Fault(
        "no giving up of uploads", YML, "- Sid: WriteOutput", "- s3:AbortMultipartUpload", None,
        "roles_hold_exactly_what_is_needed", "lacks s3:AbortMultipartUpload",
    ),
    Fault(
        "the processor may not publish", YML, "\n      ProcessorRole:\n", "- Sid: PublishEvents", None,
        "roles_hold_exactly_what_is_needed", "lacks sns:Publish",
    ),
    Fault(
        "failed events can't be sent", YML, "\n      ProcessorRole:\n", "- Sid: ReportFailures", None,
        "roles_hold_exactly_what_is_needed", "lacks sqs:SendMessage",
    ),
    Fault(
        "failed events may go to another queue only", YML, "- Sid: ReportFailures",
        "FailuresQueue.Arn", "DeadLetterQueue.Arn", "roles_hold_exactly_what_is_needed", "lacks sqs:SendMessage",
    ),
    Fault(
        "messages can't be deleted when done", YML, "- Sid: ReceiveEvents", "- sqs:DeleteMessage", None,
        "roles_hold_exactly_what_is_needed", "lacks sqs:DeleteMessage",
    ),
    Fault(
        "the consumer may write results", YML, "- Sid: ClaimAndCatalogue", "/claims/*", "/*",
        "roles_hold_exactly_what_is_needed", "may s3:PutObject",
    ),
    Fault(
        "the consumer may delete objects", YML, "- Sid: ClaimAndCatalogue",
        "Action: s3:PutObject", "Action: [s3:PutObject, s3:DeleteObject]",
        "roles_hold_exactly_what_is_needed", "may s3:DeleteObject",
    ),
    Fault(
        "every action on the output", YML, "- Sid: WriteOutput", "- s3:PutObject", "- s3:*",
        "roles_hold_exactly_what_is_needed", "may s3:*",
    ),
    Fault(
        "publishing to every topic", YML, "- Sid: PublishEvents", "Resource: !Ref EventTopic", "Resource: '*'",
        "roles_hold_exactly_what_is_needed", "may sns:Publish on *",
    ),
    Fault(
        "no right to send traces", YML, "- &trace\n", "- xray:PutTraceSegments", None,
        "roles_hold_exactly_what_is_needed", "lacks xray:PutTraceSegments",
    ),
    Fault(
        "with a key, the consumer may not use it", YML, "\n      ConsumerRole:\n", "- *useKey", "- !Ref AWS::NoValue",
        "roles_hold_exactly_what_is_needed", "with a KMS key",
    ),
    Fault(
        "with a key, every key may be used", YML, "- &useKey", "Resource: !Ref KmsKeyArn", "Resource: '*'",
        "roles_hold_exactly_what_is_needed", "may kms:Decrypt on *",
    ),
    Fault(
        "rights on networks without a VPC", YML, "- &interfaces", "- InVpc", "- HasKmsKey",
        "roles_hold_exactly_what_is_needed", "may ec2:CreateNetworkInterface",
    ),
    Fault(
        "the code may use the network rights", YML, "- &notFromCode", "Effect: Deny", "Effect: Allow",
        "networks_are_lambdas_business", "has to deny",
    ),
    Fault(
        "anybody may take on a role", YML, "AssumeRolePolicyDocument: &lambdaAssumes",
        "Service: lambda.amazonaws.com", "AWS: '*'", "each_function_has_its_own_role", "others than lambda",
    ),
    Fault(
        "the consumer runs as the processor", YML, "\n  consumer:\n", "role: ConsumerRole", "role: ProcessorRole",
        "each_function_has_its_own_role", "ConsumerRole",
    ),
]  # fmt: skip

MESSAGES = [
    Fault(
        "visibility below the consumer's time-out", YML, PARAMS, "visibilityTimeout: 180", "visibilityTimeout: 60",
        "messages_are_not_handed_out_twice", "EventQueue",
    ),
    Fault(
        "a batch window that visibility does not cover", YML, PARAMS,
        "eventSourceBatchWindow: 0", "eventSourceBatchWindow: 60", "messages_are_not_handed_out_twice", "240",
    ),
    Fault(
        "the dead-letter queue unhooked", YML, "\n      EventQueue:\n", "RedrivePolicy:", None,
        "bad_messages_end_somewhere", "EventQueue",
    ),
    Fault(
        "bad messages go to the failures queue", YML, "\n      EventQueue:\n",
        "DeadLetterQueue.Arn", "FailuresQueue.Arn", "bad_messages_end_somewhere", "EventQueue",
    ),
    Fault(
        "given up at the first failure", YML, PARAMS, "maxReceiveCount: 5", "maxReceiveCount: 1",
        "bad_messages_end_somewhere", "maxReceiveCount",
    ),
    Fault(
        "dead letters are gone after four days", YML, "\n      DeadLetterQueue:\n",
        "MessageRetentionPeriod: 1209600", None, "bad_messages_end_somewhere", "DeadLetterQueue",
    ),
    Fault(
        "any topic may send", YML, "\n      EventQueuePolicy:\n", "Condition:", None,
        "only_our_topic_sends", "EventQueuePolicy",
    ),
    Fault(
        "anybody may send", YML, "\n      EventQueuePolicy:\n", "Service: sns.amazonaws.com", "AWS: '*'",
        "only_our_topic_sends", "EventQueuePolicy",
    ),
    Fault(
        "queues under the key that AWS manages for SQS", YML, "<<: &queueKey",
        "KmsMasterKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]", "KmsMasterKeyId: alias/aws/sqs",
        "encryption_still_delivers", "alias/aws/sqs",
    ),
    Fault(
        "queues in plain text", YML, "<<: &queueKey", "!Ref AWS::NoValue, true]", "!Ref AWS::NoValue, false]",
        "encryption_still_delivers", "SqsManagedSseEnabled",
    ),
    Fault(
        "alerts under alias/aws/sns", YML, "\n      AlertTopic:\n", "!Ref AWS::NoValue]", "alias/aws/sns]",
        "encryption_still_delivers", "AlertTopic",
    ),
    Fault(
        "events in plain text", YML, "\n      EventTopic:\n", "alias/aws/sns]", "!Ref AWS::NoValue]",
        "encryption_still_delivers", "EventTopic",
    ),
    Fault(
        "events wrapped in SNS's own JSON", YML, "\n      EventSubscription:\n",
        "RawMessageDelivery: true", "RawMessageDelivery: false", "events_arrive_as_they_were_sent", "Raw",
    ),
    Fault(
        "a protocol that SNS does not know", YML, "\n      EventSubscription:\n", "Protocol: sqs", "Protocol: sqsx",
        "events_arrive_as_they_were_sent", "no protocol",
    ),
    Fault(
        "people hear of every file", YML, "\n      AlertEmailSubscription:\n",
        "TopicArn: !Ref AlertTopic", "TopicArn: !Ref EventTopic", "people_can_be_told", "with an address",
    ),
]  # fmt: skip

BUCKETS = [
    Fault(
        "an open bucket", YML, "&noPublicAccess", "BlockPublicPolicy: true", "BlockPublicPolicy: false",
        "buckets_are_private", "InputBucket: is open",
    ),
    Fault(
        "ACLs on the output", YML, "\n      OutputBucket:\n", "OwnershipControls: *noAcls", None,
        "buckets_are_private", "OutputBucket",
    ),
    Fault(
        "plain HTTP to the output", YML, "# ---- Output", "OutputBucketPolicy:", None,
        "buckets_speak_tls_only", "OutputBucket",
    ),
    Fault(
        "plain HTTP to the input's list of keys", YML, "\n      InputBucketPolicy:\n",
        "- !GetAtt InputBucket.Arn", None, "buckets_speak_tls_only", "InputBucket",
    ),
    Fault(
        "a bucket for everybody", YML, "\n      OutputBucketPolicy:\n", "Effect: Deny", "Effect: Allow",
        "buckets_speak_tls_only", "lets somebody in",
    ),
    Fault(
        "files under the key that AWS manages for S3", YML, "&encrypted", "SSEAlgorithm: AES256",
        "SSEAlgorithm: aws:kms", "buckets_are_encrypted", "AES256",
    ),
    Fault(
        "with a key, files are not under it", YML, "&encrypted", "SSEAlgorithm: aws:kms", "SSEAlgorithm: AES256",
        "buckets_are_encrypted", "with a KMS key",
    ),
    Fault(
        "an input without versions", YML, "VersioningConfiguration:", "Status: Enabled", "Status: Suspended",
        "uploads_have_versions", "Enabled",
    ),
    Fault(
        "versions that end before their events", YML, PARAMS, "noncurrentVersionRetentionDays: 30",
        "noncurrentVersionRetentionDays: 7", "uploads_have_versions", "outlast",
    ),
    Fault(
        "overwritten uploads are kept for ever", YML, "- Id: forget-overwritten-uploads",
        "NoncurrentVersionExpiration:", None, "uploads_have_versions", "for ever",
    ),
    Fault(
        "parts of broken uploads are kept for ever", YML, "\n      OutputBucket:\n",
        "- Id: abort-incomplete-uploads", None, "broken_uploads_are_aborted", "OutputBucket",
    ),
    Fault(
        "results expire with the rejects", YML, "- Id: forget-rejects", "Prefix: rejects/", None,
        "only_what_may_expires", "everything",
    ),
    Fault(
        "claims end before their messages", YML, "- Id: forget-claims", "ExpirationInDays: 15",
        "ExpirationInDays: 5", "only_what_may_expires", "claims/",
    ),
    Fault(
        "removing the stack removes the files", YML, "\n      OutputBucket:\n",
        "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete", "buckets_are_kept", "OutputBucket",
    ),
]  # fmt: skip

FUNCTIONS = [
    Fault(
        "functions on another architecture than their images", YML, "\nprovider:\n",
        "architecture: ${param:architecture}", "architecture: x86_64", "architectures_agree", "is built for",
    ),
    Fault(
        "images that become an index", YML, "processor: &image", "provenance: 'false'", "provenance: 'true'",
        "architectures_agree", "index",
    ),
    Fault(
        "the processor's image for the consumer", YML, "<<: *image", "--target=consumer", "--target=processor",
        "architectures_agree", "--target=consumer",
    ),
    Fault(
        "an image by its tag", YML, "\n  consumer:\n", "${param:consumerImage, 'consumer'}",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/penstock:latest", "osls", "credentials not found",
    ),
    Fault(
        "the same, past osls", YML, "\n      ConsumerLambdaFunction:\n", "Properties:",
        "Properties:\n          Code:\n            ImageUri: 123456789012.dkr.ecr.us-east-1.amazonaws.com/penstock:latest",
        "images_are_pinned", "by digest",
    ),
    Fault(
        "more memory than Lambda has", YML, PARAMS, "processorMemory: 1769", "processorMemory: 20480",
        "osls", "processor.memorySize",
    ),
    Fault(
        "the same, past osls", YML, "\n      ProcessorLambdaFunction:\n",
        "Properties:", "Properties:\n          MemorySize: 20480", "sizes_are_lambdas", "20480 MiB",
    ),
    Fault(
        "a longer time-out than Lambda has", YML, PARAMS, "processorTimeout: 900", "processorTimeout: 1200",
        "osls", "processor.timeout",
    ),
    Fault(
        "no topic in the processor's environment", YML, "\n  processor:\n", "TOPIC_ARN: !Ref EventTopic", None,
        "environment_is_complete", "TOPIC_ARN",
    ),
    Fault(
        "another queue in the consumer's environment", YML, "\n  consumer:\n",
        "DLQ_URL: !Ref DeadLetterQueue", "DLQ_URL: !Ref FailuresQueue", "environment_is_complete", "DLQ_URL",
    ),
    Fault("no traces", YML, "\nprovider:\n", "lambda: true", "lambda: false", "traces_are_on"),
    Fault(
        "logs without end", YML, "\nprovider:\n", "logRetentionInDays:", None, "logs_end", "ProcessorLogGroup",
    ),
    Fault(
        "with a key, logs are not under it", YML, "\n      ConsumerLogGroup:\n", "*logKey", "{}",
        "logs_end", "ConsumerLogGroup",
    ),
    Fault(
        "failed events are dropped", YML, "\n  processor:\n", "destinations:", None,
        "failed_events_are_kept", "nowhere",
    ),
    Fault(
        "failed events go to the dead letters", YML, "onFailure:", "FailuresQueue.Arn", "DeadLetterQueue.Arn",
        "failed_events_are_kept", "DeadLetterQueue",
    ),
    Fault(
        "no second attempt", YML, "\n  processor:\n", "maximumRetryAttempts: 2", "maximumRetryAttempts: 0",
        "failed_events_are_kept", "twice",
    ),
    Fault(
        "events may wait for longer than Lambda lets them", YML, PARAMS,
        "maximumEventAge: 21600", "maximumEventAge: 86400", "osls", "processor.maximumEventAge",
    ),
    Fault(
        "an event name that S3 does not know", YML, "\n      InputBucket:\n",
        "s3:ObjectCreated:*", "s3:ObjectCreate:*", "uploads_start_the_processor", "no event of an upload",
    ),
    Fault(
        "uploads in parts are not noticed", YML, "\n      InputBucket:\n",
        "s3:ObjectCreated:*", "s3:ObjectCreated:Put", "uploads_start_the_processor", "every way",
    ),
    Fault(
        "any account's bucket of that name may invoke", YML, "\n      InputBucketPermission:\n",
        "SourceAccount: !Ref AWS::AccountId", None, "s3_may_invoke", "SourceAccount",
    ),
    Fault(
        "any bucket may invoke", YML, "\n      InputBucketPermission:\n", "SourceArn:", None,
        "s3_may_invoke", "SourceArn",
    ),
    Fault(
        "the notification comes before the permission", YML, "\n      InputBucket:\n",
        "DependsOn: InputBucketPermission", None, "s3_may_invoke", "DependsOn",
    ),
    Fault(
        "one bad message brings its batch back", YML, "\n  consumer:\n",
        "functionResponseType: ReportBatchItemFailures", None,
        "consumer_takes_messages_one_by_one", "ReportBatchItemFailures",
    ),
    Fault(
        "a large batch without a window", YML, PARAMS, "eventSourceBatchSize: 10", "eventSourceBatchSize: 100",
        "consumer_takes_messages_one_by_one", "eventSourceBatchWindow",
    ),
    Fault(
        "as many consumers as Lambda likes", YML, "\n  consumer:\n", "maximumConcurrency:", None,
        "consumer_takes_messages_one_by_one", "maximumConcurrency",
    ),
    Fault(
        "reserved concurrency on the consumer", YML, "\n  consumer:\n",
        "role: ConsumerRole", "role: ConsumerRole\n    reservedConcurrency: 5",
        "consumer_takes_messages_one_by_one", "reserved",
    ),
    Fault(
        "the consumer stays outside the VPC", YML, "\n      ConsumerLambdaFunction:\n",
        "VpcConfig: *inVpc", "VpcConfig: !Ref AWS::NoValue", "networks_are_as_asked", "in a VPC",
    ),
]  # fmt: skip

WATCHING = [
    Fault(
        "an alarm on a queue that is not there", ALARMS, "\n  FailuresAlarm:\n",
        "!GetAtt FailuresQueue.QueueName", "penstock-failures", "alarms_watch_what_exists", "penstock-failures",
    ),
    Fault(
        "an alarm on a metric that nobody writes", ALARMS, "\n  FilesFailedAlarm:\n",
        "MetricName: FilesFailed", "MetricName: FailedFiles", "alarms_watch_what_exists", "FailedFiles",
    ),
    Fault(
        "an alarm on another queue", ALARMS, "\n  DeadLettersAlarm:\n",
        "DeadLetterQueue.QueueName", "EventQueue.QueueName", "everything_that_can_fail_is_watched", "DeadLetters",
    ),
    Fault(
        "an alarm that is gone", ALARMS, "# ---- Consumer", "ConsumerErrorsAlarm:", "Other:",
        "everything_that_can_fail_is_watched", "ConsumerErrors",
    ),
    Fault(
        "an alarm that tells nobody", ALARMS, "\n  ProcessorErrorsAlarm:\n",
        "- !Ref AlertTopic", "- !Ref EventTopic", "alarms_reach_somebody", "ProcessorErrorsAlarm",
    ),
    Fault(
        "a queue whose alarm never ends", ALARMS, "Properties: &queueState", "OKActions:", None,
        "alarms_reach_somebody", "OKActions",
    ),
    Fault(
        "an alarm each quiet night", ALARMS, "Properties: &queueState", "notBreaching", "breaching",
        "silence_is_well", "FailuresAlarm",
    ),
    Fault(
        "an alarm that does not say what to do", ALARMS, "\n  ConsumerSlowAlarm:\n",
        "${param:runbook}#consumer-slow", "", "alarms_say_what_to_do", "#consumer-slow",
    ),
    Fault(
        "a link to no section of the runbook", ALARMS, "\n  RejectRatioAlarm:\n",
        "#reject-ratio", "#rejects-ratio", "alarms_say_what_to_do", "#reject-ratio",
    ),
    Fault(
        "a threshold in seconds on milliseconds", ALARMS, "\n  ProcessorSlowAlarm:\n",
        "100 * duration / (1000 *", "100 * duration / (", "thresholds_can_be_reached", "ProcessorSlowAlarm",
    ),
    Fault(
        "an alarm for each bad message", YML, PARAMS, "eventQueueAge: 1800", "eventQueueAge: 600",
        "thresholds_can_be_reached", "eventQueueAge",
    ),
    Fault(
        "a dashboard that is no JSON", "deploy/dashboard.js", "module.exports", "JSON.stringify(", "'{' + JSON.stringify(",
        "dashboard_is_one", "no JSON",
    ),
    Fault(
        "a dashboard of a metric that nobody writes", DASHBOARD, "title: Bytes", "BytesOut", "BytesWritten",
        "dashboard_is_one", "BytesWritten",
    ),
    Fault(
        "a dashboard without an alarm", DASHBOARD, "title: Alarms", "- ${DeadLettersAlarm.Arn}", None,
        "dashboard_is_one", "DeadLettersAlarm",
    ),
    Fault(
        "a dashboard of one region", DASHBOARD, "title: Files", "${AWS::Region}", "us-east-1",
        "dashboard_is_one", "region",
    ),
    Fault(
        "a dashboard of another function", DASHBOARD, "title: At once", "${ConsumerLambdaFunction}",
        "penstock-consumer", "dashboard_is_one", "penstock-consumer",
    ),
    Fault(
        "a formula of what is not shown", DASHBOARD, "title: Throughput", "PERIOD(bytes)", "PERIOD(octets)",
        "dashboard_is_one", "octets",
    ),
    Fault(
        "a query for a field that no line has", QUERIES, "\n  FrequentRejectsQuery:\n", "span.key", "span.file",
        "queries_find_something", "span.file",
    ),
    Fault(
        "a query of another log group", QUERIES, "\n  SlowestFilesQuery:\n",
        "!Ref ProcessorLogGroup", "/aws/lambda/penstock", "queries_find_something", "log groups",
    ),
]  # fmt: skip

WHOLE = [
    Fault(
        "an account's number", YML, "\n      InputBucketPermission:\n", "!Ref AWS::AccountId", "'111122223333'",
        "nothing_belongs_to_one_account", "account",
    ),
    Fault(
        "a region", YML, "- Sid: EncryptEvents", "sns.${AWS::Region}.", "sns.us-east-1.",
        "nothing_belongs_to_one_account", "region",
    ),
    Fault(
        "a partition", YML, "- Sid: TellAbsentFromForbidden\n                    Effect: Allow\n"
        "                    Action: s3:ListBucket\n                    Resource:\n",
        "arn:${AWS::Partition}", "arn:aws", "nothing_belongs_to_one_account", "partition",
    ),
    Fault(
        "a secret", YML, "\nprovider:\n", "RUST_LOG: info", "AWS_KEY: AKIAIOSFODNN7EXAMPLE",
        "no_secret_is_written_down", "secret",
    ),
    Fault(
        "a name that nothing has", YML, "- Sid: ClaimAndCatalogue", "${OutputBucket.Arn}/catalog", "${Catalog.Arn}/catalog",
        "references_name_resources", "Catalog.Arn",
    ),
    Fault(
        "an output that is gone", YML, "\n    Outputs:\n", "FailuresQueueUrl:", None,
        "outputs_are_there", "FailuresQueueUrl",
    ),
    Fault(
        "a property that is misspelt", YML, "\n      EventQueue:\n", "VisibilityTimeout:", "VisibiltyTimeout:",
        "cfn-lint", "VisibiltyTimeout",
    ),
    Fault(
        "an attribute that a resource has not", YML, "\n    Outputs:\n", "!Ref EventQueue", "!GetAtt EventQueue.Url",
        "cfn-lint", "Url",
    ),
    Fault(
        "a reference to nothing", YML, "\n      EventSubscription:\n", "!Ref EventTopic", "!Ref EventsTopic",
        "cfn-lint", "EventsTopic",
    ),
    Fault(
        "a log retention that CloudWatch does not have", YML, "\n  dev:\n", "logRetentionDays: 14",
        "logRetentionDays: 20", "osls", "logRetentionInDays",
    ),
    Fault(
        "an unknown condition", YML, "\n      AlertEmailSubscription:\n",
        "Condition: HasAlertEmail", "Condition: HasEmail", "cfn-lint", "HasEmail",
    ),
    Fault(
        "a setting that osls does not know", YML, "\n  processor:\n", "memorySize:", "memory:", "osls", "unrecognized property 'memory'",
    ),
]  # fmt: skip

FAULTS = ROLES + MESSAGES + BUCKETS + FUNCTIONS + WATCHING + WHOLE
