"""Training: the schedule, the decay groups, learning, and resumption to the same bits."""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from interp import GPT2Config, HookedGPT2
from interp.training import (
    TrainingConfig,
    TrainingStep,
    learning_rate,
    make_optimizer,
    next_token_loss,
    train,
    validation_loss,
)

CONFIG = TrainingConfig(steps=8, warmup=2, learning_rate=1e-2, validate_every=3, checkpoint_every=2)


def tiny(seed: int = 0) -> HookedGPT2:
    shape = GPT2Config(n_layers=2, n_heads=2, d_model=8, d_mlp=16, d_vocab=11, n_ctx=12)
    return HookedGPT2(shape, seed=seed)


def batches(step: int) -> Tensor:
    return torch.randint(11, (3, 10), generator=torch.Generator().manual_seed(step))


def stop_after(step: int) -> Callable[[TrainingStep], None]:
    def on_step(progress: TrainingStep) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return on_step


def test_learning_rate_rises_linearly_to_the_peak_and_falls_to_the_floor() -> None:
    config = TrainingConfig(steps=110, warmup=10, learning_rate=2.0, floor=0.25)
    assert learning_rate(0, config) == pytest.approx(0.2)
    assert learning_rate(9, config) == learning_rate(10, config) == pytest.approx(2.0)
    assert learning_rate(60, config) == pytest.approx((2.0 + 0.5) / 2)
    assert learning_rate(110, config) == learning_rate(10**6, config) == pytest.approx(0.5)
    rates = [learning_rate(step, config) for step in range(10, 111)]
    assert rates == sorted(rates, reverse=True)


def test_only_matrices_decay_and_the_tied_embedding_counts_once() -> None:
    model = tiny()
    decayed, kept = make_optimizer(model, CONFIG).param_groups
    assert decayed["weight_decay"] == 0.1 and kept["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in kept["params"])
    n = sum(p.numel() for group in (decayed, kept) for p in group["params"])
    assert n == sum(p.numel() for p in model.parameters())
    assert any(p is model.embed.W_E for p in decayed["params"])


def test_decay_is_decoupled_from_the_gradient() -> None:
    # With no gradient AdamW only shrinks matrices, by learning rate times weight decay.
    model = nn.Linear(3, 3)
    optimizer = make_optimizer(model, CONFIG)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    model.weight.grad, model.bias.grad = torch.zeros(3, 3), torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), weight * (1 - 1e-2 * 0.1))
    torch.testing.assert_close(model.bias.detach(), bias)


def test_loss_is_that_of_the_model_and_log_d_vocab_when_it_knows_nothing() -> None:
    model, tokens = tiny(), batches(0)
    torch.testing.assert_close(next_token_loss(model, tokens), model(tokens, return_type="loss"))
    with torch.no_grad():
        model.embed.W_E.zero_()  # tied: all logits are zero
    assert next_token_loss(model, tokens).item() == pytest.approx(math.log(11))


def test_gradient_is_clipped() -> None:
    model = tiny()
    norms: list[float] = []

    def measure(_: TrainingStep) -> None:
        squares = [p.grad.square().sum() for p in model.parameters()]
        norms.append(torch.stack(squares).sum().sqrt().item())

    train(model, batches, replace(CONFIG, clip=1e-3), on_step=measure)
    assert max(norms) <= 1e-3 * (1 + 1e-5)


def test_a_tiny_model_learns_a_cycle() -> None:
    cycle = torch.arange(40) % 11

    def rows(step: int) -> Tensor:
        return torch.stack([cycle[(step + i) % 11 :][:12] for i in range(4)])

    model = tiny()
    config = TrainingConfig(steps=60, warmup=10, learning_rate=5e-2)
    history = train(model, rows, config, validation=[rows(0)])
    assert history[-1].step == 60
    assert history[-1].validation_loss < 0.1 < math.log(11) / 2
    assert not model.training


@pytest.mark.parametrize("stop", [1, 4, 5])
def test_resumed_training_ends_in_the_same_bits(tmp_path: Path, stop: int) -> None:
    validation = [batches(99)]
    whole = tiny()
    expected = train(whole, batches, CONFIG, validation=validation, checkpoint_dir=tmp_path / "a")
    stopped = tiny()
    with pytest.raises(KeyboardInterrupt):
        train(
            stopped,
            batches,
            CONFIG,
            validation=validation,
            checkpoint_dir=tmp_path / "b",
            on_step=stop_after(stop),
        )
    resumed = tiny() if stop == 1 else tiny(seed=1)  # all weights come from the checkpoint
    history = train(
        resumed, batches, CONFIG, validation=validation, checkpoint_dir=tmp_path / "b", resume=True
    )
    assert history == expected
    for (name, theirs), ours in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(theirs, ours), name
    ours, theirs = (load_file(tmp_path / folder / "checkpoint.safetensors") for folder in "ab")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    model, validation = tiny(), [batches(99)]
    history = train(model, batches, CONFIG, validation=validation, checkpoint_dir=tmp_path)
    again = tiny(seed=1)
    known = train(
        again, batches, CONFIG, validation=validation, checkpoint_dir=tmp_path, resume=True
    )
    assert known == history
    assert torch.equal(again.embed.W_E, model.embed.W_E)


def test_minutes_of_earlier_stretches_count(tmp_path: Path, monkeypatch) -> None:
    def run(**options: Any) -> list[float]:
        seconds = itertools.count(step=60)
        monkeypatch.setattr(time, "perf_counter", lambda: next(seconds))
        history = train(
            tiny(), batches, CONFIG, validation=[batches(99)], checkpoint_dir=tmp_path, **options
        )
        return [progress.minutes for progress in history]

    with pytest.raises(KeyboardInterrupt):
        run(on_step=stop_after(5))  # the checkpoint is of step 4
    assert run(resume=True) == [3, 6, 8]  # one a step
    assert run(resume=True) == [3, 6, 8]


def test_checkpoint_of_another_config_or_model_is_refused(tmp_path: Path) -> None:
    train(tiny(), batches, CONFIG, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="another TrainingConfig.*learning_rate"):
        train(
            tiny(),
            batches,
            replace(CONFIG, learning_rate=1.0),
            checkpoint_dir=tmp_path,
            resume=True,
        )
    with pytest.raises(ValueError, match="holds another model"):
        train(nn.Linear(2, 2), batches, CONFIG, checkpoint_dir=tmp_path, resume=True)
    shape = replace(tiny().config, d_vocab=12)
    with pytest.raises(ValueError, match=r"W_E is \(11, 8\) there and \(12, 8\) here"):
        train(HookedGPT2(shape), batches, CONFIG, checkpoint_dir=tmp_path, resume=True)


def test_resume_needs_a_folder_and_starts_anew_in_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs checkpoint_dir"):
        train(tiny(), batches, CONFIG, resume=True)
    seen: list[int] = []
    train(
        tiny(),
        batches,
        CONFIG,
        checkpoint_dir=tmp_path,
        resume=True,
        on_step=lambda p: seen.append(p.step),
    )
    assert seen == list(range(1, 9))


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"steps": 5, "warmup": 5}, {"steps": 500, "validate_every": 0}]
)
def test_impossible_configs_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= warmup < steps|at least 1"):
        TrainingConfig(**options)


def test_validation_loss_is_the_mean_of_its_batches() -> None:
    model = tiny()
    losses = [validation_loss(model, [batches(step)]) for step in (0, 1)]
    assert validation_loss(model, [batches(0), batches(1)]) == pytest.approx(sum(losses) / 2)
