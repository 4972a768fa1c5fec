"""Gradients of a metric with respect to activations: one forward, and one backward for all layers.

One backward pass from the sum over prompts gives each prompt's own gradient, since no prompt sees
another. The graph starts at the embedding and does not include the weights. A layer can be dropped:
then no gradient passes through its attention and MLP outputs, as if they were frozen. Each dropped
layer takes one more backward pass through the same graph.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.hooking import Hooks
from interp.runs.pair import Setting
from interp.runs.readout import Readout
from interp.runs.sides import Prompts, run_side
from interp.runs.sites import Key, hook_name

GRAPH = ("resid_pre", "q", "k", "v", "z", "attn_out", "resid_mid", "mlp_post", "mlp_out")
"""Roughly what a run keeps of each layer for its backward pass."""


@contextmanager
def differentiable(model: HookedGPT2) -> Iterator[None]:
    """Enable gradients of activations but not of weights, whatever modes the caller is in.

    Raises:
        ValueError: the model was made inside `torch.inference_mode`
    """
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ValueError(
            "the model was made inside torch.inference_mode, so that PyTorch takes no gradient "
            "through it; make or load it outside"
        )
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.inference_mode(False), torch.enable_grad():
        try:
            for parameter in trained:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)


class ExactReadout(Readout):
    """Metrics in the model's own precision, even for a run in half precision."""

    def __call__(
        self, stream: Float[Tensor, "run d_model"], prompt: Int[Tensor, " run"]
    ) -> dict[str, Float[Tensor, " run"]]:
        """Compute the metrics, as `Readout` does."""
        with torch.autocast(stream.device.type, enabled=False):
            return super().__call__(stream, prompt)


@dataclass(frozen=True)
class Graph:
    """A run in which gradients can be taken.

    Args:
        metric: the metric of each prompt
        kept: the activations that were kept, in the layout of their hook points
        dropped: the layers whose outputs pass no gradient; the run's hooks look them up
    """

    metric: Float[Tensor, " prompt"]
    kept: dict[Key, Float[Tensor, "prompt ..."]]
    dropped: set[int]

    def activation(self, key: Key) -> Float[Tensor, "prompt ..."]:
        """A kept activation."""
        return wide(self.kept[key].detach())

    def gradients(
        self, keys: Sequence[Key], *, dropped: int | None = None
    ) -> list[Float[Tensor, "prompt ..."]]:
        """The gradient of each prompt's metric with respect to kept activations.

        Args:
            keys: the activations
            dropped: the layer whose outputs pass no gradient, if any

        Returns:
            One gradient per activation, with its shape.
        """
        self.dropped.clear()
        if dropped is not None:
            self.dropped.add(dropped)
        kept = [self.kept[key] for key in keys]
        found = torch.autograd.grad(self.metric.sum(), kept, retain_graph=True)
        return [wide(gradient) for gradient in found]


@dataclass(frozen=True)
class GradientRuns:
    """How runs in which gradients can be taken are made.

    Args:
        setting: how the run that is changed is made; its readout has one metric
        dtype: dtype of matrix products; None for the model's own
    """

    setting: Setting
    dtype: torch.dtype | None

    def precision(self) -> torch.autocast:
        """The precision of matrix products; weights and sums over the stream keep theirs."""
        device = self.setting.model.device.type
        return torch.autocast(device, dtype=self.dtype, enabled=self.dtype is not None)

    def stream(
        self, prompts: Prompts, length: int, hooks: Hooks = ()
    ) -> Float[Tensor, "prompt d_model"]:
        """The stream after the last block at END; hooks see activations after the ablation."""
        run = self.setting
        hooks = [*(run.ablation.hooks(prompts, length) if run.ablation else ()), *hooks]
        with self.precision():
            return run_side(run.model, run.task, prompts, run.side, length=length, hooks=hooks)[0]

    def graph(self, prompts: Prompts, length: int, keys: Sequence[Key], *, drops: bool) -> Graph:
        """Run some prompts.

        Args:
            prompts: the prompts
            length: number of positions to run
            keys: the activations to keep
            drops: whether layers will be dropped

        Returns:
            The run.

        Raises:
            ValueError: the metric has no gradient
        """
        kept: dict[Key, Tensor] = {}
        dropped: set[int] = set()

        def start(value: Tensor, hook: Any) -> Tensor:
            return value.detach().requires_grad_()

        def keep(key: Key, value: Tensor, hook: Any) -> None:
            kept[key] = value

        def drop(layer: int, value: Tensor, hook: Any) -> Tensor:
            passed_on = value.view_as(value)  # after what is kept, whose gradient is then zero too
            passed_on.register_hook(lambda grad: grad * 0 if layer in dropped else grad)
            return passed_on

        hooks: list[tuple[str, Callable[..., Any]]] = [("hook_embed", start)]
        hooks += [(hook_name(*key), partial(keep, key)) for key in keys]
        hooks += [
            (hook_name(site, layer), partial(drop, layer))
            for layer in range(self.setting.model.config.n_layers if drops else 0)
            for site in ("attn_out", "mlp_out")
        ]
        stream = self.stream(prompts, length, hooks)
        ((name, metric),) = self.setting.readout(stream, prompts).items()
        if not metric.requires_grad:
            raise ValueError(
                f"metric {name!r} has no gradient: it does not depend on the logits, or not in a "
                "way that PyTorch can differentiate; `patch` takes any metric"
            )
        return Graph(metric, kept, dropped)


def wide(value: Tensor) -> Tensor:
    """Convert to at least single precision, for sums."""
    return value.to(torch.promote_types(value.dtype, torch.float32))
