"""Load a GPT-2 checkpoint: `interp.load`.

The weights are safetensors, mapped into memory and used in place: on the CPU in float32, a model
costs no memory beyond the operating system's file cache. Writing to a parameter copies its pages;
the file never changes. Nothing is ever unpickled.

Everything that can be checked from the small files and the safetensors header is checked before the
weights are read; then every tensor is scanned once for NaN and infinities.

Source: safetensors format, https://huggingface.co/docs/safetensors.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from interp.model.checks import check_device, check_dtype
from interp.model.config import GPT2Config
from interp.model.hf_layout import (
    SHARD_INDEX,
    WEIGHTS,
    CheckpointError,
    parse_config,
    tensor_table,
)
from interp.model.hooked_gpt2 import HookedGPT2
from interp.model.hub import MODEL_NAMES, ModelNotFoundError, locate

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_STORED_DTYPES = ("F64", "F32", "F16", "BF16")
# Causal masks, which old versions of transformers stored with the weights; not parameters.
_LEGACY_BUFFER = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


def load(
    name_or_path: str | os.PathLike[str] = "mini",
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> HookedGPT2:
    """Load a GPT-2.

    Args:
        name_or_path: "mini" or "mini-ioi" (bundled, need no network), "gpt2", "gpt2-medium",
            "gpt2-large", "gpt2-xl", "distilgpt2" (from the Hugging Face hub, pinned and cached), or
            a directory in Hugging Face layout: config.json, model.safetensors (or shards with their
            index), and tokenizer.json, or vocab.json with merges.txt. Without a tokenizer, the
            model takes only token ids.
        device: device for the weights; None is torch's default device
        dtype: dtype to compute in; None is float32, whatever the file holds, because half precision
            changes results

    Returns:
        The model, named after `name_or_path`.

    Raises:
        ModelNotFoundError: the name is unknown or empty, a directory or file is missing, or a
            download failed
        CheckpointError: the files are not a GPT-2 in safetensors: the architecture is another, the
            weights are pickled, a file is truncated, tensors are missing, unexpected or have the
            wrong shape, weights are NaN or infinite, or the tokenizer has more tokens than the
            embedding
        ValueError: the dtype is not a floating-point one, or the device does not exist
        TypeError: an argument is of another type

    Example:
        >>> model = load("mini")
        >>> model.name
        'mini'
    """
    if dtype is not None:
        check_dtype(dtype)
    target = check_device(device)
    directory = locate(name_or_path)
    fields, config = _read_config(directory)
    stored = _read_weights(directory, config)
    tokenizer = _read_tokenizer(directory, fields, config.d_vocab)
    known = os.fspath(name_or_path) in MODEL_NAMES
    name = os.fspath(name_or_path) if known else directory.resolve().name
    with torch.device("meta"):
        model = HookedGPT2(config, tokenizer, name=name)
    shapes = {key: parameter.shape for key, parameter in model.state_dict().items()}
    state: dict[str, Tensor] = {
        ours: tensor.view(shapes[ours]).to(target, dtype or torch.float32)
        for ours, tensor in stored.items()
    }
    if config.tied:  # one Parameter under both names, so that they stay tied in training
        state["embed.W_E"] = state["unembed.weight"] = nn.Parameter(state["embed.W_E"])
    state["unembed.b_U"] = state["embed.W_E"].new_zeros(config.d_vocab)
    model.load_state_dict(state, assign=True)
    return model


def _read_config(directory: Path) -> tuple[dict[str, Any], GPT2Config]:
    path = directory / "config.json"
    if not path.is_file():
        found = ", ".join(sorted(entry.name for entry in directory.iterdir())[:8]) or "nothing"
        raise ModelNotFoundError(
            f"{directory} is not a checkpoint: expected config.json, {WEIGHTS} and tokenizer.json, "
            f"found {found}"
        )
    fields = _read_json(path)
    try:
        return fields, parse_config(fields)
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON or UTF-8
        raise CheckpointError(f"{path} is not readable JSON ({error}); copy it again") from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path} must hold a JSON object, got {type(fields).__name__}")
    return fields


def _weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a checkpoint: one, or the shards that the index lists."""
    single, index = directory / WEIGHTS, directory / SHARD_INDEX
    if single.is_file():
        return [single]
    if index.is_file():
        shards = _read_json(index).get("weight_map")
        names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
        if not names or any(Path(name).name != name for name in names):
            raise CheckpointError(f"{index} must map tensors to shards in the same directory")
        for name in names:
            if not (directory / name).is_file():
                raise ModelNotFoundError(f"{directory} lacks {name}, which {SHARD_INDEX} lists")
        return [directory / name for name in names]
    pickles = sorted(path.name for pattern in _PICKLES for path in directory.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{directory} has its weights only as a pickle ({pickles[0]}). Opening a pickle can "
            "run any code, so it is not read. If you trust it, convert it once:\n"
            "    from transformers import AutoModelForCausalLM\n"
            f"    model = AutoModelForCausalLM.from_pretrained({str(directory)!r})\n"
            f"    model.save_pretrained({str(directory)!r})  # writes {WEIGHTS}"
        )
    raise ModelNotFoundError(f"{directory} has a config.json but no {WEIGHTS}")


