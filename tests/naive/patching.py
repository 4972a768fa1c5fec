"""Path patching, activation patching and mean ablation by full runs, a prompt or a head at a time.

Written from the papers' words alone, sharing nothing with the routines they check.
"""

import torch


def logit_diff(logits, task):
    rows = torch.arange(len(task))
    last = logits[rows, task.positions["END"]]
    return last[rows, task.answer] - last[rows, task.foil]


def direct_effect(model, task, positions="END"):
    """Freeze every head's output to the clean run, replace one at END, recompute the MLPs."""
    _, clean = model.run_with_cache(task.clean_tokens, task.attention_mask)
    _, corrupted = model.run_with_cache(task.corrupted_tokens, task.attention_mask)
    config, rows = model.config, torch.arange(len(task))
    base = logit_diff(model(task.clean_tokens, task.attention_mask), task)
    effects = torch.zeros(config.n_layers, config.n_heads, len(task))
    for layer in range(config.n_layers):
        for head in range(config.n_heads):

            def freeze(z, hook, layer=layer, head=head):
                z = clean[hook.name].clone()
                if hook.layer() == layer:
                    new = corrupted[hook.name][:, :, head]
                    if positions == "END":
                        z[rows, task.positions["END"], head] = new[rows, task.positions["END"]]
                    else:
                        z[:, :, head] = new
                return z

            logits = model.run_with_hooks(
                task.clean_tokens,
                task.attention_mask,
                fwd_hooks=[(lambda name: name.endswith("hook_z"), freeze)],
            )
            effects[layer, head] = logit_diff(logits, task) - base
    return effects


def head_effects(model, task, roles):
    """Replace one head's output at one position of one prompt, in a run of its own."""
    config = model.config
    effects = torch.zeros(config.n_layers, config.n_heads, len(roles), len(task))
    for i in range(len(task)):
        one, length = task[i], int(task.attention_mask[i].sum())
        clean, corrupted = one.clean_tokens[:, :length], one.corrupted_tokens[:, :length]
        _, cache = model.run_with_cache(corrupted)
        base = logit_diff(model(clean), one)
        for layer in range(config.n_layers):
            name = f"blocks.{layer}.attn.hook_z"
            for head in range(config.n_heads):
                for r, role in enumerate(roles):

                    def patch(z, hook, at=int(one.positions[role]), head=head, new=cache[name]):
                        z[:, at, head] = new[:, at, head]
                        return z

                    logits = model.run_with_hooks(clean, fwd_hooks=[(name, patch)])
                    effects[layer, head, r, i] = logit_diff(logits, one) - base
    return effects


def circuit_logit_diff(model, task, keep):
    """Run each prompt with every head outside `keep` at its group's mean, per absolute position."""
    values = []
    for i in range(len(task)):
        same = [j for j in range(len(task)) if task.group[j] == task.group[i]]
        length = int(task.attention_mask[i].sum())
        caches = [model.run_with_cache(task.corrupted_tokens[j : j + 1, :length])[1] for j in same]

        def ablate(z, hook, i=i, caches=caches):
            mean = torch.stack([cache[hook.name] for cache in caches]).mean(0)
            for layer, head, role in keep:
                if layer == hook.layer():
                    at = int(task.positions[role][i])
                    mean[:, at, head] = z[:, at, head]
            return mean

        logits = model.run_with_hooks(
            task.clean_tokens[i : i + 1, :length],
            fwd_hooks=[(lambda name: name.endswith("hook_z"), ablate)],
        )
        values.append(logit_diff(logits, task[i]))
    return torch.cat(values)
