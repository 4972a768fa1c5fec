"""Patching and ablation by full runs of one prompt with plain hooks, one intervention at a time.

Written from the papers' words alone, sharing nothing with the routines they check.
"""

from functools import lru_cache

import torch

ATTENTION = ("q", "k", "v", "pattern", "z")


def hook_name(site, layer):
    if site == "embed":
        return "hook_embed"
    if site in ATTENTION:
        return f"blocks.{layer}.attn.hook_{site}"
    return f"blocks.{layer}.mlp.hook_post" if site == "mlp_post" else f"blocks.{layer}.hook_{site}"


def logit_diff(logits, task):
    rows = torch.arange(len(task))
    last = logits[rows, task.positions["END"]]
    return last[rows, task.answer] - last[rows, task.foil]


def one_prompt(task, i, direction):
    """Tokens without padding: of the run that is changed, and of the one that it is changed to."""
    real = task.attention_mask[i]
    clean, corrupted = task.clean_tokens[i][real][None], task.corrupted_tokens[i][real][None]
    return (clean, corrupted) if direction == "noising" else (corrupted, clean)


def activations(model, tokens):
    """Every activation of a run of some texts, kept for the same weights and hooks."""
    hooks = tuple(
        (name, handle.user_hook)
        for name, point in model.hook_dict.items()
        for handle in point.fwd_hooks
    )
    return _activations(model, tuple(map(tuple, tokens.tolist())), sum_of_weights(model), hooks)


@lru_cache(maxsize=128)
def _activations(model, ids, weights, hooks):
    return model.run_with_cache(torch.tensor(ids))[1]


def sum_of_weights(model):
    """It tells whether a model was changed."""
    return float(sum(weight.detach().sum() for weight in model.parameters()))


def difference(model, tokens, task, i, hooks):
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)[0, -1]
    return (logits[task.answer[i]] - logits[task.foil[i]]).item()


def replace(name, new, index):
    """A hook that puts `new` in at an index of [batch, ...]."""

    def hook(value, hook):
        value = value.clone()
        value[index] = new[index]
        return value

    return name, hook


def index_of(site, unit, pos, source=None):
    """Where a unit at a position (or a pattern's entry) lies in the activation."""
    everything = slice(None)
    pos = everything if pos is None else pos
    if site == "pattern":
        return (everything, unit, pos, everything if source is None else source)
    return (everything, pos) if unit is None else (everything, pos, unit)


def patched(model, task, i, site, layer, *, unit=None, pos=None, source=None, direction):
    """Logit difference of prompt i with one activation of the other run."""
    tokens, other = one_prompt(task, i, direction)
    if pos is not None and pos >= tokens.shape[1]:
        return float("nan")
    name = hook_name(site, layer)
    cache = activations(model, other)
    hook = replace(name, cache[name], index_of(site, unit, pos, source))
    return difference(model, tokens, task, i, [hook])


def path_patched(
    model, task, i, site, layer, receivers, *, head=None, pos=None, mlps, direction="noising"
):
    """Logit difference of prompt i with the paths from one sender to the receivers patched.

    `receivers`: site, {layer: heads}, positions or None.
    """
    tokens, other = one_prompt(task, i, direction)
    base, new = activations(model, tokens), activations(model, other)
    sender = hook_name(site, layer)
    index = index_of(site, head, pos)

    def frozen(value, hook):
        value = base[hook.name].clone() if hook.name != "hook_embed" else value.clone()
        if hook.name == sender:
            value[index] = new[sender][index]
        return value

    def recomputed(value, hook):
        return frozen(value, hook) if hook.name == sender else value

    layers = range(model.config.n_layers)
    hooks = [(hook_name("z", i), frozen) for i in layers]
    hooks += [(hook_name("mlp_out", i), frozen if mlps == "frozen" else recomputed) for i in layers]
    hooks += [("hook_embed", recomputed)]
    at_site, heads_of, positions = receivers
    if at_site == "logits":
        return difference(model, tokens, task, i, hooks)
    got = {}

    def listen(value, hook):
        got[hook.name] = value.clone()

    names = {hook_name(at_site, to): heads for to, heads in heads_of.items()}
    model.run_with_hooks(tokens, fwd_hooks=hooks + [(name, listen) for name in names])

    def put(value, hook):
        value = value.clone()
        where = range(value.shape[1]) if positions is None else positions
        for pos in where:
            for unit in names[hook.name] or [slice(None)]:
                value[:, pos, unit] = got[hook.name][:, pos, unit]
        return value

    return difference(model, tokens, task, i, [(name, put) for name in names])


def stand_in(model, task, i, name, value):
    """What ablated activations of prompt i are replaced by, [1 pos ...]."""
    length = int(task.attention_mask[i].sum())

    def of(j):
        return activations(model, task.corrupted_tokens[j][task.attention_mask[j]][None])[name]

    if value == "zero":
        return torch.zeros_like(of(i))
    if value == "resample":
        return of(i)
    if value == "group mean":
        same = [j for j in range(len(task)) if task.group[j] == task.group[i]]
        return torch.stack([of(j) for j in same]).mean(0)
    every = torch.cat([of(j)[0] for j in range(len(task))])  # all real positions of all prompts
    return every.mean(0).expand(1, length, *every.shape[1:])


def ablated(model, task, i, parts, value, positions=None):
    """Logit difference of clean prompt i with (site, layer, unit) parts ablated."""
    tokens, _ = one_prompt(task, i, "noising")
    hooks = []
    for site, layer, unit in parts:
        name = hook_name(site, layer)
        new = stand_in(model, task, i, name, value)
        for pos in range(tokens.shape[1]) if positions is None else positions:
            hooks.append(replace(name, new, index_of(site, unit, pos)))
    return difference(model, tokens, task, i, hooks)


def circuit_logit_diff(model, task, keep, everywhere=True):
    """Run each prompt with every head outside `keep` at its group's mean, per absolute position.

    Unless `everywhere`, heads at positions without a role are left alone.
    """
    values = []
    for i in range(len(task)):
        same = [j for j in range(len(task)) if task.group[j] == task.group[i]]
        length = int(task.attention_mask[i].sum())
        caches = [activations(model, task.corrupted_tokens[j : j + 1, :length]) for j in same]

        def ablate(z, hook, i=i, caches=caches):
            mean = torch.stack([cache[hook.name] for cache in caches]).mean(0)
            for layer, head, role in keep:
                if layer == hook.layer():
                    at = int(task.positions[role][i])
                    mean[:, at, head] = z[:, at, head]
            roles = {int(where[i]) for where in task.positions.values()}
            for pos in [] if everywhere else set(range(z.shape[1])) - roles:
                mean[:, pos] = z[:, pos]
            return mean

        logits = model.run_with_hooks(
            task.clean_tokens[i : i + 1, :length],
            fwd_hooks=[(lambda name: name.endswith("hook_z"), ablate)],
        )
        values.append(logit_diff(logits, task[i]))
    return torch.cat(values)
