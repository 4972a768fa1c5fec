"""Double precision, of the model or as PyTorch's default, breaks nothing and is kept."""

import numpy as np
import pytest
import torch

from interp.parts import Logits, Node, Port
from interp.patching import (
    Ablation,
    NodePaths,
    Receivers,
    Selection,
    ablate,
    attribution_patch,
    measure,
    patch,
    path_attention,
    path_patch,
    run_task,
    screen,
)
from tests.helpers import random_model, random_task

METRICS = ["logit_diff", "probability", "probability_diff", "kl_divergence", "rank", "accuracy"]
GONE = Ablation(["0.1@END", "m1", "m2.5"], value="group mean")
SETS = {"a": ["0.0", "m0@END"], "b": ["m1.7", "2.3@S2"], "none": []}


def node_paths(model, task):
    paths = NodePaths(model, task, metrics=METRICS, ablation=GONE)
    ports = [Port(Node(Logits(), "END"))]
    return paths.receive(paths.send(["0.0@S2", "m0@END", "input@END"]), ports)


CALLS = {
    "run_task": lambda m, t: {"logits": run_task(m, t)},
    "measure": lambda m, t: measure(m, t, METRICS, ablation=GONE),
    "patch": lambda m, t: patch(m, t, "z", metrics=METRICS),
    "patch, entering at patterns": lambda m, t: patch(m, t, "pattern", ablation=GONE),
    "patch neurons by position": lambda m, t: patch(
        m, t, "mlp_post", Selection(over=["layer", "position"], neurons=[1, 2]), metrics=METRICS
    ),
    "patch embed": lambda m, t: patch(m, t, "embed"),
    "ablate": lambda m, t: ablate(m, t, "mlp_out", value="mean", metrics=METRICS),
    "ablate sets": lambda m, t: ablate(m, t, SETS, value="resample", ablation=GONE),
    "ablate with zeros": lambda m, t: ablate(m, t, SETS, value="zero"),
    "path_patch": lambda m, t: path_patch(m, t, metrics=METRICS),
    "path_patch to q": lambda m, t: path_patch(m, t, Receivers("q", heads=["2.1"]), ablation=GONE),
    "path_attention": lambda m, t: path_attention(m, t, ["0.0"], ["1.0"]),
    "attribution_patch": lambda m, t: attribution_patch(m, t, "z", fixes=["grad_drop"]),
    "attribution_patch q": lambda m, t: attribution_patch(m, t, "q", fixes=["qk"]),
    "attribution_patch pattern": lambda m, t: attribution_patch(m, t, "pattern"),
    "screen": lambda m, t: screen(m, t, "z", top=12),
    "NodePaths": node_paths,
}


def arrays(found):
    return {str(name): np.asarray(value) for name, value in found.items()}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_default_of_double_precision_changes_nothing(call):
    model, task = random_model(), random_task(4)
    expected = arrays(call(model, task))
    torch.set_default_dtype(torch.float64)
    try:
        found = arrays(call(model, task))
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.dtype == expected[name].dtype
        np.testing.assert_allclose(value, expected[name], atol=1e-5)


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_model_of_double_precision_gives_its_own(call, default):
    model, task = random_model(), random_task(4)
    rough = arrays(call(model, task))
    torch.set_default_dtype(default)
    try:
        exact = arrays(call(model.double(), task))
    finally:
        torch.set_default_dtype(torch.float32)
    for name, value in exact.items():
        assert value.dtype == np.float64, name
        np.testing.assert_allclose(value, rough[name], atol=2e-4)
        if np.isfinite(value).any() and "rank" not in name and "accuracy" not in name:
            low = value.astype(np.float32)
            assert not np.array_equal(low, value, equal_nan=True), name  # more digits than float32
