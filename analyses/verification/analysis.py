"""Verify a GPT-2 small against what others published about it.

The shape is checked first, then the time that it will take is told; every check is written to the
record as soon as it is made, and one that fails leaves the others alone.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import interp
from analyses.common.choices import require_device, require_json, require_model, require_prompts
from analyses.common.opening import open_model
from analyses.common.shell import is_about_input, prepare
from analyses.verification.checks import Check, Subject, model_checks
from analyses.verification.ioi import ioi_checks
from analyses.verification.record import Record
from interp.circuits.published.claims import Outcome, unmeasured
from interp.model import AttentionWeights
from interp.model.hf_layout import CheckpointError
from interp.model.hub import MODEL_NAMES, ModelNotFoundError
from interp.patching import measure
from interp.results import versions
from interp.tasks import Task

SHAPE = (12, 12, 768)
"""Layers, heads in each, and width of GPT-2 small."""

_SAMPLE = 8


def run(
    model: str | Path = "gpt2",
    *,
    n: int = 100,
    seed: int = 0,
    prompts: str | Path | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Record:
    """Measure every claim.

    Args:
        model: "gpt2", or a directory with a GPT-2 small; one that holds only the attention weights
            can be checked for what needs no more
        n: number of prompts of a task, at least 2
        seed: seed of prompts and random tokens
        prompts: JSON file of templates, names and nouns for the IOI prompts, such as the paper's;
            None for interp's own
        out: folder for published.json and the kept results; None writes nothing
        device: where to run; None for where the model is
        say: takes lines about cost and progress

    Returns:
        The record.

    Raises:
        ValueError: there are fewer than 2 prompts, a file cannot be read, or the model does not
            have the shape of GPT-2 small
        ModelNotFoundError, CheckpointError: as for `interp.load`
        OSError: `out` cannot be written to
    """
    require_prompts(n)
    require_json(prompts, "prompts file")
    require_model(model)
    require_device(device)
    folder = prepare(out)
    subject = _open(model, device)
    task = _ioi(subject, n, seed, prompts)
    checks = model_checks(subject, n, seed)
    checks += ioi_checks(subject, task, None if folder is None else folder / "parts", seed)
    record = Record(_about(subject, task, n, seed, prompts))
    say(_cost(checks, subject, task, n))
    for i, check in enumerate(checks, 1):
        say(f"[{i}/{len(checks)}] {check.name} ...")
        start = time.perf_counter()
        outcomes = _outcomes(check)
        record.add(check.name, outcomes, time.perf_counter() - start)
        agree = sum(one.verdict == "agrees" for one in outcomes)
        say(f"    {agree} of {len(outcomes)} agree, {record.seconds[check.name]:.0f} s")
        record.complete = i == len(checks)
        if folder is not None:
            record.save(folder)
    return record


def _open(model: str | Path, device: str | None) -> Subject:
    """The checkpoint, under the name of the model that it is compared with."""
    try:
        loaded = open_model(model, device)
    except (CheckpointError, ModelNotFoundError) as error:
        if str(model) in MODEL_NAMES:
            raise
        try:
            weights = interp.load_attention(model)
        except Exception:
            raise error from None
        _require_shape(weights.name, weights.n_layers, weights.n_heads, weights.d_model)
        why = str(error).splitlines()[0].replace(str(model), Path(model).name)
        return Subject(model, None, weights, why)
    config = loaded.config
    _require_shape(loaded.name, config.n_layers, config.n_heads, config.d_model)
    loaded.name = "gpt2"  # the paper's circuit belongs to this name
    return Subject(model, loaded, AttentionWeights.of(loaded))


def _require_shape(name: str, n_layers: int, n_heads: int, d_model: int) -> None:
    if (n_layers, n_heads, d_model) != SHAPE:
        layers, heads, width = SHAPE
        raise ValueError(
            f"--published is about GPT-2 small, with {layers} layers of {heads} heads and width "
            f"{width}; {name} has {n_layers} layers of {n_heads} heads and width {d_model}. Leave "
            "--published out to compare it with transformers alone"
        )


def _ioi(subject: Subject, n: int, seed: int, prompts: str | Path | None) -> Task | str:
    """The IOI prompts, or why there are none; an error in the user's own file is raised."""
    if subject.model is None:
        return subject.lacks
    try:
        task = interp.tasks.ioi(
            subject.model.tokenizer, n, seed=seed, corruption="abc", prompts=prompts
        )
        task.require_fits(subject.model)
    except Exception as error:
        if prompts is not None:
            raise
        return _said(error)
    return task


def _outcomes(check: Check) -> list[Outcome]:
    """Make one check; if it fails, none of its claims could be measured."""
    try:
        return check.outcomes(check.measure())
    except Exception as error:
        return [unmeasured(claim, _said(error)) for claim in check.claims]


def _said(error: Exception) -> str:
    line = (str(error).strip() or "no message").splitlines()[0]
    bug = "" if is_about_input(error) else " (a bug in interp or too little memory; please report)"
    return f"{type(error).__name__}: {line}{bug}"


def _cost(checks: list[Check], subject: Subject, task: Task | str, n: int) -> str:
    """Estimate the time from that of a few prompts."""
    if subject.model is None or isinstance(task, str):
        return f"{len(checks)} checks; most cannot be made: {subject.lacks or task}"
    some = task[: min(len(task), _SAMPLE)]
    measure(subject.model, some, "logit_diff")  # the first run is slower
    start = time.perf_counter()
    measure(subject.model, some, "logit_diff")
    one = (time.perf_counter() - start) / len(some)
    minutes = one * sum(check.cost(n) for check in checks) / 60
    about = f"about {minutes:.0f} minutes" if minutes >= 1.5 else "about a minute"
    return (
        f"{len(checks)} checks, {sum(len(check.claims) for check in checks)} claims, {n} prompts: "
        f"{about} on this machine ({1000 * one:.0f} ms for one prompt). What is finished is kept."
    )


def _about(
    subject: Subject, task: Task | str, n: int, seed: int, prompts: str | Path | None
) -> dict[str, Any]:
    """What the file says about the run; names of folders stay here."""
    whole = subject.model
    found = {"transformers": version("transformers"), **versions()}
    return {
        "model": Path(subject.path).name,
        "weights": "" if whole is None else whole.fingerprint(),
        "device": "cpu" if whole is None else str(whole.device),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "prompts": "interp's own" if prompts is None else Path(prompts).name,
        "prompts_fingerprint": "" if isinstance(task, str) else task.fingerprint,
        "n": n,
        "seed": seed,
        "versions": found,
    }
