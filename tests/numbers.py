"""Every number of the library on small inputs, so that a refactoring can show that it changed none.

    python -m tests.numbers write FILE.npz                  all numbers of this state of the code
    python -m tests.numbers compare FILE.npz                the largest difference from them, by key
    python -m tests.numbers write FILE.npz --dtype float64  the same without rounding of float32

`--only PREFIX` restricts either to the functions whose name begins with it. Where a comparison in
float32 is above the bound, the same in float64 tells rounding from a change.

Keys are paths such as "patch/z/denoising/layer head role/logit_diff" and do not depend on names in
the library. Each call of the library stands in a function of its own in the first part, `call_...`,
with every option given, since defaults may change; what is run with which options comes after. One
file, though a long one, so that it can be copied to another state of the code as a whole.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

import interp
from interp import circuits, heads, lens, metrics, patching, statistics
from interp import parts as parts_of
from interp.circuits.discoveries import effect_p_values, q_values
from interp.model.masks import after_same_token, same_token_before
from interp.runs.ablation import as_ablated, node_masks
from interp.tasks import (
    Task,
    acronym,
    agreement,
    from_table,
    greater_than,
    induction,
    ioi,
    named_again,
    pronoun,
    signal_variants,
    with_beginning,
)
from tests.helpers import random_model, random_task

_TEXTS = "texts that differ in length: means over real tokens, by role where roles stand elsewhere"
_INTERVALS = "intervals hold the mean as often as they say at few prompts too, and know the groups"
MENDED: dict[str, str] = {
    "ablate/embed/": "embeddings can be ablated; the call was refused for another reason",
    "ablate/layers together/v head/": "values of some layers together can be ablated",
    "*answer_logit": "answer_logit is a metric of the library, so ours has another name",
    "*answer_logit_clean": "the same",
    "*answer_logit_corrupted": "the same",
    "heads/path attention/no senders": "an empty list of heads is refused everywhere",
    "ablate/texts that differ in length/": _TEXTS,
    "ablation of texts that differ in length/": _TEXTS,
    "ablate_nodes/resample by role, own partners": _TEXTS,
    "ablate/where the ablation is too": "what the caller asks for wins over the ablation",
    "logit lens/*in an ablation/kl_divergence": "the divergence is measured from the whole model",
    "*/low": _INTERVALS,
    "*/high": _INTERVALS,
    "*_low": _INTERVALS,
    "*_high": _INTERVALS,
    "*/interval": _INTERVALS,
    "*/link numbers": _INTERVALS,
    "statistics/": _INTERVALS,
    "circuit/sets/minimality": "nodes are named as they print, such as 9.6@END",
    "circuit/published/tables/minimality sets": "nodes are named as they print; sets are sorted",
    "circuit/published/ioi": "the members of a circuit are sorted",
    "circuit/published/induction beside ioi": "circuits of two tasks are not compared",
    "*/table of heads/receivers": "the column is called receivers",
    "*/table of heads/tells": "the column is called receivers",
    "patch/where the ablation is too/": "a patch of v in an ablation of z is no longer refused",
}
"""Prefix of keys, or a pattern with *, -> which fault was mended that makes them other numbers."""

UNORDERED = ("derive/", "circuit/known/", "prune/")
"""Prefixes of keys whose rows are compared in any order: members and links are sorted now."""

_POSITIVE = ("name mover", "backup name mover")

BOUND = 1e-6
"""Largest absolute difference that counts as none."""

Numbers = dict[str, np.ndarray]
Node = tuple[int, int, str]
"""Layer, head, role."""

ROLES = ["IO", "IO+1", "S1", "S1+1", "S2", "S2+1", "END-1", "END"]
NODES: tuple[tuple[int, int, str, str], ...] = (
    (0, 0, "previous token", "S2+1"),
    (0, 2, "previous token", "S2+1"),
    (0, 4, "previous token", "S2+1"),
    (2, 1, "other", "END-1"),
    (2, 6, "other", "END-1"),
    (4, 0, "name mover", "END"),
    (4, 6, "name mover", "END"),
    (4, 7, "backup name mover", "END"),
    (5, 3, "backup name mover", "END"),
    (5, 4, "negative name mover", "END"),
)
"""Heads of the bundled model, as `derive` finds them on a few prompts; classes partly made up, so
that there is one of each kind of mover."""

TEXT = "When Mary and John went to the store, John gave a ring to"
PLAIN = ["logit_diff", "probability", "probability_diff", "kl_divergence", "accuracy", "rank"]
GRADED = ["logit_diff", "probability", "probability_diff", "kl_divergence"]


def or_refused(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, which in place of an error of the library returns the name of its class."""

    @wraps(call)
    def attempt(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except (ValueError, KeyError, IndexError, RuntimeError) as error:
            return {"refused": [type(error).__name__]}

    return attempt


# ---- calls of the library: adapt these ----------------------------------------------------------


def call_load(dtype: torch.dtype) -> Any:
    return interp.load("mini", device="cpu", dtype=dtype)


def call_ablation(
    *,
    heads: Any = (),
    mlps: Sequence[int] = (),
    neurons: Sequence[tuple[int, int]] = (),
    value: str = "mean",
    positions: Sequence[str | int] | None = None,
    keep: Sequence[Node] = (),
    reference: Task | None = None,
) -> Any:
    parts: Any = "heads"
    if heads != "all":
        parts = [
            *(parts_of.Head(*head) for head in heads),
            *(parts_of.MLP(layer) for layer in mlps),
            *(parts_of.Neuron(*neuron) for neuron in neurons),
        ]
    return patching.Ablation(
        parts, value=value, positions=positions, keep=keep, reference=reference
    )


@or_refused
def call_patch(
    model: Any,
    task: Task,
    site: str,
    over: Sequence[str],
    *,
    direction: str = "denoising",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    neurons: Sequence[int] | None = None,
    positions: Sequence[str | int] | None = None,
    sources: Sequence[str | int] | None = None,
    metrics: Any = "logit_diff",
    ablation: Any = None,
) -> xr.Dataset:
    selection = patching.Selection(over, layers, heads, neurons, positions, sources)
    return patching.patch(
        model, task, site, selection, direction=direction, metrics=metrics, ablation=ablation
    )


@or_refused
def call_path_patch(
    model: Any,
    task: Task,
    receiver: str = "logits",
    *,
    to_heads: Sequence[tuple[int, int]] = (),
    to_layers: Sequence[int] = (),
    to_positions: Sequence[str | int] | None = None,
    site: str = "z",
    over: Sequence[str] = ("layer", "head"),
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    positions: Sequence[str | int] | None = None,
    mlps: str = "recomputed",
    direction: str = "noising",
    metrics: Any = "logit_diff",
    ablation: Any = None,
) -> xr.Dataset:
    receivers = patching.Receivers(
        receiver, heads=to_heads, layers=to_layers, positions=to_positions
    )
    selection = patching.Selection(over, layers, heads, positions=positions)
    return patching.path_patch(
        model, task, receivers, selection, site=site, mlps=mlps, direction=direction,
        metrics=metrics, ablation=ablation,
    )  # fmt: skip


@or_refused
def call_ablate(
    model: Any,
    task: Task,
    site: str,
    over: Sequence[str],
    *,
    value: str = "mean",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    neurons: Sequence[int] | None = None,
    positions: Sequence[str | int] | None = None,
    keep_positions: Sequence[str | int] = (),
    reference: Task | None = None,
    metrics: Any = "logit_diff",
    ablation: Any = None,
) -> xr.Dataset:
    selection = patching.Selection(
        over, layers, heads, neurons, positions, except_positions=keep_positions
    )
    return patching.ablate(
        model, task, site, selection, value=value, reference=reference, metrics=metrics,
        ablation=ablation,
    )  # fmt: skip


@or_refused
def call_ablate_sets(
    model: Any,
    task: Task,
    sets: Mapping[str, Sequence[tuple[int, int]]],
    site: str,
    *,
    value: str = "mean",
    positions: Sequence[str | int] | None = None,
    keep_positions: Sequence[str | int] = (),
    reference: Task | None = None,
    metrics: Any = "logit_diff",
    ablation: Any = None,
) -> xr.Dataset:
    part = {"z": parts_of.Head, "mlp_post": parts_of.Neuron}[site]
    return patching.ablate(
        model,
        task,
        {name: [part(*one) for one in some] for name, some in sets.items()},
        patching.Selection(positions=positions, except_positions=keep_positions),
        value=value,
        reference=reference,
        metrics=metrics,
        ablation=ablation,
    )


@or_refused
def call_ablate_nodes(
    model: Any,
    task: Task,
    sets: Mapping[str, Sequence[Node]],
    *,
    value: str = "group mean",
    reference: Any = None,
    metrics: Any = "logit_diff",
    ablation: Any = None,
) -> xr.Dataset:
    return patching.ablate(
        model, task, sets, value=value, reference=reference, metrics=metrics, ablation=ablation
    )


@or_refused
def call_attribution_patch(
    model: Any,
    task: Task,
    site: str,
    over: Sequence[str],
    *,
    direction: str = "denoising",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    neurons: Sequence[int] | None = None,
    positions: Sequence[str | int] | None = None,
    sources: Sequence[str | int] | None = None,
    metric: Any = "logit_diff",
    fixes: Sequence[str] = (),
    ablation: Any = None,
) -> xr.Dataset:
    selection = patching.Selection(over, layers, heads, neurons, positions, sources)
    return patching.attribution_patch(
        model, task, site, selection, direction=direction, metric=metric, fixes=fixes,
        ablation=ablation, dtype=None,
    )  # fmt: skip


def call_screen(
    model: Any,
    task: Task,
    site: str,
    over: Sequence[str],
    *,
    top: int,
    direction: str = "denoising",
    neurons: Sequence[int] | None = None,
    positions: Sequence[str | int] | None = None,
    metric: Any = "logit_diff",
    fixes: Sequence[str] = (),
    ablation: Any = None,
) -> xr.Dataset:
    selection = patching.Selection(over, neurons=neurons, positions=positions)
    return patching.screen(
        model, task, site, selection, top=top, direction=direction, metric=metric, fixes=fixes,
        ablation=ablation, dtype=None,
    )  # fmt: skip


def call_agreement(
    estimated: xr.Dataset, exact: xr.Dataset, *, metric: str = "logit_diff", by: str = "effect"
) -> dict[str, Any]:
    found = patching.agreement(estimated, exact, metric, by=by, worst=4)
    return {
        "rank correlation": found.rank_correlation,
        "correlation": found.correlation,
        "relative error": found.relative_error,
        "cells": found.n_cells,
        "worst": found.worst,
    }


def call_effect(result: xr.Dataset, metric: str = "logit_diff") -> xr.DataArray:
    return patching.effect(result, metric)


def call_mean_effect(result: xr.Dataset, metric: str = "logit_diff") -> xr.Dataset:
    return patching.mean_effect(result, metric, level=0.95)


def call_mean_over_prompts(values: xr.DataArray) -> xr.Dataset:
    return patching.mean_over_prompts(values, level=0.95)


def call_normalized(result: xr.Dataset, metric: str = "logit_diff") -> xr.Dataset:
    return patching.normalized(result, metric, level=0.95)


@or_refused
def call_measure(
    model: Any, task: Task, metrics: Any, *, side: str = "clean", ablation: Any = None
) -> xr.Dataset:
    return patching.measure(model, task, metrics, side=side, ablation=ablation)


def call_run_task(model: Any, task: Task, *, side: str = "clean", ablation: Any = None) -> Tensor:
    return patching.run_task(model, task, side=side, ablation=ablation)


def call_kept_outputs(model: Any, task: Task, keep: Sequence[Node]) -> Tensor:
    task = task.right_padded()
    kept = torch.zeros(
        model.config.n_layers, *task.clean_tokens.shape, model.config.n_heads, dtype=torch.bool
    )
    for (_, layer), mask in node_masks(model, task, as_ablated(keep), None).items():
        kept[layer] = mask
    return kept


def call_node_paths(
    model: Any,
    task: Task,
    senders: Sequence[Node | str],
    receivers: Mapping[str, tuple[Sequence[tuple[int, int, str, str]], bool]],
    *,
    ablation: Any = None,
) -> dict[str, Any]:
    """Effects of the paths from each sender (a role: the tokens there) into sets of receivers.

    A set of receivers is (layer, head, role, inputs) of each, and whether the logits receive too.
    """
    paths = patching.NodePaths(model, task, metrics="logit_diff", ablation=ablation)
    asked = [f"input@{s}" if isinstance(s, str) else s for s in senders]
    sent = paths.send(asked)
    found: dict[str, Any] = {"base": paths.base["logit_diff"]}
    for name, (ports, logits) in receivers.items():
        some = [
            parts_of.Port(parts_of.as_node((layer, head, role)), letters)
            for layer, head, role, letters in ports
        ]
        some += [parts_of.Port(parts_of.as_node("logits@END"))] if logits else []
        values = paths.receive(sent, some)["logit_diff"]
        order = [sent.senders.index(parts_of.as_node(x)) for x in asked]
        found[name] = values[order]
    return found


def call_logit_lens(
    model: Any,
    prompt: Any,
    site: str,
    *,
    scale: str | None,
    tuned: Any = None,
    layers: Sequence[int] | None = None,
    k: int = 3,
    answer: Any = None,
    foil: Any = None,
    position: str | int | None = None,
    ablation: Any = None,
) -> xr.Dataset:
    return lens.logit_lens(
        model, prompt, site=site, scale=scale, tuned=tuned, layers=layers, k=k, answer=answer,
        foil=foil, position=position, ablation=ablation,
    )  # fmt: skip


def call_direct_logit_attribution(
    model: Any,
    prompt: Any,
    by: str,
    *,
    answer: Any = None,
    foil: Any = None,
    position: str | int = "END",
    ablation: Any = None,
) -> xr.DataArray:
    return lens.direct_logit_attribution(
        model, prompt, by=by, answer=answer, foil=foil, position=position, ablation=ablation
    )


def call_cumulative(attribution: xr.DataArray) -> xr.DataArray:
    return lens.cumulative(attribution)


def call_tune(model: Any, rows: Tensor, *, steps: int) -> tuple[Any, Tensor]:
    """A tuned lens, and the rows held out."""
    batches, held_out = lens.text_batches(model, rows, length=rows.shape[1], rows=4, seed=0)
    return lens.tune(model, batches, steps=steps, learning_rate=1e-3), held_out


def call_compare_lenses(model: Any, tokens: Tensor, tuned: Any) -> xr.Dataset:
    return lens.compare_lenses(model, tokens, tuned)


def call_attention_patterns(model: Any, prompt: Any, *, ablation: Any = None) -> xr.DataArray:
    return heads.attention_patterns(model, prompt, ablation=ablation)


def call_value_weighted(patterns: xr.DataArray) -> xr.DataArray:
    return heads.value_weighted(patterns)


def call_sharpest_heads(patterns: xr.DataArray, count: int) -> list[tuple[int, int]]:
    return heads.sharpest_heads(patterns, count)


def call_attention_between(
    model: Any, task: Task, queries: Sequence[str], keys: Sequence[str], *, ablation: Any = None
) -> xr.DataArray:
    return heads.attention_between(model, task, queries=queries, keys=keys, ablation=ablation)


def call_repeated_tokens(model: Any, n: int, length: int) -> Tensor:
    return heads.repeated_random_tokens(model, n=n, length=length, seed=0)


def call_attention_scores(model: Any, tokens: Tensor) -> xr.Dataset:
    return heads.attention_scores(model, tokens)


def call_copy_scores(model: Any, task: Task, roles: Sequence[str] | None, k: int) -> xr.Dataset:
    return heads.copy_scores(model, task, roles=roles, k=k)


def call_ov_ranks(model: Any, tokens: Sequence[int], first_mlp: bool) -> xr.Dataset:
    return heads.ov_ranks(model, tokens=tokens, first_mlp=first_mlp)


def call_eigenvalue_scores(model: Any) -> xr.DataArray:
    return heads.eigenvalue_scores(model)


def call_composition_scores(weights: Any, fold_layer_norm: bool) -> xr.DataArray:
    return heads.composition_scores(weights, kinds=("q", "k", "v"), fold_layer_norm=fold_layer_norm)


def call_random_composition(weights: Any, fold_layer_norm: bool) -> xr.DataArray:
    return heads.random_composition(
        weights, kinds=("q", "k", "v"), fold_layer_norm=fold_layer_norm, samples=1, seed=0
    )


def call_composition_pairs(scores: xr.DataArray, random: xr.DataArray | None) -> pd.DataFrame:
    return heads.composition_pairs(scores, random=random, n=20)


def call_strongest_senders(scores: xr.DataArray) -> pd.DataFrame:
    return heads.strongest_senders(scores)


def call_matrices(weights: Any, fold_layer_norm: bool) -> dict[str, Tensor]:
    """Traces, squared lengths and largest entries, a head, of the OV and QK matrices."""
    found = {}
    for name, make in (("ov", heads.ov_matrices), ("qk", heads.qk_matrices)):
        product = make(weights, fold_layer_norm=fold_layer_norm).AB
        found[f"{name}/trace"] = product.diagonal(dim1=-2, dim2=-1).sum(-1)
        found[f"{name}/norm"] = product.norm(dim=(-2, -1))
        found[f"{name}/first rows"] = product[..., :2, :6]
    return found


def call_ov_directions(model: Any, layer: int, head: int) -> pd.DataFrame:
    return heads.ov_directions(model, (layer, head), n=3, k=4)


def call_qk_directions(model: Any, layer: int, head: int) -> pd.DataFrame:
    return heads.qk_directions(model, (layer, head), n=3, k=4)


def call_attention_projection(
    model: Any, task: Task, roles: Sequence[str] | None, *, ablation: Any = None
) -> xr.Dataset:
    return heads.attention_projection(model, task, roles=roles, ablation=ablation)


def call_correlation(projection: xr.Dataset) -> xr.DataArray:
    return heads.correlation(projection)


def call_next_token_projection(model: Any, tokens: Tensor) -> xr.DataArray:
    return heads.next_token_projection(model, tokens)


def call_attention_rollout(patterns: xr.DataArray) -> xr.DataArray:
    return heads.attention_rollout(patterns)


def call_attention_flow(
    patterns: xr.DataArray, layers: Sequence[int], queries: Sequence[int]
) -> xr.DataArray:
    return heads.attention_flow(patterns, layers=layers, queries=queries)


def call_position_tables(weights: Any) -> dict[str, Any]:
    return {
        "similarity": heads.position_similarity(weights).isel(pos=slice(0, 12)),
        "spectrum": heads.position_spectrum(weights),
        "sinusoidal": heads.positions.sinusoidal(16, 8),
    }


@or_refused
def call_path_attention(
    model: Any,
    task: Task,
    senders: Sequence[tuple[int, int]],
    receivers: Sequence[tuple[int, int]],
    keys: Sequence[str] | None,
) -> xr.Dataset:
    return patching.path_attention(model, task, senders, receivers, keys=keys)


def call_head_table(
    model: Any, task: Task | None, tokens: Tensor, by: str
) -> tuple[xr.Dataset, pd.DataFrame]:
    """The table, and its heads in the order of one score."""
    table = heads.head_table(model, task, roles=None, tokens=tokens, k=5, seed=0)
    return table, heads.ranked(table, by, n=8)


def call_circuit(model: Any, nodes: Sequence[tuple[int, int, str, str]]) -> Any:
    members = (
        circuits.Member(parts_of.as_node((layer, head, role)), kind)
        for layer, head, kind, role in nodes
    )
    return circuits.Circuit(model.name, tuple(members), "by hand")


def told_circuit(circuit: Any) -> dict[str, Any]:
    """Heads, links and connections of a circuit, as texts and numbers."""
    none = float("nan")

    def number(value: float | None) -> float:
        return none if value is None else value

    return {
        "heads": [f"{h.label} {h.role} {h.kind}" for h in circuit.heads],
        "mlps": [f"{m.layer} {m.role}" for m in circuit.mlps],
        "links": [
            f"{k.sender.part} {k.sender.role} -> {k.receiver.part} {k.receiver.role} {k.input}"
            for k in circuit.links
        ],
        "link numbers": np.array(
            [
                [number(k.effect), number(k.low), number(k.high), number(k.q_value)]
                for k in circuit.links
            ]
        ).reshape(-1, 4),
        "connections": [
            f"{e.sender.kind} {e.sender.role} -> {e.receiver.kind} {e.receiver.role} {e.inputs}"
            for e in circuit.connections() or circuits.published.published_connections(circuit)
        ],
    }


def told_sets(sets: Mapping[str, Sequence[Any]]) -> list[str]:
    """Sets of a circuit's heads as texts."""
    return [
        f"{name}: " + ", ".join(f"{h.label} {h.role}" for h in some) for name, some in sets.items()
    ]


def call_derive(
    model: Any, task: Task, *, nodes: Sequence[Node] | None = None, ablation: Any = None
) -> dict[str, Any]:
    found = circuits.derive(
        model, task, metrics="logit_diff", smallest=0.02, fdr=0.05, min_attention=0.2, nodes=nodes,
        ablation=ablation,
    )  # fmt: skip
    return {
        "circuit": told_circuit(found.circuit),
        "effects": found.effects["logit_diff"],
        "nodes": found.nodes["logit_diff"],
        "node q values": found.nodes["q_value"].sel(metric="logit_diff"),
        "behavior": found.behavior,
        "tested": found.tested,
        "smallest": found.smallest,
        "table of heads": found.heads(),
        "table of links": found.links(),
    }


def call_prune_heads(
    model: Any, task: Task, threshold: float, positions: Sequence[str | int] | None
) -> list[str]:
    found = circuits.prune_heads(
        model, task, metrics="logit_diff", threshold=threshold, positions=positions
    )
    return [f"{node.part} {node.role}" for node in found]


def of_runs(result: xr.Dataset) -> xr.Dataset:
    """The runs of a result on the logit difference, each a variable of its own."""
    values = result["logit_diff"]
    return xr.Dataset({str(run): values.sel(run=run, drop=True) for run in values["run"].values})


def call_faithfulness(model: Any, task: Task, circuit: Any) -> xr.Dataset:
    return of_runs(circuits.faithfulness(model, task, circuit, metrics="logit_diff"))


def call_without(
    model: Any, task: Task, circuit: Any, sets: Mapping[str, Any], *, reference: Task | None = None
) -> dict[str, Any]:
    result = circuits.completeness(
        model, task, circuit, sets, metrics="logit_diff", reference=reference
    )
    return {"values": of_runs(result), "gap": circuits.gap(result)}


def call_only(
    circuit: Any,
    *,
    positions: Sequence[str | int] | None = None,
    reference: Task | None = None,
) -> Any:
    nodes = [member.node for member in circuit.heads]
    return patching.Ablation(
        "heads", value="group mean", positions=positions, keep=nodes, reference=reference
    )


def call_class_sets(circuit: Any) -> dict[str, Any]:
    return circuits.class_sets(circuit)


def call_random_sets(circuit: Any, n: int) -> dict[str, Any]:
    return circuits.random_sets(circuit, n, seed=0)


def call_greedy_sets(
    model: Any, task: Task, circuit: Any, *, reference: Task | None = None
) -> dict[str, Any]:
    return circuits.greedy_sets(
        model, task, circuit, metrics="logit_diff", runs=2, iterations=3, candidates=4,
        reference=reference, seed=0,
    )  # fmt: skip


def call_minimality_sets(
    circuit: Any, importance: Any, exceptions: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    if callable(importance):
        movers = {h.part: h for kind in _POSITIVE for h in circuit.heads_of(kind)}
        importance = sorted(movers, key=lambda part: importance(part))
    return circuits.minimality_sets(circuit, importance=importance, exceptions=exceptions)


def call_minimality(model: Any, task: Task, circuit: Any, sets: Mapping[str, Any]) -> xr.Dataset:
    result = circuits.minimality(model, task, circuit, sets, metrics="logit_diff")
    return of_runs(result).assign(change=circuits.gap(result))


@or_refused
def call_compare(circuit: Any, reference: Any) -> pd.DataFrame:
    return circuits.compare(circuit, reference)


def call_known_circuit(name: str, noise: float) -> tuple[Any, Task, Any]:
    known = circuits.known_circuit(name, n=8, seed=0, noise=noise)
    return known.model, known.task, known.circuit


def call_known_names() -> list[str]:
    return list(circuits.known.KNOWN)


def call_published(task: str) -> Any:
    return circuits.published_circuit(task, "gpt2")


def call_paper_tables() -> dict[str, Any]:
    figures = circuits.published.IOI_FIGURES
    return {
        "figures/keys": [f"{f.key}: {f.label}, {f.unit}, {f.source}" for f in figures],
        "figures/numbers": np.array([[f.value, f.low, f.high] for f in figures]),
        "greedy": [" ".join(map(str, some)) for some in circuits.published.IOI_GREEDY],
        "importance": [str(head) for head in circuits.published.IOI_IMPORTANCE],
        "exceptions": [f"{k}: {v}" for k, v in circuits.published.IOI_EXCEPTIONS.items()],
        "minimality sets": told_sets(
            circuits.minimality_sets(
                circuits.published_circuit("ioi", "gpt2"),
                importance=circuits.published.IOI_IMPORTANCE,
                exceptions=circuits.published.IOI_EXCEPTIONS,
            )
        ),
    }


def call_bootstrap(values: np.ndarray, other: np.ndarray, groups: Any) -> dict[str, Any]:
    """Means, and ratios to others, with intervals: of one row of values, and of all."""
    settings: dict[str, Any] = {"groups": groups, "level": 0.95}
    mean = statistics.estimate_mean(values[0], **settings)
    ratio = statistics.estimate_ratio(values[0], other[0], **settings)
    return {
        "mean": [mean.mean, mean.low, mean.high],
        "ratio": [ratio.mean, ratio.low, ratio.high],
        "means/interval": np.stack(statistics.interval("mean", values, **settings)[1:]),
        "ratios/interval": np.stack(statistics.interval("ratio", values, other, **settings)),
    }


def call_tests_of_effects(effects: np.ndarray) -> dict[str, Any]:
    p = effect_p_values(effects, smallest=0.05)
    return {"p": p, "q": q_values(p), "q of a family": q_values(p, family=40)}


def call_metrics(logits: Tensor, task: Task) -> dict[str, Tensor]:
    found = {
        "logit_diff": metrics.logit_diff(logits, task.answer, task.foil),
        "probability": metrics.probability(logits, task.answer),
        "probability_diff": metrics.probability_diff(logits, task.answer, task.foil),
        "kl_divergence": metrics.kl_divergence(logits, logits.roll(1, 0)),
        "accuracy": metrics.accuracy(logits, task.answer, task.foil),
        "accuracy of all": metrics.top1(logits, task.answer),
        "rank": metrics.rank(logits, task.answer),
    }
    if task.answer.ndim == 2:
        found["cutoff_sharpness"] = metrics.cutoff_sharpness(logits, task.answer, task.foil)
    return found


def call_generate(model: Any, prompt: Any, **settings: Any) -> Any:
    every = {"max_new_tokens": 8, "temperature": 0.0, "top_k": None, "top_p": None, "seed": 0}
    return interp.generate(model, prompt, **{**every, "use_past": True, **settings})


def call_stream(model: Any, prompt: str) -> list[str]:
    settings: dict[str, Any] = {"temperature": 0.0, "top_k": None, "top_p": None, "seed": 0}
    return list(interp.stream(model, prompt, max_new_tokens=8, use_past=True, **settings))


def call_next_tokens(model: Any, text: str, k: int) -> pd.DataFrame:
    return interp.next_tokens(model, text, k=k)


def call_process_weights(model: Any, **settings: bool) -> Any:
    return interp.process_weights(model, **settings)


def call_attention_weights() -> Any:
    return interp.load_attention("mini", n_heads=None, device="cpu", dtype=torch.float32)


def call_key_value_cache() -> Any:
    return interp.KeyValueCache()


def call_verify() -> dict[str, Any]:
    report = interp.verify("mini", tolerance=1e-5)
    return {
        "passed": report.passed,
        "tokens": report.n_tokens,
        "layers": [layer.layer for layer in report.layers],
        "differences": [layer.difference for layer in report.layers],
        "scales": [layer.scale for layer in report.layers],
    }


# ---- models and prompts -------------------------------------------------------------------------


def alone(task: Task) -> Task:
    """The task without a sample of its kind to draw, so that means are over its own prompts."""
    return replace(task)


VARIED = (
    ("Yesterday Mary and John met. Then John gave a ring to", " met."),
    ("Yesterday Anna and Paul met. Then Paul gave a ring to", " met again."),
    ("Yesterday John and Mary met. Then Mary gave a ring to", " met at the store."),
    ("Yesterday Mark and Anna met. Then Anna gave a ring to", " met."),
    ("Yesterday Paul and Mark met. Then Mark gave a ring to", " met again."),
    ("Yesterday Mary and Paul met. Then Paul gave a ring to", " met."),
)
"""Clean texts of one length, and what stands in place of " met." in their partners."""


class Setting:
    """The models and tasks that everything is run on."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    @cached_property
    def mini(self) -> Any:
        return call_load(self.dtype)

    @cached_property
    def random(self) -> Any:
        return random_model(seed=3).to(self.dtype)

    @cached_property
    def random_task(self) -> Task:
        return random_task(n=7, lengths=(9, 6), seed=1)

    @cached_property
    def ioi(self) -> Task:
        return alone(ioi(self.mini.tokenizer, 10, seed=0, corruption="abc", order="mixed"))

    @cached_property
    def flip(self) -> Task:
        return alone(ioi(self.mini.tokenizer, 8, seed=1, corruption="flip", order="mixed"))

    @cached_property
    def grouped(self) -> Task:
        """Several prompts in each group."""
        templates = [
            "Yesterday [B] and [A] met. Then [B] gave a ring to [A]",
            "When [B] and [A] came to the store, [B] gave a book to [A]",
        ]
        return alone(
            ioi(
                self.mini.tokenizer, 12, seed=2, corruption="abc", order="mixed",
                templates=templates,
            )
        )  # fmt: skip

    @cached_property
    def other(self) -> Task:
        """The prompts of `grouped` with other partners: a reference."""
        templates = list(dict.fromkeys(self.grouped.template))
        task = ioi(
            self.mini.tokenizer, 12, seed=2, corruption="random", order="mixed",
            templates=sorted(templates, reverse=True),
        )  # fmt: skip
        if not torch.equal(task.clean_tokens, self.grouped.clean_tokens):
            raise ValueError("the clean prompts of a seed depend on the corruption")
        return task

    @cached_property
    def longer(self) -> Task:
        """Prompts whose partners are longer, roles later in them."""
        return with_beginning(
            self.ioi.subset(range(8)), self.mini.tokenizer, sentence="It was a cold morning."
        )

    @cached_property
    def varied(self) -> Task:
        """Prompts of one group whose partners have several lengths."""
        clean = [text for text, _ in VARIED]
        partners = [text for text, _ in VARIED[2:] + VARIED[:2]]
        corrupted = [
            text.replace(" met.", met) for text, (_, met) in zip(partners, VARIED, strict=True)
        ]
        ids, mask = self.mini.tokenize([*clean, *corrupted], padding_side="right")
        n = len(clean)
        length = mask.sum(-1)
        name = [torch.tensor([self.mini.to_single_token(f" {text.split()[i]}") for text in clean])
                for i in (1, 3)]  # fmt: skip
        return Task(
            "varied", tuple(clean), tuple(corrupted), clean_tokens=ids[:n],
            corrupted_tokens=ids[n:], attention_mask=mask[:n], corrupted_mask=mask[n:],
            answer=name[0], foil=name[1],
            positions={"IO": torch.ones(n, dtype=torch.long), "END": length[:n] - 1},
            corrupted_positions={"IO": torch.ones(n, dtype=torch.long), "END": length[n:] - 1},
            group=("one",) * n, template=("",) * n, order=("",) * n,
        )  # fmt: skip

    @cached_property
    def years(self) -> Task:
        return alone(greater_than(self.mini.tokenizer, 8, seed=0))

    @cached_property
    def repeats(self) -> Task:
        return alone(induction(self.mini.tokenizer, 8, seed=0, length=8, repeated=5))

    @cached_property
    def tokens(self) -> Tensor:
        """Random tokens, each sequence twice."""
        return call_repeated_tokens(self.mini, 4, 12)

    @cached_property
    def circuit(self) -> Any:
        return call_circuit(self.mini, NODES)


# ---- what is run --------------------------------------------------------------------------------

RUNS: dict[str, Callable[[Setting], Any]] = {}


def run(name: str) -> Callable[[Callable[[Setting], Any]], Callable[[Setting], Any]]:
    """Register a function that returns numbers, texts, arrays, tables, or a dict of these."""

    def register(function: Callable[[Setting], Any]) -> Callable[[Setting], Any]:
        RUNS[name] = function
        return function

    return register


def own_answer_logit(logits: Tensor, task: Task) -> Tensor:
    """A metric that is a function."""
    return logits.gather(1, task.answer[:, None])[:, 0]


def answer_share(logits: Tensor, task: Task) -> Tensor:
    """Another."""
    return logits.softmax(-1).gather(1, task.answer[:, None])[:, 0]


BY = {
    "embed": (("role",), ("position",)),
    **dict.fromkeys(
        ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"),
        (("layer", "role"), ("layer", "position"), ("layer",)),
    ),
    **dict.fromkeys(
        ("z", "q", "k", "v"), (("layer", "head", "role"), ("layer", "head"), ("head", "layer"))
    ),
}
"""Parts that each site is swept over."""


@run("task")
def tasks(s: Setting) -> Any:
    tokenizer = s.mini.tokenizer
    made = {
        "ioi": s.ioi,
        "flip": s.flip,
        "random": ioi(tokenizer, 8, seed=3, corruption="random", order="abba"),
        "grouped": s.grouped,
        "longer": s.longer,
        "varied": s.varied,
        "greater than": s.years,
        "induction": s.repeats,
        "pronoun": pronoun(tokenizer, 8, seed=0),
        "acronym": acronym(tokenizer, 8, seed=0, corruption="all"),
        "acronym, one word": acronym(tokenizer, 8, seed=0, corruption="word"),
        "agreement": agreement(tokenizer, 8, seed=0, distractor="other"),
        "agreement, mixed": agreement(tokenizer, 8, seed=0, distractor="mixed"),
        "IO again": named_again(s.ioi, tokenizer, "IO", seed=0),
        "S1 again": named_again(s.ioi, tokenizer, "S1", seed=0),
        "table": from_table(
            tokenizer, s.ioi.to_dataframe(tokenizer), name="table", roles=["IO", "S2"],
            leading_space=False,
        ),
    }  # fmt: skip
    signals = signal_variants(s.ioi, tokenizer, seed=0)
    made |= {f"signal {token} {position}": task for (token, position), task in signals.items()}
    return {
        name: {
            "clean": list(task.clean),
            "corrupted": list(task.corrupted),
            "clean tokens": task.clean_tokens,
            "corrupted tokens": task.corrupted_tokens,
            "mask": task.attention_mask,
            "answer": task.answer,
            "foil": task.foil,
            "positions": dict(task.positions),
            "corrupted positions": dict(task.roles("corrupted")),
            "groups": list(task.group),
        }
        for name, task in made.items()
    }


@run("model")
def model(s: Setting) -> Any:
    texts = [TEXT, "Yes.", "When Mary met"]
    tokens, mask = s.mini.tokenize(texts, prepend_bos=False, padding_side="left")
    one = s.mini.to_tokens(TEXT)
    with torch.no_grad():
        resid = s.mini(one, stop_at_layer=3)
        found = {
            "logits": s.mini(one, return_type="logits"),
            "logits, padded left": s.mini(tokens, mask)[mask],
            "logits of texts": s.mini(texts)[:, 0],
            "logits after bos": s.mini(TEXT, prepend_bos=True)[:, -1],
            "loss": s.mini(one, return_type="loss"),
            "loss of texts": s.mini(texts, return_type="loss"),
            "stream before 3": resid,
            "resumed at 3": s.mini(resid, start_at_layer=3)[:, -1],
            "random logits": s.random(s.random_task.clean_tokens, s.random_task.attention_mask)[
                s.random_task.attention_mask
            ],
        }
    return found


@run("model/cache")
def cache(s: Setting) -> Any:
    """Every activation, and every gradient, of a short text."""
    tokens = s.mini.to_tokens("Mary gave John a book")
    _, kept = s.mini.run_with_cache(tokens, return_type="loss", incl_bwd=True)
    names = [f"blocks.{i}.{x}" for i in (0, 5) for x in ("hook_q_input", "attn.hook_result")]
    _, wide = s.mini.run_with_cache(tokens, names_filter=lambda name: name in names)
    every = {**dict(kept.items()), **dict(wide.items())}
    return {name.replace("/", " "): value for name, value in every.items()}


@run("model/hooks")
def hooks(s: Setting) -> Any:
    """Logits of runs in which a hook returns an edited copy."""
    tokens = s.mini.to_tokens("Mary gave John a book")

    def halved(value: Tensor, hook: object) -> Tensor:
        value = value.clone()
        value[:, 2] = value[:, 2] / 2
        return value

    names = ["hook_embed", "hook_pos_embed"]
    names += [f"blocks.{i}.hook_{x}" for i in (1, 5) for x in (
        "resid_pre", "q_input", "k_input", "v_input", "attn_out", "resid_mid", "mlp_in", "mlp_out",
        "resid_post",
    )]  # fmt: skip
    names += [f"blocks.{i}.attn.hook_{x}" for i in (1, 5) for x in ("q", "k", "v", "z")]
    names += [f"blocks.{i}.mlp.hook_{x}" for i in (1, 5) for x in ("pre", "post")]
    with torch.no_grad():
        return {
            name: s.mini.run_with_hooks(tokens, fwd_hooks=[(name, halved)])[:, -1] for name in names
        }


@run("model/generation")
def generation(s: Setting) -> Any:
    texts = ["When Mary and John", "The war lasted from 13 28 to", "Yesterday"]
    past = call_key_value_cache()
    tokens = s.mini.to_tokens(TEXT)
    with torch.no_grad():
        first = s.mini(tokens[:, :6], past=past)
        second = s.mini(tokens[:, 6:], past=past)
    return {
        "greedy": call_generate(s.mini, texts),
        "greedy, one": call_generate(s.mini, texts[0]),
        "whole runs": call_generate(s.mini, texts, use_past=False),
        "drawn": call_generate(s.mini, texts, temperature=0.8, seed=3),
        "top k": call_generate(s.mini, texts, temperature=1.0, top_k=5, seed=4),
        "top p": call_generate(s.mini, texts, temperature=1.0, top_p=0.7, seed=5),
        "ids": call_generate(s.random, s.random_task.clean_tokens[:1], max_new_tokens=6),
        "stream": call_stream(s.mini, texts[0]),
        "logits with a cache": torch.cat([first, second], 1),
        "next tokens": call_next_tokens(s.mini, TEXT, 6),
        "pieces": s.mini.to_str_tokens(TEXT),
    }


@run("model/processing")
def processing(s: Setting) -> Any:
    kinds = ("fold_layer_norm", "center_writing_weights", "center_unembed", "fold_value_biases")
    found: dict[str, Any] = {}
    tokens = s.mini.to_tokens(TEXT)
    for name, chosen in {"all": kinds, **{kind: (kind,) for kind in kinds}}.items():
        made = call_process_weights(s.mini, **{kind: kind in chosen for kind in kinds})
        with torch.no_grad():
            found[f"{name}/logits"] = made(tokens)[:, -1]
        found[f"{name}/weights"] = {
            key: torch.stack([value.double().mean(), value.double().norm()])
            for key, value in made.named_parameters()
        }
        found[f"{name}/b_U"] = made.unembed.b_U
        if name == "all":
            found["patched"] = call_patch(made, s.ioi, "z", ("layer", "head"))
    found["accumulated bias"] = s.mini.accumulated_bias(3, mlp_input=True, include_mlp_biases=True)
    found["directions"] = s.mini.tokens_to_residual_directions(" Mary")
    return found


@run("verification")
def verification(s: Setting) -> Any:
    return call_verify()


@run("metrics")
def metrics_of_logits(s: Setting) -> Any:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(10, 1940, generator=generator, dtype=torch.float64).to(s.dtype)
    return {
        "ioi": call_metrics(call_run_task(s.mini, s.ioi), s.ioi),
        "greater than": call_metrics(call_run_task(s.mini, s.years), s.years),
        "random logits": call_metrics(drawn, s.ioi),
    }


@run("measure")
def measured(s: Setting) -> Any:
    functions = {"own": own_answer_logit, "share": answer_share}
    some = call_ablation(heads=[(4, 0), (4, 6)], mlps=[1], value="mean")
    found = {
        f"{side}/{name}": call_measure(s.mini, task, chosen, side=side)
        for side in ("clean", "corrupted")
        for name, task, chosen in (
            ("ioi", s.ioi, PLAIN),
            ("longer", s.longer, PLAIN),
            ("varied", s.varied, PLAIN),
            ("greater than", s.years, [*PLAIN, "cutoff_sharpness"]),
            ("induction", s.repeats, PLAIN),
            ("functions by name", s.ioi, functions),
            ("function and name", s.ioi, ["logit_diff", own_answer_logit]),
            ("function", s.ioi, own_answer_logit),
        )
    }
    for value in ("zero", "mean", "group mean", "resample"):
        out = replace(some, value=value)
        found[f"ablation/{value}"] = call_measure(s.mini, s.grouped, GRADED, ablation=out)
        found[f"ablation/{value}/logits"] = call_run_task(s.mini, s.grouped, ablation=out)[:, ::40]
    found["random"] = call_measure(s.random, s.random_task, PLAIN)
    found["logits"] = call_run_task(s.mini, s.ioi, side="corrupted")
    return found


@run("measure/in an ablation")
def measured_in_ablations(s: Setting) -> Any:
    """Ablations of every shape, read by the logit difference of the clean run."""
    nodes = [(layer, head, role) for layer, head, _, role in NODES]
    shapes: dict[str, dict[str, Any]] = {
        "heads": {"heads": [(0, 2), (4, 6)]},
        "all heads": {"heads": "all"},
        "MLPs": {"mlps": [0, 3]},
        "neurons": {"neurons": [(1, 7), (5, 100)]},
        "everything": {"heads": [(2, 1)], "mlps": [4], "neurons": [(1, 3), (5, 9)]},
        "at roles": {"heads": [(0, 2), (4, 6)], "mlps": [5], "positions": ["S2+1", "END"]},
        "at an index": {"heads": [(0, 2), (1, 1)], "positions": [3]},
        "circuit": {"heads": "all", "keep": nodes},
        "circuit at roles": {"heads": "all", "keep": nodes, "positions": ["S2", "END"]},
    }
    found = {
        f"{shape}/{value}": call_measure(
            s.mini, s.grouped, "logit_diff", ablation=call_ablation(value=value, **how)
        )
        for shape, how in shapes.items()
        for value in ("zero", "mean", "group mean", "resample")
    }
    for value in ("mean", "group mean", "resample"):
        out = call_ablation(heads=[(0, 2), (4, 6)], value=value, reference=s.other)
        found[f"reference/{value}"] = call_measure(s.mini, s.grouped, GRADED, ablation=out)
    found["kept outputs"] = call_kept_outputs(s.mini, s.grouped, nodes)
    return found


@run("ablation of texts that differ in length")
def ablation_of_other_lengths(s: Setting) -> Any:
    return {
        f"{name}/{value}": call_measure(
            s.mini, task, "logit_diff",
            ablation=call_ablation(heads=[(0, 2), (2, 6), (4, 6)], value=value, positions=at),
        )
        for name, task, at in (
            ("varied", s.varied, None),
            ("longer", s.longer, None),
            ("longer at roles", s.longer, ["S2", "END"]),
        )
        for value in ("zero", "mean", "group mean", "resample")
    }  # fmt: skip


def both(of: Callable[..., Any]) -> dict[str, Any]:
    """The same in both directions."""
    return {direction: of(direction=direction) for direction in ("denoising", "noising")}


@run("patch")
def patched(s: Setting) -> Any:
    """Every site, over roles and positions and all positions together, in both directions."""
    return {
        f"{site}/{way}/{' '.join(over)}": call_patch(
            s.mini, s.ioi, site, over, direction=way,
            metrics=["logit_diff", "probability"],
            positions=["IO", "S2", "END"] if over == ("layer", "head", "role") else None,
        )
        for site, every in BY.items()
        for over in every
        for way in ("denoising", "noising")
    }  # fmt: skip


@run("patch/pattern")
def patched_patterns(s: Setting) -> Any:
    every = {
        "layer head": {},
        "layer head role": {"positions": ["S2", "END"]},
        "layer role source_role": {"positions": ["S2", "END"], "sources": ["IO", "S1"]},
        "layer head source_role": {"positions": ["END"], "sources": ["IO", "S1", "S2"]},
        "layer head source": {"layers": [4], "positions": ["END"], "sources": [0, 3, 5]},
        "layer position source": {"layers": [2, 5], "positions": [4, 8], "sources": [1, 3]},
    }
    return {
        name: both(
            lambda direction, name=name, how=how: call_patch(
                s.mini, s.ioi, "pattern", tuple(name.split()), direction=direction, **how
            )
        )
        for name, how in every.items()
    }


@run("patch/neurons")
def patched_neurons(s: Setting) -> Any:
    neurons = list(range(0, 512, 73))
    return {
        " ".join(over): both(
            lambda direction, over=over: call_patch(
                s.mini, s.ioi, "mlp_post", over, direction=direction, neurons=neurons
            )
        )
        for over in (
            ("layer", "neuron"), ("layer", "neuron", "role"), ("layer",), ("layer", "position"),
        )
    }  # fmt: skip


@run("patch/selection")
def patched_selection(s: Setting) -> Any:
    return {
        "layers and heads": call_patch(
            s.mini, s.ioi, "z", ("layer", "head", "role"), layers=[1, 4], heads=[0, 6],
            positions=["END", "S2"],
        ),
        "heads together": call_patch(s.mini, s.ioi, "z", ("layer",), heads=[0, 6, 7]),
        "positions together": call_patch(
            s.mini, s.ioi, "resid_pre", ("layer",), positions=["S2", "END"]
        ),
        "over heads alone": call_patch(s.mini, s.ioi, "q", ("head",), layers=[4]),
        "indices": call_patch(s.mini, s.ioi, "v", ("layer", "head", "position"), positions=[1, 3]),
        "one cell": call_patch(s.mini, s.ioi, "mlp_out", (), layers=[3], positions=["END"]),
    }  # fmt: skip


LAYERS = {"some": [1, 3, 5], "last": [3, 4, 5]}


@run("patch/layers together")
def patched_layers_together(s: Setting) -> Any:
    """Cells that span several layers, so that later ones are changed on the way."""
    parts: dict[str, tuple[tuple[str, ...], ...]] = {
        **dict.fromkeys(("resid_pre", "resid_mid", "resid_post"), (("role",),)),
        **dict.fromkeys(("attn_out", "mlp_out"), (("role",), ("position",))),
        **dict.fromkeys(("z", "q", "k", "v"), (("head",), ("head", "role"), ("role",))),
        "pattern": (("head",), ("role",), ("head", "role", "source_role")),
        "mlp_post": (("role",), ("neuron",)),
    }
    found: dict[str, Any] = {}
    some = [(over, site, at) for site, every in parts.items() for over in every for at in LAYERS]
    for over, site, at in some:
        found[f"{site}/{' '.join(over)}/{at}"] = both(
            lambda direction, site=site, over=over, at=at: call_patch(
                s.mini,
                s.ioi,
                site,
                over,
                layers=LAYERS[at],
                direction=direction,
                positions=["S2", "END"] if "role" in over else None,
                sources=["IO", "S1"] if "source_role" in over else None,
                neurons=[0, 73, 300] if site == "mlp_post" else None,
            )
        )
    for value in ("zero", "mean", "resample"):
        for site, over in (("z", ("head",)), ("pattern", ("head",)), ("mlp_out", ("role",))):
            found[f"{site}/in an ablation/{value}"] = call_patch(
                s.mini, s.grouped, site, over, layers=[0, 2, 4], ablation=out_of(value)
            )
    return found  # fmt: skip


@run("patch/metrics")
def patched_metrics(s: Setting) -> Any:
    functions = {"own": own_answer_logit, "share": answer_share}
    return {
        "ioi": both(
            lambda direction: call_patch(
                s.mini, s.ioi, "z", ("layer", "head"), direction=direction, metrics=PLAIN
            )
        ),
        "functions by name": call_patch(s.mini, s.ioi, "z", ("layer", "head"), metrics=functions),
        "function": call_patch(s.mini, s.ioi, "mlp_out", ("layer",), metrics=own_answer_logit),
        "greater than": both(
            lambda direction: call_patch(
                s.mini, s.years, "z", ("layer", "head"), direction=direction,
                metrics=[*PLAIN, "cutoff_sharpness"],
            )
        ),
        "induction": both(
            lambda direction: call_patch(
                s.mini, s.repeats, "resid_pre", ("layer", "role"), direction=direction,
                metrics=PLAIN,
            )
        ),
    }  # fmt: skip


@run("patch/other tasks")
def patched_other_tasks(s: Setting) -> Any:
    random: dict[str, Any] = {}
    for site, over in {
        "embed": ("role",), "resid_mid": ("layer", "position"), "z": ("layer", "head"),
        "k": ("layer", "head", "role"), "pattern": ("layer", "head"),
        "mlp_post": ("layer", "role"),
    }.items():  # fmt: skip
        random[site] = both(
            lambda direction, site=site, over=over: call_patch(
                s.random, s.random_task, site, over, direction=direction, metrics=GRADED
            )
        )
    longer = {
        site: both(
            lambda direction, site=site, over=over: call_patch(
                s.mini, s.longer, site, over, direction=direction, positions=["S1", "S2", "END"]
            )
        )
        for site, over in {
            "embed": ("role",), "resid_pre": ("layer", "role"), "z": ("layer", "head", "role"),
            "k": ("layer", "head", "role"), "mlp_out": ("layer", "role"), "q": ("layer", "head"),
        }.items()
    }  # fmt: skip
    flip = call_patch(s.mini, s.flip, "resid_mid", ("layer", "role"))
    varied = call_patch(s.mini, s.varied, "z", ("layer", "head"), positions=["END"])
    return {"random": random, "longer": longer, "flip": flip, "varied": varied}


def out_of(value: str) -> Any:
    """An ablation of two heads, an MLP and a neuron, of layers 1 and 3 alone."""
    return call_ablation(heads=[(1, 2), (3, 4)], mlps=[1], neurons=[(3, 17)], value=value)


@run("patch/in an ablation")
def patched_in_ablations(s: Setting) -> Any:
    """Of parts that the ablation leaves alone."""
    alone = [0, 2, 4, 5]
    found: dict[str, Any] = {}
    for value in ("zero", "mean", "group mean", "resample"):
        for site, over in {
            "z": ("layer", "head"), "q": ("layer", "head"), "resid_pre": ("layer", "role"),
            "resid_mid": ("layer", "role"), "mlp_out": ("layer", "role"),
        }.items():  # fmt: skip
            found[f"{site}/{value}"] = both(
                lambda direction, site=site, over=over, value=value: call_patch(
                    s.mini, s.grouped, site, over, layers=alone, direction=direction,
                    ablation=out_of(value),
                )
            )  # fmt: skip
    found["pattern/mean"] = call_patch(
        s.mini, s.grouped, "pattern", ("layer", "head"), layers=alone, ablation=out_of("mean")
    )
    found["mlp_post/mean"] = call_patch(
        s.mini, s.grouped, "mlp_post", ("layer", "neuron"), layers=alone, neurons=[3, 17],
        ablation=out_of("mean"),
    )  # fmt: skip
    found["embed/mean"] = call_patch(s.mini, s.grouped, "embed", ("role",), ablation=out_of("mean"))
    return found


@run("patch/where the ablation is too")
def patched_in_the_ablation(s: Setting) -> Any:
    """Of parts of the layers that the ablation takes: which of the two wins."""
    return {
        f"{site}/{value}": both(
            lambda direction, site=site, over=over, value=value, neurons=neurons: call_patch(
                s.mini, s.grouped, site, over, layers=[1, 3], direction=direction, neurons=neurons,
                ablation=out_of(value),
            )
        )
        for value in ("zero", "mean")
        for site, over, neurons in (
            ("z", ("layer", "head"), None),
            ("q", ("layer", "head"), None),
            ("v", ("layer", "head"), None),
            ("pattern", ("layer", "head"), None),
            ("attn_out", ("layer", "role"), None),
            ("resid_mid", ("layer", "role"), None),
            ("mlp_out", ("layer", "role"), None),
            ("resid_post", ("layer", "role"), None),
            ("mlp_post", ("layer", "neuron"), [16, 17]),
        )
    }  # fmt: skip


@run("patch/where the ablation is too, layers together")
def patched_in_the_ablation_together(s: Setting) -> Any:
    """The same where layers of the ablation come after the first that is patched."""
    return {
        f"{site}/{value}": both(
            lambda direction, site=site, over=over, value=value, neurons=neurons: call_patch(
                s.mini, s.grouped, site, over, layers=[0, 1, 3], direction=direction,
                neurons=neurons, ablation=out_of(value),
            )
        )
        for value in ("zero", "mean")
        for site, over, neurons in (
            ("z", ("head",), None),
            ("mlp_out", ("role",), None),
            ("mlp_post", ("neuron",), [16, 17]),
        )
    }  # fmt: skip


@run("effects")
def effects(s: Setting) -> Any:
    result = call_patch(
        s.mini, s.ioi, "z", ("layer", "head", "role"), layers=[2, 4], positions=["S2", "END"],
        metrics=["logit_diff", "probability"],
    )  # fmt: skip
    spread = call_patch(s.mini, s.grouped, "resid_pre", ("layer", "position"))
    ablated = call_ablate(s.mini, s.grouped, "z", ("layer", "head"))
    return {
        f"{name}/{metric}": {
            "effect": call_effect(values, metric),
            "mean": call_mean_effect(values, metric),
            **({} if name == "ablated" else {"normalized": call_normalized(values, metric)}),
            "over prompts": call_mean_over_prompts(values[metric]),
        }
        for name, values, metric in (
            ("roles", result, "logit_diff"),
            ("roles", result, "probability"),
            ("groups", spread, "logit_diff"),
            ("ablated", ablated, "logit_diff"),
        )
    }


RECEIVERS: dict[str, dict[str, Any]] = {
    "logits": {"receiver": "logits"},
    "q": {"receiver": "q", "to_heads": [(4, 0), (4, 6), (5, 3)], "to_positions": ["END"]},
    "k": {"receiver": "k", "to_heads": [(2, 1), (4, 6)]},
    "v": {"receiver": "v", "to_heads": [(2, 1), (4, 0)], "to_positions": ["IO", "S2+1"]},
    "mlp_in": {"receiver": "mlp_in", "to_layers": [3, 5]},
    "resid_pre": {"receiver": "resid_pre", "to_layers": [4], "to_positions": ["END"]},
    "resid_mid": {"receiver": "resid_mid", "to_layers": [2, 5]},
}
SENDERS: dict[str, dict[str, Any]] = {
    "z": {"site": "z", "over": ("layer", "head")},
    "z at roles": {"site": "z", "over": ("layer", "head", "role"), "positions": ["S2+1", "END"]},
    "z by layer": {"site": "z", "over": ("layer",)},
    "mlp_out": {"site": "mlp_out", "over": ("layer",)},
    "mlp_out at roles": {"site": "mlp_out", "over": ("layer", "role")},
    "embed": {"site": "embed", "over": ()},
    "embed at roles": {"site": "embed", "over": ("role",)},
}


@run("path_patch")
def path_patched(s: Setting) -> Any:
    """Every receiver with every sender, MLPs recomputed and frozen."""
    return {
        f"{receiver}/{sender}/{mlps}": call_path_patch(s.mini, s.ioi, **to, **by, mlps=mlps)
        for receiver, to in RECEIVERS.items()
        for sender, by in SENDERS.items()
        for mlps in ("recomputed", "frozen")
    }


@run("path_patch/more")
def path_patched_more(s: Setting) -> Any:
    q = RECEIVERS["q"]
    longer = {"over": ("layer", "head", "role"), "positions": ["S2", "END"]}
    found: dict[str, Any] = {
        "denoising": {
            name: call_path_patch(s.mini, s.ioi, **to, direction="denoising", metrics=GRADED)
            for name, to in RECEIVERS.items()
        },
        "metrics": call_path_patch(s.mini, s.ioi, metrics=PLAIN),
        "function": call_path_patch(s.mini, s.ioi, **q, metrics=own_answer_logit),
        "greater than": call_path_patch(s.mini, s.years, metrics=["logit_diff", "probability"]),
        "induction": call_path_patch(s.mini, s.repeats, **q),
        "layers and heads": call_path_patch(s.mini, s.ioi, layers=[0, 2], heads=[1, 6]),
        "longer": call_path_patch(s.mini, s.longer, **longer),
        "longer to q": call_path_patch(s.mini, s.longer, **q, **longer),
        "random": {
            mlps: call_path_patch(s.random, s.random_task, metrics=GRADED, mlps=mlps)
            for mlps in ("recomputed", "frozen")
        },
        "random to k": call_path_patch(s.random, s.random_task, "k", to_heads=[(2, 1), (1, 3)]),
    }
    for value in ("zero", "mean", "group mean", "resample"):
        for name, to in (("logits", {}), ("q", q), ("v", RECEIVERS["v"])):
            found[f"in an ablation/{name}/{value}"] = call_path_patch(
                s.mini, s.grouped, **to, layers=[0, 2, 4, 5], ablation=out_of(value)
            )
        found[f"where the ablation is too/{value}"] = call_path_patch(
            s.mini, s.grouped, **q, layers=[1, 3], ablation=out_of(value)
        )
    return found


VALUES = ("zero", "mean", "group mean", "resample")


@run("ablate")
def ablated(s: Setting) -> Any:
    """Every value at every site."""
    over = {
        "z": ("layer", "head"), "mlp_out": ("layer", "role"), "attn_out": ("layer",),
        "resid_pre": ("layer", "role"), "resid_mid": ("layer",), "resid_post": ("layer",),
        "q": ("layer", "head"), "k": ("layer", "head"), "v": ("layer", "head", "role"),
        "embed": ("role",),
    }  # fmt: skip
    found: dict[str, Any] = {
        f"{site}/{value}": call_ablate(s.mini, s.grouped, site, parts, value=value)
        for site, parts in over.items()
        for value in VALUES
    }
    for value in VALUES:
        found[f"neurons/{value}"] = call_ablate(
            s.mini, s.grouped, "mlp_post", ("layer", "neuron"), value=value, neurons=[1, 100, 300]
        )
        found[f"random/{value}"] = call_ablate(
            s.random, s.random_task, "z", ("layer", "head"), value=value, metrics=PLAIN
        )
        found[f"at roles/{value}"] = call_ablate(
            s.mini,
            s.grouped,
            "z",
            ("layer", "head", "role"),
            value=value,
            positions=["S2+1", "END"],
        )
        found[f"kept positions/{value}"] = call_ablate(
            s.mini, s.grouped, "z", ("layer", "head"), value=value, keep_positions=["END", 0]
        )
        found[f"kept positions of MLPs/{value}"] = call_ablate(
            s.mini, s.grouped, "mlp_out", ("layer",), value=value, keep_positions=["S2"]
        )
        found[f"in an ablation/{value}"] = call_ablate(
            s.mini,
            s.grouped,
            "z",
            ("layer", "head"),
            value=value,
            layers=[0, 2, 4, 5],
            ablation=out_of("mean"),
        )
        found[f"where the ablation is too/{value}"] = call_ablate(
            s.mini,
            s.grouped,
            "z",
            ("layer", "head"),
            value=value,
            layers=[1, 3],
            ablation=out_of("mean"),
        )
        if value != "zero":
            found[f"reference/{value}"] = call_ablate(
                s.mini, s.grouped, "z", ("layer", "head"), value=value, reference=s.other
            )
    return found  # fmt: skip


@run("ablate/layers together")
def ablated_layers_together(s: Setting) -> Any:
    return {
        f"{site} {' '.join(over)}/{value}/{at}": call_ablate(
            s.mini, s.grouped, site, over, value=value, layers=LAYERS[at], neurons=neurons
        )
        for site, over, neurons in (
            ("z", ("head",), None),
            ("z", ("role",), None),
            ("q", ("head",), None),
            ("v", ("head",), None),
            ("attn_out", (), None),
            ("mlp_out", (), None),
            ("mlp_post", (), [0, 73, 300]),
        )
        for value in VALUES
        for at in LAYERS
    }


@run("ablate/where the ablation is too, layers together")
def ablated_in_the_ablation_together(s: Setting) -> Any:
    """Units that are ablated twice, by other values, in layers after the first that is ablated."""
    return {
        f"{site}/{value}": call_ablate(
            s.mini,
            s.grouped,
            site,
            over,
            value=value,
            layers=[0, 1, 3],
            neurons=neurons,
            ablation=out_of("mean"),
        )
        for value in VALUES
        for site, over, neurons in (
            ("z", ("head",), None),
            ("mlp_out", ("role",), None),
            ("mlp_post", ("neuron",), [16, 17]),
        )
    }


@run("ablate/metrics")
def ablated_metrics(s: Setting) -> Any:
    return {
        "ioi": call_ablate(s.mini, s.ioi, "z", ("layer", "head"), metrics=PLAIN),
        "function": call_ablate(s.mini, s.ioi, "z", ("layer", "head"), metrics=own_answer_logit),
        "greater than": call_ablate(
            s.mini, s.years, "mlp_out", ("layer", "role"), metrics=[*PLAIN, "cutoff_sharpness"]
        ),
        "induction": call_ablate(s.mini, s.repeats, "z", ("layer", "head"), metrics=PLAIN),
    }


@run("ablate/texts that differ in length")
def ablated_other_lengths(s: Setting) -> Any:
    return {
        f"{name}/{value}": call_ablate(
            s.mini, task, "z", over, value=value, layers=[0, 2, 4], positions=at
        )
        for name, task, over, at in (
            ("varied", s.varied, ("layer", "head"), None),
            ("longer", s.longer, ("layer", "head"), None),
            ("longer at roles", s.longer, ("layer", "head", "role"), ["S2", "END"]),
        )
        for value in VALUES
    }


@run("ablate_sets")
def ablated_sets(s: Setting) -> Any:
    sets = {"none": [], "movers": [(4, 0), (4, 6), (4, 7)], "two layers": [(0, 2), (5, 3)]}
    pairs = patching.pairs([(4, 0), (4, 6), (5, 3)])
    found: dict[str, Any] = {"pairs/names": list(pairs)}
    for value in VALUES:
        found[f"z/{value}"] = call_ablate_sets(s.mini, s.grouped, sets, "z", value=value)
        found[f"pairs/{value}"] = call_ablate_sets(s.mini, s.grouped, pairs, "z", value=value)
        found[f"neurons/{value}"] = call_ablate_sets(
            s.mini, s.grouped, {"a": [(1, 3), (1, 4)], "b": [(0, 9), (5, 100)]}, "mlp_post",
            value=value,
        )  # fmt: skip
        found[f"at roles/{value}"] = call_ablate_sets(
            s.mini, s.grouped, sets, "z", value=value, positions=["S2+1", "END"],
            keep_positions=["S2+1"], metrics=PLAIN,
        )  # fmt: skip
        found[f"in an ablation/{value}"] = call_ablate_sets(
            s.mini, s.grouped, sets, "z", value=value, ablation=out_of("mean")
        )
        if value != "zero":
            found[f"reference/{value}"] = call_ablate_sets(
                s.mini, s.grouped, sets, "z", value=value, reference=s.other
            )
    return found


@run("ablate_nodes")
def ablated_nodes(s: Setting) -> Any:
    nodes = [(layer, head, role) for layer, head, _, role in NODES]
    sets = {"none": [], "early": nodes[:3], "late": nodes[5:], "one": nodes[3:4], "all": nodes}
    within = [nodes[0], nodes[5], (4, 6, "S2")]
    found: dict[str, Any] = {}
    for value in VALUES:
        found[value] = call_ablate_nodes(s.mini, s.grouped, sets, value=value, metrics=PLAIN)
        found[f"in a circuit/{value}"] = call_ablate_nodes(
            s.mini, s.grouped, sets, value=value, ablation=call_only(s.circuit)
        )
        if value != "zero":
            found[f"reference/{value}"] = call_ablate_nodes(
                s.mini, s.grouped, sets, value=value, reference=s.other
            )
            found[f"references by set/{value}"] = call_ablate_nodes(
                s.mini, s.grouped, {"a": within, "b": nodes[5:]}, value=value,
                reference={"a": s.other, "b": s.grouped},
            )  # fmt: skip
    few = {"END": nodes[5:], "S2+1": nodes[:3]}
    some = s.ioi.subset(range(8))
    found["resample by role"] = call_ablate_nodes(
        s.mini, some, few, value="resample", reference=s.longer
    )
    found["resample by role, own partners"] = call_ablate_nodes(
        s.mini, s.longer, few, value="resample", reference=None
    )
    return found


ESTIMATED = {
    "embed": ("role",), "resid_pre": ("layer", "role"), "resid_mid": ("layer", "position"),
    "resid_post": ("layer",), "attn_out": ("layer", "role"), "mlp_out": ("layer", "role"),
    "z": ("layer", "head", "role"), "q": ("layer", "head"), "k": ("layer", "head"),
    "v": ("layer", "head", "position"), "pattern": ("layer", "head"),
    "mlp_post": ("layer", "neuron"),
}  # fmt: skip


@run("attribution_patch")
def estimated(s: Setting) -> Any:
    neurons = {"mlp_post": [0, 73, 300]}
    found: dict[str, Any] = {
        site: both(
            lambda direction, site=site, over=over: call_attribution_patch(
                s.mini, s.ioi, site, over, direction=direction, neurons=neurons.get(site)
            )
        )
        for site, over in ESTIMATED.items()
    }
    found["random"] = {
        site: call_attribution_patch(
            s.random, s.random_task, site, ("layer", "head"), metric="kl_divergence"
        )
        for site in ("z", "q", "pattern")
    }
    found["pattern/sources"] = call_attribution_patch(
        s.mini, s.ioi, "pattern", ("layer", "head", "source_role"), positions=["END"],
        sources=["IO", "S1", "S2"],
    )  # fmt: skip
    for metric in ("probability", "probability_diff", "kl_divergence", own_answer_logit):
        name = metric if isinstance(metric, str) else metric.__name__
        found[f"metric/{name}"] = call_attribution_patch(
            s.mini, s.ioi, "z", ("layer", "head"), metric=metric
        )
    found["metric/cutoff_sharpness"] = call_attribution_patch(
        s.mini, s.years, "z", ("layer", "head"), metric="cutoff_sharpness"
    )
    for value in VALUES:
        found[f"in an ablation/{value}"] = call_attribution_patch(
            s.mini, s.grouped, "z", ("layer", "head"), layers=[0, 2, 4, 5], ablation=out_of(value)
        )
    found["longer"] = both(
        lambda direction: call_attribution_patch(
            s.mini, s.longer, "z", ("layer", "head", "role"), positions=["S2", "END"],
            direction=direction,
        )
    )  # fmt: skip
    return found


@run("attribution_patch/fixes")
def estimated_with_fixes(s: Setting) -> Any:
    return {
        f"{site}/{' '.join(fixes)}": both(
            lambda direction, site=site, fixes=fixes: call_attribution_patch(
                s.mini, s.ioi, site, ("layer", "head"), direction=direction, fixes=fixes
            )
        )
        for site, fixes in (
            ("q", ("qk",)),
            ("k", ("qk",)),
            ("z", ("grad_drop",)),
            ("k", ("qk", "grad_drop")),
        )
    }


@run("screen")
def screened(s: Setting) -> Any:
    return {
        "z": call_screen(s.mini, s.ioi, "z", ("layer", "head"), top=8),
        "z at roles": call_screen(
            s.mini, s.ioi, "z", ("layer", "head", "role"), top=10, positions=["S2+1", "END"],
            direction="noising",
        ),
        "neurons": call_screen(
            s.mini, s.ioi, "mlp_post", ("layer", "neuron"), top=6, neurons=list(range(0, 512, 64))
        ),
        "grad_drop": call_screen(
            s.mini, s.ioi, "z", ("layer", "head"), top=5, fixes=("grad_drop",)
        ),
        "in an ablation": call_screen(
            s.mini, s.grouped, "mlp_out", ("layer", "role"), top=6, ablation=out_of("mean")
        ),
        "probability": call_screen(
            s.mini, s.ioi, "q", ("layer", "head"), top=6, metric="probability", fixes=("qk",)
        ),
    }  # fmt: skip


@run("agreement")
def agreements(s: Setting) -> Any:
    exact = call_patch(s.mini, s.ioi, "z", ("layer", "head"))
    estimate = call_attribution_patch(s.mini, s.ioi, "z", ("layer", "head"), fixes=("grad_drop",))
    screen = call_screen(s.mini, s.ioi, "z", ("layer", "head"), top=12)
    return {
        "effect": call_agreement(estimate, exact),
        "grad_drop": call_agreement(estimate, exact, by="grad_drop"),
        "screened": call_agreement(estimate, screen),
    }


@run("node paths")
def node_paths(s: Setting) -> Any:
    senders: list[Node | str] = ["IO", "S2", "END", (0, 0, "S2+1"), (0, 2, "S2+1"), (0, 2, "END")]
    senders += [(2, 1, "END-1"), (2, 6, "END-1"), (4, 0, "END"), (4, 6, "END")]
    receivers: dict[str, Any] = {
        "logits": ([], True),
        "q of one": ([(4, 6, "END", "q")], False),
        "k of one": ([(2, 6, "END-1", "k")], False),
        "v of several": ([(4, 0, "END", "v"), (5, 3, "END", "v")], False),
        "all of several, and logits": ([(2, 1, "END-1", "qkv"), (4, 6, "END", "qkv")], True),
        "k and v": ([(4, 0, "END", "kv")], False),
    }
    return {
        "ioi": call_node_paths(s.mini, s.ioi, senders, receivers),
        "in an ablation": call_node_paths(
            s.mini, s.grouped, senders, receivers,
            ablation=call_ablation(heads=[(1, 1), (3, 2), (4, 7)], value="mean"),
        ),
        "in a circuit": call_node_paths(
            s.mini, s.grouped, senders, receivers, ablation=call_only(s.circuit)
        ),
    }  # fmt: skip


@run("logit lens")
def logit_lens(s: Setting) -> Any:
    found: dict[str, Any] = {}
    for site in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"):
        for scale in ("own", "final"):
            found[f"{site}/{scale}/task"] = call_logit_lens(s.mini, s.ioi, site, scale=scale)
            found[f"{site}/{scale}/text"] = call_logit_lens(
                s.mini, TEXT, site, scale=scale, answer=" Mary", foil=" John"
            )
        found[f"{site}/usual scale"] = call_logit_lens(s.mini, s.ioi, site, scale=None)
    plain = {"site": "resid_post", "scale": "own"}
    out = call_ablation(heads=[(4, 0), (2, 1)], value="mean")
    found |= {
        "at a role": call_logit_lens(s.mini, s.ioi, **plain, position="S2"),
        "at an index": call_logit_lens(s.mini, s.ioi, **plain, position=3, layers=[1, 4]),
        "in an ablation": call_logit_lens(s.mini, s.ioi, **plain, ablation=out),
        "ids": call_logit_lens(s.mini, s.mini.to_tokens(TEXT), **plain, answer=100),
        "text in an ablation": call_logit_lens(
            s.mini, TEXT, **plain, ablation=call_ablation(heads=[(4, 0)], value="zero")
        ),
        "greater than": call_logit_lens(s.mini, s.years, **plain),
        "random": call_logit_lens(s.random, s.random_task, **plain),
    }
    return found


@run("direct logit attribution")
def attribution(s: Setting) -> Any:
    found: dict[str, Any] = {}
    out = call_ablation(heads=[(4, 0), (2, 1)], mlps=[3], value="mean")
    for by in ("component", "head", "neuron", "source", "source_role"):
        some = s.ioi.subset(range(3)) if by == "neuron" else s.ioi
        found[f"{by}/task"] = call_direct_logit_attribution(s.mini, some, by)
        found[f"{by}/at a role"] = call_direct_logit_attribution(s.mini, some, by, position="S2")
        found[f"{by}/in an ablation"] = call_direct_logit_attribution(
            s.mini, some, by, ablation=out
        )
        found[f"{by}/greater than"] = call_direct_logit_attribution(
            s.mini, s.years.subset([0, 1]), by
        )
        if by != "source_role":
            found[f"{by}/text"] = call_direct_logit_attribution(
                s.mini, TEXT, by, answer=[" Mary", " John"]
            )
            found[f"{by}/text with a foil"] = call_direct_logit_attribution(
                s.mini, TEXT, by, answer=" Mary", foil=" John", position=7
            )
    found["random"] = call_direct_logit_attribution(s.random, s.random_task, "component")
    found["cumulative"] = call_cumulative(call_direct_logit_attribution(s.mini, s.ioi, "component"))
    return found


@run("tuned lens")
def tuned_lens(s: Setting) -> Any:
    rows = torch.cat([call_repeated_tokens(s.mini, 40, 8), call_repeated_tokens(s.mini, 40, 8)], 1)
    tuned, held_out = call_tune(s.mini, rows, steps=4)
    return {
        "weight": tuned.weight[:, :8],
        "bias": tuned.bias,
        "held out": held_out,
        "compared": call_compare_lenses(s.mini, held_out, tuned),
        "reading": call_logit_lens(s.mini, s.ioi, "resid_post", scale="own", tuned=tuned),
        "reading before": call_logit_lens(s.mini, TEXT, "resid_pre", scale="own", tuned=tuned),
    }


@run("attention patterns")
def patterns(s: Setting) -> Any:
    text = call_attention_patterns(s.mini, TEXT)
    zero = call_attention_patterns(
        s.mini, TEXT, ablation=call_ablation(heads=[(0, 2)], value="zero")
    )
    sharp = call_sharpest_heads(text, 6)
    return {
        "text": text,
        "value norm": text["value_norm"],
        "key tokens": text["key_token"].values.tolist(),
        "weighted": call_value_weighted(text),
        "in an ablation": zero,
        "sharpest": [f"{layer}.{head}" for layer, head in sharp],
        "ids": call_attention_patterns(s.random, s.random_task.clean_tokens[0]),
        "rollout": call_attention_rollout(text),
        "flow": call_attention_flow(text, [2, 5], [3, 8]),
    }


@run("attention between")
def between(s: Setting) -> Any:
    roles = ["IO", "S1", "S2", "END"]
    out = call_ablation(heads=[(0, 2), (2, 6)], value="group mean")
    return {
        "ioi": call_attention_between(s.mini, s.ioi, ["S2", "END"], roles),
        "in an ablation": call_attention_between(
            s.mini, s.grouped, ["S2", "END"], roles, ablation=out
        ),
        "longer": call_attention_between(s.mini, s.longer, ["S2", "END"], roles),
        "random": call_attention_between(s.random, s.random_task, ["END"], ["S2", "END"]),
    }


@run("heads")
def scores(s: Setting) -> Any:
    projection = call_attention_projection(s.mini, s.ioi, ["IO", "S1", "S2"])
    out = call_ablation(heads=[(4, 0)], value="mean")
    return {
        "tokens": s.tokens,
        "attention scores": call_attention_scores(s.mini, s.tokens),
        "attention scores of prompts": call_attention_scores(s.mini, s.repeats.clean_tokens),
        "random model": call_attention_scores(s.random, call_repeated_tokens(s.random, 3, 10)),
        "copying": call_copy_scores(s.mini, s.ioi, ["IO", "S1"], 5),
        "copying at the answer": call_copy_scores(s.mini, s.ioi, None, 5),
        "ranks": call_ov_ranks(s.mini, [5, 100, 804, 1687], True),
        "ranks without MLP 0": call_ov_ranks(s.mini, [5, 100, 804, 1687], False),
        "eigenvalues": call_eigenvalue_scores(s.mini),
        "eigenvalues of a random model": call_eigenvalue_scores(s.random),
        "projection": projection,
        "projection in an ablation": call_attention_projection(
            s.mini, s.grouped, ["IO", "S2"], ablation=out
        ),
        "correlation": call_correlation(projection),
        "next token": call_next_token_projection(s.mini, s.tokens),
        "positions": call_position_tables(s.mini),
    }


@run("heads/weights")
def weights(s: Setting) -> Any:
    attention = call_attention_weights()
    found: dict[str, Any] = {}
    for name, source in (("mini", s.mini), ("attention alone", attention), ("random", s.random)):
        for fold in (True, False):
            key = f"{name}/{'folded' if fold else 'as they are'}"
            values = call_composition_scores(source, fold)
            found[f"{key}/composition"] = values
            found[f"{key}/products"] = call_matrices(source, fold)
            if name == "mini":
                random = call_random_composition(source, fold)
                found[f"{key}/composition at random"] = random
                found[f"{key}/pairs"] = call_composition_pairs(values, None)
                found[f"{key}/pairs beside random"] = call_composition_pairs(values, random)
                found[f"{key}/strongest senders"] = call_strongest_senders(values)
    for layer, head in ((0, 2), (4, 6)):
        found[f"ov directions/{layer}.{head}"] = call_ov_directions(s.mini, layer, head)
        found[f"qk directions/{layer}.{head}"] = call_qk_directions(s.mini, layer, head)
    return found


@run("heads/path attention")
def path_attention(s: Setting) -> Any:
    receivers = [(4, 0), (4, 6), (5, 3)]
    return {
        "ioi": call_path_attention(s.mini, s.ioi, [(2, 1), (2, 6)], receivers, ["IO", "S1", "S2"]),
        "all keys": call_path_attention(s.mini, s.grouped, [(0, 2), (1, 1)], receivers, None),
        "no senders": call_path_attention(s.mini, s.ioi, [], receivers, ["IO", "S1"]),
        "random": call_path_attention(s.random, s.random_task, [(0, 1)], [(2, 0)], ["S2", "END"]),
    }


@run("heads/table")
def table(s: Setting) -> Any:
    found: dict[str, Any] = {}
    for name, task, by in (("with a task", s.ioi, "correlation"), ("alone", None, "induction")):
        found[f"{name}/table"], found[f"{name}/ranked"] = call_head_table(
            s.mini, task, s.tokens, by
        )
    return found


@run("derive")
def derived(s: Setting) -> Any:
    nodes = [(layer, head, role) for layer, head, _, role in NODES]
    return {
        "ioi": call_derive(s.mini, s.ioi),
        "induction": call_derive(s.mini, s.repeats),
        "of nodes": call_derive(s.mini, s.ioi, nodes=nodes),
        "of nodes in a circuit": call_derive(
            s.mini, s.grouped, nodes=nodes, ablation=call_only(s.circuit)
        ),
        "greater than": call_derive(s.mini, s.years),
    }


@run("prune")
def pruned(s: Setting) -> Any:
    some = s.grouped.subset(range(8))
    return {
        "at roles": call_prune_heads(s.mini, some, 0.05, ["S2+1", "END"]),
        "random": call_prune_heads(s.random, s.random_task, 0.05, None),
    }


@run("circuit")
def circuit(s: Setting) -> Any:
    random = call_random_sets(s.circuit, 4)
    classes = call_class_sets(s.circuit)
    greedy = call_greedy_sets(s.mini, s.grouped, s.circuit)
    order = ["4.6", "4.0", "5.3", "4.7"]
    plain = call_minimality_sets(s.circuit, order, {})
    special = call_minimality_sets(s.circuit, order, {"5.3": ("name mover", "negative name mover")})
    by_layer = call_minimality_sets(s.circuit, lambda head: head.layer + head.head / 10, {})
    sets = {**classes, **random}
    whole = call_measure(
        s.mini, s.grouped, GRADED, ablation=call_only(s.circuit, positions=["S2+1", "END"])
    )
    return {
        "told": told_circuit(s.circuit),
        "faithfulness": call_faithfulness(s.mini, s.grouped, s.circuit),
        "faithfulness of one prompt a group": call_faithfulness(s.mini, s.ioi, s.circuit),
        "only at roles": whole,
        "only with a reference": call_measure(
            s.mini, s.grouped, GRADED, ablation=call_only(s.circuit, reference=s.other)
        ),
        "sets/random": told_sets(random),
        "sets/classes": told_sets(classes),
        "sets/greedy": told_sets(greedy),
        "sets/greedy with a reference": told_sets(
            call_greedy_sets(s.mini, s.grouped, s.circuit, reference=s.other)
        ),
        "sets/minimality": told_sets(plain),
        "sets/minimality with exceptions": told_sets(special),
        "sets/minimality by a function": told_sets(by_layer),
        "without": call_without(s.mini, s.grouped, s.circuit, sets),
        "without greedy": call_without(s.mini, s.grouped, s.circuit, greedy),
        "without, with a reference": call_without(
            s.mini, s.grouped, s.circuit, classes, reference=s.other
        ),
        "minimality": call_minimality(s.mini, s.grouped, s.circuit, plain),
        "minimality with exceptions": call_minimality(s.mini, s.grouped, s.circuit, special),
    }


@run("circuit/known")
def known(s: Setting) -> Any:
    found: dict[str, Any] = {}
    for name in call_known_names():
        for noise in (0.0, 0.1):
            made, task, truth = call_known_circuit(name, noise)
            key = f"{name}/noise {noise}"
            found[f"{key}/truth"] = told_circuit(truth)
            found[f"{key}/measured"] = call_measure(made, task, PLAIN)
            found[f"{key}/patched"] = call_patch(made, task, "z", ("layer", "head"))
            found[f"{key}/faithfulness"] = call_faithfulness(made, task, truth)
            if noise:
                found[f"{key}/derived"] = call_derive(made, task)
    return found


@run("circuit/published")
def published(s: Setting) -> Any:
    names = ("ioi", "ioi naive", "greater_than", "induction", "acronym")
    every = {name: call_published(name) for name in names}
    found = {name: told_circuit(each) for name, each in every.items()}
    return {
        **found,
        "tables": call_paper_tables(),
        "naive beside whole": call_compare(every["ioi naive"], every["ioi"]),
        "induction beside ioi": call_compare(every["induction"], every["ioi"]),
    }


@run("statistics")
def bootstrap(s: Setting) -> Any:
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for name, n in (("few", 8), ("many", 60)):
        values = rng.normal(1.0, 1.0, (5, n))
        other = rng.normal(3.0, 1.0, (5, n))
        labels = [f"group {i % 4}" for i in range(n)]
        found[f"{name}/one group"] = call_bootstrap(values, other, None)
        found[f"{name}/groups"] = call_bootstrap(values, other, labels)
        found[f"{name}/no ratio"] = call_bootstrap(values, other - 2.9, None)
        found[f"{name}/tests"] = call_tests_of_effects(values / 10)
    return found


@run("masks")
def masks(s: Setting) -> Any:
    return {
        "same token": same_token_before(s.tokens),
        "after the same token": after_same_token(s.tokens),
    }


# ---- writing and comparing ----------------------------------------------------------------------


def flat(key: str, value: Any) -> Iterable[tuple[str, np.ndarray]]:
    """Arrays and texts of a nested result, by path."""
    if isinstance(value, Mapping) and not isinstance(value, xr.Dataset):
        for name, one in value.items():
            yield from flat(f"{key}/{name}", one)
    elif isinstance(value, xr.Dataset):
        for name, one in value.data_vars.items():
            yield from flat(f"{key}/{name}", one)
    elif isinstance(value, pd.DataFrame):
        for name in value.columns:
            yield from flat(f"{key}/{name}", value[name].to_numpy())
    else:
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        array = np.asarray(value.values if isinstance(value, xr.DataArray) else value)
        text = array.dtype.kind in "OUS"
        yield (
            key,
            np.vectorize(str, otypes=["U"])(array)
            if text and array.size
            else (np.array([], dtype="U1") if text else array),
        )


def numbers(dtype: torch.dtype, only: str) -> tuple[Numbers, dict[str, float], list[str]]:
    """Run everything.

    Args:
        dtype: number format of the models.
        only: prefix of the functions to run.

    Returns:
        The arrays by key, seconds by function, and the functions that failed.
    """
    setting, found, failed = Setting(dtype), {}, []
    seconds: dict[str, float] = {}
    for name, function in RUNS.items():
        if not name.startswith(only):
            continue
        start = time.perf_counter()
        torch.manual_seed(0)
        try:
            for key, array in flat(name, function(setting)):
                if key in found:
                    raise KeyError(f"two results have the key {key!r}")
                found[key] = array
        except Exception:
            failed.append(name)
            print(f"{name} failed:\n{traceback.format_exc()}", file=sys.stderr)
        seconds[name] = time.perf_counter() - start
    return found, seconds, failed


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest absolute difference; infinite for other shapes or texts. NaN equals NaN.

    Numbers kept with more digits than before are rounded as the earlier ones were.
    """
    text = "U" in (one.dtype.kind, other.dtype.kind)
    if one.shape != other.shape or (text and not np.array_equal(one, other)):
        return float("inf")
    if text or not one.size:
        return 0.0
    if one.dtype == np.float32:
        other = other.astype(np.float32)
    one, other = one.astype(np.float64), other.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(one - other))
    return float(np.where(np.isnan(gaps), np.inf, gaps).max())


def in_order(values: np.ndarray) -> np.ndarray:
    """The rows of an array, sorted."""
    if values.ndim < 2:
        return np.sort(values)
    rows = values.reshape(len(values), -1)
    return values[np.lexsort(rows.round(4).T[::-1])] if rows.shape[1] else values


def mended(key: str) -> str | None:
    """Why the numbers of a key may differ; None if they may not."""
    reasons = (why for known, why in MENDED.items() if key.startswith(known) or fnmatch(key, known))
    return next(reasons, None)


def compare(before: Numbers, after: Numbers) -> bool:
    """Print the difference of every key; whether all are within the bound or mended."""
    unexplained, within, explained = 0, 0, 0
    for key in sorted(before.keys() | after.keys()):
        why = mended(key)
        if key not in before or key not in after:
            what, bad = f"missing {'before' if key not in before else 'after'}", True
        else:
            gap = difference(before[key], after[key])
            if gap > BOUND and key.startswith(UNORDERED):
                gap = min(gap, difference(in_order(before[key]), in_order(after[key])))
            shapes = before[key].shape, after[key].shape
            what = f"{gap:.1e}" if shapes[0] == shapes[1] else f"shapes {shapes[0]}, {shapes[1]}"
            bad = not gap <= BOUND
        mark = "" if not bad else f"  MENDED: {why}" if why else "  DIFFERS"
        print(f"{key:<90} {what}{mark}")
        within += not bad
        explained += bad and why is not None
        unexplained += bad and why is None
    print(
        f"{within} keys within {BOUND:.0e}, {explained} mended on purpose, {unexplained} otherwise"
    )
    return not unexplained


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.numbers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    formats, meaning = ("float32", "float64"), "of the models, for write; compare takes the file's"
    parser.add_argument("command", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--dtype", choices=formats, default="float32", help=meaning)
    parser.add_argument("--only", default="", help="prefix of the functions to run")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    before: Numbers = {}
    if asked.command == "compare":
        with np.load(asked.file) as file:
            before = {key: file[key] for key in file.files}
        asked.dtype = str(before.pop("dtype"))
        chosen = [name for name in RUNS if name.startswith(asked.only)]
        before = {key: value for key, value in before.items() if owner(key) in chosen}
    found, seconds, failed = numbers(getattr(torch, asked.dtype), asked.only)
    if asked.command == "write":
        np.savez_compressed(asked.file, dtype=np.array(asked.dtype), **found)  # type: ignore[arg-type]
        right = True
    else:
        right = compare(before, found)
    for name, one in sorted(seconds.items(), key=lambda pair: -pair[1])[:8]:
        print(f"{one:7.1f} s  {name}")
    refused = [key for key in found if key.endswith("/refused")]
    for key in refused:
        print(f"refused with {found[key][0]}: {key.removesuffix('/refused')}")
    print(
        f"{len(found)} keys in {sum(seconds.values()):.0f} s; failed: {', '.join(failed) or 'none'}"
    )
    return 0 if right and not failed else 1


def owner(key: str) -> str:
    """The function that a key comes from: the longest name that it begins with."""
    names = [name for name in RUNS if key.startswith(f"{name}/") or key == name]
    return max(names, key=len, default="")


if __name__ == "__main__":
    sys.exit(main())
