"""Compare our GPT-2 with Hugging Face's own, layer by layer, on the same weights: `interp.verify`.

Both models read the checkpoint themselves and run the same sequences in float32, without padding,
padded on the right and padded on the left. For every layer the report has the largest absolute
difference between the two over all real tokens,

    difference = max |ours - theirs|,    relative = difference / max(1, max |theirs|),

and the models agree if no `relative` is above the tolerance. The difference is measured against
the layer's largest value because rounding grows with it: the residual stream of the real GPT-2
holds values above 1000. Log-probabilities are measured against the logits they come from.

Source: transformers `GPT2LMHeadModel` with `attn_implementation="eager"`.
"""

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interp.model.hooked_gpt2 import HookedGPT2
from interp.model.hub import locate
from interp.model.loading import load

_TEXTS = (
    "When Mary and John went to the store, John gave a drink to",
    "The war lasted from the year 1732 to the year 17",
    "Yes.",
    "def add(a, b):\n    return a + b\n",
    "Le café coûte 3,50 €",
)
_LONGEST = 64  # tokens of the longest sequence compared


@dataclass(frozen=True)
class LayerDifference:
    """How far two models are apart at one layer.

    Args:
        layer: "embed" (token plus position embedding), "blocks.0", ... (the residual stream after
            each block), "ln_final", "logits" or "log_probs".
        difference: the largest absolute difference, in the layer's own unit (logits, nats)
        scale: the largest absolute value there, in the same unit
    """

    layer: str
    difference: float
    scale: float

    @property
    def relative(self) -> float:
        """The difference as a fraction of the scale, or of 1 where the scale is smaller."""
        return self.difference / max(1.0, self.scale)


@dataclass(frozen=True)
class VerificationReport:
    """What `verify` found; `str()` gives a table.

    Args:
        model: the name of the model
        layers: one entry per layer, in the order of the computation
        tolerance: the largest `relative` difference that counts as agreement
        n_tokens: how many tokens were compared
    """

    model: str
    layers: tuple[LayerDifference, ...]
    tolerance: float
    n_tokens: int

    @property
    def passed(self) -> bool:
        """Whether every layer agrees; NaN agrees with nothing."""
        return all(layer.relative <= self.tolerance for layer in self.layers)

    def __str__(self) -> str:
        lines = [
            f"{self.model}: interp and transformers GPT2LMHeadModel (eager, float32) on "
            f"{self.n_tokens} tokens, padded right, left and not at all",
            f"{'layer':<12}{'largest difference':>20}{'largest value':>16}{'relative':>12}",
        ]
        for row in self.layers:
            mark = "" if row.relative <= self.tolerance else "  too far"
            lines.append(
                f"{row.layer:<12}{row.difference:>20.1e}{row.scale:>16.4g}{row.relative:>12.1e}"
                f"{mark}"
            )
        verdict = "agrees" if self.passed else "DOES NOT AGREE"
        lines.append(f"{verdict} (tolerance {self.tolerance:.1e}, relative)")
        return "\n".join(lines)


