"""Paths between nodes, one prompt and one sender at a time, by whole runs with plain hooks.

Written from the words of `interp.patching.node_paths` alone: what each receiver would write if what
it reads were what the sender tells it past frozen attention, computed alone, then put into a run in
which everything after it is alive.
"""

from functools import lru_cache

from interp.parts import MLP, Head, Input, Logits
from tests.naive import patching as naive
from tests.naive.ablation import text_of


@lru_cache(maxsize=64)
def _told(model, weights, task, i, sender, gone):
    """The clean run, the run in which the sender speaks past frozen heads, and where it does."""
    caches = []
    for side, hooks in zip(("clean", "corrupted"), gone, strict=True):
        with model.hooks(fwd_hooks=hooks):
            caches.append(naive.activations(model, text_of(task, i, side)))
    tokens, (base, new) = text_of(task, i), caches
    part, pos = sender.part, int(task.positions[sender.role][i])
    there = int(task.roles("corrupted")[sender.role][i])

    def replace(name, unit=None):
        said = new[name][naive.index_of("", unit, there)]

        def say(value, hook):
            value = value.clone()
            value[naive.index_of("", unit, pos)] = said
            return value

        return name, say

    def freeze(value, hook):
        return base[hook.name].clone()

    hooks = [(naive.hook_name("z", layer), freeze) for layer in range(model.config.n_layers)]
    if isinstance(part, Input):
        hooks.append(replace("hook_embed"))
    elif isinstance(part, MLP):
        hooks.append(replace(naive.hook_name("mlp_out", part.layer)))
    else:
        hooks.append(replace(naive.hook_name("z", part.layer), part.head))
    with model.hooks(fwd_hooks=[*gone[0], *hooks]):
        _, got = model.run_with_cache(tokens)
    return tokens, base, got, pos


def _alone(model, tokens, base, got, pos, node, inputs, at, gone):
    """What a receiver's output changes by at its role, if it reads what it was told."""
    part = node.part
    if isinstance(part, MLP):
        put = naive.hook_name("mlp_in", part.layer)
        out, unit = naive.hook_name("mlp_out", part.layer), None
        names = [put]
    else:
        names = [naive.hook_name(letter, part.layer) for letter in inputs or "qkv"]
        out, unit = naive.hook_name("z", part.layer), part.head
    hooks = [naive.replace(name, got[name], naive.index_of("", unit, pos)) for name in names]
    with model.hooks(fwd_hooks=[*gone, *hooks]):
        _, alone = model.run_with_cache(tokens, names_filter=out)
    index = naive.index_of("", unit, at)
    return out, index, alone[out][index] - base[out][index]


def node_effect(model, task, i, sender, ports, *, gone=((), ())):
    """Effect on the logit difference of prompt i of a sender's paths into all ports together.

    `gone`: hooks that ablate parts in the clean and in the corrupted text.
    """
    gone = tuple(map(tuple, gone))
    weights = naive.sum_of_weights(model)
    tokens, base, got, pos = _told(model, weights, task, i, sender, gone)
    clean = naive.difference(model, tokens, task, i, list(gone[0]))
    hooks, nodes, to_logits = [], {}, False
    for node, inputs in ports:
        if isinstance(node.part, Logits):
            to_logits = True
        else:
            letters = inputs or ("qkv" if isinstance(node.part, Head) else "")
            nodes[node] = nodes.get(node, "") + letters
    seen = set()
    for node, inputs in nodes.items():
        at = int(task.positions[node.role][i])
        if (node.part, at) in seen:
            continue  # two roles at one token are one node
        seen.add((node.part, at))
        out, index, change = _alone(model, tokens, base, got, pos, node, inputs, at, gone[0])

        def add(value, hook, index=index, change=change):
            value = value.clone()
            value[index] += change
            return value

        hooks.append((out, add))
    if to_logits:  # what the frozen run itself ends in is added to the last stream
        last = f"blocks.{model.config.n_layers - 1}.hook_resid_post"
        change = got[last] - base[last]
        hooks.append((last, lambda value, hook: value + change))
    return naive.difference(model, tokens, task, i, [*gone[0], *hooks]) - clean
