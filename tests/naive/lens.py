"""A tuned lens one token at a time, from the paper's words, with transformers' own modules."""

import torch


def kl_to_final(theirs, tokens, layer, weight, bias):
    """KL(final || lens) in nats, mean over the tokens of one row, at the stream before a layer.

    `theirs` is a GPT2LMHeadModel; weight [d d] and bias [d] are the translator, x + x A + b.
    """
    with torch.no_grad():
        out = theirs(tokens[None], output_hidden_states=True)
        total = 0.0
        for pos in range(len(tokens)):
            x = out.hidden_states[layer][0, pos]
            read = theirs.lm_head(theirs.transformer.ln_f(x + x @ weight + bias))
            p, q = out.logits[0, pos].softmax(-1), read.softmax(-1)
            total += sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True))
    return total / len(tokens)
