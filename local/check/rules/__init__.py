"""What has to hold of the template, and cfn-lint does not look at.

A rule is a function whose docstring says why. It yields a `Fault` for each resource that breaks it.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """What is wrong with a resource, and what to do."""

    resource: str
    message: str


RULES = []


def rule(function):
    """Registers a rule under its name."""
    RULES.append(function)
    return function


def faults(template):
    """Every fault of a template, with the rule that found it."""
    return [(check.__name__, fault) for check in RULES for fault in check(template)]


# They register themselves.
from rules import alarms, buckets, dashboard, functions, messages, roles, whole  # noqa: E402, F401
