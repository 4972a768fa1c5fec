"""What runs and patching refuse: (id, call with the fixtures, error class, words in the message).

The checker of shapes and types of the tests, which would speak first, is silent meanwhile.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from interp.parts import Edge, Head, Node, Port, as_head, as_heads, as_node, parse
from interp.patching import (
    Ablation,
    NodePaths,
    Receivers,
    Selection,
    ablate,
    agreement,
    attribution_patch,
    effect,
    measure,
    normalized,
    pairs,
    patch,
    path_attention,
    path_patch,
    run_task,
    screen,
)
from tests.helpers import random_model, random_task, unchecked

Fixtures = dict[str, Any]
Call = Callable[[Fixtures], object]


def _plain(call: Call) -> Call:
    def run(given: Fixtures) -> object:
        with unchecked():
            return call(given)

    return run


def _on(function: Callable[..., object], *arguments: Any, **options: Any) -> Call:
    """A call on the model and the task."""
    return _plain(lambda given: function(given["mini"], given["task"], *arguments, **options))


def _of(function: Callable[..., object], *arguments: Any, **options: Any) -> Call:
    """A call of its own."""
    return _plain(lambda given: function(*arguments, **options))


def _select(**options: Any) -> Call:
    """A patch of z over a selection."""
    return _plain(lambda given: patch(given["mini"], given["task"], "z", Selection(**options)))


def _gone(*parts: Any, **options: Any) -> Call:
    """A measurement in an ablated model."""
    return _plain(
        lambda given: measure(given["mini"], given["task"], ablation=Ablation(*parts, **options))
    )


def _long(function: Callable[..., object], *arguments: Any) -> Call:
    """A model whose context is shorter than the prompts."""
    return _plain(lambda given: function(random_model(n_ctx=8), random_task(2), *arguments))


def _foreign(function: Callable[..., object], *arguments: Any) -> Call:
    """A task whose token ids are other words in the model."""

    def call(given: Fixtures) -> object:
        task = given["task"]
        foreign = replace(task, vocabulary=tuple((i, "?" + text) for i, text in task.vocabulary))
        return function(given["mini"], foreign, *arguments)

    return _plain(call)


def _nodes(senders: list[Any], ports: list[Any]) -> Call:
    """Paths between nodes."""

    def call(given: Fixtures) -> object:
        paths = NodePaths(given["mini"], given["task"])
        return paths.receive(paths.send(senders), ports)

    return _plain(call)


def _by_name(function: Callable[..., object], *arguments: Any) -> Call:
    """A technique with two functions of one name."""
    two = [lambda logits, task: logits[:, 0], lambda logits, task: logits[:, 1]]
    return _on(function, *arguments, metrics=two)


def _fewer(given: Fixtures) -> object:
    model, task = given["mini"], given["task"]
    return ablate(model, task, value="resample", reference=task[:2])


def _other_prompts(given: Fixtures) -> object:
    model, task = given["mini"], given["task"]
    some = Selection(layers=[3, 4], positions=["END"])
    return agreement(attribution_patch(model, task, "z", some), patch(model, task[:2], "z", some))


def _hooked(given: Fixtures) -> object:
    with given["mini"].hooks(fwd_hooks=[("blocks.0.attn.hook_z", lambda z, hook: 0 * z)]):
        return patch(given["mini"], given["task"], "z")


AT_END = Selection(layers=[4], positions=["END"])
Q = Port(as_node("4.1@END"), "q")

ROWS = [
    # the model, the task, the site
    ("patch of a text", lambda g: patch(g["mini"], "text", "z"), TypeError, "patch takes a task"),
    ("measure of a text", lambda g: measure(g["mini"], "text"), TypeError, "measure takes a task"),
    ("patch of no model", lambda g: patch("mini", g["task"], "z"), TypeError, "takes a HookedGPT2"),
    ("ablate of no model", lambda g: ablate(None, g["task"]), TypeError, "takes a HookedGPT2"),
    ("NodePaths of a text", lambda g: NodePaths(g["mini"], "text"), TypeError, "takes a task"),
    ("patch of a hooked model", _hooked, ValueError, "patch needs a model without hooks"),
    ("patch at no site", _on(patch, "resid"), ValueError, "unknown site 'resid'; expected one of"),
    ("patch at a number", _on(patch, 3), ValueError, "unknown site 3"),
    ("patch at two sites", _on(patch, ["z", "q"]), ValueError, "unknown site ['z', 'q']"),
    ("screen at no site", _on(screen, "attn"), ValueError, "unknown site 'attn'"),
    ("ablate the pattern", _on(ablate, "pattern"), ValueError, "patch the pattern instead"),
    ("patch past the context", _long(patch, "z"), ValueError, ("9 tokens", "at most 8")),
    ("measure past the context", _long(measure), ValueError, ("9 tokens", "at most 8")),
    ("path_patch past the context", _long(path_patch), ValueError, ("9 tokens", "at most 8")),
    ("NodePaths past the context", _long(NodePaths), ValueError, ("9 tokens", "at most 8")),
    ("ablate a foreign task", _foreign(ablate), ValueError, "another tokenizer"),
    ("run_task of a foreign task", _foreign(run_task), ValueError, "another tokenizer"),
    ("screen a foreign task", _foreign(screen, "z"), ValueError, "another tokenizer"),
    # selections
    ("a selection by keywords", _on(patch, "z", {"layers": [1]}), TypeError,
     "expected a Selection"),
    ("over as text", _select(over="layer"), TypeError, "over is a list of parts"),
    ("over twice", _select(over=["head", "head"]), ValueError, "head is given twice"),
    ("over neurons of z", _select(over=["neuron"]), ValueError, "z can be swept over layer, head"),
    ("positions as text", _select(positions="END"), TypeError, "such as ['END']; got 'END'"),
    ("no positions", _select(positions=[]), ValueError, "leave them out (None) for all positions"),
    ("a role that there is not", _select(positions=["S9"]), ValueError, "no role 'S9'"),
    ("a position past all", _select(positions=[99]), ValueError, "position 99 is in no prompt"),
    ("a position of no kind", _select(positions=[1.5]), TypeError, "got 1.5 among them"),
    ("except as text", _select(except_positions="END"), TypeError, "except_positions are a list"),
    ("a pair for a head", _select(heads=[(4, 0)]), TypeError, ("whole numbers", "(4, 0)")),
    ("a word for a head", _select(heads=["4.0"]), TypeError, ("whole numbers", "'4.0'")),
    ("heads as a number", _select(heads=3), TypeError, "heads are a list of whole numbers"),
    ("repeated heads", _select(heads=[1, 1]), ValueError, "head 1 is given twice"),
    ("no heads", _select(heads=[]), ValueError, "heads are an empty list"),
    ("no layers", _select(layers=[]), ValueError, "layers are an empty list"),
    ("a layer too many", _select(layers=[6]), ValueError, "no layer 6; the model has 5"),
    ("a negative layer", _select(layers=[-1]), ValueError, "no layer -1"),
    ("a head too many", _select(heads=[64]), ValueError, "no head 64"),
    ("neurons of z", _select(neurons=[1]), ValueError, "z has no neurons to choose"),
    ("sources of z", _select(sources=["S1"]), ValueError, "only pattern has sources"),
    ("only as a list", _select(only=[True]), TypeError, "only is a boolean xarray.DataArray"),
    # ablations
    ("a value that is none", _gone(["4.0"], value="none"), ValueError, "expected a value among"),
    ("ablate by no value", _on(ablate, value="none"), ValueError, "expected a value among"),
    ("an ablation of nothing", _gone([]), ValueError, "an ablation needs parts"),
    ("an ablation of text", _gone("4.0"), TypeError, "expected a list of parts"),
    ("an ablation of ints", _gone([4, 0]), TypeError, "expected a node"),
    ("an ablation of the input", _gone(["input"]), ValueError, "input is none of these"),
    ("repeated parts", _gone(["4.0", (4, 0)]), ValueError, "part 4.0 is given twice"),
    ("a part that is not there", _gone(["9.6"]), ValueError, "mini has no Head 9.6"),
    ("a neuron that is not there", _gone(["m0.99999"]), ValueError, "no Neuron m0.99999"),
    ("a role of no token", _gone(["4.0@S9"]), ValueError, "no role 'S9'"),
    ("ablated at text", _gone(["4.0"], positions="END"), TypeError, "positions are a list"),
    ("ablated nowhere", _gone(["4.0"], positions=[]), ValueError, "positions are an empty list"),
    ("kept MLPs", _gone("heads", keep=["m0"]), ValueError, "only heads can be kept"),
    ("kept heads of another model", _gone("heads", keep=["9.6"]), ValueError, "no Head 9.6"),
    ("sets as a list", _on(ablate, [(4, 0)]), TypeError, ("sets", "name")),
    ("no sets", _on(ablate, {}), ValueError, "no sets were given"),
    ("a set that is text", _on(ablate, {"a": "4.0"}), TypeError, "expected a list of parts"),
    ("repeats in a set", _on(ablate, {"a": ["4.0", "4.0"]}), ValueError, "given twice"),
    ("heads for sets", _on(ablate, {"a": ["4.0"]}, Selection(heads=[1])), ValueError,
     "the sets name their parts"),
    ("a sweep with references by name", _on(ablate, reference={}), ValueError, "give one task"),
    ("a reference that is text", _on(ablate, reference="task"), TypeError, "reference"),
    ("a shorter reference", _fewer, ValueError, "give one for each"),
    ("repeated pairs", _of(pairs, ["9.6", "9.6"]), ValueError, "head 9.6 is given twice"),
    # paths
    ("receivers as text", _on(path_patch, "q"), TypeError, "receivers are 'logits' or Receivers"),
    ("receivers at no site", _of(Receivers, "z", heads=["4.0"]), ValueError,
     "unknown receiver 'z'"),
    ("receivers without heads", _of(Receivers, "q"), ValueError, "receiver 'q' needs heads"),
    ("receivers of ints", _of(Receivers, "q", heads=[4, 0]), TypeError, "expected a head"),
    ("receivers twice", _of(Receivers, "q", heads=["4.0", (4, 0)]), ValueError, "given twice"),
    ("a layer of pairs", _of(Receivers, "mlp_in", layers=[(4, 0)]), TypeError, "layers"),
    ("layers as text", _of(Receivers, "mlp_in", layers="4"), TypeError, "layers"),
    ("receivers at text", _of(Receivers, "q", heads=["4.0"], positions="END"), TypeError,
     "positions are a list"),
    ("receivers of another model", _on(path_patch, Receivers("q", heads=["9.6"])), ValueError,
     "no Head 9.6"),
    ("senders of no kind", _on(path_patch, site="q"), ValueError, "expected site among"),
    ("MLPs of no kind", _on(path_patch, mlps="fixed"), ValueError, "expected mlps among"),
    ("attention of no receivers", _on(path_attention, ["4.0"], []), ValueError, "empty list"),
    ("attention to text", _on(path_attention, ["3.0"], ["4.0"], keys="IO"), TypeError, "keys"),
    ("no senders", _nodes([], [Q]), ValueError, "at least one node as a sender"),
    ("a sender without a role", _nodes(["4.0"], [Q]), ValueError, "4.0 is not a sender"),
    ("senders as text", _nodes("4.0@END", [Q]), TypeError, "senders"),
    ("ports as text", _nodes(["3.0@END"], ["4.0.q@END"]), TypeError, "Port"),
    ("an input of an MLP", _nodes(["3.0@END"], [Port(as_node("m4@END"), "q")]), ValueError,
     "no letter"),
    # directions, metrics, estimates
    ("no direction", _on(patch, "z", direction="both"), ValueError, "'denoising' or 'noising'"),
    ("a metric that is none", _on(patch, "z", metrics="loss"), ValueError,
     "expected a metric among"),
    ("a number for a metric", _on(measure, 3), TypeError, "expected a metric among"),
    ("metrics of one name", _by_name(patch, "z"), ValueError, "two metrics are called '<lambda>'"),
    ("no metrics", _on(ablate, metrics=[]), ValueError, "no metric is chosen"),
    ("a side that is none", _on(measure, side="both"), ValueError, "'clean' or 'corrupted'"),
    ("two metrics to estimate", _on(attribution_patch, "z", metric=["rank", "accuracy"]),
     ValueError, "one metric at a time"),
    ("a metric without gradient", _on(attribution_patch, "z", metric="rank"), ValueError, "jumps"),
    ("a fix that is none", _on(attribution_patch, "z", fixes=["typo"]), ValueError, "'typo'"),
    ("fixes as text", _on(attribution_patch, "q", fixes="qk"), TypeError, "fixes are a list"),
    ("a dtype that is none", _on(attribution_patch, "z", dtype="bfloat16"), ValueError, "bfloat16"),
    ("half precision", _on(attribution_patch, "z", dtype=torch.float16), ValueError, "float16"),
    ("no cells to screen", _on(screen, "z", top=0), ValueError, "at least one cell"),
    ("cells as text", _on(screen, "z", top="3"), ValueError, "at least one cell"),
    ("an ablation that is none", _on(patch, "z", ablation=["4.0"]), TypeError, "Ablation"),
    ("measured in no ablation", _on(measure, ablation="4.0"), TypeError, "Ablation"),
    ("agreement of other prompts", _other_prompts, ValueError, "of prompts"),
    ("an effect on no metric", lambda g: effect(patch(g["mini"], g["task"], "z", AT_END), "rank"),
     ValueError, "no metric 'rank'"),
    ("normalized without a pair", lambda g: normalized(measure(g["mini"], g["task"])), ValueError,
     "clean and the corrupted run"),
    # parts
    ("words of no part", _of(parse, "9,6"), ValueError, "names no part, node or edge"),
    ("a part that is no text", _of(parse, 9.6), TypeError, "expected text such as"),
    ("an edge for a node", _of(as_node, "9.6 -> 10.0.q"), ValueError, "is an edge"),
    ("a number for a node", _of(as_node, 9), TypeError, "expected a node"),
    ("an MLP for a head", _of(as_head, "m9"), ValueError, "expected a head"),
    ("text for heads", _of(as_heads, "9.6"), TypeError, "expected a list of heads"),
    ("an edge back", _of(Edge, Node(Head(9, 6)), Node(Head(8, 0)), "q"), ValueError,
     "does not write into"),
    ("an edge into nothing", _of(Edge, Node(Head(8, 6)), Node(Head(9, 0)), "z"), ValueError,
     "has no input 'z'"),
]  # fmt: skip
ROWS = [(name, _plain(call), error, words) for name, call, error, words in ROWS]
