"""Tasks: clean and corrupted prompts in pairs, with the token positions the analyses speak of."""

from interp.tasks.ioi import ioi
from interp.tasks.ioi_variants import named_again, signal_variants
from interp.tasks.table import from_table
from interp.tasks.task import SIDES, Side, Task

__all__ = ["SIDES", "Side", "Task", "from_table", "ioi", "named_again", "signal_variants"]
