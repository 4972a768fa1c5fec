"""Tasks: pairs of clean and corrupted prompts, with the token positions that analyses refer to."""

from interp.tasks.acronym import acronym
from interp.tasks.agreement import agreement
from interp.tasks.balanced import balanced
from interp.tasks.greater_than import greater_than
from interp.tasks.induction import induction
from interp.tasks.ioi import ioi
from interp.tasks.ioi_variants import named_again, signal_variants, with_beginning
from interp.tasks.pronoun import pronoun
from interp.tasks.table import from_table
from interp.tasks.task import Task

__all__ = [
    "Task",
    "acronym",
    "agreement",
    "balanced",
    "from_table",
    "greater_than",
    "induction",
    "ioi",
    "named_again",
    "pronoun",
    "signal_variants",
    "with_beginning",
]
