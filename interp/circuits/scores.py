"""How much of a task a circuit does, as a number with its interval and in one sentence.

A circuit can keep the logit difference without doing the task: a head that writes against the foil
raises the difference just as one that writes the answer does, but then neither token may be the
model's choice. So the sentence is about the answer itself: whether it is the top token as often,
and as probable, as in the whole model. The intervals include the noise of the prompts and that of
the reference sample that stands in for the rest of the model.
"""

from dataclasses import dataclass
from typing import Literal

import xarray as xr

from interp.statistics import Estimate, estimate_mean, estimate_ratio, widened, within_fractions

NEEDED = ("logit_diff", "probability", "top1")
"""The metrics that the verdict uses."""


@dataclass(frozen=True)
class Verdict:
    """Whether a circuit does the task.

    Args:
        answer: "yes", "no" or "cannot be told"
        text: one sentence with the figures
    """

    answer: Literal["yes", "no", "cannot be told"]
    text: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


def run_mean(result: xr.Dataset, run: str, metric: str | None = None) -> Estimate:
    """F(M) or F(C): the mean of a metric over one run.

    Args:
        result: what `faithfulness` returns
        run: "full" for F(M), "circuit" for F(C)
        metric: one of its metrics; by default the first

    Returns:
        The mean with its 95 % interval, in the metric's unit. That of the circuit carries the noise
        of the reference too.

    Raises:
        ValueError: the result lacks the metric or the run
    """
    metric = _metric(result, metric)
    if run not in result["run"].values:
        raise ValueError(f"there is no run {run!r}; the result has {list(result['run'].values)}")
    values = result[metric].sel(run=run)
    mean = estimate_mean(values)
    if run == "full":
        return mean
    return within_fractions(widened(mean, _replicates(result, metric)), values)


def fraction_kept(result: xr.Dataset, metric: str | None = None) -> Estimate:
    """F(C) / F(M): the fraction of a metric that the circuit keeps.

    Args:
        result: what `faithfulness` returns
        metric: one of its metrics; by default the first

    Returns:
        The ratio with its 95 % interval, which includes the noise of the reference.

    Raises:
        ValueError: the result lacks the metric, or F(M) is zero
    """
    metric = _metric(result, metric)
    full, circuit = (result[metric].sel(run=run) for run in ("full", "circuit"))
    whole = float(full.mean())
    return widened(
        estimate_ratio(circuit, full), [one / whole for one in _replicates(result, metric)]
    )


def does_the_task(result: xr.Dataset, *, least: float = 0.5) -> Verdict:
    """Say whether a circuit does the task, or only orders two tokens.

    Args:
        result: what `faithfulness` returns, with the metrics "logit_diff", "probability" and
            "top1", for instance with `interp.metrics.BEHAVIOR`
        least: the part of the whole model's top-1 accuracy, and of its probability of the answer,
            that the circuit must keep

    Returns:
        "yes" if both intervals lie above that part, "no" if one lies below it, and "cannot be told"
        otherwise.

    Raises:
        ValueError: one of the metrics is missing, or `least` is not between 0 and 1
    """
    missing = [name for name in NEEDED if name not in result]
    if missing:
        raise ValueError(
            f"the verdict needs the metrics {', '.join(NEEDED)}; the result lacks "
            f"{', '.join(missing)}: pass metrics=interp.metrics.BEHAVIOR to faithfulness"
        )
    if not 0 < least < 1:
        raise ValueError(f"least must be between 0 and 1; it is {least}")
    top, p = (
        [run_mean(result, run, name) for run in ("circuit", "full")]
        for name in ("top1", "probability")
    )
    figures = (
        f"the answer is its top token in {top[0].mean:.1%} of prompts (whole model "
        f"{top[1].mean:.1%}), with probability {p[0].mean:.3f} ({p[1].mean:.3f})"
    )
    if top[1].mean == 0:
        return Verdict("no", f"No, and the whole model does not do it either: {figures}.")
    parts = [fraction_kept(result, name) for name in ("top1", "probability")]
    if all(part.low >= least for part in parts):
        return Verdict("yes", f"Yes: {figures}.")
    if not any(part.high < least for part in parts):
        return Verdict("cannot be told", f"Cannot be told from these prompts: {figures}.")
    difference = fraction_kept(result, "logit_diff")
    if difference.low >= least:
        return Verdict(
            "no",
            f"No, it only puts the answer above the foil: it keeps {difference.mean:.0%} of the "
            f"logit difference, but {figures}.",
        )
    return Verdict("no", f"No: {figures}; it keeps {difference.mean:.0%} of the logit difference.")


def _metric(result: xr.Dataset, metric: str | None) -> str:
    name = str(next(iter(result.data_vars))) if metric is None else metric
    if name not in result or "run" not in result.dims:
        raise ValueError(
            f"expected a result of faithfulness with the metric {name!r}; it has "
            f"{list(result.data_vars)}"
        )
    return name


def _replicates(result: xr.Dataset, metric: str) -> list[float]:
    """F(C) without each part of the reference, if that was measured."""
    if "without_block" not in result.coords:
        return []
    return list(map(float, result["without_block"].sel(metric=metric).values))
