"""What is read off a run at its end: metrics, one value a run.

A metric is a name of `METRICS` or a function of the logits at END and the task's prompts they
belong to. The logit difference needs one direction a prompt, the answer's column of the unembedding
less the foil's (the mean of the columns of a set); it alone is computed without all logits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp import metrics
from interp.model import HookedGPT2
from interp.results import labelled
from interp.runs.ablation import Ablation
from interp.runs.sides import Progress, Prompts, batches, run_to_end
from interp.tasks import Choice, Side, Task

MetricFunction = Callable[[Float[Tensor, "run d_vocab"], Task], Float[Tensor, " run"]]
Metrics = str | MetricFunction | Sequence[str | MetricFunction] | Mapping[str, MetricFunction]
"""One metric, several, or functions by the name they shall have in the result."""

METRICS: dict[str, str] = {
    "logit_diff": "logits",
    "probability": "probability",
    "probability_diff": "probability",
    "cutoff_sharpness": "probability",
    "kl_divergence": "nats",
    "accuracy": "fraction",
    "rank": "tokens",
}
"""Names of metrics of `interp.metrics`, and their units; the divergence is from the clean run."""

_LOGITS = 1 << 24  # values of logits held at once


def _by_name(chosen: Metrics) -> dict[str, MetricFunction | None]:
    """The metrics by name; None for those of `METRICS`."""
    if isinstance(chosen, Mapping):
        named: dict[str, MetricFunction | None] = dict(chosen)
    else:
        given = [chosen] if isinstance(chosen, str) or callable(chosen) else list(chosen)
        named = {
            (m if isinstance(m, str) else m.__name__): (None if isinstance(m, str) else m)
            for m in given
        }
    unknown = [name for name, function in named.items() if function is None and name not in METRICS]
    if unknown or not named:
        came = f"{unknown[0]!r}" if unknown else "none at all"
        raise ValueError(
            f"expected a metric among {', '.join(METRICS)}, or a function of the logits at END and "
            f"the task; got {came}"
        )
    return named


class Readout:
    """Metrics of runs of one task.

    Args:
        model: the model.
        task: its prompts, on the model's device.
        chosen: the metrics.

    Raises:
        ValueError: for a name that is none of `METRICS`, no metric at all, or a cutoff sharpness of
            answers that are no sets.
    """

    def __init__(self, model: HookedGPT2, task: Task, chosen: Metrics) -> None:
        self.model, self.task, self.chosen = model, task, _by_name(chosen)
        self.clean = torch.zeros(len(task), model.config.d_model, device=model.device)
        """The clean run's last stream at END, which the divergence is measured from."""
        named = {name for name, function in self.chosen.items() if function is None}
        if "cutoff_sharpness" in named:
            metrics.require_cutoff(task.answer, task.foil)
        self.direction = (
            answer_direction(model, task.answer, task.foil) if "logit_diff" in named else None
        )

    def __call__(
        self, stream: Float[Tensor, "run d_model"], prompt: Int[Tensor, " run"]
    ) -> dict[str, Float[Tensor, " run"]]:
        """Read the metrics off the stream after the last block.

        Args:
            stream: at END of each run.
            prompt: index in the task of each run's prompt.

        Returns:
            Metric -> one value a run.

        Raises:
            ValueError: a user's function did not return one number a run.
        """
        found = {}
        if self.direction is not None:
            direction, bias = (part[prompt] for part in self.direction)
            final = self.model.ln_final.unhooked(stream)
            found["logit_diff"] = (final * direction).sum(-1) + bias
        rest = {name: f for name, f in self.chosen.items() if name not in found}
        if rest:
            step = max(1, _LOGITS // self.model.config.d_vocab)
            parts = [
                self._from_logits(rest, stream[i : i + step], prompt[i : i + step])
                for i in range(0, len(stream), step)
            ]
            found |= {name: torch.cat([part[name] for part in parts]) for name in rest}
        return {name: found[name] for name in self.chosen}

    def _from_logits(
        self, chosen: Mapping[str, MetricFunction | None], stream: Tensor, prompt: Tensor
    ) -> dict[str, Tensor]:
        logits = self._logits(stream)
        task = self.task.subset(prompt.tolist())
        found = {}
        for name, function in chosen.items():
            if function is None:
                value = self._named(name, logits, task, prompt)
            else:
                value = function(logits, task)
            if not isinstance(value, Tensor) or value.shape != prompt.shape:
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(
                    f"metric {name!r} must return one number a run, a tensor of shape "
                    f"{tuple(prompt.shape)}; it returned {shape}"
                )
            found[name] = value.to(stream.dtype)
        return found

    def _named(self, name: str, logits: Tensor, task: Task, prompt: Tensor) -> Tensor:
        if name == "kl_divergence":
            return metrics.kl_divergence(logits, self._logits(self.clean[prompt]))
        if name == "probability":
            return metrics.probability(logits, task.answer)
        if name == "rank":
            return metrics.rank(logits, task.answer)
        function = {
            "logit_diff": metrics.logit_diff,
            "probability_diff": metrics.probability_diff,
            "cutoff_sharpness": metrics.cutoff_sharpness,
            "accuracy": metrics.accuracy,
        }[name]
        return function(logits, task.answer, task.foil)

    def _logits(self, stream: Float[Tensor, "run d"]) -> Float[Tensor, "run d_vocab"]:
        return self.model.unembed(self.model.ln_final.unhooked(stream))


@torch.inference_mode()
def run_task(
    model: HookedGPT2,
    task: Task,
    *,
    side: Side = "clean",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> Float[Tensor, "prompt d_vocab"]:
    """Logits at END of every prompt.

    Args:
        model: the model.
        task: the prompts.
        side: which of each pair of prompts to run.
        ablation: what is knocked out of the model.
        progress: wraps the batches, for a progress bar.

    Returns:
        Logits [prompt d_vocab].
    """
    task = task.right_padded().to(model.device)
    streams = _streams(model, task, side, ablation, progress)
    return torch.cat([model.unembed(model.ln_final.unhooked(stream)) for _, stream in streams])


@torch.inference_mode()
def measure(
    model: HookedGPT2,
    task: Task,
    metrics: Metrics = "logit_diff",
    *,
    side: Side = "clean",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Metrics of every prompt.

    Args:
        model: the model.
        task: the prompts.
        metrics: as in `patch`.
        side: which of each pair of prompts to run.
        ablation: what is knocked out of the model.
        progress: wraps the batches, for a progress bar.

    Returns:
        For each metric an array of dim prompt.

    Raises:
        ValueError: for an unknown metric, or as `Ablation.prepare` does.
    """
    task = task.right_padded().to(model.device)
    readout = Readout(model, task, metrics)
    if "kl_divergence" in readout.chosen:
        for rows, stream in _streams(model, task, "clean", None, iter):
            readout.clean[rows] = stream
    parts = [
        readout(stream, rows) for rows, stream in _streams(model, task, side, ablation, progress)
    ]
    return xr.Dataset(
        {
            name: labelled(
                torch.cat([part[name] for part in parts]),
                ("prompt",),
                name=name,
                title=f"{side.capitalize()} run",
                unit=METRICS.get(name, ""),
                model=model,
                task=task,
            )
            for name in readout.chosen
        }
    )


def _streams(
    model: HookedGPT2, task: Task, side: Side, ablation: Ablation | None, progress: Progress
) -> Iterator[tuple[Prompts, Float[Tensor, "batch d_model"]]]:
    """The prompts of each batch, and the stream after the last block at their END."""
    edits = ablation.prepare(model, task).edits if ablation else None
    every = torch.arange(len(task), device=model.device)
    for rows in batches(task, progress):
        yield every[rows], run_to_end(model, task, every[rows], side, edits)


def answer_direction(
    model: HookedGPT2, answer: Choice, foil: Choice | None
) -> tuple[Float[Tensor, "prompt d_model"], Float[Tensor, " prompt"]]:
    """The direction in the stream, after the last layer norm, that the logit difference reads.

    Args:
        model: the model.
        answer: token ids of the answers, one or a set a prompt.
        foil: the same of the foils; None for the logit of the answer alone.

    Returns:
        The answer's column of the unembedding less the foil's, and the same of its bias; of a set,
        the means over its tokens.
    """
    weight, bias = model.unembed.weight, model.unembed.b_U

    def of(tokens: Tensor) -> tuple[Tensor, Tensor]:
        tokens = tokens.to(weight.device)
        if tokens.ndim == 1:
            return weight[tokens], bias[tokens]
        share = (tokens >= 0).to(weight.dtype)
        share = share / share.sum(-1, keepdim=True)  # prompt option
        some = tokens.clamp(min=0)
        columns = torch.nn.functional.embedding_bag(
            some, weight, mode="sum", per_sample_weights=share
        )
        return columns, (bias[some] * share).sum(-1)

    if foil is None:
        return of(answer)
    right, wrong = of(answer), of(foil)
    return right[0] - wrong[0], right[1] - wrong[1]


def logit_diff_of(
    model: HookedGPT2,
    resid: Float[Tensor, "batch ... d_model"],
    answer: Choice,
    foil: Choice,
) -> Float[Tensor, "batch ..."]:
    """Logit of the answer minus the foil's, read off the residual stream after the last block.

    Only these tokens are unembedded.
    """
    direction, bias = answer_direction(model, answer, foil)
    extra = (1,) * (resid.ndim - 2)
    direction = direction.view(len(direction), *extra, -1)
    bias = bias.view(len(bias), *extra)
    return (model.ln_final.unhooked(resid) * direction).sum(-1) + bias
