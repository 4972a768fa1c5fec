"""Path patching: what one part of the model tells another, all other ways barred.

Three runs in one (Wang et al.): the sender's output is replaced by that of the other run while all
heads write what they write in the base run, so that only the direct path from sender to receivers
is open; what the receivers then get is put into the base run, where everything after them is
computed. The MLPs between are recomputed, as in the paper, or frozen like the heads.

Frozen attention has a consequence that makes this cheap: no position affects another on the way to
the receivers. So only positions are computed that the sender changes and the receiver reads, and of
the blocks between only the MLPs:

    resid_mid_l' = resid_pre_l' + attn_out_l(base) + sum_h in senders (z_h(other) - z_h(base)) W_O_h
    resid_post_l' = resid_mid_l' + MLP_l(resid_mid_l')

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1 and appendix B; Goldowsky-Dill et al. 2023
(arXiv 2304.05969).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
import xarray as xr
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching.activation import Direction, OtherRun, require_alignment
from interp.runs.ablation import Ablation
from interp.runs.forward import EVERYWHERE, Jobs, Rows, chunks, merged, resume
from interp.runs.readout import Metrics, Readout
from interp.runs.selection import Grid, Position, grid
from interp.runs.sides import Key, Progress, positions_mask
from interp.runs.sweep import ROWS, BaseRun, Swept, batches_within, jobs_of
from interp.tasks import Side, Task

Mlps = Literal["recomputed", "frozen"]

_BEFORE_ATTENTION = ("q", "k", "v", "resid_pre")
_RECEIVERS = ("logits", *_BEFORE_ATTENTION, "mlp_in", "resid_mid")


@dataclass(frozen=True)
class Receivers:
    """Where the changed paths end.

    Args:
        site: "q", "k" or "v" of heads, "mlp_in", "resid_pre" or "resid_mid" of layers, or "logits".
        heads: (layer, head) pairs, for q, k and v.
        layers: for mlp_in, resid_pre and resid_mid.
        positions: roles or indices at which they receive; None for all.

    Example:
        >>> name_movers = Receivers("q", heads=[(9, 9), (9, 6), (10, 0)], positions=["END"])
        >>> name_movers.by_layer
        {9: [9, 6], 10: [0]}
    """

    site: str = "logits"
    heads: Sequence[tuple[int, int]] = ()
    layers: Sequence[int] = ()
    positions: Sequence[Position] | None = None

    @property
    def by_layer(self) -> dict[int, list[int]]:
        """The receiving heads of each layer, in order; none for sites without heads."""
        found: dict[int, list[int]] = {layer: [] for layer in sorted(self.layers)}
        for layer, head in sorted(self.heads, key=lambda pair: pair[0]):
            found.setdefault(layer, []).append(head)
        return found

    def check(self, model: HookedGPT2) -> None:
        """Raise a ValueError for what the model does not have."""
        if self.site not in _RECEIVERS:
            raise ValueError(
                f"unknown receiver {self.site!r}; expected one of {', '.join(_RECEIVERS)}"
            )
        takes = {"logits": None}.get(self.site, "heads" if self.site in "qkv" else "layers")
        for name, given in (("heads", self.heads), ("layers", self.layers)):
            if bool(given) != (takes == name):
                need = f"needs {name}" if takes == name else f"takes no {name}"
                raise ValueError(f"receiver {self.site!r} {need}; got {list(given)}")
        c = model.config
        for layer, heads in self.by_layer.items():
            if not 0 <= layer < c.n_layers or any(not 0 <= head < c.n_heads for head in heads):
                raise ValueError(
                    f"receivers in layer {layer}, heads {heads}, are not all in the model, which "
                    f"has {c.n_layers} layers of {c.n_heads} heads"
                )


@torch.inference_mode()
def path_patch(
    model: HookedGPT2,
    task: Task,
    receivers: Receivers | Literal["logits"] = "logits",
    *,
    site: Literal["z", "mlp_out", "embed"] = "z",
    over: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    positions: Sequence[Position] | None = None,
    mlps: Mlps = "recomputed",
    direction: Direction = "noising",
    metrics: Metrics = "logit_diff",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Patch the paths from senders to receivers, swept over the senders.

    Args:
        model: the model.
        task: clean prompts with corrupted partners.
        receivers: where the paths end.
        site: what sends: heads ("z"), MLPs ("mlp_out") or token embeddings ("embed").
        over: as in `patch`, of the senders; by default layer and head, or layer, or none for the
            embeddings, all positions together.
        layers: the sending layers; by default all.
        heads: the sending heads, in every layer; by default all.
        positions: roles or indices at which they send; by default all.
        mlps: whether the MLPs on the way are "recomputed" (the paper) or "frozen" like the heads.
        direction: "noising" sends what the corrupted run says into the clean run (the paper),
            "denoising" the other way round.
        metrics: as in `patch`.
        ablation: what is knocked out of the model in every run.
        progress: wraps the batches of prompts, for a progress bar.

    Returns:
        As `patch` does; attrs tell the receivers and what was done with the MLPs. A sender that no
        path leads from has the base run's value exactly.

    Raises:
        ValueError: as `patch` does, and for receivers that there are not.
    """
    receivers = Receivers() if receivers == "logits" else receivers
    receivers.check(model)
    if site not in ("z", "mlp_out", "embed"):
        raise ValueError(f"senders are at 'z', 'mlp_out' or 'embed', got {site!r}")
    for name, value, options in (("mlps", mlps, Mlps), ("direction", direction, Direction)):
        if value not in get_args(options):
            raise ValueError(f"expected {name} among {list(get_args(options))}, got {value!r}")
    base: Side = "corrupted" if direction == "denoising" else "clean"
    task = task.right_padded().to(model.device)
    default = {"z": ("layer", "head"), "mlp_out": ("layer",), "embed": ()}[site]
    senders = grid(
        model, task, site, over=default if over is None else over, layers=layers, heads=heads,
        positions=positions,
    )  # fmt: skip
    require_alignment(task, site, senders)
    readout = Readout(model, task, metrics)
    other = OtherRun(model, task, site, base, senders, readout, ablation)
    positions_mask(task, receivers.positions)  # for its errors
    prepared = ablation.prepare(model, task) if ablation else None
    paths = _Paths(model, site, senders, receivers, mlps == "frozen")
    by_length = batches_within(model, task, base, paths.keys)
    found = []
    for prompts in progress(by_length):
        run = BaseRun(model, task, prompts, base, paths.keys, readout, prepared)
        found.append(paths.measure(run, other(prompts, run.length), base))
    swept = Swept.joined(found, by_length)
    title = f"Paths from {site} to {receivers.site}"
    result = senders.dataset(swept, title=title, model=model, task=task)
    return other.add_runs(result, swept).assign_attrs(
        site=site, receivers=str(receivers), mlps=mlps, direction=direction
    )


