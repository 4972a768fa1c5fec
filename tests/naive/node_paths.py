"""Paths between nodes, one prompt and one sender at a time, by whole runs with hooks."""

from tests.naive import patching as naive

TOKENS = -1  # the layer of a sender that is the token embedding


def node_effect(model, task, i, sender, ports=(), *, logits=False):
    """Effect on prompt i: what each node would write if its inputs were what the sender tells it,
    computed alone, then put into a run in which everything after it is alive.

    With `logits` alone, what the frozen run itself ends in.
    """
    tokens, other = naive.one_prompt(task, i, "noising")
    _, base = model.run_with_cache(tokens)
    _, new = model.run_with_cache(other)
    layer, head, role = sender
    pos = int(task.positions[role][i])

    def frozen(value, hook):
        value = base[hook.name].clone()
        if layer != TOKENS and hook.name == naive.hook_name("z", layer):
            value[:, pos, head] = new[hook.name][:, pos, head]
        return value

    def embed(value, hook):
        value = value.clone()
        if layer == TOKENS:
            value[:, pos] = new["hook_embed"][:, pos]
        return value

    freeze = [(naive.hook_name("z", to), frozen) for to in range(model.config.n_layers)]
    freeze.append(("hook_embed", embed))
    clean = naive.difference(model, tokens, task, i, [])
    if logits:
        return naive.difference(model, tokens, task, i, freeze) - clean
    with model.hooks(fwd_hooks=freeze):
        _, got = model.run_with_cache(tokens)
    hooks, nodes = [], {}
    for port in ports:
        nodes.setdefault(port[:3], []).append(port.inputs)
    for (to, receiver, where), inputs in nodes.items():
        at = int(task.positions[where][i])

        def say(value, hook, receiver=receiver, inputs=inputs):
            value = base[hook.name].clone()
            if hook.name[-1] in "".join(inputs):
                value[:, pos, receiver] = got[hook.name][:, pos, receiver]
            return value

        names = [naive.hook_name(letter, to) for letter in "qkv"]
        with model.hooks(fwd_hooks=[(name, say) for name in names]):
            _, alone = model.run_with_cache(tokens)
        z = naive.hook_name("z", to)
        change = alone[z][:, at, receiver] - base[z][:, at, receiver]

        def put(value, hook, at=at, receiver=receiver, change=change):
            value = value.clone()
            value[:, at, receiver] += change
            return value

        hooks.append((z, put))
    return naive.difference(model, tokens, task, i, hooks) - clean