@torch.inference_mode()
def verify(
    name_or_path: str | os.PathLike[str] = "mini", *, tolerance: float = 1e-5
) -> VerificationReport:
    """Compare `interp.load(name_or_path)` with Hugging Face's GPT-2 on the same weights.

    Args:
        name_or_path: as for `interp.load`
        tolerance: the largest difference that counts as agreement, as a fraction of the layer's
            largest value (of 1 where that is smaller)

    Returns:
        The largest difference per layer; `.passed` is the verdict, `print` shows the table.

    Raises:
        ModelNotFoundError, CheckpointError, TypeError: as for `interp.load`
        ValueError: the tolerance is negative or not a finite number

    Example:
        >>> report = verify("mini")
        >>> report.passed
        True
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(
            "tolerance must be a finite number of at least 0, a fraction of the largest value, "
            f"got {tolerance}"
        )
    from transformers import GPT2LMHeadModel

    model = load(name_or_path, device="cpu")
    reference = GPT2LMHeadModel.from_pretrained(
        locate(name_or_path),
        dtype=torch.float32,
        attn_implementation="eager",
        use_safetensors=True,
        local_files_only=True,
    ).eval()
    sequences = _sequences(model)
    largest: dict[str, tuple[float, float]] = {}
    n_tokens = 0
    for tokens, mask in _batches(sequences):
        ours = _our_layers(model, tokens, None if mask.all() else mask)
        theirs = _their_layers(reference, tokens, mask)
        for name, expected in theirs.items():
            gap = _largest(ours[name][mask] - expected[mask])
            scale = _largest(expected[mask])
            before = largest.get(name, (0.0, 0.0))
            # torch's maximum keeps NaN, Python's max does not
            largest[name] = tuple(torch.tensor([before, (gap, scale)]).amax(0).tolist())
        n_tokens += int(mask.sum())
    gap, scale = largest["log_probs"]
    largest["log_probs"] = gap, max(scale, largest["logits"][1])
    layers = tuple(LayerDifference(name, *values) for name, values in largest.items())
    return VerificationReport(model.name, layers, tolerance, n_tokens)


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _sequences(model: HookedGPT2) -> list[Int[Tensor, " _"]]:
    """Texts of several lengths, and random tokens from the whole vocabulary."""
    config = model.config
    n_ctx = min(config.n_ctx, _LONGEST)
    generator = torch.Generator().manual_seed(0)
    lengths = {max(1, n_ctx // divisor) for divisor in (1, 2, 5)}
    sequences = [
        torch.randint(config.d_vocab, (length,), generator=generator) for length in sorted(lengths)
    ]
    if model.tokenizer is not None:
        texts = [torch.tensor(model.tokenizer(text)["input_ids"][:n_ctx]) for text in _TEXTS]
        sequences += [tokens.long() for tokens in texts if len(tokens)]
    return sequences


def _batches(
    sequences: list[Int[Tensor, " _"]],
) -> list[tuple[Int[Tensor, "_ pos"], Bool[Tensor, "_ pos"]]]:
    """The longest sequence alone; all of them padded on the right; all padded on the left."""
    longest = max(sequences, key=len)
    batches = [(longest[None], torch.ones(1, len(longest), dtype=torch.bool))]
    for side in ("right", "left"):
        tokens = torch.zeros(len(sequences), len(longest), dtype=torch.long)
        mask = torch.zeros_like(tokens, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            start = 0 if side == "right" else len(longest) - len(sequence)
            tokens[row, start : start + len(sequence)] = sequence
            mask[row, start : start + len(sequence)] = True
        batches.append((tokens, mask))
    return batches


def _our_layers(
    model: HookedGPT2, tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"] | None
) -> dict[str, Float[Tensor, "batch pos _"]]:
    modules: dict[str, nn.Module] = {"embed": model.blocks[0].hook_resid_pre}
    modules |= {f"blocks.{i}": block.hook_resid_post for i, block in enumerate(model.blocks)}
    modules["ln_final"] = model.ln_final
    return _layers(modules, lambda: model(tokens, mask))


def _their_layers(
    reference: Any, tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"]
) -> dict[str, Float[Tensor, "batch pos _"]]:
    stack = reference.transformer
    modules: dict[str, nn.Module] = {"embed": stack.drop}
    modules |= {f"blocks.{i}": block for i, block in enumerate(stack.h)}
    modules["ln_final"] = stack.ln_f
    position_ids = (mask.long().cumsum(-1) - 1).clamp(min=0)
    settings = {"position_ids": position_ids, "use_cache": False}
    return _layers(
        modules, lambda: reference(tokens, attention_mask=mask.long(), **settings).logits
    )


def _layers(
    modules: dict[str, nn.Module], run: Callable[[], Float[Tensor, "batch pos d_vocab"]]
) -> dict[str, Float[Tensor, "batch pos _"]]:
    """The output of each module during `run`, which returns the logits."""
    layers: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            layers[name] = output[0] if isinstance(output, tuple) else output

        return hook

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        logits = run()
    return {name: layers[name] for name in modules} | {
        "logits": logits,
        "log_probs": logits.log_softmax(-1),
    }
