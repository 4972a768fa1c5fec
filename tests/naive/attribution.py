"""Attribution patching of one node of one prompt, by autograd on plain hooks.

Written from the papers' words alone, sharing nothing with the routines they check.
"""

import math
from functools import lru_cache

import torch

from tests.naive.patching import activations, hook_name, index_of, one_prompt


def metric_of(model, tokens, task, i, hooks):
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)[0, -1]
    return logits[task.answer[i]] - logits[task.foil[i]]


def with_gradient(model, tokens, task, i, name, *, frozen=None):
    """The metric, an activation, and the gradient; optionally with a layer's outputs frozen."""
    kept = []

    def keep(value, hook):
        kept.append(value)

    hooks = [(name, keep)]
    if frozen is not None:  # after the activation is kept, if it is one of them
        outputs = [f"blocks.{frozen}.hook_attn_out", f"blocks.{frozen}.hook_mlp_out"]
        hooks += [(output, lambda value, hook: value.detach()) for output in outputs]
    with torch.enable_grad():
        metric = metric_of(model, tokens, task, i, hooks)
        (gradient,) = torch.autograd.grad(metric, kept, allow_unused=True)
    value = kept[0].detach()
    return metric.item(), value, torch.zeros_like(value) if gradient is None else gradient


@lru_cache(maxsize=64)
def both_runs(model, task, i, site, layer, direction, frozen):
    """The metric, an activation and its gradient in one run, the activation in the other."""
    tokens, other = one_prompt(task, i, direction)
    name = hook_name(site, layer)
    with torch.no_grad():
        new = activations(model, other)[name]
    return *with_gradient(model, tokens, task, i, name, frozen=frozen), new


def effect(model, task, i, site, layer, *, unit=None, pos=None, source=None, direction, frozen):
    """The metric, and the first-order effect, NaN where the prompt has no such position."""
    metric, value, gradient, new = both_runs(model, task, i, site, layer, direction, frozen)
    if pos is not None and pos >= task.attention_mask[i].sum():
        return metric, float("nan")
    index = index_of(site, unit, pos, source)
    return metric, (gradient[index] * (new - value)[index]).sum().item()


def through_softmax(model, task, i, site, layer, *, unit, pos=None, direction, frozen):
    """The same of a head's query or key, with the softmax computed and the rest first-order."""
    metric, pattern, gradient, _ = both_runs(model, task, i, "pattern", layer, direction, frozen)
    old = {s: both_runs(model, task, i, s, layer, direction, None)[1][0, :, unit] for s in "qk"}
    changed = {s: value.clone() for s, value in old.items()}
    new = both_runs(model, task, i, site, layer, direction, None)[3][0, :, unit]
    at = slice(None) if pos is None else pos
    changed[site][at] = new[at]
    total = 0.0
    for query in range(len(new)):
        keys = changed["k"][: query + 1]
        scores = keys @ changed["q"][query] / math.sqrt(new.shape[-1])
        change = scores.softmax(0) - pattern[0, unit, query, : query + 1]
        total += (gradient[0, unit, query, : query + 1] * change).sum().item()
    return metric, total


def estimated(model, task, i, site, layer, *, fix=False, **node):
    """The metric that patching the node is estimated to give."""
    way = through_softmax if fix else effect
    metric, change = way(model, task, i, site, layer, frozen=None, **node)
    return metric + change


def grad_drop(model, task, i, site, layer, *, fix=False, **node):
    """Mean absolute effect over layers frozen in turn, of which the node's own has none."""
    way = through_softmax if fix else effect
    n = model.config.n_layers
    sizes = [abs(way(model, task, i, site, layer, frozen=f, **node)[1]) for f in range(n)]
    in_stream = site in ("embed", "resid_pre", "resid_mid", "resid_post")
    return sum(sizes) / (n if in_stream else n - 1)
