"""The two functions, and what starts them."""

import re

from package import ROOT
from rules import Fault, rule
from template import text, texts

PROCESSOR, CONSUMER = "ProcessorLambdaFunction", "ConsumerLambdaFunction"

# What the code refuses to start without, and what the deployed system promises beside it.
ENVIRONMENT = {
    PROCESSOR: {"OUTPUT_BUCKET": "${OutputBucket}", "TOPIC_ARN": "${EventTopic}"},
    CONSUMER: {
        "OUTPUT_BUCKET": "${OutputBucket}",
        "DLQ_URL": "${DeadLetterQueue}",
        "ALERT_TOPIC_ARN": "${AlertTopic}",
    },
}

OBJECT_CREATED = {f"s3:ObjectCreated:{how}" for how in ("*", "Put", "Post", "Copy", "CompleteMultipartUpload")}

# Lambda's platform for each architecture, as docker spells it.
PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}


@rule
def sizes_are_lambdas(template):
    """Lambda refuses others when the stack is half made. osls looks at what it knows, not at what is set past it."""
    for id, function in template.of_type("AWS::Lambda::Function"):
        memory, timeout = int(function.get("MemorySize", 0)), int(function.get("Timeout", 0))
        if not 128 <= memory <= 10_240:
            yield Fault(id, f"has {memory} MiB: from 128 to 10240")
        if not 1 <= timeout <= 900:
            yield Fault(id, f"may take {timeout} s: from 1 to 900")


@rule
def images_are_pinned(template):
    """A tag can be moved; a digest is what was tested. Lambda takes images from ECR only."""
    ecr = r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9/_.-]+@sha256:[0-9a-f]{64}"
    for id, function in template.of_type("AWS::Lambda::Function"):
        uri = text(function.get("Code", {}).get("ImageUri", ""))
        if function.get("PackageType") != "Image" or not re.fullmatch(ecr, uri):
            yield Fault(id, f"its image {uri!r} has to be one in ECR, by digest")


@rule
def architectures_agree(template):
    """An image for another architecture than the function's ends with `exec format error` at its first event. An
    index of images, which attestations make of one, is refused by Lambda."""
    declared = template.provider.get("architecture")
    for id, function in template.of_type("AWS::Lambda::Function"):
        if function.get("Architectures") != [declared] or declared not in PLATFORMS:
            yield Fault(id, f"runs on {function.get('Architectures')}, the provider says {declared}")
    images = template.provider.get("ecr", {}).get("images", {})
    for name in ("processor", "consumer"):
        image = images.get(name, {})
        if image.get("platform") != PLATFORMS.get(declared):
            yield Fault(f"image {name}", f"is built for {image.get('platform')}, the functions run on {declared}")
        if image.get("provenance") != "false" or "--sbom=false" not in image.get("buildOptions", []):
            yield Fault(f"image {name}", "needs provenance: 'false' and --sbom=false, or it becomes an index")
        if f"--target={name}" not in image.get("buildOptions", []):
            yield Fault(f"image {name}", f"has to be the Dockerfile's stage {name}: --target={name}")
        if not (ROOT / image.get("path", "") / image.get("file", "?")).exists():
            yield Fault(f"image {name}", f"its Dockerfile {image.get('file')} does not exist")


@rule
def environment_is_complete(template):
    """A function without what it requires does not start; one with another bucket's name writes there."""
    for id, wanted in ENVIRONMENT.items():
        given = template.properties(id).get("Environment", {}).get("Variables", {})
        for name, value in wanted.items():
            if text(given.get(name, "")) != value:
                yield Fault(id, f"needs {name}: !Ref {value[2:-1]} in its environment")


@rule
def traces_are_on(template):
    """Without active tracing there is no daemon to send spans to."""
    for id, function in template.of_type("AWS::Lambda::Function"):
        if function.get("TracingConfig", {}).get("Mode") != "Active":
            yield Fault(id, "needs active tracing: provider.tracing.lambda: true")


