"""`python -m tests.benchmarks.coverage`: how often do our 95 % intervals hold the truth?

First of numbers drawn from distributions whose truth is known, from 2 prompts to 100: means,
ratios, differences and correlations, normal and skewed, in one group and in several.

Then of the bundled model. The mean logit difference of 20,000 prompts is taken for the true one.
Every seed makes prompts of its own, as `interp.tasks.ioi` does for anyone, and the interval of
their mean either holds it or not. `ioi` spreads templates and orders evenly, which the interval
takes into account; beside it stands what one that does not would hold, and the same for as many of
the 20,000 prompts drawn independently. This is done for few prompts too, with those of one seed
after the other.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
import typer
import xarray as xr

import interp
from interp.model import HookedGPT2
from interp.patching import measure
from interp.statistics import estimate_mean, interval
from interp.tasks import ioi

SIZES = (2, 3, 5, 10, 20, 100)
"""Numbers of prompts."""

DISTRIBUTIONS: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "log-normal": (lambda rng, shape: rng.lognormal(size=shape), float(np.exp(0.5))),
}
"""Name -> what draws values, and their true mean."""


def held(
    statistic: str,
    name: str,
    *,
    n: int,
    groups: int = 1,
    level: float = 0.95,
    repeats: int = 4000,
    seed: int = 0,
) -> float:
    """Fraction of intervals that hold the truth, of numbers from a distribution.

    Args:
        statistic: "mean", or of two samples with one correlated part "difference", "ratio" or
            "correlation".
        name: one of `DISTRIBUTIONS`; for a ratio both means are moved away from zero.
        n: prompts of each interval.
        groups: number of groups among them, whose means differ.
        level: what the intervals should hold.
        repeats: number of intervals.
        seed: seed of the numbers.

    Returns:
        The fraction.
    """
    draw, mean = DISTRIBUTIONS[name]
    rng = np.random.default_rng([seed, n, groups])
    labels = [str(i % groups) for i in range(n)]
    shift = np.array([3.0 * int(label) for label in labels])  # the same in every repeat
    values = draw(rng, (repeats, n)) + shift
    samples, true = [values], mean + shift.mean()
    if statistic != "mean":
        other = draw(rng, (repeats, n))
        if statistic == "correlation":
            samples, true = [values, 0.6 * values + 0.8 * other], 0.6
        elif statistic == "difference":
            samples, true = [values, other], true - mean
        else:
            under = values - mean + 4
            samples, true = [under + other - mean, under], 1.0
    _, low, high = interval(statistic, *samples, groups=labels, level=level)
    return float(((low <= true) & (true <= high)).mean())


def table(*, repeats: int = 4000) -> pd.DataFrame:
    """Coverage of known truths, one row a statistic, a distribution and a number of groups."""
    rows = []
    for statistic, name, groups in [
        *[("mean", name, 1) for name in DISTRIBUTIONS],
        *[
            (each, name, 1)
            for each in ("ratio", "difference")
            for name in ("normal", "exponential")
        ],
        ("correlation", "normal", 1),
        *[("mean", name, groups) for groups in (2, 5, 30) for name in ("normal", "exponential")],
        ("ratio", "normal", 2),
    ]:
        covered = {
            n: held(statistic, name, n=n, groups=groups, repeats=repeats) if n >= groups else None
            for n in SIZES
        }
        rows.append({"statistic": statistic, "values": name, "groups": groups, **covered})
    return pd.DataFrame(rows)


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
        `seeds`: the fraction for intervals over the prompts of a seed; `without groups`: the same,
        as if their templates were unknown; `draws`: the fraction for intervals over prompts drawn
        from the many; `draws of 5` and so on: the same for fewer prompts; `mean`: the true mean,
        in logits; `width`: the mean width of an interval over the prompts of a seed.
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
            found = estimate_mean(some)
            hits[name].append(found.low <= true <= found.high)
            if name == "seeds":
                widths.append(found.high - found.low)
    fractions = {name: float(np.mean(hit)) for name, hit in hits.items()}
    for few in SIZES:
        _, low, high = interval("mean", rng.choice(every.values, (4000, few)))
        fractions[f"draws of {few}"] = float(((low <= true) & (true <= high)).mean())
    return {**fractions, "mean": true, "width": float(np.mean(widths))}


def main(
    model: str = "mini",
    n: int = 100,
    seeds: int = 500,
    whole: Annotated[int, typer.Option(help="Prompts that the true mean is taken of.")] = 20_000,
    repeats: Annotated[int, typer.Option(help="Intervals of each cell of the table.")] = 4000,
) -> None:
    """Print the coverage of the intervals."""
    print("Fraction of 95 % intervals that hold the truth, by number of prompts:")
    print(table(repeats=repeats).to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    found = coverage(interp.load(model), n=n, seeds=seeds, whole=whole)
    few = ", ".join(f"{found[f'draws of {size}']:.1%} of {size}" for size in SIZES)
    print(
        f"{model}: mean logit difference of {whole} prompts {found['mean']:.3f}; intervals of {n} "
        f"prompts, {found['width']:.2f} wide on average, hold it for {found['seeds']:.1%} of "
        f"{seeds} seeds ({found['without groups']:.1%} if templates were not known), and for "
        f"{found['draws']:.1%} of as many independent draws; of independent draws hold it {few}"
    )


if __name__ == "__main__":
    typer.run(main)
