"""The stream that is made of stand-ins alone: what every receiver reads without any edge."""

from functools import cached_property

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from interp.runs.edge_senders import Senders
from interp.runs.sides import Prompts


class Streams:
    """Some prompts, and the stream made of what stands in for senders.

    Args:
        senders: the stand-ins
        prompts: which prompts
    """

    def __init__(self, senders: Senders, prompts: Prompts) -> None:
        self.model, self.prompts = senders.model, prompts
        self.n_layers = self.model.config.n_layers
        self.end = senders.task.positions["END"][prompts]
        self.length = int(self.end.max()) + 1
        tokens = senders.task.clean_tokens[prompts, : self.length]
        self.embed = self.model.embed(tokens)  # b p d
        self.new = senders.values(prompts, self.length)
        self.pre: list[Tensor] = []  # before each layer, b p d
        self.mid: list[Tensor] = []  # before each MLP, b p d
        self._alone: dict[int, list[Tensor]] = {}
        stream = self.new["embed", 0] + self.model.pos_embed.W_pos[: self.length]
        for layer, block in enumerate(self.model.blocks):
            self.pre.append(stream)
            heads = self.new["z", layer].flatten(-2) @ block.attn.W_O.flatten(0, 1)
            stream = stream + (heads + block.attn.b_O)
            self.mid.append(stream)
            stream = stream + self.new["mlp_out", layer]
        self.final = stream

    @cached_property
    def end_rows(self) -> Int[Tensor, " prompt"]:
        """The row of END of each prompt, among the rows of all positions."""
        return torch.arange(len(self.end), device=self.end.device) * self.length + self.end

    def alone(self, layer: int) -> list[Float[Tensor, "prompt pos head k"]]:
        """Queries, keys and values of heads that read stand-ins alone.

        Args:
            layer: their layer
        """
        if layer not in self._alone:
            attn, block = self.model.blocks[layer].attn, self.model.blocks[layer]
            fused = F.linear(block.ln1.unhooked(self.pre[layer]), attn.W_QKV.T, attn.b_QKV)
            self._alone[layer] = list(
                rearrange(fused, "b p (three h k) -> three b p h k", three=3, h=attn.n_heads)
            )
        return self._alone[layer]
