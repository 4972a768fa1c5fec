r"""Attribution of all edges from gradients: how much a receiver's input matters, by who wrote it.

The score of an edge (s, r), summed over positions, is

    score(s, r) = (a_s - a'_s) . g_r,      g_r = d metric / d x_r

with a_s what s writes, a'_s its stand-in, and x_r the copy of the stream that r reads, before its
layer norm. One backward pass gives the gradients at all receivers. For MLPs and the logits g_r is
kept itself. For a head's queries (keys and values are the same), let y = W^T (w x^ + b) + b_Q be
the queries, with x^ the normalized stream, w and b the parameters of the layer norm, s its scale
and u = d metric / d y. Then with V = w W less its mean over d_model, the layer norm's derivative is
a rank-one correction:

    g = (V u - x^ (x^ . V u) / d_model) / s,      x^ . V u = u . (y - W^T b - b_Q)

so that no d_model-wide activation per head is kept for the backward pass.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.hooking import Hooks
from interp.runs.edge_senders import Senders
from interp.runs.graph import Graph
from interp.runs.readout import Readout
from interp.runs.sides import Prompts, run_side
from interp.runs.sites import Key, hook_name
from interp.tasks.sides import Side

_READ = ("q", "k", "v", "mlp_in")


class GradientRun:
    """A run of some prompts, and the gradients of its metrics at all receivers.

    Args:
        senders: the model and the task
        prompts: which prompts
        readout: the metrics
        side: which text of each pair
        hooks: hooks that change senders; they come before the gradients are taken

    Raises:
        ValueError: a metric has no gradient
    """

    def __init__(
        self,
        senders: Senders,
        prompts: Prompts,
        readout: Readout,
        *,
        side: Side = "clean",
        hooks: Hooks = (),
    ) -> None:
        self.model, task = senders.model, senders.task
        self.end = task.roles(side)["END"][prompts]
        length = int(task.mask("clean")[prompts].sum(-1).max())
        self.kept: dict[Key, Tensor] = {}

        def start(value: Tensor, hook: Any) -> Tensor:
            return value.detach().requires_grad_()

        def keep(key: Key, value: Tensor, hook: Any) -> Tensor:
            if key[0] == "mlp_in":
                value = value.view_as(value)  # the MLP's copy, whose gradient is its own
            self.kept[key] = value
            return value

        keys = [
            (site, layer)
            for layer in range(self.model.config.n_layers)
            for site in ("resid_pre", *_READ, "z", "mlp_out")
        ]
        own: list[tuple[str, Callable[..., Any]]] = [
            (hook_name(*key), partial(keep, key)) for key in keys
        ]
        embed: list[tuple[str, Callable[..., Any]]] = [
            ("hook_embed", start), ("hook_embed", partial(keep, ("embed", 0)))
        ]  # fmt: skip
        self.stream, _ = run_side(
            self.model, task, prompts, side, length=length, hooks=[*hooks, *embed, *own]
        )
        self.metrics = readout(self.stream, prompts)
        for name, value in self.metrics.items():
            if not value.requires_grad:
                raise ValueError(
                    f"metric {name!r} has no gradient: it does not depend on the logits, or not in "
                    "a way that PyTorch can differentiate; exact edge patching takes any metric"
                )

    def writes(self) -> dict[Key, Float[Tensor, "prompt pos ..."]]:
        """What senders write."""
        return {
            key: value.detach()
            for key, value in self.kept.items()
            if key[0] in ("embed", "z", "mlp_out")
        }

    def gradients(self, metric: str, *, last: bool) -> dict[Key, Float[Tensor, "prompt ..."]]:
        """The gradient of each prompt's metric at all receivers.

        Args:
            metric: its name
            last: whether these are the last gradients that are asked for

        Returns:
            Gradients by site and layer, and at END of the last stream as ("logits", 0).
        """
        keys = [key for key in self.kept if key[0] in _READ]
        kept = [self.kept[key] for key in keys]
        with torch.enable_grad():
            total = self.metrics[metric].sum()
        found = torch.autograd.grad(
            total, [*kept, self.stream], retain_graph=not last, materialize_grads=True
        )
        return {**dict(zip(keys, found, strict=False)), ("logits", 0): found[-1]}


class Attribution:
    """Changes of all senders on some prompts, to be multiplied with gradients.

    Args:
        graph: the graph of the model
        weights: the weights of the model, as prepared for these products
        clean: what senders write, by `sender_keys`
        new: their stand-ins
    """

    def __init__(
        self,
        graph: Graph,
        weights: "Weights",
        clean: Mapping[Key, Tensor],
        new: Mapping[Key, Tensor],
    ) -> None:
        self.graph, self.weights, model = graph, weights, weights.model
        first = clean["embed", 0]
        self.shape = first.shape[:2]
        n_rows, d = self.shape.numel(), first.shape[-1]
        self.changes = first.new_empty(len(graph.senders), n_rows, d)  # sender row d
        torch.sub(first, new["embed", 0], out=self.changes[0].view_as(first))
        for i, (senders, _) in enumerate(graph.stages):
            layer, is_mlp = divmod(i, 2)
            key: Key = ("mlp_out" if is_mlp else "z", layer)
            if is_mlp:
                out = self.changes[senders.start].view_as(first)
                torch.sub(clean[key], new[key], out=out)
            else:
                z = (clean[key] - new[key]).flatten(0, 1).transpose(0, 1)  # head row k
                W_O = model.blocks[layer].attn.W_O.detach()
                torch.bmm(z, W_O, out=self.changes[senders])

    def scores(
        self, run: GradientRun, gradients: Mapping[Key, Tensor]
    ) -> Float[Tensor, "prompt sender receiver"]:
        """The score of every edge on every prompt; zero where there is no edge.

        Args:
            run: the run in which the gradients were taken
            gradients: its gradients

        Returns:
            The scores, in the unit of the metric.
        """
        graph, n_prompts = self.graph, self.shape[0]
        found = self.changes.new_zeros(n_prompts, *graph.exists.shape)
        for i, (senders, receivers) in enumerate(graph.stages):
            layer, is_mlp = divmod(i, 2)
            if is_mlp:
                by_receiver = gradients["mlp_in", layer][None].flatten(1, 2)  # receiver row d
            else:
                by_receiver = self.weights.at_heads(layer, run.kept, gradients)
            found[:, : senders.start, receivers] = self._times(senders.start, by_receiver)
        changes = self.changes.unflatten(1, self.shape)
        at_end = changes[:, torch.arange(n_prompts, device=run.end.device), run.end]  # s b d
        found[:, :, -1] = (at_end * gradients["logits", 0]).sum(-1).T
        return found

    def _times(
        self, n: int, by_receiver: Float[Tensor, "receiver row d"]
    ) -> Float[Tensor, "prompt sender receiver"]:
        """The products of the first senders' changes with gradients, prompt by prompt."""
        changes, gradients = (
            x.view(len(x), self.shape[0], -1) for x in (self.changes[:n], by_receiver)
        )  # _ prompt (pos d)
        return torch.bmm(changes.transpose(0, 1), gradients.permute(1, 2, 0))


