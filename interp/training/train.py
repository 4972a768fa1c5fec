"""Next-token training that can stop at any step and go on to the same weights.

The loss is the mean cross-entropy of each token given those before it, in nats,

    L = -mean_{row, pos} log p(t_{pos+1} | t_1 .. t_pos),

minimized by AdamW (Loshchilov and Hutter 2019) with decoupled weight decay on matrices only, the
gradient's norm clipped, and a learning rate that rises linearly and falls as a cosine to a floor.
Batches are a pure function of the step and the model has no dropout, so the parameters, AdamW's two
moments and the step are all the state there is: one safetensors file, nothing pickled.

Source: Radford et al. 2019; schedule and decay groups as in Karpathy's nanoGPT, `train.py`.

The file is longer than most: the loop and the checkpoint that it goes on from are one idea.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

CHECKPOINT = "checkpoint.safetensors"
_NO_TARGET = -100


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Args:
        steps: number of batches.
        learning_rate: its peak, reached after `warmup` steps.
        floor: the last learning rate, as a fraction of the peak.
        warmup: steps of linear rise.
        weight_decay: AdamW's, on tensors of two or more dimensions only.
        betas: AdamW's decay rates of the first and second moment.
        clip: largest norm of the gradient of all parameters together.
        validate_every: steps between measurements of the validation loss.
        checkpoint_every: steps between checkpoints.

    Raises:
        ValueError: for a step count, warm-up or interval that cannot be.
    """

    steps: int
    learning_rate: float = 1e-3
    floor: float = 0.05
    warmup: int = 100
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    validate_every: int = 250
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < self.steps:
            raise ValueError(
                f"expected 0 <= warmup < steps, got warmup={self.warmup} and steps={self.steps}"
            )
        if min(self.validate_every, self.checkpoint_every) < 1:
            raise ValueError(
                "validate_every and checkpoint_every count steps and must be at least 1, got "
                f"{self.validate_every} and {self.checkpoint_every}"
            )


@dataclass(frozen=True)
class TrainingStep:
    """Where training stands after a step.

    Args:
        step: steps done.
        loss: loss on the last batch, nats a token.
        learning_rate: learning rate of the last step.
        validation_loss: nats a token, at the steps where it was measured, else None.
        minutes: minutes of wall-clock time that all steps so far took, those of earlier stretches
            included; no part of what makes two equal.
    """

    step: int
    loss: float
    learning_rate: float
    validation_loss: float | None
    minutes: float = field(default=0.0, compare=False)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The learning rate of a step: linear warm-up, then half a cosine down to the floor.

    Args:
        step: from 0.
        config: peak, floor, warm-up and number of steps.

    Returns:
        The learning rate.

    Example:
        >>> config = TrainingConfig(steps=11, warmup=1, learning_rate=1.0, floor=0.1)
        >>> [round(learning_rate(step, config), 3) for step in (0, 1, 6, 11)]
        [1.0, 1.0, 0.55, 0.1]
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / (config.steps - config.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.learning_rate * (config.floor + (1 - config.floor) * cosine)


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and embeddings, not biases and layer norms.

    Args:
        model: its parameters are optimized; a tied one counts once.
        config: weight decay and betas.

    Returns:
        The optimizer; its learning rate is set at each step.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)


