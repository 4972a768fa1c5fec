"""Random models and prompts for the tests, and runs so small that there are several of each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import interp
import interp.patching.path
import interp.runs.node_receivers
import interp.runs.sides
import interp.runs.sweep
from interp.tasks import Task


def hugging_face_gpt2(**sizes: object) -> GPT2LMHeadModel:
    """A tiny GPT-2 of transformers in which every parameter is random, biases and norms too."""
    tiny = {"n_layer": 3, "n_head": 4, "n_embd": 32, "vocab_size": 50, "n_positions": 32}
    config = GPT2Config(**{**tiny, "bos_token_id": 0, "eos_token_id": 0, **sizes})
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def pair(directory: Path, **sizes: object) -> tuple[GPT2LMHeadModel, interp.HookedGPT2]:
    """The same random weights in transformers' GPT-2 and in ours, by way of a checkpoint."""
    theirs = hugging_face_gpt2(**sizes)
    theirs.save_pretrained(directory)
    return theirs, interp.load(directory)


def random_model(seed: int = 0, **sizes: int) -> interp.HookedGPT2:
    """A tiny random model of ours whose activations and effects are far from zero."""
    tiny = {"n_layers": 3, "n_heads": 4, "d_model": 32, "d_mlp": 64, "d_vocab": 50, "n_ctx": 32}
    model = interp.HookedGPT2(interp.GPT2Config(**{**tiny, **sizes}), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def random_task(n: int = 7, lengths: tuple[int, ...] = (9, 6), seed: int = 1) -> Task:
    """Random prompts of unequal length with random partners, in one group a length."""
    generator = torch.Generator().manual_seed(seed)

    def ids(*shape: int) -> torch.Tensor:
        return torch.randint(0, 50, shape, generator=generator)

    length = torch.tensor([lengths[i % len(lengths)] for i in range(n)])
    mask = torch.arange(max(lengths)) < length[:, None]
    answer = ids(n)
    texts, labels = tuple("x" * n), tuple(f"length {size}" for size in length.tolist())
    return Task(
        "random",
        texts,
        texts,
        clean_tokens=ids(n, max(lengths)) * mask,
        corrupted_tokens=ids(n, max(lengths)) * mask,
        attention_mask=mask,
        answer=answer,
        foil=(answer + 1 + ids(n) % 49) % 50,
        positions={"S2": ids(n) % min(lengths), "END": length - 1},
        group=labels,
        template=labels,
        order=("",) * n,
    )


def apart(task: Task) -> Task:
    """The same prompts with S2 before END in each."""
    return replace(
        task, positions={**task.positions, "S2": task.positions["S2"] % (task.lengths - 1)}
    )


def unaligned(task: Task, seed: int = 3) -> Task:
    """The same prompts, their partners with none, one or two random tokens more in front."""
    n, width = task.corrupted_tokens.shape
    ahead = torch.arange(n) % 3
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 50, (n, width + 2), generator=generator)
    for i, more in enumerate(ahead.tolist()):
        tokens[i, more : more + width] = task.corrupted_tokens[i]
    mask = torch.arange(width + 2) < (task.lengths + ahead)[:, None]
    return replace(
        task,
        clean_tokens=torch.nn.functional.pad(task.clean_tokens, (0, 2)),
        attention_mask=torch.nn.functional.pad(task.attention_mask, (0, 2)),
        corrupted_tokens=tokens * mask,
        corrupted_mask=mask,
        corrupted_positions={role: at + ahead for role, at in task.positions.items()},
    )


def with_sets() -> Task:
    """Random prompts with two to four answers and three foils each."""
    task = random_task()
    generator = torch.Generator().manual_seed(5)
    ids = torch.stack([torch.randperm(50, generator=generator)[:7] for _ in range(len(task))])
    answer = ids[:, :4].clone()
    answer[::2, 2:] = -1
    return replace(task, answer=answer, foil=ids[:, 4:])


def on_sample(
    found: np.ndarray, shape: tuple[int, ...], twin: Callable[..., float], n: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Some cells of a grid, and what a slow twin says of their indices.

    Every index of each axis that is no longer than n is among them, in random company.
    """
    assert found.shape == shape
    rng = np.random.default_rng(0)
    axes = [
        np.concatenate([rng.permutation(size) for _ in range(-(-n // size))])[:n].tolist()
        for size in shape
    ]
    cells = sorted(set(zip(*axes, strict=True)))
    return np.array([found[cell] for cell in cells]), np.array([twin(*cell) for cell in cells])


@contextmanager
def unchecked() -> Iterator[None]:
    """Without the tests' checker of shapes and types, which would speak before our own errors."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def make_runs_small(monkeypatch: pytest.MonkeyPatch, memory: int = 1 << 17) -> None:
    """Cut tiny tasks into several batches of prompts and several chunks of jobs and cells."""
    for module in (interp.runs.sweep, interp.patching.path, interp.runs.node_receivers):
        monkeypatch.setattr(module, "ROWS_PER_RUN", 50)
    monkeypatch.setattr(interp.runs.sweep, "_CELLS", 5)
    monkeypatch.setattr(interp.runs.sides, "MEMORY", memory)
    monkeypatch.setattr(interp.runs.sides, "PROMPTS", 3)
