"""Small models for the methods of discovery, and one in which everything is linear."""

import numpy as np
import torch

from tests.helpers import random_model, random_task

SIZES = {"n_layers": 2, "n_heads": 2, "d_model": 8, "d_mlp": 12}


def small():
    """A model and prompts of two lengths."""
    return random_model(**SIZES), random_task(3, (5, 3))


def linear():
    """The same with even attention, wide layer norms and neurons without activation function."""
    model, task = small()
    with torch.no_grad():
        for block in model.blocks:
            width = model.config.d_model
            block.attn.W_QKV[:, : 2 * width] = 0
            block.attn.b_QKV[: 2 * width] = 0
            block.mlp.act = _same
            for norm in (block.ln1, block.ln2):
                norm.w *= 1e4
                norm.eps = 1e8
        model.ln_final.w *= 1e4
        model.ln_final.eps = 1e8
    return model.double(), task


def _same(x):
    return x


def matrix(graph, by_edge):
    """Scores by (sender, receiver), in the order of the graph."""
    senders, receivers = graph.sender_names, graph.receiver_names
    return np.array(
        [
            by_edge[senders[s], receivers[r]]
            for s, r in zip(graph.sender, graph.receiver, strict=True)
        ]
    )
