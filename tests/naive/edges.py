"""Circuits of edges and attribution of edges, one prompt at a time, with plain hooks.

Written from the equations alone: every receiver's input is summed up sender by sender.
"""

import torch

from tests.naive import patching as naive


def outputs(model, tokens, hooks=()):
    """What each sender writes, by its words, [pos d_model]."""
    names = ["hook_embed"]
    for layer in range(model.config.n_layers):
        names += [naive.hook_name("z", layer), naive.hook_name("mlp_out", layer)]
    with model.hooks(fwd_hooks=list(hooks)):
        _, cache = model.run_with_cache(tokens, names_filter=names)
    return written(model, {name: cache[name] for name in names})


def written(model, kept):
    found = {"input": kept["hook_embed"][0]}
    for layer in range(model.config.n_layers):
        z = kept[naive.hook_name("z", layer)][0]
        for head in range(model.config.n_heads):
            found[f"{layer}.{head}"] = z[:, head] @ model.blocks[layer].attn.W_O[head]
        found[f"m{layer}"] = kept[naive.hook_name("mlp_out", layer)][0]
    return found


def stand_ins(model, task, i, ablation):
    """What stands in for each sender."""
    value = "resample" if ablation == "counterfactual" else ablation
    names = ["hook_embed"]
    for layer in range(model.config.n_layers):
        names += [naive.hook_name("z", layer), naive.hook_name("mlp_out", layer)]
    return written(model, {name: naive.stand_in(model, task, i, name, value) for name in names})


def order(name):
    """When a sender writes, or the receiver reads, in halves of layers."""
    if name == "input":
        return -1
    if name == "logits":
        return 10**6
    return 2 * int(name[1:]) + 1 if name[0] == "m" else 2 * int(name.split(".")[0])


def circuit_logit_diff(model, task, i, edges, ablation):
    """Logit difference of prompt i with every edge cut but those in `edges`, (sender, receiver)."""
    new = stand_ins(model, task, i, ablation)
    tokens, _ = naive.one_prompt(task, i, "noising")
    length = tokens.shape[1]
    live = {}

    def reads(receiver):
        total = model.pos_embed.W_pos[:length].clone()
        for layer in range(model.config.n_layers):
            if 2 * layer < order(receiver):
                total += model.blocks[layer].attn.b_O
        for sender, instead in new.items():
            if order(sender) < order(receiver):
                total += live[sender] if (sender, receiver) in edges else instead
        return total

    def heads(letter, layer):
        def hook(value, hook):
            inputs = [reads(f"{layer}.{h}.{letter}") for h in range(model.config.n_heads)]
            return torch.stack(inputs, 1)[None]

        return hook

    def embedded(value, hook):
        live["input"] = value[0].clone()

    def spoken(layer):
        def hook(value, hook):
            for head in range(model.config.n_heads):
                live[f"{layer}.{head}"] = value[0, :, head] @ model.blocks[layer].attn.W_O[head]

        return hook

    def mlp_reads(layer):
        return lambda value, hook: reads(f"m{layer}")[None]

    def mlp_spoken(layer):
        def hook(value, hook):
            live[f"m{layer}"] = value[0].clone()

        return hook

    hooks = [("hook_embed", embedded)]
    for layer in range(model.config.n_layers):
        block = f"blocks.{layer}"
        hooks += [(f"{block}.hook_{x}_input", heads(x, layer)) for x in "qkv"]
        hooks += [(naive.hook_name("z", layer), spoken(layer))]
        hooks += [(f"{block}.hook_mlp_in", mlp_reads(layer))]
        hooks += [(f"{block}.hook_mlp_out", mlp_spoken(layer))]
    hooks.append((f"{block}.hook_resid_post", lambda value, hook: reads("logits")[None]))
    return naive.difference(model, tokens, task, i, hooks)


def gradients(model, tokens, task, i, hooks=()):
    """The gradient of the logit difference at what each receiver reads, [pos d_model]."""
    copies = {}

    def per_head(letter, layer):
        def hook(value, hook):
            for head in range(value.shape[2]):
                copies[f"{layer}.{head}.{letter}"] = (hook.name, head)
            kept[hook.name] = value.clone()
            return kept[hook.name]

        return hook

    def whole(name):
        def hook(value, hook):
            copies[name] = (hook.name, None)
            kept[hook.name] = value.clone()
            return kept[hook.name]

        return hook

    kept, own = {}, []
    for layer in range(model.config.n_layers):
        own += [(f"blocks.{layer}.hook_{x}_input", per_head(x, layer)) for x in "qkv"]
        own += [(f"blocks.{layer}.hook_mlp_in", whole(f"m{layer}"))]
    own += [(f"blocks.{layer}.hook_resid_post", whole("logits"))]
    logits = model.run_with_hooks(tokens, fwd_hooks=[*hooks, *own])[0, -1]
    metric = logits[task.answer[i]] - logits[task.foil[i]]
    found = torch.autograd.grad(metric, list(kept.values()), allow_unused=True)
    by_hook = dict(zip(kept, found, strict=True))
    return {
        name: torch.zeros(tokens.shape[1], model.config.d_model)
        if by_hook[hook] is None
        else by_hook[hook][0]
        if head is None
        else by_hook[hook][0, :, head]
        for name, (hook, head) in copies.items()
    }


def attribution(model, task, i, *, ablation="counterfactual", side="clean", hooks=()):
    """EAP of every edge on prompt i: (sender, receiver) -> what cutting it would cost."""
    clean, corrupted = naive.one_prompt(task, i, "noising")
    with torch.no_grad():
        own, new = outputs(model, clean), stand_ins(model, task, i, ablation)
    slopes = gradients(model, clean if side == "clean" else corrupted, task, i, hooks)
    return {
        (sender, receiver): ((own[sender] - new[sender]) * slope).sum().item()
        for sender in own
        for receiver, slope in slopes.items()
        if order(sender) < order(receiver)
    }
