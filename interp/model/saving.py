"""Write a checkpoint that `interp.load` and `transformers.AutoModelForCausalLM` read.

The files are first written to a temporary folder inside the target and then renamed into place, all
of them or none: a full disk or an interruption leaves an earlier checkpoint intact, even if the
model being saved is memory-mapped from that very file.

Source: transformers `models/gpt2/modeling_gpt2.py` (names and shapes of the tensors).
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from interp.model.hf_layout import (
    SHARD_INDEX,
    TOKENIZER_FILES,
    WEIGHTS,
    CheckpointError,
    config_fields,
    tensor_table,
)
from interp.model.hooked_gpt2 import HookedGPT2


def save(model: HookedGPT2, directory: str | os.PathLike[str]) -> None:
    """Write a model in Hugging Face layout: config.json, model.safetensors and its tokenizer.

    Weights are written bit for bit, in the model's own dtype. An earlier GPT-2 checkpoint in the
    directory is replaced, including its tokenizer; files with other names stay.

    Args:
        model: the model; its unembedding must have no bias, since GPT-2's has none
        directory: the directory to write to; created if it does not exist

    Raises:
        CheckpointError: weights are NaN or infinite, GPT2LMHeadModel cannot hold them (a nonzero
            `unembed.b_U`, as from weight processing, or an unembedding that differs although
            `config.tied`), or the directory has a checkpoint of another kind
        ValueError: `directory` is empty
        TypeError: `model` is not a model, or `directory` is not a path
        NotADirectoryError: `directory` is a file
        OSError: the files cannot be written; an earlier checkpoint is intact
    """
    _check_model(model)
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(f"directory must be a path, got {type(directory).__name__}")
    if not os.fspath(directory):
        raise ValueError('directory is empty; "." is the current one')
    target = Path(directory).expanduser()
    _check_target(target)
    is_new = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".saving-", dir=target) as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            _write(model, new)
            _put_in_place(new, target)
    except BaseException as error:
        if is_new and target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        if not isinstance(error, Exception):
            raise
        raise OSError(  # tokenizers raises bare Exception
            f"could not write a checkpoint into {target}: {error}. Check the free space and the "
            "permissions; what was there before is unchanged"
        ) from error


def _check_model(model: HookedGPT2) -> None:
    """Refuse a model that a checkpoint cannot hold, or that could not be loaded again."""
    if not isinstance(model, HookedGPT2):
        raise TypeError(f"save takes a HookedGPT2, got {type(model).__name__}")
    for name, parameter in model.named_parameters():
        if not all(bound.isfinite() for bound in torch.aminmax(parameter.detach())):
            raise CheckpointError(
                f"{name} holds NaN or infinite values, and the checkpoint could not be loaded "
                "again; did the training diverge?"
            )
    if model.unembed.b_U.any():
        raise CheckpointError(
            "this model's unembedding has a bias (unembed.b_U), which weight processing made and "
            "Hugging Face's GPT-2 cannot hold; save the unprocessed model and process it after "
            "loading"
        )
    if model.config.tied and not torch.equal(model.unembed.weight, model.embed.W_E):
        raise CheckpointError(
            "model.config.tied says that the unembedding is the token embedding, but the two "
            "differ; only one of them would be saved"
        )


def _put_in_place(new: Path, target: Path) -> None:
    """Move all files of a finished checkpoint into place, or none."""
    written = sorted(path.name for path in new.iterdir())
    # The tokenizer of a replaced checkpoint does not belong to the new one.
    stale = [name for name in TOKENIZER_FILES if name not in written]
    earlier = new.parent / "earlier"
    earlier.mkdir()
    moved: list[str] = []
    try:
        for name in (*written, *stale):
            if (target / name).exists():
                os.replace(target / name, earlier / name)
            moved.append(name)
            if name in written:
                os.replace(new / name, target / name)
    except BaseException:
        for name in moved:
            (target / name).unlink(missing_ok=True)
        for path in list(earlier.iterdir()):
            os.replace(path, target / path.name)
        raise


def _check_target(target: Path) -> None:
    """Refuse to mix our files with a checkpoint that they would not replace completely."""
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} is a file; save needs a directory")
    if (target / SHARD_INDEX).exists():
        raise CheckpointError(f"{target} holds a sharded checkpoint; save into another directory")
    config = target / "config.json"
    if config.exists():
        try:
            is_gpt2 = json.loads(config.read_text(encoding="utf-8")).get("model_type") == "gpt2"
        except (ValueError, AttributeError):
            is_gpt2 = False
        if not is_gpt2:
            raise CheckpointError(
                f"{config} is not that of a GPT-2 and would be lost; save into another directory"
            )


def _write(model: HookedGPT2, directory: Path) -> None:
    state = model.state_dict()
    tensors = {
        theirs if theirs.startswith("lm_head") else f"transformer.{theirs}": state[ours]
        .detach()
        .to("cpu")
        .reshape(shape)
        .contiguous()
        for ours, (theirs, shape) in tensor_table(model.config).items()
    }
    fields = config_fields(model.config) | {
        "dtype": str(model.dtype).removeprefix("torch."),
        "bos_token_id": getattr(model.tokenizer, "bos_token_id", None),
        "eos_token_id": getattr(model.tokenizer, "eos_token_id", None),
    }
    config = directory / "config.json"
    config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})
    os.chmod(directory / WEIGHTS, config.stat().st_mode)  # safetensors makes it private
    if model.tokenizer is not None:
        model.tokenizer.save_pretrained(directory)
