"""How much the sampling parts of the IOI analysis do in tests."""

from analyses.ioi.size import Size

SMALL = Size(random_sets=2, runs=1, iterations=1, candidates=2, search_prompts=4, sequences=2)
