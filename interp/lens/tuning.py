"""Train a tuned lens, and measure how much better than the logit lens it reads held-out text.

Each layer's translator minimizes, as a mean over the real positions of the text,

    KL(final || lens_l) = sum_t p_final(t) (log p_final(t) - log p_lens(t)),    nats per token,

by Adam (Kingma and Ba 2015) from the identity, with a learning rate that falls linearly to zero.
The model is frozen, and each layer is trained independently. Batches are a pure function of the
step, so the same batches give the same lens.

Source: Belrose et al. 2023 (arXiv 2303.08112), section 3 and appendix; they use SGD with Nesterov
momentum.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp import metrics
from interp.lens.reading import logits_of, row_chunks
from interp.lens.tuned import TunedLens, translated
from interp.model import HookedGPT2
from interp.model.user_hooks import require_no_hooks
from interp.results import labeled
from interp.runs.arguments import count, require_finite, require_vocabulary
from interp.runs.question import question
from interp.runs.sides import Progress
from interp.runs.texts import Prompt, read_prompts


def tune(
    model: HookedGPT2,
    batches: Callable[[int], Any],
    *,
    steps: int = 250,
    learning_rate: float = 1e-3,
    progress: Progress = iter,
) -> TunedLens:
    """Train a tuned lens.

    Args:
        model: the model
        batches: for a step, returns token ids [row pos] without padding, such as
            `interp.training.Batches` (generated text) or `text_batches` (a file); or ids with their
            mask, as `HookedGPT2.tokenize` returns them, of which only the real tokens count
        steps: number of steps, one batch each
        learning_rate: learning rate of the first step
        progress: wraps the steps, for a progress bar

    Returns:
        The lens.

    Raises:
        ValueError: there are no steps, the learning rate is not positive, a batch does not hold
            token ids of the model, numbers are not finite, training diverged, or the caller has
            hooks on the model
    """
    require_no_hooks(model, "tune")
    count(steps, "steps", 1)
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be a positive number, got {learning_rate}")
    lens = TunedLens.identity(model)
    layers = [
        (weight.clone().requires_grad_(), bias.clone().requires_grad_())
        for weight, bias in zip(lens.weight, lens.bias, strict=True)
    ]
    optimizer = torch.optim.Adam([p for pair in layers for p in pair], lr=learning_rate)
    for step in progress(list(range(steps))):
        tokens, mask = _batch(model, batches(step), step)
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.zero_grad()
        n = int(mask.sum())
        for streams, final in _chunks(model, tokens, mask):
            require_finite(model, final)
            p_final = logits_of(model, final).softmax(-1)
            for (weight, bias), x in zip(layers, streams, strict=True):
                logits = logits_of(model, translated(x, weight, bias))
                # The divergence plus a constant, the entropy of the final distribution.
                loss = F.cross_entropy(logits, p_final, reduction="sum") / n
                # backward() would leave gradients in the frozen model.
                gradients = torch.autograd.grad(loss, (weight, bias))
                for p, gradient in zip((weight, bias), gradients, strict=True):
                    p.grad = gradient if p.grad is None else p.grad + gradient
        optimizer.step()
    trained = {"steps": str(steps), "learning_rate": str(learning_rate)}
    found = TunedLens(
        torch.stack([weight.detach() for weight, _ in layers]),
        torch.stack([bias.detach() for _, bias in layers]),
        {**lens.metadata, **trained},
    )
    found.require(model)
    return found


@torch.inference_mode()
def compare_lenses(model: HookedGPT2, tokens: Prompt, tuned: TunedLens) -> xr.Dataset:
    """Measure how far the logit lens and a tuned lens are from the final prediction on some text.

    Args:
        model: the model
        tokens: token ids [row pos] without padding, several texts, or a task, whose clean prompts
            are read; for a fair comparison, text held out of training
        tuned: the lens

    Returns:
        `logit_lens` and `tuned_lens`: KL(final || lens) of the stream before each layer, in nats,
        averaged over the positions of a row; dims layer, prompt (a row).

    Raises:
        ValueError: the lens belongs to another model, or the text does not fit the model
    """
    tuned.require(model)
    tuned = tuned.to(model.device)
    task = read_prompts(model, tokens, "compare_lenses").task
    mask = task.attention_mask
    found: dict[str, list[Tensor]] = {"logit_lens": [], "tuned_lens": []}
    for streams, final in _chunks(model, task.clean_tokens, mask):
        reference = logits_of(model, final)
        require_finite(model, reference)
        for name, lens in (("logit_lens", lambda x, i: x), ("tuned_lens", tuned)):
            nats = [
                metrics.kl_divergence(logits_of(model, lens(x, i)), reference)
                for i, x in enumerate(streams)
            ]
            found[name].append(torch.stack(nats))  # layer token
    arrays = {}
    for name, parts in found.items():
        rows = torch.cat(parts, 1).split(task.lengths.tolist(), 1)  # row of [layer token]
        arrays[name] = labeled(
            torch.stack([row.mean(-1) for row in rows], -1),
            ("layer", "prompt"),
            name=name,
            title=f"{name.replace('_', ' ').capitalize()}: KL to the final prediction",
            unit="nats",
            model=model,
            task=task,
            question=question("compare_lenses", site="resid_pre", tuned=dict(tuned.metadata)),
        )
    return xr.Dataset(arrays)


def text_batches(
    model: HookedGPT2,
    text: str | Tensor,
    *,
    length: int = 128,
    rows: int = 16,
    seed: int = 0,
) -> tuple[Callable[[int], Int[Tensor, "row pos"]], Int[Tensor, "held_out pos"]]:
    """Cut a text into rows of tokens, for training and for evaluation.

    Args:
        model: the model, for its tokenizer
        text: any text; or rows of token ids [row pos], such as text that the model generated
        length: number of tokens in a row, at most n_ctx; rows of ids keep their length
        rows: number of rows in a batch
        seed: seed of the order of the rows

    Returns:
        A function from step to batch, and the last tenth of the rows, which are in no batch.

    Raises:
        ValueError: the text has fewer than 20 rows, `rows` is below 1, `length` exceeds n_ctx, or
            the ids are not in the model's vocabulary
    """
    if isinstance(text, Tensor):
        if text.ndim != 2 or text.is_floating_point():
            raise ValueError(
                f"expected a text or rows of token ids [row pos]; got {text.dtype} of shape "
                f"{tuple(text.shape)}"
            )
        length = text.shape[1]
    count(length, "length", 2, model.config.n_ctx, " (n_ctx)")
    count(rows, "rows", 1)
    if isinstance(text, Tensor):
        ids = text.flatten()
    elif model.tokenizer is None:
        raise ValueError("this model has no tokenizer to cut a text into tokens with")
    else:
        ids = torch.tensor(model.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
    if len(ids):
        require_vocabulary(model, ids)
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


def _batch(
    model: HookedGPT2, batch: Any, step: int
) -> tuple[Int[Tensor, "row pos"], Bool[Tensor, "row pos"]]:
    """The ids of a batch, and a mask of the real ones."""
    tokens, mask = batch if isinstance(batch, tuple) else (batch, None)
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or not tokens.numel():
        raise ValueError(
            f"batches({step}) must return token ids [row pos], or ids with their mask; got "
            f"{getattr(tokens, 'shape', type(tokens).__name__)}"
        )
    tokens = tokens.to(model.device)
    require_vocabulary(model, tokens)
    mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.to(tokens.device)
    if mask.shape != tokens.shape or not bool(mask.any()):
        raise ValueError(
            f"batches({step}) returned ids of shape {tuple(tokens.shape)} with a mask of shape "
            f"{tuple(mask.shape)}; expected one entry per token, True at real ones"
        )
    return tokens, mask.bool()


def _chunks(
    model: HookedGPT2, tokens: Int[Tensor, "row pos"], mask: Bool[Tensor, "row pos"]
) -> Iterator[tuple[list[Float[Tensor, "token d_model"]], Float[Tensor, "token d_model"]]]:
    """For some real tokens at a time, the stream before each layer and the last one."""
    n_layers = model.config.n_layers
    names = [f"blocks.{i}.hook_resid_pre" for i in range(n_layers)]
    with torch.no_grad():
        last, cache = model.run_with_cache(
            tokens, mask, names_filter=names, stop_at_layer=n_layers
        )  # row pos d
    streams, final = [cache[name][mask] for name in names], last[mask]  # token d
    for some in row_chunks(model, len(final)):
        yield [stream[some] for stream in streams], final[some]
