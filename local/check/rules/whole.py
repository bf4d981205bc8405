"""The template as a whole."""

import re

from rules import Fault, rule
from template import strings, tokens

# What `penstock up`, the demo and the docs read of a stack.
OUTPUTS = {
    "InputBucketName",
    "OutputBucketName",
    "EventTopicArn",
    "AlertTopicArn",
    "EventQueueUrl",
    "DeadLetterQueueUrl",
    "FailuresQueueUrl",
    "ProcessorFunctionName",
    "ConsumerFunctionName",
}

REGION = re.compile(r"\b(us|eu|ap|ca|sa|me|af|il|mx|cn)(-gov|-iso[a-z]?)?-(north|south|east|west|central)[a-z]*-\d\b")


@rule
def nothing_belongs_to_one_account(template):
    """A number of an account, a region or a partition that was copied in works where it was written, and nowhere
    else."""
    for id, resource in template.resources.items():
        for path, value in strings(resource):
            if path.endswith("Code.ImageUri"):
                continue
            if re.search(r"\b\d{12}\b", value):
                yield Fault(id, f"{path} names an account: ${{AWS::AccountId}}")
            if REGION.search(value):
                yield Fault(id, f"{path} names a region: ${{AWS::Region}}")
            if re.search(r"\barn:aws[a-z-]*:", value):
                yield Fault(id, f"{path} names a partition: ${{AWS::Partition}}")


@rule
def no_secret_is_written_down(template):
    """Anybody who may describe the stack reads its template: no key belongs there."""
    for id, resource in template.resources.items():
        for path, value in strings(resource):
            if re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN", value):
                yield Fault(id, f"{path} looks like a secret")


@rule
def references_name_resources(template):
    """A `${…}` in a text, as of the dashboard's, is looked at by nobody until the deployment."""
    known = set(template.resources) | set(template.parameters)
    for id, resource in template.resources.items():
        for path, value in strings(resource):
            if path.endswith("Fn::Sub"):
                for token in tokens(value):
                    if token.split(".")[0] not in known:
                        yield Fault(id, f"{path} refers to {token}, which is not in this template")


@rule
def outputs_are_there(template):
    """The stack's outputs are how people and programs find its buckets and queues."""
    for name in sorted(OUTPUTS - template.body.get("Outputs", {}).keys()):
        yield Fault(name, "is an output that the docs and `penstock` rely on")