@rule
def logs_end(template):
    """A log group that Lambda makes by itself keeps everything for ever."""
    key = {"Ref": "KmsKeyArn"} if template.holds("HasKmsKey") else None
    groups = {text(group["LogGroupName"]): (id, group) for id, group in template.of_type("AWS::Logs::LogGroup")}
    for id, function in template.of_type("AWS::Lambda::Function"):
        name, group = groups.get(f"/aws/lambda/{function.get('FunctionName')}", (id, {}))
        if not group.get("RetentionInDays"):
            yield Fault(name, "needs a retention: provider.logRetentionInDays")
        if group.get("KmsKeyId") != key:
            yield Fault(name, "has to be encrypted with KmsKeyArn where that is given")


@rule
def failed_events_are_kept(template):
    """Lambda drops an asynchronous event that failed three times or waited too long, unless a destination takes it."""
    configs = {text(c["FunctionName"]): c for _, c in template.of_type("AWS::Lambda::EventInvokeConfig")}
    config = configs.get(f"${{{PROCESSOR}}}", {})
    destination = text(config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", ""))
    if destination != "${FailuresQueue.Arn}":
        yield Fault(PROCESSOR, f"its failed events go to {destination or 'nowhere'}: onFailure has to be FailuresQueue")
    if config.get("MaximumRetryAttempts") != 2:
        yield Fault(PROCESSOR, "has to be tried again twice: maximumRetryAttempts: 2")


@rule
def uploads_start_the_processor(template):
    """An event name that S3 does not know is found out only by the deployment; one too few loses uploads."""
    notified = template.properties("InputBucket").get("NotificationConfiguration", {})
    events = [(c.get("Event"), text(c.get("Function"))) for c in notified.get("LambdaConfigurations", [])]
    if set(notified) != {"LambdaConfigurations"}:
        yield Fault("InputBucket", "has to notify the processor, and nobody else")
    for event, function in events:
        if event not in OBJECT_CREATED:
            yield Fault("InputBucket", f"{event} is no event of an upload")
        if function != f"${{{PROCESSOR}.Arn}}":
            yield Fault("InputBucket", f"notifies {function} instead of the processor")
    if events and events != [("s3:ObjectCreated:*", f"${{{PROCESSOR}.Arn}}")]:
        yield Fault("InputBucket", "has to notify of every way of uploading: s3:ObjectCreated:*")
    filters = [c for c in notified.get("LambdaConfigurations", []) if "Filter" in c]
    if filters:
        yield Fault("InputBucket", "a filter leaves uploads out, unseen")


@rule
def s3_may_invoke(template):
    """S3 tries the notification when it is set, so the permission has to be there before; and a bucket's ARN names no
    account, so without SourceAccount whoever takes over a deleted bucket's name could invoke the function."""
    permissions = template.of_type("AWS::Lambda::Permission")
    # That of the digest is looked at by itself.
    permissions = [(id, p) for id, p in permissions if id != "DigestPermission"]
    bucket = text(template.properties("InputBucket").get("BucketName", ""))
    wanted = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": f"${{{PROCESSOR}.Arn}}",
        "Principal": "s3.amazonaws.com",
        "SourceAccount": "${AWS::AccountId}",
        "SourceArn": f"arn:${{AWS::Partition}}:s3:::{bucket}",
    }
    for id, permission in permissions:
        for name, value in wanted.items():
            if text(permission.get(name, "")) != value:
                yield Fault(id, f"needs {name}: {value}")
    if [id for id, _ in permissions] != ["InputBucketPermission"]:
        yield Fault("InputBucketPermission", "has to be the only permission to invoke, with that of the digest")
    if "InputBucketPermission" not in texts(template.resources["InputBucket"].get("DependsOn")):
        yield Fault("InputBucket", "needs DependsOn: InputBucketPermission")


