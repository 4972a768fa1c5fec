"""The metrics that a task can be read with: their names and units.

They are defined here, below the tasks, because a task names its own metric; `interp.metrics`
computes them.
"""

from collections.abc import Iterable
from difflib import get_close_matches

METRICS: dict[str, str] = {
    "logit_diff": "logits",
    "probability": "probability",
    "probability_diff": "probability",
    "cutoff_sharpness": "probability",
    "answer_logit": "logits",
    "foil_logit": "logits",
    "kl_divergence": "nats",
    "accuracy": "fraction",
    "top1": "fraction",
    "rank": "tokens",
}
"""Name of each metric -> its unit."""

BEHAVIOR = ("logit_diff", "probability", "top1", "rank", "answer_logit", "foil_logit")
"""The metrics that show whether a run does a task, which a logit difference alone does not."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the known word nearest to an unknown one, as the end of an error.

    Args:
        word: the unknown word
        known: the known words

    Returns:
        For instance "; did you mean 'rank'?", or "" if nothing is near.

    Example:
        >>> did_you_mean("logit_dif", METRICS)
        "; did you mean 'logit_diff'?"
    """
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
