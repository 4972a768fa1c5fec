"""Calls that must fail with one clear error: loading, running, generating, saving the model.

A row is its id, a call that takes the fixtures ("mini", "task", "tmp_path") as a dictionary, the
class of the error, and words of its message. The shape checker of the tests, which would speak
before them, is silent while they run.

The file is longer than most, because it is a table.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jaxtyping
import torch

import interp
from interp.model.hf_layout import CheckpointError
from interp.model.hub import ModelNotFoundError
from tests.helpers import random_model

Fixtures = dict[str, Any]
Row = tuple[str, Callable[[Fixtures], object], type[Exception], tuple[str, ...]]

IDS = torch.tensor([[1, 2, 3]])
STREAM = torch.zeros(1, 3, 32)
Z = "blocks.1.attn.hook_z"


def _plainly(call: Callable[[Fixtures], object]) -> Callable[[Fixtures], object]:
    """The call as it is outside the tests."""

    def run(given: Fixtures) -> object:
        before = jaxtyping.config.jaxtyping_disable
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            return call(given)
        finally:
            jaxtyping.config.update("jaxtyping_disable", before)

    return run


def _tiny(method: str, *args: Any, **options: Any) -> Callable[[Fixtures], object]:
    """A method of a tiny random model without a tokenizer."""
    return lambda given: getattr(random_model(), method)(*args, **options)


def _mini(method: str, *args: Any, **options: Any) -> Callable[[Fixtures], object]:
    return lambda given: getattr(given["mini"], method)(*args, **options)


def _call(function: Any, *args: Any, **options: Any) -> Callable[[Fixtures], object]:
    return lambda given: function(*args, **options)


def _with_mini(function: Any, *args: Any, **options: Any) -> Callable[[Fixtures], object]:
    return lambda given: function(given["mini"], *args, **options)


def _config(**fields: Any) -> Callable[[Fixtures], object]:
    whole = {"n_layers": 1, "n_heads": 2, "d_model": 8, "d_mlp": 16, "d_vocab": 11}
    return lambda given: interp.GPT2Config(**{**whole, **fields})


def _checkpoint(damage: Callable[[Any], object]) -> Callable[[Fixtures], object]:
    """Load a checkpoint of ours after something happened to its files."""

    def call(given: Fixtures) -> object:
        path = given["tmp_path"] / "checkpoint"
        random_model().save(path)
        damage(path)
        return interp.load(path)

    return call


def _edit_config(path: Any, **fields: Any) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def _save_nan(value: float, given: Fixtures) -> object:
    model = random_model()
    with torch.no_grad():
        model.blocks[1].mlp.W_in[3, 4] = value
    return model.save(given["tmp_path"] / "new")


def _long(given: Fixtures) -> str:
    return "the" + " the" * given["mini"].config.n_ctx


def _past() -> interp.KeyValueCache:
    past = interp.KeyValueCache()
    random_model()(IDS, past=past)
    return past


_forward, _cached = partial(_tiny, "forward"), partial(_tiny, "run_with_cache")
_hooked = partial(_tiny, "run_with_hooks", IDS)
_ids_of = partial(_tiny, "generate", IDS)
_N_CTX = ("tokens", "n_ctx")

_ROWS: list[Row] = [
    # loading
    ("load-nothing", _call(interp.load, ""), ModelNotFoundError, ("is empty", "mini")),
    ("load-blank", _call(interp.load, " "), ModelNotFoundError, ("is empty",)),
    ("load-unknown", _call(interp.load, "gpt-2"), ModelNotFoundError, ("mean 'gpt2'",)),
    ("load-none", _call(interp.load, None), TypeError, ("name of a model", "NoneType")),
    ("load-bytes", _call(interp.load, b"mini"), TypeError, ("name of a model", "bytes")),
    ("load-device", _call(interp.load, device="gpu"), ValueError, ("'gpu'", "there is cpu")),
    ("load-no-cuda", _call(interp.load, device="cuda:77"), ValueError, ("'cuda:77'", "cpu")),
    ("load-dtype", _call(interp.load, dtype="float16"), TypeError, ("write torch.float16",)),
    ("load-dtype-x", _call(interp.load, dtype="half16"), TypeError, ("torch.dtype",)),
    ("load-ints", _call(interp.load, dtype=torch.int8), ValueError, ("floating-point",)),
    (
        "load-truncated",
        _checkpoint(lambda p: (p / "model.safetensors").write_bytes(b"\x80\0\0\0\0\0\0\0{")),
        CheckpointError,
        ("truncated", "model.safetensors"),
    ),
    (
        "load-foreign",
        _checkpoint(lambda p: _edit_config(p, model_type="llama")),
        CheckpointError,
        ("'llama'", "not supported"),
    ),
    (
        "load-latin-1",
        _checkpoint(lambda p: (p / "config.json").write_bytes(b'{"model_type": "gpt\xe92"}')),
        CheckpointError,
        ("not readable JSON",),
    ),
    (
        "load-other-sizes",
        _checkpoint(lambda p: _edit_config(p, n_embd=64)),
        CheckpointError,
        ("has shape", "expected"),
    ),
    (
        "load-attention-dtype",
        _call(interp.load_attention, "mini", dtype="f"),
        TypeError,
        ("torch.",),
    ),
    ("load-attention-device", _call(interp.load_attention, "mini", device=""), ValueError, ("''",)),
    ("load-attention-0", _call(interp.load_attention, "mini", n_heads=0), ValueError, ("n_heads",)),
    ("verify-nan", _call(interp.verify, tolerance=float("nan")), ValueError, ("tolerance",)),
    ("config-0", _config(n_layers=0), ValueError, ("n_layers", "at least 1")),
    ("config-float", _config(n_heads=2.0), TypeError, ("n_heads", "whole number")),
    ("config-bool", _config(n_layers=True), TypeError, ("n_layers", "whole number")),
    ("config-eps", _config(eps=0.0), ValueError, ("eps", "positive")),
    ("to-no-device", _tiny("to", "gpu"), ValueError, ("'gpu'", "there is cpu")),
    ("to-no-cuda", _tiny("to", device="cuda:77"), ValueError, ("cuda:77",)),
    # saving
    ("save-nan", partial(_save_nan, float("nan")), CheckpointError, ("blocks.1.mlp.W_in", "NaN")),
    ("save-inf", partial(_save_nan, float("inf")), CheckpointError, ("blocks.1.mlp.W_in",)),
    ("save-nowhere", _tiny("save", ""), ValueError, ("directory is empty",)),
    ("save-number", _tiny("save", 3), TypeError, ("must be a path",)),
    ("save-no-model", _call(interp.save, {}, "x"), TypeError, ("takes a HookedGPT2", "dict")),
    ("process-no-model", _call(interp.process_weights, 1), TypeError, ("takes a HookedGPT2",)),
    ("new-model-of-name", _call(interp.HookedGPT2, "mini"), TypeError, ("use interp.load",)),
    # running
    ("run-nothing", _mini("forward", ""), ValueError, ("text 0 is empty",)),
    ("run-no-text", _mini("forward", []), ValueError, ("at least one text",)),
    ("run-list-of-ids", _mini("forward", [1, 2]), TypeError, ("int", "as a tensor")),
    ("run-none", _mini("forward", None), TypeError, ("expected a text", "NoneType")),
    ("run-no-tokenizer", _forward("Mary"), ValueError, ("no tokenizer",)),
    ("run-empty-batch", _forward(IDS[:0]), ValueError, ("at least one prompt",)),
    ("run-empty-prompt", _forward(IDS[:, :0]), ValueError, ("1 to 32 tokens",)),
    ("run-too-large-id", _forward(IDS + 48), ValueError, ("0 to 49", "to 51")),
    ("run-negative-id", _forward(IDS - 2), ValueError, ("0 to 49", "from -1")),
    ("run-float-ids", _forward(IDS.float()), ValueError, ("integer tensor",)),
    ("run-bos-ids", _forward(IDS, prepend_bos=True), ValueError, ("prepend_bos goes with text",)),
    ("run-mask-list", _forward(IDS, [[1, 1, 1]]), TypeError, ("must be a tensor",)),
    ("run-mask-float", _forward(IDS, torch.ones(1, 3)), TypeError, ("float32",)),
    (
        "run-mask-shape",
        _forward(IDS, torch.ones(1, 2).long()),
        ValueError,
        ("one entry per token",),
    ),
    (
        "run-all-padding",
        _forward(IDS.expand(2, 3), torch.tensor([[1, 1, 1], [0, 0, 0]])),
        ValueError,
        ("prompt 1 has no real token",),
    ),
    ("run-too-long", _forward(IDS.expand(11, 3).reshape(1, 33)), ValueError, ("33", *_N_CTX)),
    ("run-too-long-text", lambda g: g["mini"](_long(g)), ValueError, _N_CTX),
    ("cache-too-long", lambda g: g["mini"].run_with_cache(_long(g)), ValueError, _N_CTX),
    ("hooks-too-long", lambda g: g["mini"].run_with_hooks([_long(g)]), ValueError, _N_CTX),
    ("next-too-long", lambda g: interp.next_tokens(g["mini"], _long(g)), ValueError, _N_CTX),
    ("generate-too-long", lambda g: g["mini"].generate(_long(g)), ValueError, _N_CTX),
    ("stream-too-long", lambda g: g["mini"].stream(_long(g)), ValueError, _N_CTX),
    ("run-probs", _forward(IDS, return_type="probs"), ValueError, ('"logits"', "'probs'")),
    ("run-loss-of-one", _forward(IDS[:, :1], return_type="loss"), ValueError, ("two tokens",)),
    (
        "run-loss-of-stream",
        _forward(IDS, return_type="loss", stop_at_layer=1),
        ValueError,
        ("stop_at_layer=1", "residual stream"),
    ),
    (
        "run-loss-without-tokens",
        _forward(STREAM, return_type="both", start_at_layer=1),
        ValueError,
        ("the loss needs tokens",),
    ),
    ("run-stop-far", _forward(IDS, stop_at_layer=4), ValueError, ("<= 3 (n_layers)",)),
    ("run-stop-before", _forward(IDS, stop_at_layer=-4), ValueError, ("<= 3 (n_layers)",)),
    ("run-stop-float", _forward(IDS, stop_at_layer=1.0), TypeError, ("stop_at_layer", "whole")),
    ("run-start-far", _forward(STREAM, start_at_layer=5), ValueError, ("<= 3 (n_layers)",)),
    ("run-start-tokens", _forward(IDS, start_at_layer=1), ValueError, ("residual stream",)),
    ("run-start-width", _forward(STREAM[..., 1:], start_at_layer=1), ValueError, ("d_model=32",)),
    ("run-start-dtype", _forward(STREAM.double(), start_at_layer=1), ValueError, ("float64",)),
    ("run-past-list", _forward(IDS, past=[]), TypeError, ("KeyValueCache", "list")),
    (
        "run-past-other-batch",
        lambda g: random_model()(IDS.expand(2, 3), past=_past()),
        ValueError,
        ("holds 1 prompts", "has 2"),
    ),
    (
        "run-past-too-long",
        lambda g: random_model()(torch.ones(1, 30, dtype=torch.long), past=_past()),
        ValueError,
        ("33", *_N_CTX),
    ),
    # activations
    ("cache-unknown", _cached(IDS, names_filter=Z + "z"), KeyError, (Z, "nearest")),
    ("cache-module", _cached(IDS, names_filter="blocks.1.mlp"), ValueError, ("mlp.hook_post",)),
    ("cache-no-names", _cached(IDS, names_filter=[]), ValueError, ("names_filter is empty",)),
    ("cache-twice", _cached(IDS, names_filter=[Z, Z]), ValueError, (Z, "more than once")),
    ("cache-number", _cached(IDS, names_filter=3), TypeError, ("names_filter must be",)),
    (
        "cache-matches-nothing",
        _cached(IDS, names_filter=lambda name: name.endswith("hook_zz")),
        ValueError,
        ("matches no hook point", "hook_embed"),
    ),
    ("cache-device", _cached(IDS, device="gpu"), ValueError, ("'gpu'", "there is cpu")),
    ("cache-grad", _cached(IDS, incl_bwd=True), ValueError, ('return_type="loss"',)),
    ("cache-batch", _cached(IDS.expand(2, 3), remove_batch_dim=True), ValueError, ("one prompt",)),
    (
        "cache-texts",
        _mini("run_with_cache", ["Mary", "John"], remove_batch_dim=True),
        ValueError,
        ("one prompt", "got 2"),
    ),
    ("hook-unknown", _hooked(fwd_hooks=[("blocks.9.hook_z", print)]), KeyError, ("nearest",)),
    ("hook-none", _hooked(fwd_hooks=[(Z, None)]), TypeError, ("must be a function",)),
    ("hook-nowhere", _hooked(fwd_hooks=[(lambda n: False, print)]), ValueError, ("matches no",)),
    ("hook-number", _hooked(fwd_hooks=[(9, print)]), TypeError, ("by its name", "9")),
    ("hook-module", _tiny("add_hook", "blocks.1", print), ValueError, ("blocks.1.hook_",)),
    ("hook-direction", _tiny("add_hook", Z, print, dir="forward"), ValueError, ('"fwd"',)),
    # text
    ("side", _mini("tokenize", ["a", "b"], padding_side="rigth"), ValueError, ("'rigth'", "left")),
    ("tokenize-ids", _mini("tokenize", IDS), TypeError, ("expected a text", "Tensor")),
    ("tokenize-dict", _mini("tokenize", {"a": 1}), TypeError, ("expected a text", "dict")),
    ("single-token-several", _mini("to_single_token", "Mary and"), ValueError, ("[", "and")),
    ("single-token-empty", _mini("to_single_token", ""), ValueError, ("is empty",)),
    ("string-unknown-id", _mini("to_string", [999_999]), ValueError, ("token ids must be from 0",)),
    ("string-float", _mini("to_string", [1.5]), ValueError, ("whole numbers",)),
    ("str-tokens-bos", _mini("to_str_tokens", [1], prepend_bos=True), ValueError, ("with text",)),
    ("direction-id", _mini("tokens_to_residual_directions", -1), ValueError, ("from -1",)),
    ("bias-layer", _mini("accumulated_bias", 99), ValueError, ("layer must be from 0",)),
    ("next-list", _with_mini(interp.next_tokens, ["a"]), TypeError, ("one text", "list")),
    ("next-k-0", _with_mini(interp.next_tokens, "Mary", k=0), ValueError, ("k must be from 1",)),
    ("next-k-float", _with_mini(interp.next_tokens, "Mary", k=2.5), TypeError, ("k must be",)),
    # generation
    ("generate-one-row", _tiny("generate", IDS[0]), ValueError, ("[batch pos]", "tokens[None]")),
    ("generate-no-rows", _tiny("generate", IDS[:0]), ValueError, ("at least one prompt",)),
    ("generate-float-ids", _tiny("generate", IDS.float()), ValueError, ("whole numbers",)),
    ("generate-unknown-id", _tiny("generate", IDS + 48), ValueError, ("0 to 49",)),
    ("generate-list-of-ids", _mini("generate", [1, 2]), TypeError, ("as a tensor",)),
    ("generate-nothing", _mini("generate", ""), ValueError, ("is empty",)),
    ("generate-no-texts", _mini("generate", []), ValueError, ("at least one text",)),
    ("stream-list", _mini("stream", ["Mary"]), TypeError, ("one text", "interp.generate")),
    ("sample-list", _with_mini(interp.sample, [[1]]), TypeError, ("tensor [batch pos]",)),
    (
        "temperature-cold",
        _ids_of(temperature=1e-45),
        ValueError,
        ("temperature must be 0", "1e-45"),
    ),
    ("temperature-negative", _ids_of(temperature=-1.0), ValueError, ("temperature", "-1.0")),
    ("temperature-nan", _ids_of(temperature=float("nan")), ValueError, ("temperature", "nan")),
    ("temperature-inf", _ids_of(temperature=float("inf")), ValueError, ("finite",)),
    ("temperature-text", _ids_of(temperature="hot"), TypeError, ("temperature must be a number",)),
    ("top-k-0", _ids_of(top_k=0), ValueError, ("top_k must be from 1 to 50",)),
    ("top-k-large", _ids_of(top_k=51), ValueError, ("top_k must be from 1 to 50",)),
    ("top-k-float", _ids_of(top_k=2.0), TypeError, ("top_k must be a whole number",)),
    ("top-p-0", _ids_of(top_p=0.0), ValueError, ("top_p must be above 0",)),
    ("top-p-large", _ids_of(top_p=1.01), ValueError, ("top_p must be above 0",)),
    ("top-p-nan", _ids_of(top_p=float("nan")), ValueError, ("top_p",)),
    ("new-tokens-float", _ids_of(max_new_tokens=2.0), TypeError, ("max_new_tokens", "whole")),
    ("new-tokens-many", _ids_of(max_new_tokens=30), ValueError, ("exceed the model's 32",)),
    ("seed-float", _ids_of(seed=1.5), TypeError, ("seed must be a whole number",)),
]

ROWS: list[Row] = [
    (f"model-{name}", _plainly(call), error, words) for name, call, error, words in _ROWS
]
