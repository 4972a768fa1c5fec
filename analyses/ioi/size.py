"""The sizes of searches and samples in the IOI analysis."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The sizes of searches and samples.

    Args:
        random_sets: number of random sets of nodes
        runs: number of greedy searches
        iterations: largest number of nodes that a search adds
        candidates: number of nodes tried in each iteration
        search_prompts: number of prompts used in searches
        sequences: number of repeated random sequences
    """

    random_sets: int = 10
    runs: int = 5
    iterations: int = 5
    candidates: int = 5
    search_prompts: int = 40
    sequences: int = 10


USUAL_SIZE = Size()
"""The default sizes."""

PAPERS_SIZE = Size(100, 10, 10, 10, 100, 100)
"""The paper's sizes."""