@rule
def a_digest_comes_only_if_asked_for(template):
    """Off by default. The schedule's rule alone may invoke the consumer, with what asks for a digest and no batch."""
    rules, permission = template.of_type("AWS::Events::Rule"), template.properties("DigestPermission")
    if not template.holds("HasDigest"):
        if rules or permission:
            yield Fault("DigestRule", "has to be there only with a schedule")
        return
    if [id for id, _ in rules] != ["DigestRule"]:
        yield Fault("DigestRule", "has to be there with a schedule, and nothing beside it")
    targets = template.properties("DigestRule").get("Targets", [])
    asked = [(text(t.get("Arn", "")), t.get("Input")) for t in targets]
    if asked != [(f"${{{CONSUMER}.Arn}}", '{"penstock": "digest"}')]:
        yield Fault("DigestRule", "has to ask the consumer for a digest, and nobody else")
    if text(template.properties("DigestRule").get("ScheduleExpression", "")) != "${DigestSchedule}":
        yield Fault("DigestRule", "has to follow digestSchedule")
    wanted = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": f"${{{CONSUMER}.Arn}}",
        "Principal": "events.amazonaws.com",
        "SourceArn": "${DigestRule.Arn}",
    }
    for name, value in wanted.items():
        if text(permission.get(name, "")) != value:
            yield Fault("DigestPermission", f"needs {name}: {value}")


@rule
def processors_are_limited_as_asked(template):
    """A limit that is dropped lets a backfill take the account's concurrency; one that nobody asked for delays files."""
    reserved = {"Ref": "ProcessorReservedConcurrency"} if template.holds("HasReservedConcurrency") else None
    if template.properties(PROCESSOR).get("ReservedConcurrentExecutions") != reserved:
        yield Fault(PROCESSOR, "has to have processorReservedConcurrency where it is given, else no limit")


@rule
def consumer_takes_messages_one_by_one(template):
    """Without ReportBatchItemFailures one bad message brings its whole batch back, again and again. A batch over 10
    needs a window. maximumConcurrency instead of reserved concurrency: a throttled poll uses up receives."""
    mappings = template.of_type("AWS::Lambda::EventSourceMapping")
    if [text(m.get("EventSourceArn")) for _, m in mappings] != ["${EventQueue.Arn}"]:
        yield Fault(CONSUMER, "has to be fed by EventQueue, and by nothing else")
    for id, mapping in mappings:
        size, window = int(mapping.get("BatchSize", 10)), int(mapping.get("MaximumBatchingWindowInSeconds", 0))
        if text(mapping.get("FunctionName")) != f"${{{CONSUMER}.Arn}}":
            yield Fault(id, "has to feed the consumer")
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield Fault(id, "needs functionResponseType: ReportBatchItemFailures")
        if size > 10 and window < 1:
            yield Fault(id, f"a batch of {size} needs eventSourceBatchWindow of 1 s or more")
        if not 2 <= int(mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0)) <= 1000:
            yield Fault(id, "needs maximumConcurrency, from 2 to 1000")
    if "ReservedConcurrentExecutions" in template.properties(CONSUMER):
        yield Fault(CONSUMER, "reserved concurrency throttles polls, and each uses up a receive: consumerConcurrency")


@rule
def networks_are_as_asked(template):
    """Both functions run in the given subnets, or neither does: one left outside can't be told from the other."""
    wanted = None
    if template.holds("InVpc"):
        parts = {"SubnetIds": "SubnetIds", "SecurityGroupIds": "SecurityGroupIds"}
        wanted = {name: {"Fn::Split": [",", {"Ref": parameter}]} for name, parameter in parts.items()}
    for id, function in template.of_type("AWS::Lambda::Function"):
        if function.get("VpcConfig") != wanted:
            yield Fault(id, "has to run in SubnetIds with SecurityGroupIds where they are given, else outside")
