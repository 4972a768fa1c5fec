"""Path patching: what one part of the model tells another, with all other paths blocked.

`interp.runs.paths` does the runs. Paths end in the metric (`path_patch`) or in the attention of
receiving heads (`path_attention`):

    attention'   softmax(q' k / sqrt(d_head)) at END, with the receivers' queries q' as the senders'
                 outputs at END change them, and the base run's keys k.

Source: Wang et al. 2022 (arXiv 2211.00593), sections 3.1, 3.2 (what S-inhibition heads do to the
name movers' attention) and appendix B; Goldowsky-Dill et al. 2023 (arXiv 2304.05969).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.parts import Head, as_heads, require_in_model, require_once
from interp.results import labeled
from interp.runs.ablation import Ablation
from interp.runs.cells import Cells
from interp.runs.grid import Grid, grid
from interp.runs.overlap import also_ablated
from interp.runs.pair import BaseRun, Direction, Pair, base_of, require_alignment
from interp.runs.paths import Paths
from interp.runs.places import Places, positions_mask
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.receivers import Receivers
from interp.runs.rows import Jobs, Rows, chunks, jobs_of
from interp.runs.selection import Selection
from interp.runs.sides import Progress, at, batches_within, ready_task
from interp.runs.sites import Key
from interp.runs.sweep import ROWS_PER_RUN, Swept, with_runs
from interp.tasks import Task

Senders = Literal["z", "mlp_out", "embed"]
Mlps = Literal["recomputed", "frozen"]

_OVER: dict[str, tuple[str, ...]] = {"z": ("layer", "head"), "mlp_out": ("layer",), "embed": ()}


@torch.inference_mode()
def path_patch(
    model: HookedGPT2,
    task: Task,
    receivers: Receivers | Literal["logits"] = "logits",
    selection: Selection = Selection(),
    *,
    site: Senders = "z",
    mlps: Mlps = "recomputed",
    direction: Direction = "noising",
    metrics: Metrics | None = None,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Patch the paths from senders to receivers, swept over the senders.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        receivers: where the paths end
        selection: the senders to sweep over; by default every head, every MLP, or the embeddings at
            all positions together
        site: the kind of senders: heads ("z"), MLPs ("mlp_out") or token embeddings ("embed")
        mlps: whether MLPs on the path are "recomputed" (as in the paper) or "frozen" like the
            heads
        direction: "noising" sends the corrupted run's outputs into the clean run (as in the paper),
            "denoising" the reverse
        metrics: as in `patch`
        ablation: what is knocked out of the model in every run
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        As for `patch`; the attrs also state the receivers and the treatment of MLPs. A sender
        without a path to the receivers has exactly the base run's value.

    Raises:
        ValueError: as for `patch`, or a receiver does not exist
        TypeError: an argument is of another type
    """
    if receivers == "logits":
        receivers = Receivers()
    if not isinstance(receivers, Receivers):
        raise TypeError(
            "receivers are 'logits' or Receivers, such as Receivers('q', heads=['9.6']); got "
            f"{receivers!r}"
        )
    for name, value, options in (("site", site, Senders), ("mlps", mlps, Mlps)):
        if value not in get_args(options):
            raise ValueError(f"expected {name} among {list(get_args(options))}, got {value!r}")
    base = base_of(direction)
    task = ready_task(model, task, "path_patch")
    receivers.require(model, task)
    senders = grid(model, task, site, selection, base, default=_OVER[site])
    require_alignment(task, site, senders.roles, senders.by_role)
    readout = Readout(model, task, metrics)
    keys = [(site, layer) for layer in senders.layers]
    pair = Pair.of(model, task, base, readout, keys, senders.roles, ablation)
    paths = Paths(model, site, senders, receivers, mlps == "frozen")
    by_length = batches_within(model, task, base, paths.keys)
    found = [
        _measure(paths, pair.base(prompts, paths.keys), pair) for prompts in progress(by_length)
    ]
    swept = Swept.joined(found, by_length)
    asked = question(
        "path_patch", site=site, selection=selection, task=task, ablation=ablation,
        direction=direction, receivers=receivers, mlps=mlps,
    )  # fmt: skip
    title = f"Paths from {site} to {receivers.site}"
    result = senders.dataset(swept.values, title=title, model=model, task=task, question=asked)
    both = also_ablated(pair.ablation, senders.cells, senders.places)
    return with_runs(result, swept, base).assign_attrs(
        site=site,
        receivers=str(receivers),
        mlps=mlps,
        direction=direction,
        **({"also_ablated": both} if both else {}),
    )


