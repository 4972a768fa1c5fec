"""Scores of heads, one prompt, one head and one token at a time, and whole matrices for products.

Written from the papers' words alone, sharing nothing with the routines they check.
"""

import torch


def attention_score(pattern, tokens, name):
    """Mean over the queries that have a target; `pattern` [q k] and `tokens` of one prompt."""
    ids, values = tokens.tolist(), []
    for q in range(1, len(ids)):
        duplicates = [k for k in range(q) if ids[k] == ids[q]]
        row = pattern[q].tolist()
        targets = {
            "previous_token": [q - 1],
            "duplicate_token": duplicates,
            "induction": [k + 1 for k in duplicates],
            "first_token": [0],
            "current_token": [q],
        }
        if name == "entropy":
            values.append(-sum(p * torch.tensor(p).log().item() for p in row if p > 0))
        elif targets[name]:
            values.append(sum(row[k] for k in targets[name]))
    return sum(values) / len(values) if values else float("nan")


def head_logits(model, x, layer, head, sign=1):
    """Logits of what a head adds for one stream [d] that it attends to alone."""
    block = model.blocks[layer]
    value = block.ln1(x) @ block.attn.W_V[head] + block.attn.b_V[head]
    return model.unembed(model.ln_final(sign * value @ block.attn.W_O[head]))


def own_rank(logits, token):
    return sum(1 for i, x in enumerate(logits.tolist()) if i != token and x >= logits[token].item())


def projected(model, z, layer, head, scale, token):
    """Logit above the mean token's that a head's mixed values [k] add at a frozen norm scale."""
    out = z @ model.blocks[layer].attn.W_O[head]
    normalized = (out - out.mean()) / scale * model.ln_final.w
    logits = normalized @ model.W_U
    return (logits[token] - logits.mean()).item()


def composition(weights, kind, sender, receiver):
    """Of whole d_model x d_model matrices; sender and receiver are (layer, head)."""
    write = weights.W_V[sender] @ weights.W_O[sender]
    W_QK = weights.W_Q[receiver] @ weights.W_K[receiver].T
    read = {"q": W_QK, "k": W_QK.T, "v": weights.W_V[receiver] @ weights.W_O[receiver]}[kind]
    return ((write @ read).norm() / write.norm() / read.norm()).item()


def eigenvalue_score(model, layer, head):
    """From the whole vocabulary x vocabulary circuit of a model with folded layer norms."""
    W_OV = model.W_V[layer, head] @ model.W_O[layer, head]
    values = torch.linalg.eigvals((model.W_E @ W_OV @ model.W_U).double())
    return (values.real.sum() / values.abs().sum()).item()
