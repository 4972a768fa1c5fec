"""Locate a model's files: in the package, in a directory, or on the Hugging Face hub.

Hub models are pinned to a commit, so that a name always means the same weights, and are kept in
Hugging Face's own cache (`HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` work as usual).
"""

import os
from difflib import get_close_matches
from pathlib import Path

from interp.model.hf_layout import WEIGHTS

BUNDLED = ("mini", "mini-ioi")
HUB = {  # name: (repository, commit)
    "gpt2": ("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
    "gpt2-medium": ("openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da"),
    "gpt2-large": ("openai-community/gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519"),
    "gpt2-xl": ("openai-community/gpt2-xl", "15ea56dee5df4983c59b2538573817e1667135e2"),
    "distilgpt2": ("distilbert/distilgpt2", "2290a62682d06624634c1f46a6ad5be0f47f38aa"),
}
MODEL_NAMES = (*BUNDLED, *HUB)
_FILES = ("config.json", "tokenizer.json", WEIGHTS)


class ModelNotFoundError(FileNotFoundError):
    """The model, the directory or a file cannot be found; the message says what to do."""


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """Find the directory with a model's files, downloading them first if needed.

    Args:
        name_or_path: one of `MODEL_NAMES`, or a directory in Hugging Face layout. Names take
            precedence over directories of the same name; write "./gpt2" for a directory called
            gpt2.

    Returns:
        The directory.

    Raises:
        ModelNotFoundError: the name is unknown or empty, the path is not a directory, or a hub file
            is neither cached nor downloadable
        TypeError: the argument is neither a name nor a path
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise TypeError(
            f"expected the name of a model or a directory, got {type(name_or_path).__name__}; "
            f"models: {', '.join(MODEL_NAMES)}"
        )
    name = os.fspath(name_or_path)
    if not name.strip():
        raise ModelNotFoundError(
            f"the name of the model is empty; models: {', '.join(MODEL_NAMES)}; or give a "
            'directory in Hugging Face layout ("." is the current one)'
        )
    if name in BUNDLED:
        return _bundled(name)
    if name in HUB:
        return _download(name)
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelNotFoundError(
            f"{path} is a file; give the directory that holds config.json and {WEIGHTS}"
        )
    near = get_close_matches(path.name.lower(), MODEL_NAMES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ModelNotFoundError(
        f"no model and no directory is called {name!r}.{hint} Models: {', '.join(MODEL_NAMES)}; or "
        "give a directory in Hugging Face layout"
    )


def _bundled(name: str) -> Path:
    directory = Path(__file__).parents[1] / "assets" / name
    if not directory.is_dir():
        raise ModelNotFoundError(
            f"the bundled model {name!r} is missing from this installation (expected {directory}); "
            "reinstall interp"
        )
    return directory


def _download(name: str) -> Path:
    repository, revision = HUB[name]
    for filename in _FILES:
        try:
            path = _fetch(repository, revision, filename)
        except Exception as error:  # whatever failed in the client, the advice is the same
            reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
            raise ModelNotFoundError(
                f"could not get {filename} of {name!r} ({repository}, revision {revision}): it is "
                f"not in the local cache, and the download failed: {reason[0]}\n"
                f"Without a network: on a machine that has one, run\n"
                f"    hf download {repository} {' '.join(_FILES)} --revision {revision} "
                f"--local-dir {name}\n"
                f"copy the folder here and call interp.load('path/to/{name}'). "
                f"interp.load('{BUNDLED[0]}') needs no download."
            ) from error
    return Path(path).parent


def _fetch(repository: str, revision: str, filename: str) -> str:
    from huggingface_hub import (
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )

    if not isinstance(try_to_load_from_cache(repository, filename, revision=revision), str):
        # One request: hf_hub_download itself would retry for minutes before giving up.
        get_hf_file_metadata(hf_hub_url(repository, filename, revision=revision))
    return hf_hub_download(repository, filename, revision=revision)
