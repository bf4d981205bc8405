"""A fault that is put into the sources of the template, and who has to catch it.

`by` is a rule, `cfn-lint`, or `osls`, which refuses some at packaging; `hint` is a word that what it says has to hold.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One edit: the first `old` below `below` becomes `new`, or is taken out with what is indented under it. Without
    `below`, a file that is added."""

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
