"""What each function may do: exactly this."""

import json
from typing import NamedTuple

from rules import Fault, rule
from template import text, texts

INPUT, OUTPUT = "<input>", "${OutputBucket.Arn}"

SENT_VIA = [f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}" for service in ("s3", "sns", "sqs")]


class Right(NamedTuple):
    """Actions on resources, why the code needs them, and under what condition they hold."""

    why: str
    actions: str
    resources: list
    condition: dict = {}


LOGS = "log lines"
TRACE = Right("X-Ray's actions know no resource", "xray:PutTraceSegments xray:PutTelemetryRecords", ["*"])

RIGHTS = {
    "ProcessorRole": [
        Right("reads the version that the event names", "s3:GetObject s3:GetObjectVersion", [f"{INPUT}/*"]),
        Right("a missing key is 403 without it, where the code needs 404", "s3:ListBucket", [INPUT, OUTPUT]),
        Right(
            "looks at what is there, writes, and gives up uploads",
            "s3:GetObject s3:PutObject s3:AbortMultipartUpload",
            [f"{OUTPUT}/{prefix}/*" for prefix in ("clean", "rejects", "receipts")],
        ),
        Right("removes what an earlier event's partitions left", "s3:DeleteObject", [f"{OUTPUT}/clean/*"]),
        Right("publishes what became of a file", "sns:Publish", ["${EventTopic}"]),
        Right("Lambda sends events that failed with the function's role", "sqs:SendMessage", ["${FailuresQueue.Arn}"]),
        Right(LOGS, "logs:CreateLogStream logs:PutLogEvents", ["${ProcessorLogGroup.Arn}"]),
        TRACE,
    ],
    "ConsumerRole": [
        Right(
            "Lambda receives with the function's role",
            "sqs:ReceiveMessage sqs:DeleteMessage sqs:ChangeMessageVisibility sqs:GetQueueAttributes",
            ["${EventQueue.Arn}"],
        ),
        Right("a missing key is 403 without it, where the code needs 404", "s3:ListBucket", [OUTPUT]),
        Right(
            "verifies outputs, and reads claims and catalogue",
            "s3:GetObject",
            [f"{OUTPUT}/{prefix}/*" for prefix in ("clean", "rejects", "receipts", "claims", "catalog")],
        ),
        Right("claims and catalogues", "s3:PutObject", [f"{OUTPUT}/{prefix}/*" for prefix in ("claims", "catalog")]),
        Right("tells people", "sns:Publish", ["${AlertTopic}"]),
        Right("sets messages aside that nothing can help", "sqs:SendMessage", ["${DeadLetterQueue.Arn}"]),
        Right(LOGS, "logs:CreateLogStream logs:PutLogEvents", ["${ConsumerLogGroup.Arn}"]),
        TRACE,
    ],
}


def listed(parameter):
    """The ARNs of a parameter that holds several."""
    return [text({"Fn::Split": [",", {"Ref": parameter}]})]


# Rights that the consumer has only where a parameter names what they are for.
NOTIFICATIONS = {
    "HasNotifications": Right(
        "reads notifications.yml", "s3:GetObject", ["arn:${AWS::Partition}:s3:::${Notifications}"]
    ),
    "HasNotificationTopics": Right("tells topics", "sns:Publish", listed("NotificationTopics")),
    "HasNotificationSecrets": Right(
        "signs webhooks", "secretsmanager:GetSecretValue", listed("NotificationSecrets")
    ),
    "HasNotificationBuses": Right("tells buses", "events:PutEvents", listed("NotificationBuses")),
}

# Rights that the processor has only where a parameter names what they are for.
RECIPES = {
    "HasRecipes": [
        Right("reads published recipes", "s3:GetObject", ["arn:${AWS::Partition}:s3:::${Recipes}/*"]),
        Right(
            "no recipes yet is another thing than no right to read them",
            "s3:ListBucket",
            ["arn:${AWS::Partition}:s3:::" + text({"Fn::Select": [0, {"Fn::Split": ["/", {"Ref": "Recipes"}]}]})],
        ),
    ],
    "HasMaskKey": [Right("masks by a key", "secretsmanager:GetSecretValue", ["${MaskKeyArn}"])],
}

WITH_KEY = Right(
    "what it reads and writes is under the key",
    "kms:GenerateDataKey kms:Decrypt",
    ["${KmsKeyArn}"],
    {"StringEquals": {"kms:ViaService": SENT_VIA}},
)

