"""Ablation of nodes by plain hooks, one prompt and one text of the reference at a time.

Written from the words of `interp.runs.stand_ins` alone, sharing nothing with the routines it
checks. Tasks are padded on the right; a place is a role or a position. By default a role stands in
for itself; with `by_position`, what is at its position does, as where both sides are aligned.
"""

from functools import lru_cache

import torch

from interp.parts import Head, Neuron
from tests.naive.patching import hook_name


def text_of(task, i, side="clean"):
    """The tokens of one text, without padding."""
    return task.tokens(side)[i][task.mask(side)[i]][None]


@lru_cache(maxsize=256)
def cache_of(model, task, i, side):
    with torch.no_grad():
        return model.run_with_cache(text_of(task, i, side))[1]


def hook_of(part):
    """The hook point and the unit of a part's output."""
    if isinstance(part, Head):
        return hook_name("z", part.layer), part.head
    if isinstance(part, Neuron):
        return hook_name("mlp_post", part.layer), part.neuron
    return hook_name("mlp_out", part.layer), ...


def stand_in(model, reference, i, group, name, value, place):
    """What stands in for an activation of prompt i, which is of a group, at a place."""

    def at(j):
        roles = reference.roles("corrupted")
        return int(roles[place][j]) if isinstance(place, str) else place

    def of(j):
        return cache_of(model, reference, j, "corrupted")[name][0]

    every = range(len(reference))
    if value == "zero":
        return torch.zeros_like(of(0)[0])
    if value == "resample":
        return of(i)[at(i)]
    if value == "mean":
        return torch.cat([of(j) for j in every]).mean(0)
    same = [j for j in every if reference.group[j] == group and at(j) < len(of(j))]
    return torch.stack([of(j)[at(j)] for j in same]).mean(0)


def hooks(
    model, task, i, nodes, value, *, positions=None, reference=None, side="clean", keep=(),
    by_position=False,
):  # fmt: skip
    """Hooks, one a point, that ablate nodes in one text of prompt i.

    Nodes without a role are ablated at some positions.
    """
    reference, roles = reference or task, task.roles(side)
    length = text_of(task, i, side).shape[1]

    def here(place):
        return int(roles[place][i]) if isinstance(place, str) else place

    left = {(node.part, p) for node in keep
            for p in ([here(node.role)] if node.role else range(length))}  # fmt: skip
    found = {}
    for node in nodes:
        name, unit = hook_of(node.part)
        places = [node.role] if node.role else range(length) if positions is None else positions
        for place in places:
            pos = here(place)
            if pos >= length or (node.part, pos) in left:
                continue
            there = pos if by_position else place
            new = stand_in(model, reference, i, task.group[i], name, value, there)
            found.setdefault(name, []).append((pos, unit, new[unit]))

    def put_all(puts):
        def put(activation, hook):
            activation = activation.clone()
            for pos, unit, new in puts:
                activation[0, pos, unit] = new
            return activation

        return put

    return [(name, put_all(puts)) for name, puts in found.items()]


def difference(model, task, i, hooks, side="clean"):
    """Logit difference at END of one text with hooks."""
    logits = model.run_with_hooks(text_of(task, i, side), fwd_hooks=hooks)[0, -1]
    answer, foil = (torch.as_tensor(x[i]) for x in (task.answer, task.foil))
    return (logits[answer].mean() - logits[foil].mean()).item()