def _read_weights(directory: Path, config: GPT2Config) -> dict[str, Tensor]:
    """The stored tensors under our names, mapped into memory in Hugging Face's shapes."""
    sources = _open_weights(directory)
    table = tensor_table(config)
    expected = dict(table.values())
    if config.tied and "lm_head.weight" in sources:  # redundant, but some checkpoints have it
        expected["lm_head.weight"] = expected["wte.weight"]
    _check_header(directory, sources, expected)
    tensors = _read_tensors(directory, sources)
    if config.tied and not torch.equal(
        tensors.get("lm_head.weight", tensors["wte.weight"]), tensors["wte.weight"]
    ):
        raise CheckpointError(
            f"{directory}: config.json ties the embeddings, but lm_head.weight differs from "
            'wte.weight; write "tie_word_embeddings": false into config.json to use both'
        )
    return {ours: tensors[theirs] for ours, (theirs, _) in table.items()}


def _open_weights(directory: Path) -> dict[str, tuple[Any, str]]:
    """Name of each tensor without prefix -> its open file, and its name there."""
    sources = {}
    for path in _weight_files(directory):
        try:
            handle = safe_open(path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} ({path.stat().st_size} bytes) is truncated or is not a safetensors file: "
                f"{error}; fetch it again (a Git LFS pointer needs `git lfs pull`)"
            ) from error
        for key in handle.keys():  # noqa: SIM118  (the file is not a dict)
            sources[key.removeprefix("transformer.")] = (handle, key)
    return {name: at for name, at in sources.items() if not _LEGACY_BUFFER.fullmatch(name)}


def _read_tensors(directory: Path, sources: dict[str, tuple[Any, str]]) -> dict[str, Tensor]:
    """Tensors by name, mapped into memory, with all values checked to be finite."""
    tensors = {name: handle.get_tensor(key) for name, (handle, key) in sources.items()}
    for name, tensor in tensors.items():
        # min and max propagate NaN, and need no second tensor of the same size
        if not all(bound.isfinite() for bound in torch.aminmax(tensor)):
            raise CheckpointError(
                f"{directory}: tensor {name} holds NaN or infinite values; the file is damaged, or "
                "the training that wrote it diverged"
            )
    return tensors


def _check_header(
    directory: Path, sources: dict[str, tuple[Any, str]], expected: dict[str, tuple[int, ...]]
) -> None:
    """Check names, shapes and dtypes, from the safetensors header alone."""
    problems = [f"missing {name}" for name in expected if name not in sources]
    problems += [f"unexpected {name}" for name in sources if name not in expected]
    for name in expected.keys() & sources.keys():
        handle, key = sources[name]
        header = handle.get_slice(key)
        shape, dtype = tuple(header.get_shape()), header.get_dtype()
        if shape != expected[name]:
            problems.append(f"{name} has shape {shape}, expected {expected[name]}")
        if dtype not in _STORED_DTYPES:
            problems.append(f"{name} is stored as {dtype}, expected one of {_STORED_DTYPES}")
    if problems:
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointError(
            f"{directory}: the tensors are not those of the GPT-2 that config.json describes: "
            f"{'; '.join(problems[:8])}{more}"
        )


def _read_tokenizer(directory: Path, fields: dict[str, Any], d_vocab: int) -> Any:
    """The checkpoint's own tokenizer; None if it has none."""
    from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

    # tokenizer.json is complete. AutoTokenizer would rebuild it as a GPT-2 tokenizer because of the
    # model's type, which silently corrupts any other vocabulary.
    kind: Any = PreTrainedTokenizerFast
    if not (directory / "tokenizer.json").is_file():
        pair = ("vocab.json", "merges.txt")
        missing = [name for name in pair if not (directory / name).is_file()]
        if len(missing) == 2:
            return None
        if missing:
            raise CheckpointError(f"{directory} has only half a tokenizer: it lacks {missing[0]}")
        kind = GPT2Tokenizer
    try:
        tokenizer = kind.from_pretrained(directory, local_files_only=True)
        n_tokens = max(tokenizer.get_vocab().values()) + 1
    except Exception as error:  # tokenizers raises bare Exception for a damaged file
        raise CheckpointError(f"{directory}: the tokenizer cannot be read: {error}") from error
    if n_tokens > d_vocab:
        raise CheckpointError(
            f"{directory}: the tokenizer has {n_tokens} tokens, the embedding only {d_vocab}; use "
            "the tokenizer that the model was trained with"
        )
    for name in ("bos_token", "eos_token"):  # for the hub's GPT-2, only config.json names them
        token = fields.get(f"{name}_id")
        if getattr(tokenizer, name) is None and type(token) is int and 0 <= token < n_tokens:
            setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(token))
    return tokenizer
