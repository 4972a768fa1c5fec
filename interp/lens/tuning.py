"""Training of a tuned lens, and how much better than the logit lens it reads held-out text.

Each layer's translator minimizes, over the positions of the text,

    KL(final || lens_l) = sum_t p_final(t) (log p_final(t) - log p_lens(t)),    nats a token,

by Adam (Kingma and Ba 2015) from the identity, with a learning rate that falls linearly to zero.
The model is frozen; layers do not see each other. Batches are a pure function of the step, so the
same batches give the same lens.

Source: Belrose et al. 2023 (arXiv 2303.08112), section 3 and appendix; they use SGD with Nesterov
momentum.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp import metrics
from interp.lens.reading import logits_of, row_chunks
from interp.lens.tuned import TunedLens, translated
from interp.model import HookedGPT2
from interp.results import labelled
from interp.runs.sides import Progress


def tune(
    model: HookedGPT2,
    batches: Callable[[int], Int[Tensor, "row pos"]],
    *,
    steps: int = 250,
    learning_rate: float = 1e-3,
    progress: Progress = iter,
) -> TunedLens:
    """Train a tuned lens.

    Args:
        model: the model.
        batches: step -> token ids without padding, such as `interp.training.Batches` (generated
            text) or `text_batches` (a file).
        steps: number of batches.
        learning_rate: of the first step.
        progress: wraps the steps, for a progress bar.

    Returns:
        The lens.

    Raises:
        ValueError: for no steps, or a learning rate that is not positive.
    """
    if steps < 1 or not learning_rate > 0:
        raise ValueError(
            f"expected steps >= 1 and learning_rate > 0, got {steps} and {learning_rate}"
        )
    lens = TunedLens.identity(model)
    layers = [
        (weight.clone().requires_grad_(), bias.clone().requires_grad_())
        for weight, bias in zip(lens.weight, lens.bias, strict=True)
    ]
    optimizer = torch.optim.Adam([p for pair in layers for p in pair], lr=learning_rate)
    for step in progress(list(range(steps))):
        tokens = batches(step)
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.zero_grad()
        for streams, final in _chunks(model, tokens):
            p_final = logits_of(model, final).softmax(-1)
            for (weight, bias), x in zip(layers, streams, strict=True):
                logits = logits_of(model, translated(x, weight, bias))
                # The divergence plus the entropy of the final distribution, a constant.
                loss = F.cross_entropy(logits, p_final, reduction="sum") / tokens.numel()
                # Not backward(), which would leave gradients in the frozen model.
                gradients = torch.autograd.grad(loss, (weight, bias))
                for p, gradient in zip((weight, bias), gradients, strict=True):
                    p.grad = gradient if p.grad is None else p.grad + gradient
        optimizer.step()
    trained = {"steps": str(steps), "learning_rate": str(learning_rate)}
    return TunedLens(
        torch.stack([weight.detach() for weight, _ in layers]),
        torch.stack([bias.detach() for _, bias in layers]),
        {**lens.metadata, **trained},
    )


@torch.inference_mode()
def compare_lenses(
    model: HookedGPT2, tokens: Int[Tensor, "row pos"], tuned: TunedLens
) -> xr.Dataset:
    """How far logit lens and tuned lens are from the final prediction, on text of one's choice.

    Args:
        model: the model.
        tokens: token ids without padding; for a fair comparison, text held out of the training.
        tuned: the lens.

    Returns:
        `logit_lens` and `tuned_lens`: KL(final || lens) of the stream before each layer, mean over
        the positions of a row, in nats; dims layer, prompt (a row).

    Raises:
        ValueError: the lens is another model's.
    """
    tuned.require(model)
    tuned = tuned.to(model.device)
    found: dict[str, list[Tensor]] = {"logit_lens": [], "tuned_lens": []}
    for streams, final in _chunks(model, tokens):
        reference = logits_of(model, final)
        for name, lens in (("logit_lens", lambda x, i: x), ("tuned_lens", tuned)):
            found[name].append(
                torch.stack(
                    [
                        metrics.kl_divergence(logits_of(model, lens(x, i)), reference)
                        for i, x in enumerate(streams)
                    ]
                )
            )
    arrays = {
        name: labelled(
            torch.cat(parts, 1).unflatten(1, tuple(tokens.shape)).mean(-1),
            ("layer", "prompt"),
            name=name,
            title=f"{name.replace('_', ' ').capitalize()}: KL to the final prediction",
            unit="nats",
            model=model,
            task=_Text("text"),
        )
        for name, parts in found.items()
    }
    return xr.Dataset(arrays)


def text_batches(
    model: HookedGPT2,
    text: str | Int[Tensor, "row pos"],
    *,
    length: int = 128,
    rows: int = 16,
    seed: int = 0,
) -> tuple[Callable[[int], Int[Tensor, "row pos"]], Int[Tensor, "held_out pos"]]:
    """Cut a text into rows of tokens, to train on and to evaluate on.

    Args:
        model: the model, for its tokenizer.
        text: any text; or rows of tokens, such as the model itself has written.
        length: tokens in a row, at most n_ctx; rows of tokens have a length of their own.
        rows: rows in a batch.
        seed: of the order of the rows.

    Returns:
        Batches by step, and the last tenth of the rows, which are in no batch.

    Raises:
        ValueError: the text makes fewer than 20 rows, or `length` is more than n_ctx.
    """
    if isinstance(text, Tensor):
        length = text.shape[1]
    if not 2 <= length <= model.config.n_ctx:
        raise ValueError(f"length must be from 2 to {model.config.n_ctx} (n_ctx), got {length}")
    if isinstance(text, Tensor):
        ids = text.flatten()
    elif model.tokenizer is None:
        raise ValueError("this model has no tokenizer to cut a text into tokens with")
    else:
        ids = torch.tensor(model.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
    n = len(ids) // length
    if n < 20:
        raise ValueError(
            f"the text has {len(ids)} tokens; 20 rows of {length} need at least {20 * length}"
        )
    data = ids[: n * length].view(n, length)
    train, held_out = data[: n - n // 10], data[n - n // 10 :]

    def batch(step: int) -> Int[Tensor, "row pos"]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        return train[torch.randint(len(train), (rows,), generator=generator)]

    return batch, held_out


class _Text(NamedTuple):
    name: str


def _chunks(
    model: HookedGPT2, tokens: Int[Tensor, "row pos"]
) -> Iterator[tuple[list[Float[Tensor, "token d_model"]], Float[Tensor, "token d_model"]]]:
    """Of some tokens at a time: the stream before each layer, and the last one."""
    n_layers = model.config.n_layers
    names = [f"blocks.{i}.hook_resid_pre" for i in range(n_layers)]
    with torch.no_grad():
        last, cache = model.run_with_cache(tokens, names_filter=names, stop_at_layer=n_layers)
    for rows in row_chunks(model, tokens.numel()):
        yield [cache[name].flatten(0, 1)[rows] for name in names], last.flatten(0, 1)[rows]
