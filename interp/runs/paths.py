"""Paths: how senders change the stream on its way to receivers, past frozen attention.

This combines the three runs of Wang et al.: the sender's output is replaced by that of the other
run while all heads write what they write in the base run, so only the direct path from sender to
receivers is open; what the receivers then get is put into the base run, and everything after them
is recomputed. MLPs in between are recomputed, as in the paper, or frozen like the heads.

Frozen attention makes this cheap: no position affects another on the way to the receivers. So only
positions that the sender changes and the receiver reads are computed, and in the blocks in between
only the MLPs:

    resid_mid_l' = resid_pre_l' + attn_out_l(base) + sum_h in senders (z_h(other) - z_h(base)) W_O_h
    resid_post_l' = resid_mid_l' + MLP_l(resid_mid_l')

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1 and appendix B.
"""

from collections.abc import Mapping
from functools import partial

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.edits import edited, over
from interp.runs.forward import mlp_out, mlp_post, resume
from interp.runs.grid import Grid
from interp.runs.pair import BaseRun
from interp.runs.places import positions_mask
from interp.runs.receivers import BEFORE_ATTENTION, Receivers
from interp.runs.rows import Jobs, Rows
from interp.runs.sites import SITES, Key


class Paths:
    """The paths from a grid of senders to receivers.

    Args:
        model: the model
        site: what sends: "z", "mlp_out" or "embed"
        senders: the sending parts
        receivers: where the paths end
        frozen: whether MLPs on the path are frozen like the heads
    """

    def __init__(
        self, model: HookedGPT2, site: str, senders: Grid, receivers: Receivers, frozen: bool
    ) -> None:
        self.model, self.site, self.senders = model, site, senders
        self.receivers, self.frozen = receivers, frozen
        self.n_layers, self.heads = model.config.n_layers, receivers.by_layer
        self.first = min(self.heads, default=self.n_layers)  # layer of the first receiver
        self.last = max(self.heads, default=self.n_layers)
        layers = senders.layers
        entered = "resid_pre" if site == "embed" else site
        self.units = {
            layer: senders.cells.members[entered, layer][..., 0]  # cell unit
            for layer in layers
            if self._reaches(layer)
        }
        self.entry = torch.zeros(senders.cells.n, dtype=torch.long, device=model.device)
        for (_, layer), cells in senders.cells.by_entry().items():
            self.entry[cells] = layer
        self.between = range(layers[0], min(self.last + 1, self.n_layers))
        self.keys = self._keys()

    def _reaches(self, layer: int) -> bool:
        """Whether there is a path from senders of a layer to a receiver."""
        if self.site == "embed" or self.receivers.site == "logits":
            return True
        in_same = self.site == "z" and self.receivers.site in ("mlp_in", "resid_mid")
        return layer < self.last or (in_same and layer == self.last)

    def _keys(self) -> list[Key]:
        """The activations that a base run has to keep."""
        keys = [("resid_pre", layer) for layer in self.between]
        keys += [("attn_out", layer) for layer in self.between]
        keys += [("mlp_out", layer) for layer in self.between if self.frozen]
        keys += [(self.site, layer) for layer in self.units if self.site != "embed"]
        if self.receivers.site != "logits":
            keys += [(kv, layer) for layer in range(self.first, self.n_layers) for kv in ("k", "v")]
            keys += [(needed, self.first) for needed in ("resid_pre", "resid_mid", "q")]
            keys += [(self.receivers.site, layer) for layer in self.heads]
        return list(dict.fromkeys(keys))

    def changes(
        self, run: BaseRun, new: Mapping[Key, Tensor]
    ) -> dict[int, Float[Tensor, "prompt pos unit width"]]:
        """Every sender's output in the other run minus its output in the base run."""
        found = {}
        for layer in self.units:
            key = ("resid_pre", 0) if self.site == "embed" else (self.site, layer)
            change = new[key] - run.kept[key]
            found[layer] = change if self.site == "z" else change[:, :, None]
        return found

    def active(
        self, changes: Mapping[int, Tensor], where: Bool[Tensor, "place prompt pos"]
    ) -> Bool[Tensor, "cell place prompt pos"]:
        """Where senders' outputs differ, at places that receivers read.

        Args:
            changes: what `changes` returned
            where: positions at which senders send and receivers read

        Returns:
            One boolean per position.
        """
        found = torch.zeros(len(self.entry), *where.shape, dtype=torch.bool, device=where.device)
        for layer, change in changes.items():
            units = self.units[layer].float()  # cell unit
            by_cell = change.any(-1).float() @ units.T > 0  # prompt pos cell
            found |= by_cell.movedim(-1, 0)[:, None] & where  # cell place prompt pos
        return found

    def received(self, run: BaseRun) -> Bool[Tensor, "prompt pos"]:
        """The positions at which receivers read and what they read matters."""
        site = self.receivers.site
        everywhere = site != "logits" and SITES[site].everywhere
        only_end = self.first >= self.n_layers - 1 and not everywhere
        if only_end and self.receivers.positions is None:
            return run.at_end
        here = positions_mask(run.task, self.receivers.positions, run.side)[:, : run.length]
        return here & (run.at_end if only_end else run.up_to_end)

    def send(
        self,
        run: BaseRun,
        new: Mapping[Key, Tensor],
        changes: Mapping[int, Tensor],
        rows: Rows,
        cell: Int[Tensor, " row"],
    ) -> dict[str | int, Tensor]:
        """Carry the senders' changes to the receivers, past frozen heads.

        Args:
            run: the base run
            new: the other run's activations
            changes: what `changes` returned
            rows: the changed positions, sorted by the layer in which they enter
            cell: the cell of each row

        Returns:
            Layer -> what its receivers get; or "logits" -> the stream after the last block.
        """
        entry, site = self.entry[cell], self.receivers.site
        x = torch.empty(
            len(cell), self.model.config.d_model, device=cell.device, dtype=self.model.dtype
        )
        got: dict[str | int, Tensor] = {}
        for layer in range(int(entry[0]), self.between.stop):
            before, n = (int(torch.searchsorted(entry, i)) for i in (layer, layer + 1))
            live = rows.take(torch.arange(n, device=cell.device))
            entering = rows.take(torch.arange(before, n, device=cell.device))
            x[before:n] = entering.of(run.kept["resid_pre", layer])
            if self.site == "embed":
                if layer == 0:
                    x[:n] += live.of(changes[0])[:, 0]
                senders = None
            else:
                senders = self.units[layer][cell[:n]] if layer in self.units else None
            stream = x[:n]
            if layer in self.heads and site in BEFORE_ATTENTION:
                got[layer] = self._read(layer, stream)
                if layer == self.last:
                    break
            stream = stream + live.of(run.kept["attn_out", layer])
            if self.site == "z" and senders is not None:
                sending = senders.any(-1).nonzero()[:, 0]
                z = live.take(sending).of(changes[layer]) * senders[sending][..., None]  # row h k
                W_O = self.model.blocks[layer].attn.W_O.flatten(0, 1)  # (h k) d
                stream[sending] += z.flatten(1) @ W_O  # row d
            if layer in self.heads and site not in BEFORE_ATTENTION:
                got[layer] = stream
                if layer == self.last:
                    break
            out = self._mlp(run, layer, live, stream)
            if self.site == "mlp_out" and senders is not None:
                out = torch.where(senders, live.of(new["mlp_out", layer]), out)
            x[:n] = stream + out
        if site == "logits":
            got["logits"] = x
        return got

    def _read(self, layer: int, stream: Float[Tensor, "row d"]) -> Float[Tensor, "row ..."]:
        """What receivers before a layer's attention read from the stream."""
        site = self.receivers.site
        if site == "resid_pre":
            return stream.clone()
        attn, heads = self.model.blocks[layer].attn, self.heads[layer]
        weight = getattr(attn, f"W_{site.upper()}")[heads]  # h d k
        normalized = self.model.blocks[layer].ln1.unhooked(stream)
        value = einsum(normalized, weight, "row d, h d k -> row h k")  # row h k
        return value + getattr(attn, f"b_{site.upper()}")[heads]

    def _mlp(
        self, run: BaseRun, layer: int, rows: Rows, resid_mid: Float[Tensor, "row d"]
    ) -> Float[Tensor, "row d"]:
        """The output of a layer's MLP on the path."""
        if self.frozen:
            return rows.of(run.kept["mlp_out", layer])
        block = self.model.blocks[layer]
        post = edited(run.edits, ("mlp_post", layer), rows, mlp_post(block, resid_mid))
        return edited(run.edits, ("mlp_out", layer), rows, mlp_out(block, post))

    def receive(
        self,
        run: BaseRun,
        jobs: Jobs,
        received: Bool[Tensor, "prompt pos"],
        sent_rows: Rows,
        sent: Mapping[str | int, Tensor],
    ) -> Float[Tensor, "job d"]:
        """Run the base run, with what the receivers got, to the end."""
        site = self.receivers.site
        row_of = torch.full((len(jobs.prompt), run.length), -1, device=run.end.device)
        row_of[sent_rows.job, sent_rows.pos] = torch.arange(
            len(sent_rows.job), device=run.end.device
        )

        def put(layer: int, rows: Rows, value: Tensor) -> Tensor:
            """Give receivers what was sent, or the base run's value if nothing was."""
            base = rows.of(run.kept[site, layer])
            heads = self.heads[layer] or slice(None)
            new = base[:, heads].clone()
            if layer in sent:
                index = row_of[rows.job, rows.pos]
                at = ((index >= 0) & (index < len(sent[layer]))).nonzero()[:, 0]
                new[at] = sent[layer][index[at]]
            value = value.clone()
            here = received[rows.prompt, rows.pos]  # row
            here = here.view(-1, *(1,) * (value.ndim - 1))  # row 1 ...
            value[:, heads] = torch.where(here, new, value[:, heads])
            return value

        rows = jobs.rows_of(site, self.first, self.n_layers)
        given = {site: put(self.first, rows, rows.of(run.kept[site, self.first]))}
        edits = {(site, layer): partial(put, layer) for layer in self.heads if layer > self.first}
        return resume(run.model, run.kept, jobs, self.first, given, over(run.edits, edits))
