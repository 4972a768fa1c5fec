"""What lenses refuse: (id, call with the fixtures, error class, words in the message)."""

import torch

from interp.lens import (
    TunedLens,
    compare_lenses,
    cumulative,
    direct_logit_attribution,
    logit_lens,
    text_batches,
    tune,
)
from interp.patching import Ablation

TEXT = " Mary and John met"


def _lens(options, read=logit_lens, prompt=TEXT):
    return lambda given: read(given["mini"], given["task"] if prompt is None else prompt, **options)


def _parts(options, prompt=TEXT):
    return _lens(options, direct_logit_attribution, prompt)


def _tune(batch, **options):
    return lambda given: tune(given["mini"], lambda step: batch, **options)


ROWS = [
    ("lens of an empty text", _lens({}, prompt=""), ValueError, "empty"),
    ("lens of no texts", _lens({}, prompt=[]), ValueError, "at least one token"),
    ("lens of an empty text among several", _lens({}, prompt=[TEXT, ""]), ValueError, "text 1"),
    ("lens of a long text", _lens({}, prompt=" Mary" * 200), ValueError, "at most 128"),
    ("lens of long ids", _lens({}, prompt=[5] * 129), ValueError, "1 to 128"),
    ("lens of ids outside", _lens({}, prompt=[5, 99999]), ValueError, "d_vocab - 1"),
    ("lens of a negative id", _lens({}, prompt=[-1]), ValueError, "from 0 to"),
    ("lens of floats", _lens({}, prompt=torch.ones(3)), ValueError, "integers"),
    ("lens of ragged rows", _lens({}, prompt=[[1, 2], [3]]), TypeError, "rows of one length"),
    ("lens at an unknown site", _lens({"site": "resid"}), ValueError, "unknown site 'resid'"),
    ("lens of a layer outside", _lens({"layers": [6]}), ValueError, "layers 0 to 4"),
    ("lens of a negative layer", _lens({"layers": [-1]}), ValueError, "layers 0 to 4"),
    ("lens of no layers", _lens({"layers": []}), ValueError, "empty list"),
    ("lens of a layer twice", _lens({"layers": [1, 1]}), ValueError, "layer 1 is given twice"),
    ("lens with k above the vocabulary", _lens({"k": 10**6}), ValueError, "(d_vocab)"),
    ("lens with k = 0", _lens({"k": 0}), ValueError, "k must be from 1"),
    ("lens at a role of a text", _lens({"position": "IO"}), ValueError, "no role 'IO'"),
    ("lens at a negative position", _lens({"position": -1}), ValueError, "counted from 0"),
    ("lens beyond the text", _lens({"position": 9}), ValueError, "not in every prompt"),
    ("lens with two answers", _lens({"answer": [1, 2]}), ValueError, "2 tokens for 1 texts"),
    ("lens with a foil alone", _lens({"foil": 3}), ValueError, "pass an answer too"),
    ("lens with an answer of two tokens", _lens({"answer": " Mary John"}), ValueError, "single"),
    ("lens of a task with an answer", _lens({"answer": 3}, prompt=None), ValueError, "its own"),
    ("lens of a role the task lacks", _lens({"position": "X"}, prompt=None), ValueError, "'X'"),
    ("lens of a text, mean ablation", _lens({"ablation": Ablation(["4.0"])}), ValueError, "needs"),
    (
        "lens tuned for other sizes",
        _lens({"tuned": TunedLens(torch.zeros(2, 4, 4), torch.zeros(2, 4))}),
        ValueError,
        "2 translators of 4",
    ),
    ("attribution without an answer", _parts({}), ValueError, "pass answer"),
    ("attribution to no answers", _parts({"answer": []}), ValueError, "empty list"),
    ("attribution to an answer outside", _parts({"answer": 10**6}), ValueError, "d_vocab - 1"),
    ("attribution to an answer twice", _parts({"answer": [3, 3]}), ValueError, "given twice"),
    ("attribution by no part", _parts({"answer": 3, "by": "source_role"}), ValueError, "no roles"),
    ("attribution beyond", _parts({"answer": 3, "position": 99}), ValueError, "counted from 0"),
    (
        "cumulative of heads",
        lambda given: cumulative(direct_logit_attribution(given["mini"], given["task"], by="head")),
        ValueError,
        "by='component'",
    ),
    ("tuning without steps", _tune(torch.ones(2, 3).long(), steps=0), ValueError, "steps must be"),
    ("tuning on nothing", _tune(torch.ones(0, 3).long()), ValueError, "must return token ids"),
    ("tuning on ids outside", _tune(torch.tensor([[1, 10**6]])), ValueError, "d_vocab - 1"),
    (
        "tuning at a negative rate",
        _tune(torch.ones(2, 3).long(), learning_rate=-1.0),
        ValueError,
        "learning_rate must be a positive number",
    ),
    (
        "a text too short to train on",
        lambda given: text_batches(given["mini"], TEXT, length=16),
        ValueError,
        "20 rows of 16",
    ),
    (
        "lenses compared on an empty text",
        lambda given: compare_lenses(given["mini"], "", TunedLens.identity(given["mini"])),
        ValueError,
        "empty",
    ),
    (
        "a lens that is not there",
        lambda given: TunedLens.load(given["tmp_path"] / "lens.safetensors"),
        FileNotFoundError,
        "no tuned lens at",
    ),
]