def _measure(paths: Paths, run: BaseRun, pair: Pair) -> Swept:
    """Measure the effect of every sender on the prompts of a run."""
    new, other = pair.run(run.prompts, run.length)
    places = paths.senders.places.of(run.prompts, run.length)
    where = places.where[:, 0]  # place prompt pos
    exists = where.any(-1)[None]
    if paths.senders.chosen is not None:
        exists = exists & paths.senders.chosen[..., None]
    found = Swept.unchanged(run.values, other, exists, paths.senders.cells.n)
    changes = paths.changes(run, new)
    received = paths.received(run)
    active = paths.active(changes, where & received)
    if paths.senders.chosen is not None:
        active &= paths.senders.chosen[..., None, None]
    cell, place, prompt, start = jobs_of(active, run.end)
    to_logits = paths.receivers.site == "logits"
    n_rows = ROWS_PER_RUN * run.length if to_logits else ROWS_PER_RUN
    for chunk in chunks(start, run.end[prompt], n_rows):
        jobs = Jobs(prompt[chunk], start[chunk], run.end[prompt[chunk]], run.length)
        job, pos = active[cell[chunk], place[chunk], prompt[chunk]].nonzero(as_tuple=True)
        order = paths.entry[cell[chunk][job]].argsort(stable=True)
        job, pos = job[order], pos[order]
        rows = Rows(job, jobs.prompt[job], pos)
        sent = paths.send(run, new, changes, rows, cell[chunk][job])
        if to_logits:
            stream = torch.empty_like(sent["logits"])
            stream[job] = sent["logits"]
        else:
            stream = paths.receive(run, jobs, received, rows, sent)
        measured = run.readout(stream, run.prompts[jobs.prompt])
        found.put(cell[chunk], place[chunk], jobs.prompt, measured)
    return found


