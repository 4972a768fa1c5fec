"""Verification: it passes for the same function and points at the layer where two part."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import interp
from interp import verification
from interp.verification import LayerDifference, VerificationReport, verify
from tests.checkpoints import WORDS, write_checkpoint

LAYERS = ["embed", "blocks.0", "blocks.1", "blocks.2", "ln_final", "logits", "log_probs"]


def rows(report: VerificationReport) -> dict[str, LayerDifference]:
    return {row.layer: row for row in report.layers}


@pytest.mark.parametrize("words", [None, WORDS], ids=["random tokens", "texts"])
@pytest.mark.parametrize("tied", [True, False])
def test_our_gpt2_is_hugging_faces(
    tmp_path: Path, tied: bool, words: tuple[str, ...] | None
) -> None:
    write_checkpoint(tmp_path / "some-model", words=words, tie_word_embeddings=tied)
    report = verify(tmp_path / "some-model")
    assert report.passed
    assert [row.layer for row in report.layers] == LAYERS
    assert rows(report)["log_probs"].difference < 2e-5
    assert rows(report)["blocks.1"].scale > 1
    text = str(report)
    assert text.startswith("some-model:")
    assert "agrees" in text
    assert all(f"\n{layer} " in text for layer in LAYERS)


def test_texts_are_compared_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a")
    write_checkpoint(tmp_path / "b", words=WORDS)
    assert verify(tmp_path / "b").n_tokens > verify(tmp_path / "a").n_tokens


def _nan(model: Any) -> None:
    model.blocks[1].mlp.W_in[0, 0] = torch.nan


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        (lambda m: m.pos_embed.W_pos[3, 0].add_(1e-2), "embed"),
        (lambda m: m.blocks[1].attn.b_QKV[-1].add_(1e-2), "blocks.1"),
        (lambda m: m.blocks[2].mlp.b_out[0].add_(1e-3), "blocks.2"),
        (lambda m: setattr(m.ln_final, "eps", 1e-2), "ln_final"),
        (lambda m: m.unembed.b_U[7].add_(1e-2), "logits"),
        (_nan, "blocks.1"),
    ],
    ids=["position", "value bias", "mlp bias", "eps", "unembedding", "nan"],
)
def test_a_difference_shows_from_its_layer_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Any], object],
    first: str,
) -> None:
    write_checkpoint(tmp_path)

    def damaged(*args: Any, **kwargs: Any) -> interp.HookedGPT2:
        model = interp.load(*args, **kwargs)
        with torch.no_grad():
            damage(model)
        return model

    monkeypatch.setattr(verification, "load", damaged)
    report = verify(tmp_path)
    assert not report.passed
    assert "DOES NOT AGREE" in str(report)
    agrees = [row.relative <= report.tolerance for row in report.layers]
    at = LAYERS.index(first)
    assert agrees[: at + 1] == [True] * at + [False]
    assert not any(agrees[at:])


def test_padding_is_part_of_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes padding for tokens has other positions already in the embedding."""
    write_checkpoint(tmp_path)

    def unmasked(*args: Any, **kwargs: Any) -> interp.HookedGPT2:
        model = interp.load(*args, **kwargs)
        forward = model.forward
        model.forward = lambda tokens, mask, **rest: forward(tokens, **rest)
        return model

    monkeypatch.setattr(verification, "load", unmasked)
    assert rows(verify(tmp_path))["embed"].relative > 1e-2


def test_relative_is_to_the_largest_value_or_one() -> None:
    assert LayerDifference("logits", difference=1.0, scale=4.0).relative == 0.25
    assert LayerDifference("logits", difference=0.5, scale=0.1).relative == 0.5
    nan = LayerDifference("logits", difference=float("nan"), scale=1.0)
    assert not VerificationReport("m", (nan,), tolerance=1.0, n_tokens=1).passed


def test_refusals_are_those_of_load(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        verify(tmp_path)
