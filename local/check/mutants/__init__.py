"""The faults of the mutation run."""

from mutants.buckets import BUCKETS
from mutants.functions import FUNCTIONS
from mutants.messages import MESSAGES
from mutants.roles import ROLES
from mutants.watching import WATCHING
from mutants.whole import WHOLE

MUTANTS = ROLES + MESSAGES + BUCKETS + FUNCTIONS + WATCHING + WHOLE