class Weights:
    """The query, key and value weights of a model, as gradients at the stream need them.

    Args:
        model: the model
    """

    def __init__(self, model: HookedGPT2) -> None:
        self.model = model

    @cached_property
    def folded(self) -> list[tuple[Float[Tensor, "input k d"], Float[Tensor, " three_d"]]]:
        """Of each layer: V, see the module, and what the biases add to q, k and v."""
        found = []
        for block in self.model.blocks:
            W, w, b = (x.detach() for x in (block.attn.W_QKV, block.ln1.w, block.ln1.b))
            folded = W * w[:, None]  # d (three h k)
            folded -= folded.mean(0, keepdim=True)
            bias = b @ W + block.attn.b_QKV.detach()
            found.append((folded.T.unflatten(0, (-1, block.attn.d_head)), bias))
        return found

    def at_heads(
        self, layer: int, kept: Mapping[Key, Tensor], gradients: Mapping[Key, Tensor]
    ) -> Float[Tensor, "input row d"]:
        """The gradients at the inputs of a layer's heads: all queries, all keys, all values.

        Args:
            layer: the layer
            kept: activations of the run
            gradients: gradients at q, k and v
        """
        block = self.model.blocks[layer]
        folded, bias = self.folded[layer]
        stream = kept["resid_pre", layer].detach().flatten(0, 1)  # row d
        x = stream - stream.mean(-1, keepdim=True)
        scale = (x.square().mean(-1, keepdim=True) + block.ln1.eps).rsqrt()
        x *= scale

        def by_input(of: Mapping[Key, Tensor]) -> Float[Tensor, "input row k"]:
            three = torch.stack([of[letter, layer].detach() for letter in "qkv"])
            return rearrange(three, "three b p h k -> (three h) (b p) k")

        bias = bias.view(len(folded), 1, -1)
        grad = by_input(gradients) * scale
        along = (grad * (by_input(kept) - bias)).sum(-1, keepdim=True)  # input row 1
        return torch.bmm(grad, folded).addcmul_(x, along, value=-1 / x.shape[-1])


def require_gradient(names: Sequence[str]) -> None:
    """Refuse metrics that have no gradient.

    Args:
        names: names of built-in metrics

    Raises:
        ValueError: a metric counts, so that it jumps
    """
    for name in names:
        if name in ("accuracy", "rank", "top1"):
            raise ValueError(
                f"metric {name!r} jumps and has no gradient; expected 'logit_diff', 'probability', "
                "'kl_divergence' or a differentiable function, or use exact edge patching"
            )