def next_token_loss(
    model: nn.Module,
    tokens: Int[Tensor, "row pos"],
    weights: Float[Tensor, "row pos"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of each token given those before it, in nats.

    Args:
        model: maps tokens to logits [row pos d_vocab].
        tokens: at least two a row.
        weights: how much each token counts when it is the next one; by default all the same.

    Returns:
        The loss.
    """
    # All logits, and a last target that does not count, since to cut the last off copies the rest.
    logits = model(tokens).flatten(0, 1)  # row*pos d_vocab
    targets = F.pad(tokens[:, 1:], (0, 1), value=_NO_TARGET).flatten()
    if weights is None:
        return F.cross_entropy(logits, targets, ignore_index=_NO_TARGET)
    nats = F.cross_entropy(logits, targets, ignore_index=_NO_TARGET, reduction="none")
    counts = F.pad(weights[:, 1:], (0, 1)).flatten()
    return (nats * counts).sum() / counts.sum()


def train(
    model: nn.Module,
    batches: Callable[[int], Tensor],
    config: TrainingConfig,
    *,
    validation: Sequence[Tensor] = (),
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    loss_of: Callable[[int, Tensor], Tensor] | None = None,
    on_step: Callable[[TrainingStep], None] | None = None,
) -> list[TrainingStep]:
    """Train a model in place.

    Args:
        model: maps tokens [row pos] to logits [row pos d_vocab]; no dropout. Trained where it is.
        batches: step -> tokens [row pos], a pure function.
        config: how to train.
        validation: batches whose mean loss is the validation loss.
        checkpoint_dir: where to keep the latest checkpoint; None keeps none.
        resume: go on from the checkpoint there, if there is one. On a CPU with the same number of
            threads the final weights are bit for bit those of a run that never stopped.
        loss_of: (step, tokens) -> what is minimized; by default the next-token loss.
        on_step: called after each step, for a progress bar.

    Returns:
        The steps where the validation loss was measured, those before a resumption
        included.

    Raises:
        ValueError: `resume` without `checkpoint_dir`, or a checkpoint of another model or config.
    """
    if resume and checkpoint_dir is None:
        raise ValueError("resume=True needs checkpoint_dir, the folder the checkpoint is in")
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, config)
    path = None if checkpoint_dir is None else Path(checkpoint_dir) / CHECKPOINT
    history: list[TrainingStep] = []
    progress = TrainingStep(0, math.nan, math.nan, None)
    if resume and path is not None and path.exists():
        progress, history = _load(path, model, optimizer, config)
    before, start = progress.minutes, time.perf_counter()
    model.train()
    for step in range(progress.step, config.steps):
        rate = learning_rate(step, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens = batches(step).to(device)
        loss = loss_of(step, tokens) if loss_of else next_token_loss(model, tokens)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        done = step + 1
        measured = bool(validation) and (done % config.validate_every == 0 or done == config.steps)
        held_out = validation_loss(model, validation) if measured else None
        minutes = before + (time.perf_counter() - start) / 60
        progress = TrainingStep(done, loss.item(), rate, held_out, minutes)
        if measured:
            history.append(progress)
        if path is not None and (done % config.checkpoint_every == 0 or done == config.steps):
            _save(path, model, optimizer, config, history, progress)
        if on_step is not None:
            on_step(progress)
    model.eval()
    return history


def validation_loss(model: nn.Module, batches: Sequence[Tensor]) -> float:
    """Mean next-token loss over batches, in nats a token.

    Args:
        model: maps tokens to logits.
        batches: tokens [row pos] each, counted equally.

    Returns:
        The mean of their losses.
    """
    device = next(model.parameters()).device
    with torch.inference_mode():
        losses = [next_token_loss(model, tokens.to(device)).item() for tokens in batches]
    return sum(losses) / len(losses)


# ---- checkpoints -----------------------------------------------------------------------------


def _moments(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """AdamW's state (both moments and its step count) by parameter name."""
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            state[f"{key}/{name}"] = value
    return state


def _save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.AdamW,
    config: TrainingConfig,
    history: list[TrainingStep],
    done: TrainingStep,
) -> None:
    tensors = {f"parameter/{name}": p.detach() for name, p in model.named_parameters()}
    tensors |= _moments(model, optimizer)
    metadata = {
        "done": json.dumps(asdict(done)),
        "config": json.dumps(asdict(config)),
        "history": json.dumps([asdict(progress) for progress in history]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")  # a run that dies here leaves the last checkpoint whole
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata)
    partial.replace(path)


def _load(
    path: Path, model: nn.Module, optimizer: torch.optim.AdamW, config: TrainingConfig
) -> tuple[TrainingStep, list[TrainingStep]]:
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
        saved: dict[str, Any] = json.loads(metadata["config"])
        expected = json.loads(json.dumps(asdict(config)))
        different = {key for key in expected if saved.get(key) != expected[key]}
        if different:
            raise ValueError(
                f"{path} was written with another TrainingConfig; they differ in "
                f"{', '.join(sorted(different))}. Use the same config, or start without resume"
            )
        parameters = dict(model.named_parameters())
        names = {key.partition("/")[2] for key in file.keys()}  # noqa: SIM118
        if names != set(parameters):
            raise ValueError(
                f"{path} holds another model: it has {sorted(names - set(parameters))[:3]} that "
                f"this model lacks and lacks {sorted(set(parameters) - names)[:3]}"
            )
        for name, parameter in parameters.items():
            shape = tuple(file.get_slice(f"parameter/{name}").get_shape())
            if shape != tuple(parameter.shape):
                raise ValueError(
                    f"{path} holds another model: {name} is {shape} there and "
                    f"{tuple(parameter.shape)} here"
                )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(file.get_tensor(f"parameter/{name}"))
                optimizer.state[parameter] = {
                    key: file.get_tensor(f"{key}/{name}").to(
                        "cpu" if key == "step" else parameter.device
                    )
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
    history = [TrainingStep(**entry) for entry in json.loads(metadata["history"])]
    return TrainingStep(**json.loads(metadata["done"])), history
