"""How much the sampling parts of the IOI analysis do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How much the sampling parts do.

    Args:
        random_sets: number of sets of nodes that are drawn at random.
        runs: number of greedy searches.
        iterations: largest number of nodes that a search adds.
        candidates: number of nodes that are tried in each iteration.
        search_prompts: number of prompts that the searches are done on.
        sequences: number of repeated random sequences.
    """

    random_sets: int = 10
    runs: int = 5
    iterations: int = 5
    candidates: int = 5
    search_prompts: int = 40
    sequences: int = 10


USUAL_SIZE = Size()
"""What a run does unless it is told otherwise."""

PAPERS_SIZE = Size(100, 10, 10, 10, 100, 100)
"""The paper's own numbers."""