WITHOUT_KEY = Right(
    "the event topic is under alias/aws/sns",
    "kms:GenerateDataKey kms:Decrypt",
    ["arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"],
    {
        "StringEquals": {"kms:ViaService": SENT_VIA[1]},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/aws/sns"},
    },
)

IN_VPC = Right(
    "Lambda makes a function's network interfaces with the function's role",
    "ec2:CreateNetworkInterface ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:DeleteNetworkInterface "
    "ec2:AssignPrivateIpAddresses ec2:UnassignPrivateIpAddresses",
    ["*"],
)

FUNCTIONS = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:*"
NOT_FROM_CODE = Right(
    "network interfaces are Lambda's business, not the code's",
    "ec2:*",
    ["*"],
    {"ArnLike": {"lambda:SourceFunctionArn": FUNCTIONS}},
)


@rule
def roles_hold_exactly_what_is_needed(template):
    """A right that is missing fails at the first file, often as something else; one too many is what a hostile file
    would use. The list is here with its reasons: whoever changes a role changes it too."""
    bucket = text(template.properties("InputBucket").get("BucketName", ""))
    for role, rights in RIGHTS.items():
        wanted = {}
        for right in _needed(template, role, rights):
            for action in right.actions.split():
                for resource in right.resources:
                    resource = resource.replace(INPUT, f"arn:${{AWS::Partition}}:s3:::{bucket}")
                    wanted[action, resource, spelt(right.condition)] = right.why
        given = set(_statements(template, role, "Allow"))
        for action, resource, condition in sorted(wanted.keys() - given):
            under = f" under {condition}" if condition != "{}" else ""
            why = wanted[action, resource, condition]
            yield Fault(role, f"lacks {action} on {resource}{under}: {why}")
        for action, resource, condition in sorted(given - wanted.keys()):
            under = f" under {condition}" if condition != "{}" else ""
            yield Fault(role, f"may {action} on {resource}{under}, which nothing needs (local/check/rules/roles.py)")


@rule
def networks_are_lambdas_business(template):
    """The rights for network interfaces name no resource: a statement keeps them from the function's code."""
    wanted = {("ec2:*", "*", spelt(NOT_FROM_CODE.condition))} if template.holds("InVpc") else set()
    for role in RIGHTS:
        if set(_statements(template, role, "Deny")) != wanted:
            yield Fault(role, f"has to deny {wanted or 'nothing'}: {NOT_FROM_CODE.why}")


def _needed(template, role, rights):
    yield from rights
    if template.holds("HasKmsKey"):
        yield WITH_KEY
    elif role == "ProcessorRole":
        yield WITHOUT_KEY
    if template.holds("InVpc"):
        yield IN_VPC
    if role == "ProcessorRole":
        yield from (right for condition, rights in RECIPES.items() if template.holds(condition) for right in rights)
    if role == "ConsumerRole":
        yield from (right for condition, right in NOTIFICATIONS.items() if template.holds(condition))


def _statements(template, role, effect):
    for policy in template.properties(role).get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == effect:
                for action in texts(statement.get("Action", "NotAction")):
                    for resource in texts(statement.get("Resource", "NotResource")):
                        yield action, resource, spelt(statement.get("Condition", {}))


def spelt(condition):
    """A condition as one text, in whatever order it was written."""

    def values(value):
        return [text(v) for v in value] if isinstance(value, list) else text(value)

    tests = {operator: {key: values(v) for key, v in test.items()} for operator, test in condition.items()}
    return json.dumps(tests, sort_keys=True)


@rule
def each_function_has_its_own_role(template):
    """One role for both would let the consumer read the input. Only Lambda may take a role on."""
    for function in ("Processor", "Consumer"):
        if text(template.properties(f"{function}LambdaFunction").get("Role", "")) != f"${{{function}Role.Arn}}":
            yield Fault(f"{function}LambdaFunction", f"has to run as {function}Role")
    for id, role in template.of_type("AWS::IAM::Role"):
        if id not in RIGHTS:
            yield Fault(id, "is a role that no rule knows (local/check/rules/roles.py)")
        trusts = role["AssumeRolePolicyDocument"]["Statement"]
        if [s.get("Principal") for s in trusts] != [{"Service": "lambda.amazonaws.com"}]:
            yield Fault(id, "may be taken on by others than lambda.amazonaws.com")
        if role.get("ManagedPolicyArns"):
            yield Fault(id, "has managed policies, whose content others change")
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
        for id, _ in template.of_type(kind):
            yield Fault(id, "adds rights to a role where no rule looks: write them into the role")
