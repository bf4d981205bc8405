"""What wakes somebody."""

import re

from package import ROOT
from rules import Fault, rule
from rules.metrics import wrong
from template import text

PROCESSOR, CONSUMER = "${ProcessorLambdaFunction}", "${ConsumerLambdaFunction}"

# What has to be watched: metrics and whose they are.
WATCHED = {
    "ProcessorErrors": ({"Errors"}, PROCESSOR),
    "ProcessorThrottles": ({"Throttles"}, PROCESSOR),
    "ProcessorSlow": ({"Duration"}, PROCESSOR),
    "ProcessorEventAge": ({"AsyncEventAge"}, PROCESSOR),
    "ConsumerErrors": ({"Errors"}, CONSUMER),
    "ConsumerThrottles": ({"Throttles"}, CONSUMER),
    "ConsumerSlow": ({"Duration"}, CONSUMER),
    "DeadLetters": ({"ApproximateNumberOfMessagesVisible"}, "${DeadLetterQueue.QueueName}"),
    "Failures": ({"ApproximateNumberOfMessagesVisible"}, "${FailuresQueue.QueueName}"),
    "EventQueueAge": ({"ApproximateAgeOfOldestMessage"}, "${EventQueue.QueueName}"),
    "FilesFailed": ({"FilesFailed"}, PROCESSOR),
    "RejectRatio": ({"RowsRejected", "RowsIn"}, PROCESSOR),
}

# Those whose end is worth a message: something waits, or has no room, until somebody has seen to it.
STATES = {
    "ProcessorThrottles",
    "ProcessorEventAge",
    "ConsumerThrottles",
    "DeadLetters",
    "Failures",
    "EventQueueAge",
}

RUNBOOK = ROOT / "docs" / "operations.md"


def metrics_of(alarm):
    """The metrics that an alarm looks at: namespace, name, dimensions as texts."""
    metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
    for metric in metrics or [alarm]:
        dimensions = {d["Name"]: text(d["Value"]) for d in metric.get("Dimensions", [])}
        yield metric.get("Namespace"), metric.get("MetricName"), dimensions


def slug(name):
    """`ProcessorErrors` as a heading's anchor: `processor-errors`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def anchors(page):
    """The anchors that a Markdown page's headings get."""
    headings = re.findall(r"^#+ +(.+?) *$", page, flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@rule
def everything_that_can_fail_is_watched(template):
    """An alarm that is missing, or looks at another queue, is silent just as one that is well."""
    for name, (metrics, of) in WATCHED.items():
        alarm = template.properties(f"{name}Alarm")
        seen = {(metric, *dimensions.values()) for _, metric, dimensions in metrics_of(alarm)}
        if seen != {(metric, of) for metric in metrics}:
            yield Fault(f"{name}Alarm", f"has to watch {', '.join(sorted(metrics))} of {of}")


@rule
def alarms_watch_what_exists(template):
    """CloudWatch takes an alarm on a metric that nobody writes; it never rings."""
    for id, alarm in template.of_type("AWS::CloudWatch::Alarm"):
        for namespace, name, dimensions in metrics_of(alarm):
            if fault := wrong(template, namespace, name, dimensions):
                yield Fault(id, fault)


@rule
def alarms_reach_somebody(template):
    """An alarm without an action only changes its colour."""
    for id, alarm in template.of_type("AWS::CloudWatch::Alarm"):
        told = [{"Ref": "AlertTopic"}]
        if alarm.get("AlarmActions") != told or alarm.get("ActionsEnabled") is False:
            yield Fault(id, "has to tell AlertTopic: AlarmActions: [!Ref AlertTopic]")
        wanted = told if id.removesuffix("Alarm") in STATES else None
        if alarm.get("OKActions") != wanted:
            hint = "is a state whose end has to be told: OKActions" if wanted else "counts; its end is no news"
            yield Fault(id, hint)


@rule
def silence_is_well(template):
    """Between files nothing is measured: missing data treated otherwise rings every night, or keeps an alarm up."""
    for id, alarm in template.of_type("AWS::CloudWatch::Alarm"):
        if alarm.get("TreatMissingData") != "notBreaching":
            yield Fault(id, "needs TreatMissingData: notBreaching")


@rule
def alarms_say_what_to_do(template):
    """At three in the morning a name is not enough: the description links the runbook's section for it."""
    known = anchors(RUNBOOK.read_text("utf-8")) if RUNBOOK.exists() else set()
    for id, alarm in template.of_type("AWS::CloudWatch::Alarm"):
        description, expected = alarm.get("AlarmDescription", ""), slug(id.removesuffix("Alarm"))
        if not re.search(rf"\. \S+#{expected}$", description):
            yield Fault(id, f"its description has to end in a link to the runbook, …#{expected}")
        elif expected not in known:
            yield Fault(id, f"docs/operations.md has no heading with the anchor #{expected}")
        if len(description) > 1024:
            yield Fault(id, f"its description has {len(description)} characters; CloudWatch takes 1,024")


@rule
def thresholds_can_be_reached(template):
    """A threshold that is out of step with the time-outs rings always or never."""
    for function in ("Processor", "Consumer"):
        timeout = template.properties(f"{function}LambdaFunction").get("Timeout")
        yield from _percent(template, f"{function}SlowAlarm", f"100 * duration / (1000 * {timeout})")
    invocation = template.properties("ProcessorLambdaEvConf")
    longest = invocation.get("MaximumEventAgeInSeconds")
    yield from _percent(template, "ProcessorEventAgeAlarm", f"100 * age / (1000 * {longest})")
    yield from _percent(template, "RejectRatioAlarm", "IF(rows > 0, 100 * rejected / rows, 0)")

    queue, age = template.properties("EventQueue"), template.properties("EventQueueAgeAlarm")
    tried = queue.get("RedrivePolicy", {}).get("maxReceiveCount", 0) * queue.get("VisibilityTimeout", 0)
    if age.get("Threshold", 0) <= tried:
        yield Fault("EventQueueAgeAlarm", f"rings for each bad message: raise eventQueueAge above {tried} s")
    for id, alarm in template.of_type("AWS::CloudWatch::Alarm"):
        if "Metrics" not in alarm and id != "EventQueueAgeAlarm" and alarm.get("Threshold") != 0:
            yield Fault(id, "has to ring at the first: Threshold: 0")
        if alarm.get("ComparisonOperator") != "GreaterThanThreshold":
            yield Fault(id, "needs ComparisonOperator: GreaterThanThreshold")


def _percent(template, id, expression):
    alarm = template.properties(id)
    if [m["Expression"] for m in alarm.get("Metrics", []) if "Expression" in m] != [expression]:
        yield Fault(id, f"its expression has to be {expression}")
    if not 0 < alarm.get("Threshold", 0) < 100:
        yield Fault(id, "its threshold is in per cent, above 0 and below 100")
