"""The protocol of Wang et al. 2022 as their code goes about it: whole runs, hooks on every head.

Written from the paper and from what its code does, sharing nothing with the routines it checks.
Prompts are run in one batch, padded on the right.
"""

import torch

from tests.naive.patching import activations, logit_diff


def path_patching(model, task, sender, receivers, position):
    """Logit differences with the paths from one head to some receivers taken from the ABC run.

    `sender`: (layer, head), or (layer, None) for an MLP; `receivers`: [(hook name, head)], head
    None for a whole activation; `position`: the role at which both are patched.
    """
    rows, at = torch.arange(len(task)), task.positions[position]
    new = activations(model, task.corrupted_tokens)  # pass A
    clean = activations(model, task.clean_tokens)  # pass B
    layer, head = sender
    name = f"blocks.{layer}.hook_mlp_out" if head is None else f"blocks.{layer}.attn.hook_z"
    got = {}

    def freeze(value, hook):
        return clean[hook.name].clone()

    def send(value, hook):
        value = value.clone()
        where = (rows, at) if head is None else (rows, at, head)
        value[where] = new[hook.name][where]
        return value

    def listen(value, hook):
        got[hook.name] = value.clone()

    wanted = {hook for hook, _ in receivers}
    hooks = [(hook, listen) for hook in wanted]  # first, so that they hear before the freezing
    hooks += [
        (f"blocks.{i}.attn.hook_{site}", freeze)
        for i in range(model.config.n_layers)
        for site in ("q", "k", "v")
    ]
    model.run_with_hooks(task.clean_tokens, fwd_hooks=[*hooks, (name, send)])  # pass C

    def receive(value, hook):
        value = value.clone()
        for which, unit in receivers:
            if which == hook.name:
                where = (rows, at) if unit is None else (rows, at, unit)
                value[where] = got[which][where]
        return value

    logits = model.run_with_hooks(  # pass D
        task.clean_tokens, fwd_hooks=[(hook, receive) for hook in wanted]
    )
    return logit_diff(logits, task)


def path_attention(model, task, senders, receiver, key):
    """Attention of one head from END to a role, its query taken from the paths of some senders."""
    rows, at = torch.arange(len(task)), task.positions["END"]
    new = activations(model, task.corrupted_tokens)
    clean = activations(model, task.clean_tokens)
    layer, head = receiver
    query = f"blocks.{layer}.attn.hook_q"
    got = {}

    def listen(value, hook):
        got[hook.name] = value.clone()

    def freeze(z, hook):
        z = clean[hook.name].clone()
        for i, h in senders:
            if i == hook.layer():
                z[rows, at, h] = new[hook.name][rows, at, h]
        return z

    every = [(f"blocks.{i}.attn.hook_z", freeze) for i in range(model.config.n_layers)]
    model.run_with_hooks(task.clean_tokens, fwd_hooks=[*every, (query, listen)])

    def receive(q, hook):
        q = q.clone()
        q[rows, at, head] = got[query][rows, at, head]
        return q

    name = f"blocks.{layer}.attn.hook_pattern"
    with model.hooks(fwd_hooks=[(query, receive)]):
        pattern = model.run_with_cache(task.clean_tokens, names_filter=name)[1][name]
    return pattern[rows, head, at, task.positions[key]]


def group_means(model, task):
    """Hook name -> z [prompt pos head d], the mean over the ABC prompts of each prompt's group."""
    cache = activations(model, task.corrupted_tokens)
    means = {}
    for name in (f"blocks.{i}.attn.hook_z" for i in range(model.config.n_layers)):
        means[name] = cache[name].clone()
        for group in set(task.group):
            members = torch.tensor([g == group for g in task.group])
            means[name][members] = cache[name][members].mean(0)
    return means


def removed(model, task, nodes):
    """Logit differences with each (layer, head, role) at its mean over ABC prompts of its group."""
    means, rows = group_means(model, task), torch.arange(len(task))

    def ablate(z, hook):
        z = z.clone()
        for layer, head, role in nodes:
            if layer == hook.layer():
                at = task.positions[role]
                z[rows, at, head] = means[hook.name][rows, at, head]
        return z

    hooks = [(name, ablate) for name in means]
    return logit_diff(model.run_with_hooks(task.clean_tokens, fwd_hooks=hooks), task)


def kept(model, task, nodes):
    """Logit differences with all heads at their means everywhere, but for nodes at their roles."""
    means, rows = group_means(model, task), torch.arange(len(task))

    def ablate(z, hook):
        mean = means[hook.name].clone()
        for layer, head, role in nodes:
            if layer == hook.layer():
                at = task.positions[role]
                mean[rows, at, head] = z[rows, at, head]
        return mean

    hooks = [(name, ablate) for name in means]
    return logit_diff(model.run_with_hooks(task.clean_tokens, fwd_hooks=hooks), task)


def copies(model, task, layer, head, role, *, norm, k=5, sign=1):
    """1 for each prompt whose name at a role is in the top k of what the head makes of it.

    `norm`: the block whose first layer norm is applied; 1 in the paper's code, for every head.
    """
    cache = activations(model, task.clean_tokens)
    rows, at = torch.arange(len(task)), task.positions[role]
    attn = model.blocks[layer].attn
    x = model.blocks[norm].ln1(cache["blocks.0.hook_resid_post"])
    out = sign * ((x @ attn.W_V[head] + attn.b_V[head]) @ attn.W_O[head])
    logits = model.unembed(model.ln_final(out))[rows, at]
    token = task.clean_tokens[rows, at]
    return (logits.topk(k).indices == token[:, None]).any(-1).float()
