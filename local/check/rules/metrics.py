"""The metrics that exist, and what their dimensions name."""

import re

from package import ROOT
from template import TOKEN

LAMBDA = {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions", "AsyncEventAge"}
SQS = {
    "ApproximateAgeOfOldestMessage",
    "ApproximateNumberOfMessagesVisible",
    "ApproximateNumberOfMessagesNotVisible",
}

# A dimension, and the type of what it names.
DIMENSIONS = {
    "AWS/Lambda": ("FunctionName", "AWS::Lambda::Function", ""),
    "AWS/SQS": ("QueueName", "AWS::SQS::Queue", ".QueueName"),
    "Penstock": ("function", "AWS::Lambda::Function", ""),
}


def _penstock():
    """The metrics that the code writes, read from it: a renamed one would leave an alarm that never rings."""
    source = (ROOT / "common" / "src" / "metrics.rs").read_text("utf-8")
    return set(re.findall(r'\("(\w+)", "(?:Count|Bytes|Milliseconds)"', source))


KNOWN = {"AWS/Lambda": LAMBDA, "AWS/SQS": SQS, "Penstock": _penstock()}


def wrong(template, namespace, name, dimensions):
    """What is wrong with a metric, if anything is. `dimensions`: names and texts of values."""
    if name not in KNOWN.get(namespace, ()):
        return f"{namespace} {name} is no metric that anything writes"
    dimension, kind, attribute = DIMENSIONS[namespace]
    if list(dimensions) != [dimension]:
        return f"{namespace} {name} has the dimension {dimension}, not {', '.join(dimensions) or 'none'}"
    value = dimensions[dimension]
    named = TOKEN.fullmatch(value)
    if not named or named[1].removesuffix(attribute) + attribute != named[1]:
        return f"{dimension} is {value!r}, which names no resource of this template"
    id = named[1].removesuffix(attribute)
    if template.type_of(id) != kind:
        return f"{dimension} names {id}, which is no {kind} of this template"
    # The consumer's lines say `consumer`, whatever the stage.
    if namespace == "Penstock" and id != "ProcessorLambdaFunction":
        return f"{namespace} {name} is written by the processor, under its function's name, not by {id}"
    return None
