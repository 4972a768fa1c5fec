"""What is read off a run at its end: metrics, one value per run.

A metric is a name from `METRICS` or a function of the logits at END and the prompts they belong to.
The linear ones need one direction per prompt: for the logit difference the answer's column of the
unembedding minus the foil's (for a set, the mean of its columns), for the logits of answer and foil
their own minus the mean column of the task's other candidates. Only these are computed without all
logits.
"""

from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp import metrics
from interp.metrics import MetricFunction, Metrics, named_metrics
from interp.model import HookedGPT2
from interp.runs.sides import batches, run_to_end
from interp.tasks import Task
from interp.tasks.candidates import other_candidates
from interp.tasks.sides import Choice

LINEAR = ("logit_diff", "answer_logit", "foil_logit")
"""The metrics that are linear in the stream after the last layer norm."""

_LOGITS = 1 << 24  # values of logits held at once


class Readout:
    """Metrics of runs of one task.

    Args:
        model: the model
        task: its prompts, of `Task.right_padded`, on the model's device
        chosen: the metrics; None for the task's own

    Raises:
        ValueError: a metric is unknown, or the cutoff sharpness is asked of answers that are not
            sets
    """

    def __init__(self, model: HookedGPT2, task: Task, chosen: Metrics | None = None) -> None:
        self.model, self.task = model, task
        self.chosen = named_metrics(task.metric if chosen is None else chosen)
        if "cutoff_sharpness" in self.built_in:
            metrics.require_cutoff(task.answer, task.foil)
        self.directions = {
            name: linear_direction(model, task, name) for name in self.built_in if name in LINEAR
        }

    @cached_property
    def clean(self) -> Float[Tensor, "prompt d_model"]:
        """The last stream of the whole model at END of the clean texts.

        The divergence is measured from it, also in a model in which something is ablated.
        """
        every = torch.arange(len(self.task), device=self.model.device)
        with torch.inference_mode():
            parts = [
                run_to_end(self.model, self.task, every[rows], "clean")
                for rows in batches(self.task)
            ]
        return torch.cat(parts).clone()  # outside inference mode, where gradients may pass

    @property
    def built_in(self) -> list[str]:
        """The metrics that are not a user's functions."""
        return [name for name, function in self.chosen.items() if function is None]

    def __call__(
        self, stream: Float[Tensor, "run d_model"], prompt: Int[Tensor, " run"]
    ) -> dict[str, Float[Tensor, " run"]]:
        """Compute the metrics from the stream after the last block.

        Args:
            stream: the stream at END of each run
            prompt: index of each run's prompt in the task

        Returns:
            Metric -> one value per run.

        Raises:
            ValueError: a user's function did not return one number per run
        """
        found = {}
        if self.directions:
            final = self.model.ln_final.unhooked(stream)
            for name, (direction, bias) in self.directions.items():
                found[name] = (final * direction[prompt]).sum(-1) + bias[prompt]
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
                    f"metric {name!r} must return one number per run, a tensor of shape "
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
        if name == "top1":
            return metrics.top1(logits, task.answer)
        function = {
            "probability_diff": metrics.probability_diff,
            "cutoff_sharpness": metrics.cutoff_sharpness,
            "accuracy": metrics.accuracy,
        }[name]
        return function(logits, task.answer, task.foil)

    def _logits(self, stream: Float[Tensor, "run d"]) -> Float[Tensor, "run d_vocab"]:
        return self.model.unembed(self.model.ln_final.unhooked(stream))


def linear_direction(
    model: HookedGPT2, task: Task, metric: str
) -> tuple[Float[Tensor, "prompt d_model"], Float[Tensor, " prompt"]]:
    """The direction in the stream, after the last layer norm, that a linear metric reads.

    Args:
        model: the model
        task: the prompts, on the model's device
        metric: one of `LINEAR`

    Returns:
        The direction, and what the biases of the unembedding add.
    """
    if metric == "logit_diff":
        return answer_direction(model, task.answer, task.foil)
    tokens = task.answer if metric == "answer_logit" else task.foil
    direction, bias = answer_direction(model, tokens, None)
    weight, b_U = model.unembed.weight, model.unembed.b_U
    columns, biases = [], []
    for rows in torch.arange(len(task)).split(max(1, _LOGITS // model.config.d_vocab)):
        others = other_candidates(task.subset(rows.tolist()), model.config.d_vocab)
        share = others.to(weight.dtype)
        share = share / share.sum(-1, keepdim=True)  # prompt d_vocab
        columns.append(share @ weight)
        biases.append(share @ b_U)
    return direction - torch.cat(columns), bias - torch.cat(biases)


def answer_direction(
    model: HookedGPT2, answer: Choice, foil: Choice | None
) -> tuple[Float[Tensor, "prompt d_model"], Float[Tensor, " prompt"]]:
    """The direction in the stream, after the last layer norm, that the logit difference reads.

    Args:
        model: the model
        answer: token ids of the answers, one per prompt or a set
        foil: token ids of the foils; None for the answer's logit alone

    Returns:
        The answer's column of the unembedding minus the foil's, and the same for its bias; for a
        set, the means over its tokens.
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
    """The answer's logit minus the foil's, from the residual stream after the last block.

    Only these tokens are unembedded.
    """
    direction, bias = answer_direction(model, answer, foil)
    extra = (1,) * (resid.ndim - 2)
    direction = direction.view(len(direction), *extra, -1)  # batch 1 ... d_model
    bias = bias.view(len(bias), *extra)  # batch 1 ...
    return (model.ln_final.unhooked(resid) * direction).sum(-1) + bias