class _Paths:
    """The paths from a grid of senders to receivers."""

    def __init__(
        self, model: HookedGPT2, site: str, senders: Grid, receivers: Receivers, frozen: bool
    ) -> None:
        self.model, self.site, self.senders = model, site, senders
        self.receivers, self.frozen = receivers, frozen
        self.n_layers, self.heads = model.config.n_layers, receivers.by_layer
        self.first = min(self.heads, default=self.n_layers)  # layer of the first receiver
        self.last = max(self.heads, default=self.n_layers)
        layers = sorted({layer for cell in senders.cells for layer in cell})
        self.units = {layer: self._units(layer) for layer in layers if self._reaches(layer)}
        self.entry = torch.tensor([min(cell) for cell in senders.cells], device=model.device)
        self.between = range(layers[0], min(self.last + 1, self.n_layers))
        self.keys = self._keys()

    def _reaches(self, layer: int) -> bool:
        """Whether a path leads from senders of a layer to a receiver."""
        if self.site == "embed" or self.receivers.site == "logits":
            return True
        in_same = self.site == "z" and self.receivers.site in ("mlp_in", "resid_mid")
        return layer < self.last or (in_same and layer == self.last)

    def _units(self, layer: int) -> Bool[Tensor, "cell unit"]:
        """Which heads of a layer each cell sends from; one unit for other sites."""
        n_units = self.model.config.n_heads if self.site == "z" else 1
        mask = torch.zeros(len(self.senders.cells), n_units, dtype=torch.bool)
        for row, cell in zip(mask, self.senders.cells, strict=True):
            if layer in cell:
                heads = cell[layer]
                row[slice(None) if heads is None else list(heads)] = True
        return mask.to(self.model.device)

    def _keys(self) -> list[Key]:
        """What a base run has to leave."""
        keys = [("resid_pre", layer) for layer in self.between]
        keys += [("attn_out", layer) for layer in self.between]
        keys += [("mlp_out", layer) for layer in self.between if self.frozen]
        keys += [(self.site, layer) for layer in self.units if self.site != "embed"]
        if self.receivers.site != "logits":
            keys += [(kv, layer) for layer in range(self.first, self.n_layers) for kv in ("k", "v")]
            keys += [(needed, self.first) for needed in ("resid_pre", "resid_mid", "q")]
            keys += [(self.receivers.site, layer) for layer in self.heads]
        return list(dict.fromkeys(keys))

    def measure(self, run: BaseRun, new: Mapping[Key, Tensor], side: Side) -> Swept:
        """The effect of every sender on the prompts of a run.

        Args:
            run: the base run.
            new: what the senders say in the other run.
            side: which text of each pair the base run is of.

        Returns:
            The metrics for each sender at each place.
        """
        where = self.senders.places(side)(run.task)[0][:, :, : run.length]  # place prompt pos
        found = Swept.unchanged(run.values, where, len(self.senders.cells))
        changes = self._changes(run, new)
        received = self._received(run, side)
        where = where & received
        active = torch.zeros(len(self.entry), *where.shape, dtype=torch.bool, device=where.device)
        for layer, change in changes.items():
            by_cell = change.any(-1).float() @ self.units[layer].T.float() > 0  # prompt pos cell
            active |= by_cell.movedim(-1, 0)[:, None] & where
        cell, place, prompt, start = jobs_of(active, run.end)
        to_logits = self.receivers.site == "logits"
        for chunk in chunks(start, run.end[prompt], ROWS * run.length if to_logits else ROWS):
            jobs = Jobs(prompt[chunk], start[chunk], run.end[prompt[chunk]], run.length)
            job, pos = active[cell[chunk], place[chunk], prompt[chunk]].nonzero(as_tuple=True)
            order = self.entry[cell[chunk][job]].argsort(stable=True)
            job, pos = job[order], pos[order]
            rows = Rows(job, jobs.prompt[job], pos)
            sent = self._send(run, new, changes, rows, cell[chunk][job])
            if to_logits:
                stream = torch.empty_like(sent["logits"])
                stream[job] = sent["logits"]
            else:
                stream = self._receive(run, jobs, received, rows, sent)
            measured = run.readout(stream, run.prompts[jobs.prompt])
            found.put(cell[chunk], place[chunk], jobs.prompt, measured)
        return found

    def _changes(
        self, run: BaseRun, new: Mapping[Key, Tensor]
    ) -> dict[int, Float[Tensor, "prompt pos unit width"]]:
        """What every sender says in the other run, less what it says in the base run."""
        changes = {}
        for layer in self.units:
            key = ("resid_pre", 0) if self.site == "embed" else (self.site, layer)
            change = new[key] - run.kept[key]
            changes[layer] = change if self.site == "z" else change[:, :, None]
        return changes

    def _received(self, run: BaseRun, side: Side) -> Bool[Tensor, "prompt pos"]:
        """The positions at which receivers listen to what matters."""
        only_end = self.first >= self.n_layers - 1 and self.receivers.site not in EVERYWHERE
        if only_end and self.receivers.positions is None:
            return run.at_end
        here = positions_mask(run.task, self.receivers.positions, side)[:, : run.length]
        return here & (run.at_end if only_end else run.up_to_end)

    def _send(
        self,
        run: BaseRun,
        new: Mapping[Key, Tensor],
        changes: Mapping[int, Tensor],
        rows: Rows,
        cell: Int[Tensor, " row"],
    ) -> dict[str | int, Tensor]:
        """Carry the senders' changes to the receivers, past frozen heads.

        Args:
            run: the base run.
            new: the other run's activations.
            changes: of `_changes`.
            rows: the changed positions, sorted by the layer they are entered in.
            cell: which cell each belongs to.

        Returns:
            Layer -> what its receivers get, or "logits" -> the stream after the last block.
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
            if layer in self.heads and site in _BEFORE_ATTENTION:
                got[layer] = self._read(layer, stream)
                if layer == self.last:
                    break
            stream = stream + live.of(run.kept["attn_out", layer])
            if self.site == "z" and senders is not None:
                sending = senders.any(-1).nonzero()[:, 0]
                z = live.take(sending).of(changes[layer]) * senders[sending][..., None]
                stream[sending] += z.flatten(1) @ self.model.blocks[layer].attn.W_O.flatten(0, 1)
            if layer in self.heads and site not in _BEFORE_ATTENTION:
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
        """What receivers before a layer's attention make of the stream."""
        site = self.receivers.site
        if site == "resid_pre":
            return stream.clone()
        attn, heads = self.model.blocks[layer].attn, self.heads[layer]
        weight = getattr(attn, f"W_{site.upper()}")[heads]  # h d k
        normalized = self.model.blocks[layer].ln1.unhooked(stream)
        value = einsum(normalized, weight, "row d, h d k -> row h k")
        return value + getattr(attn, f"b_{site.upper()}")[heads]

    def _mlp(
        self, run: BaseRun, layer: int, rows: Rows, resid_mid: Float[Tensor, "row d"]
    ) -> Float[Tensor, "row d"]:
        """Output of a layer's MLP on the way."""
        if self.frozen:
            return rows.of(run.kept["mlp_out", layer])
        block = self.model.blocks[layer]
        same = lambda rows, value: value  # noqa: E731
        pre = F.linear(block.ln2.unhooked(resid_mid), block.mlp.W_in.T, block.mlp.b_in)
        post = run.edits.get(("mlp_post", layer), same)(rows, block.mlp.fused_act(pre))
        out = F.linear(post, block.mlp.W_out.T, block.mlp.b_out)
        return run.edits.get(("mlp_out", layer), same)(rows, out)

    def _receive(
        self,
        run: BaseRun,
        jobs: Jobs,
        received: Bool[Tensor, "prompt pos"],
        sent_rows: Rows,
        sent: Mapping[str | int, Tensor],
    ) -> Float[Tensor, "job d"]:
        """The base run with what the receivers got, to the end."""
        site = self.receivers.site
        row_of = torch.full((len(jobs.prompt), run.length), -1, device=run.end.device)
        row_of[sent_rows.job, sent_rows.pos] = torch.arange(
            len(sent_rows.job), device=run.end.device
        )

        def put(layer: int, rows: Rows, value: Tensor) -> Tensor:
            """Give the receivers what they got; where nothing was sent, the base run's."""
            base = rows.of(run.kept[site, layer])
            heads = self.heads[layer] or slice(None)
            new = base[:, heads].clone()
            if layer in sent:
                index = row_of[rows.job, rows.pos]
                at = ((index >= 0) & (index < len(sent[layer]))).nonzero()[:, 0]
                new[at] = sent[layer][index[at]]
            value = value.clone()
            here = received[rows.prompt, rows.pos].view(-1, *(1,) * (value.ndim - 1))
            value[:, heads] = torch.where(here, new, value[:, heads])
            return value

        rows = jobs.rows_of(site, self.first, self.n_layers)
        given = {site: put(self.first, rows, rows.of(run.kept[site, self.first]))}
        edits = {(site, layer): partial(put, layer) for layer in self.heads if layer > self.first}
        return resume(run.model, run.kept, jobs, self.first, given, merged(edits, run.edits))