@torch.inference_mode()
def path_attention(
    model: HookedGPT2,
    task: Task,
    senders: Sequence[Any],
    receivers: Sequence[Any],
    *,
    keys: Sequence[str] | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Measure heads' attention from END before and after the paths from other heads are patched.

    Args:
        model: the model
        task: clean prompts with corrupted partners, END at the same position in both
        senders: heads whose paths are patched, all together
        receivers: heads whose queries the paths lead into
        keys: roles attended to; by default all
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        `clean` and `patched`, probabilities, dims head (label), key, prompt.

    Raises:
        ValueError: there are no senders or no receivers, a head or role does not exist, or END is
            at another position in a prompt's partner
        TypeError: an argument is of another type
    """
    task = ready_task(model, task, "path_attention")
    sending, receiving = as_heads(senders), as_heads(receivers)
    require_in_model(model, [*sending, *receiving])
    if isinstance(keys, str):
        raise TypeError(f"keys are a list of roles, such as ['IO']; got {keys!r}")
    roles = list(task.positions if keys is None else keys)
    require_once(roles, "role")
    unknown = [role for role in roles if role not in task.positions]
    if unknown or not roles:
        what = f"the task has no role {unknown[0]!r}" if unknown else "keys are an empty list"
        raise ValueError(f"{what}; its roles are {list(task.positions)}")
    for name, given in (("senders", sending), ("receivers", receiving)):
        if not given:
            raise ValueError(f"{name} are an empty list; expected heads, such as ['7.3', '8.6']")
    if not torch.equal(task.positions["END"], task.roles("corrupted")["END"]):
        raise ValueError("the prompts and their partners must end at the same position")
    into = Receivers("q", heads=receiving, positions=["END"])
    all_at_once = _together(model, task, sending)
    paths = Paths(model, "z", all_at_once, into, False)
    kept = list(
        dict.fromkeys([*paths.keys, *((x, layer) for layer in into.by_layer for x in "qk")])
    )
    z: list[Key] = [("z", layer) for layer in all_at_once.layers]
    pair = Pair.of(model, task, "clean", Readout(model, task, "logit_diff"), z, ["END"], None)
    by_length = batches_within(model, task, "clean", kept)
    back = torch.cat(by_length).argsort().cpu()
    parts: dict[str, list[Tensor]] = {"clean": [], "patched": []}
    for prompts in progress(by_length):
        run = pair.base(prompts, kept)
        new, _ = pair.run(prompts, run.length)
        queries = {layer: at(run.kept["q", layer], run.end) for layer in into.by_layer}
        patched = _patched_queries(paths, run, new)
        prompt = torch.arange(len(run.end), device=run.end.device)
        where = torch.stack([run.task.positions[role] for role in roles])  # key prompt
        for name, source in (("clean", queries), ("patched", patched)):
            looks = [
                _pattern(source[i][:, h], run.kept["k", i][:, :, h], run.up_to_end)
                for i, h in receiving
            ]
            at_keys = torch.stack([one[prompt, where] for one in looks])  # head key prompt
            parts[name].append(at_keys)
    titles = {"clean": "Attention from END", "patched": "The same, paths from the senders patched"}
    asked = question(
        "path_attention", senders=" ".join(map(str, sending)), receivers=into, keys=roles
    )
    return xr.Dataset(
        {
            name: labeled(
                torch.cat(found, -1)[..., back],
                ("head", "key", "prompt"),
                name=name,
                title=titles[name],
                unit="probability",
                model=model,
                task=task,
                coords={"head": [str(head) for head in receiving], "key": roles},
                question=asked,
            )
            for name, found in parts.items()
        }
    )


def _together(model: HookedGPT2, task: Task, heads: Sequence[Head]) -> Grid:
    """Heads at END as one cell."""
    layers = sorted({head.layer for head in heads})
    cell: dict[Key, dict[int, list[int]]] = {
        ("z", layer): {0: [h for i, h in heads if i == layer]} for layer in layers
    }
    widths: dict[Key, int] = dict.fromkeys(cell, model.config.n_heads)
    cells = Cells.of(widths, [cell], n_slots=1, device=model.device)
    places = Places(positions_mask(task, ["END"])[None, None])  # place slot prompt pos
    return Grid((), {}, layers, cells, places, ("END",), True, None)


def _patched_queries(
    paths: Paths, run: BaseRun, new: Mapping[Key, Tensor]
) -> dict[int, Float[Tensor, "prompt head k"]]:
    """The queries at END of receiving layers, as the senders change those of the receivers."""
    queries = {layer: at(run.kept["q", layer], run.end).clone() for layer in paths.heads}
    if not paths.units:
        return queries
    changes = paths.changes(run, new)
    active = paths.active(changes, run.at_end[None])[0, 0]  # prompt pos
    prompt = active.any(-1).nonzero()[:, 0]
    if not len(prompt):
        return queries
    rows = Rows(torch.arange(len(prompt), device=prompt.device), prompt, run.end[prompt])
    sent = paths.send(run, new, changes, rows, torch.zeros_like(prompt))
    for layer, heads in paths.heads.items():
        if layer in sent:
            queries[layer][prompt[:, None], torch.tensor(heads, device=prompt.device)] = sent[layer]
    return queries


def _pattern(
    q: Float[Tensor, "b d_head"], k: Float[Tensor, "b pos d_head"], seen: Bool[Tensor, "b pos"]
) -> Float[Tensor, "b pos"]:
    """The attention of a query at END."""
    scores = (k @ q[:, :, None])[..., 0] / math.sqrt(q.shape[-1])  # b pos
    return scores.masked_fill(~seen, -math.inf).softmax(-1)
