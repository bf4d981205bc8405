"""What a deployment may choose, tried in turn: each choice alone, none, and all of them."""

from typing import NamedTuple

from rules import faults
from template import Template

KEY = {"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"}
VPC = {"SubnetIds": "subnet-00000000,subnet-11111111", "SecurityGroupIds": "sg-00000000"}
LIMIT = {"ProcessorReservedConcurrency": "5"}
ADDRESS = {"AlertEmail": "on-call@example.com"}
DIGEST = {"DigestSchedule": "cron(0 6 * * ? *)"}
NAMED = "arn:aws:{}:us-east-1:123456789012:{}"
TOLD = {
    "Notifications": "penstock-config/notifications.yml",
    "NotificationTopics": NAMED.format("sns", "on-call"),
    "NotificationSecrets": NAMED.format("secretsmanager", "secret:hook-AbCdEf"),
    "NotificationBuses": NAMED.format("events", "event-bus/data"),
}

RECIPES = {"Recipes": "penstock-config/recipes"}

MASK = {"MaskKeyArn": NAMED.format("secretsmanager", "secret:mask-AbCdEf")}

# By what is said of a fault that only they have.
SCENARIOS = {
    "": {},
    "with a KMS key": KEY,
    "in a VPC": VPC,
    "with reserved concurrency": LIMIT,
    "with an address for alerts": ADDRESS,
    "with a digest": DIGEST,
    "with published recipes": RECIPES,
    "with a key for masks": MASK,
    **{f"with {name} alone": {name: value} for name, value in TOLD.items()},
    "with everything": KEY | VPC | LIMIT | ADDRESS | DIGEST | RECIPES | MASK | TOLD,
}

# Every choice as `--param` takes it.
CHOSEN = {name[0].lower() + name[1:]: value for name, value in SCENARIOS["with everything"].items()}


class Broken(NamedTuple):
    """A rule that does not hold, and where."""

    rule: str
    resource: str
    message: str

    def __str__(self):
        return f"{self.resource}: {self.message} [{self.rule}]"


def broken_rules(body, provider):
    """The faults of a packaged template, each once."""
    seen = {}
    for scenario, parameters in SCENARIOS.items():
        for rule, (resource, message) in faults(Template(body, parameters, provider)):
            seen.setdefault((rule, resource, message), scenario)
    return [
        Broken(rule, resource, f"{message}, {scenario}" if scenario else message)
        for (rule, resource, message), scenario in seen.items()
    ]
