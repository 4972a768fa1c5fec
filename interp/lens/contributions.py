"""What each kind of part adds to a logit, computed from one run of some prompts.

Every part is projected on the same direction, C (w * u) / scale of `interp.lens.attribution`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.arguments import wide
from interp.runs.sides import at
from interp.runs.sites import Key
from interp.tasks import Task

By = Literal["component", "head", "neuron", "source", "source_role"]


@dataclass(frozen=True)
class Run:
    """The run of some prompts, and the direction that their parts are projected on.

    Args:
        model: the model
        task: the prompts
        kept: the activations of the run
        where: position of the prediction in each prompt
        u: the answer's column of the unembedding minus the foil's
        b_U: the same for its bias
        toward: the direction whose product with a part is the part's share of the logit
        masks: masks of what the ablation replaces
    """

    model: HookedGPT2
    task: Task
    kept: Mapping[Key, Float[Tensor, "b p ..."]]
    where: Int[Tensor, " b"]
    u: Float[Tensor, "b d"]
    b_U: Float[Tensor, " b"]
    toward: Float[Tensor, "b d"]
    masks: Mapping[Key, Bool[Tensor, "b p unit"]]

    def at(self, site: str, layer: int) -> Float[Tensor, "b ..."]:
        """An activation at the position of the prediction, in float32 at least."""
        return wide(at(self.kept[site, layer], self.where))

    def known(
        self, value: Float[Tensor, "b unit ..."], site: str, layer: int
    ) -> Float[Tensor, "b unit ..."]:
        """The value, NaN where the ablation replaces what the parts make."""
        if (site, layer) not in self.masks:
            return value
        mask = at(self.masks[site, layer], self.where)  # b unit
        return value.masked_fill(mask.view(*mask.shape, *(1,) * (value.ndim - 2)), torch.nan)


def _components(run: Run) -> Float[Tensor, "component b"]:
    model, toward = run.model, run.toward

    def of(x: Tensor) -> Float[Tensor, " b"]:
        return (wide(x) * toward).sum(-1)

    parts = [of(run.at("embed", 0)), of(model.pos_embed.W_pos[run.where])]
    for i, block in enumerate(model.blocks):
        for out, bias in (("attn_out", block.attn.b_O), ("mlp_out", block.mlp.b_out)):
            parts += [of(run.at(out, i) - bias), of(bias)]
    return torch.stack([*parts, run.u @ wide(model.ln_final.b), run.b_U])


def _heads(run: Run) -> Float[Tensor, "layer head b"]:
    return torch.stack(
        [
            einsum(run.at("z", i), wide(block.attn.W_O), run.toward, "b h k, h k d, b d -> h b")
            for i, block in enumerate(run.model.blocks)
        ]
    )


def _neurons(run: Run) -> Float[Tensor, "layer neuron b"]:
    """Neurons; their output weights are projected first, to save a d_model vector per neuron."""
    parts = [
        run.known(run.at("mlp_post", i) * (run.toward @ wide(block.mlp.W_out).T), "mlp_out", i).T
        for i, block in enumerate(run.model.blocks)
    ]
    return torch.stack(parts)


def _sources(run: Run) -> Float[Tensor, "layer head source b"]:
    """Sources; the values are projected first."""
    width = run.task.clean_tokens.shape[1]
    real = run.task.attention_mask[:, None]  # b 1 source
    parts = []
    for i, block in enumerate(run.model.blocks):
        reads = einsum(wide(block.attn.W_O), run.toward, "h k d, b d -> b h k")
        values = einsum(wide(run.kept["v", i]), reads, "b s h k, b h k -> b h s")
        found = run.known(run.at("pattern", i) * values, "z", i)  # b h s
        found = torch.nn.functional.pad(found, (0, width - found.shape[-1]))
        parts.append(found.masked_fill(~real, torch.nan).permute(1, 2, 0))  # h s b
    return torch.stack(parts)


def _source_roles(run: Run) -> Float[Tensor, "layer head role b"]:
    every = _sources(run)  # layer head source b
    roles = torch.stack(list(run.task.positions.values()))  # role b
    return every.gather(2, roles.expand(*every.shape[:2], *roles.shape))


class Kind(NamedTuple):
    """A kind of part.

    Args:
        sites: the activations that its contributions are computed from
        dims: the dims of its contributions, except the prompts, which come last
        contributions: computes what each part adds to the logit of each prompt
    """

    sites: tuple[str, ...]
    dims: tuple[str, ...]
    contributions: Callable[[Run], Float[Tensor, "... b"]]


KINDS_OF_PARTS: Mapping[By, Kind] = MappingProxyType(
    {
        "component": Kind(("attn_out", "mlp_out"), ("component",), _components),
        "head": Kind(("z",), ("layer", "head"), _heads),
        "neuron": Kind(("mlp_post",), ("layer", "neuron"), _neurons),
        "source": Kind(("pattern", "v"), ("layer", "head", "source"), _sources),
        "source_role": Kind(("pattern", "v"), ("layer", "head", "source_role"), _source_roles),
    }
)
"""The kinds of parts, by the names that `direct_logit_attribution` takes."""
