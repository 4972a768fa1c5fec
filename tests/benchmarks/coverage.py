"""`python -m tests.benchmarks.coverage`: how often do our 95 % intervals hold the true mean?

The mean logit difference of 20,000 prompts of the bundled model is taken for the true one. Every
seed makes 100 prompts of its own, as `interp.tasks.ioi` does for anyone, and the bootstrap interval
of their mean either holds it or not. `ioi` spreads templates and orders evenly, which the interval
takes into account; beside it stands what one that does not would hold, and the same for 100 of the
20,000 prompts drawn independently.
"""

from typing import Annotated

import numpy as np
import typer
import xarray as xr

import interp
from interp.model import HookedGPT2
from interp.patching import measure
from interp.statistics import bootstrap_mean
from interp.tasks import ioi


def values(model: HookedGPT2, n: int, seed: int) -> xr.DataArray:
    """Logit differences of the prompts of a seed."""
    return measure(model, ioi(model.tokenizer, n, seed=seed)).logit_diff


def coverage(
    model: HookedGPT2, *, n: int = 100, seeds: int = 500, whole: int = 20_000
) -> dict[str, float]:
    """Fractions of intervals that hold the mean of many prompts.

    Args:
        model: the model.
        n: prompts of each interval.
        seeds: number of intervals.
        whole: prompts that the true mean is taken of.

    Returns:
        `seeds`: of intervals over the prompts of a seed; `without groups`: the same, as if their
        templates were not known; `draws`: of intervals over prompts drawn from the many; `mean`:
        the true one, in logits; `width`: of an interval of a seed, on average.
    """
    every = values(model, whole, seed=1_000_000)
    true, rng = float(every.mean()), np.random.default_rng(0)
    hits: dict[str, list[bool]] = {"seeds": [], "without groups": [], "draws": []}
    widths = []
    for seed in range(seeds):
        own = values(model, n, seed)
        drawn = {
            "seeds": own,
            "without groups": own.values,
            "draws": rng.choice(every.values, n),
        }
        for name, some in drawn.items():
            found = bootstrap_mean(some, seed=seed)
            hits[name].append(found.low <= true <= found.high)
            if name == "seeds":
                widths.append(found.high - found.low)
    held = {name: float(np.mean(hit)) for name, hit in hits.items()}
    return {**held, "mean": true, "width": float(np.mean(widths))}


def main(
    model: str = "mini",
    n: int = 100,
    seeds: int = 500,
    whole: Annotated[int, typer.Option(help="Prompts that the true mean is taken of.")] = 20_000,
) -> None:
    """Print the coverage of the interval of the mean logit difference."""
    found = coverage(interp.load(model), n=n, seeds=seeds, whole=whole)
    print(
        f"{model}: mean logit difference of {whole} prompts {found['mean']:.3f}; intervals of {n} "
        f"prompts, {found['width']:.2f} wide on average, hold it for {found['seeds']:.1%} of "
        f"{seeds} seeds ({found['without groups']:.1%} if templates were not known), and for "
        f"{found['draws']:.1%} of as many independent draws"
    )


if __name__ == "__main__":
    typer.run(main)
