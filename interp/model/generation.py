"""Continue a text, one sampled token at a time, keeping the keys and values of the past.

A step samples from softmax(logits / temperature), cut to the `top_k` most probable tokens (Fan et
al. 2018, "Hierarchical Neural Story Generation") and to the smallest set whose probability reaches
`top_p` (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", nucleus sampling).
Temperature 0 takes the most probable token. Hooks on the model act in every step.
"""

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, overload

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model.checks import check_ids, check_whole
from interp.model.key_value_cache import KeyValueCache

_COLDEST = 1e-6
"""The lowest temperature above 0, at which a logit lower by 0.001 is never drawn."""


def sample(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    *,
    max_new_tokens: int = 20,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    use_past: bool = True,
) -> Iterator[Int[Tensor, " batch"]]:
    """Yield one new token per prompt and step.

    Args:
        model: the model that continues them
        tokens: the prompts, padded on either side
        attention_mask: True at real tokens
        max_new_tokens: number of steps
        temperature: 0 for the most probable token; 1 for the model's own distribution; any other
            value must be at least 1e-6, below which there is no difference from 0
        top_k: number of most probable tokens kept at each step, from 1 to d_vocab
        top_p: keep the most probable tokens that together reach this probability, in (0, 1]
        seed: seed of the draws
        use_past: keep keys and values, so that a step costs one token. False runs the whole text at
            each step, so that hooks see every position each time; the tokens are the same.

    Yields:
        The next token of each prompt.

    Raises:
        ValueError: before the first step, if a setting is out of range, a token id is outside the
            vocabulary, or there are more tokens than n_ctx
        TypeError: a setting is of another type
    """
    _check_prompts(model, tokens)
    _check_settings(model, tokens, max_new_tokens, temperature, top_k, top_p, seed)
    return _steps(
        model, tokens, attention_mask, max_new_tokens, temperature, top_k, top_p, seed, use_past
    )


@torch.inference_mode()
def _steps(
    model: Any,
    tokens: Tensor,
    mask: Tensor | None,
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    use_past: bool,
) -> Iterator[Tensor]:
    generator = torch.Generator(model.device).manual_seed(seed)
    past = KeyValueCache() if use_past else None
    tokens = tokens.to(model.device)
    mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.to(model.device)
    rows = torch.arange(len(tokens), device=model.device)
    new = tokens
    # The last real token of a prompt, which right padding puts before the end.
    last = mask.long().cumsum(-1).argmax(-1)
    for _ in range(max_new_tokens):
        logits = model(new if use_past else tokens, mask, past=past)
        token = _draw(logits[rows, last], temperature, top_k, top_p, generator)
        yield token
        new = token[:, None]
        tokens = torch.cat([tokens, new], 1)
        mask = torch.cat([mask, torch.ones_like(new, dtype=torch.bool)], 1)
        last = torch.full_like(last, 0 if use_past else tokens.shape[1] - 1)


def _draw(
    logits: Float[Tensor, "batch d_vocab"],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator,
) -> Int[Tensor, " batch"]:
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    # No logit is above 0 after this, so no temperature can overflow.
    values, ids = ((logits - logits.amax(-1, keepdim=True)) / temperature).sort(descending=True)
    if top_k is not None:
        values[:, top_k:] = -torch.inf
    probabilities = values.softmax(-1)
    if top_p is not None:  # a token stays while those before it have not reached top_p
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= top_p, 0)
    drawn = torch.multinomial(probabilities, 1, generator=generator)
    return ids.gather(-1, drawn)[:, 0]


def _check_prompts(model: Any, tokens: Any) -> None:
    if not isinstance(tokens, Tensor):
        raise TypeError(
            f"expected token ids, a tensor [batch pos], got {type(tokens).__name__}; for texts use "
            "interp.generate"
        )
    if tokens.ndim != 2 or not tokens.numel():
        hint = "; for one prompt pass tokens[None]" if tokens.ndim == 1 else ""
        raise ValueError(
            f"expected token ids [batch pos] of at least one prompt and token, got shape "
            f"{tuple(tokens.shape)}{hint}"
        )
    check_ids(tokens, model.config.d_vocab)


def _check_settings(
    model: Any,
    tokens: Tensor,
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
) -> None:
    check_whole(max_new_tokens, "max_new_tokens", 0)
    check_whole(seed, "seed")
    if tokens.shape[-1] + max_new_tokens > model.config.n_ctx:
        raise ValueError(
            f"{tokens.shape[-1]} tokens of prompt and {max_new_tokens} new ones exceed the model's "
            f"{model.config.n_ctx} (n_ctx)"
        )
    for name, value in (("temperature", temperature), ("top_p", top_p)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise TypeError(f"{name} must be a number, got {value!r}")
    if temperature != 0 and not _COLDEST <= temperature < math.inf:
        raise ValueError(
            "temperature must be 0, for the most probable token, or a finite number of at least "
            f"{_COLDEST}, got {temperature}"
        )
    if top_k is not None:
        check_whole(top_k, "top_k", 1, model.config.d_vocab, note="(d_vocab)")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")


@overload
def generate(model: Any, prompt: str, **settings: Any) -> str: ...
@overload
def generate(model: Any, prompt: Sequence[str], **settings: Any) -> list[str]: ...
@overload
def generate(model: Any, prompt: Tensor, **settings: Any) -> Tensor: ...
def generate(model: Any, prompt: Any, **settings: Any) -> Any:
    """Generate a continuation of a prompt.

    Args:
        model: the model that continues it
        prompt: a text, several texts, or token ids [batch pos]
        **settings: arguments of `sample`: max_new_tokens, temperature, top_k, top_p, seed,
            use_past

    Returns:
        The prompt and its continuation, in the form of the prompt. A text ends before the
        end-of-text token; token ids are not cut there.

    Raises:
        ValueError, TypeError: as for `sample`, or a text is empty

    Example:
        >>> import interp
        >>> model = interp.load("mini")
        >>> interp.generate(model, "Mary and John", max_new_tokens=5).startswith("Mary and John")
        True
    """
    if isinstance(prompt, Tensor):
        new = list(sample(model, prompt, **settings))
        return torch.cat([prompt.to(model.device), *(token[:, None] for token in new)], 1)
    texts = [prompt] if isinstance(prompt, str) else list(prompt)
    tokens, mask = model.tokenize(texts, padding_side="left")
    new = list(sample(model, tokens, mask, **settings))
    continued = torch.stack(new, 1) if new else tokens[:, :0]
    end = model.tokenizer.eos_token_id
    results = []
    for text, row in zip(texts, continued.tolist(), strict=True):
        kept = row[: row.index(end)] if end in row else row
        results.append(text + (model.to_string(kept) if kept else ""))
    return results[0] if isinstance(prompt, str) else results


def stream(model: Any, prompt: str, **settings: Any) -> Iterator[str]:
    """Generate a continuation of one text, yielding each piece as soon as it is drawn.

    Args:
        model: the model that continues it
        prompt: the text
        **settings: arguments of `sample`

    Yields:
        Pieces of text that together are what `generate` appends. A character of several tokens is
        yielded whole, with its last token.

    Raises:
        ValueError: as for `sample`, or the text is empty
        TypeError: the prompt is not a single text
    """
    if not isinstance(prompt, str):
        raise TypeError(
            f"stream takes one text, got {type(prompt).__name__}; for several use interp.generate"
        )
    tokens, mask = model.tokenize(prompt)
    steps = sample(model, tokens, mask, **settings)
    return _pieces(model, steps)


def _pieces(model: Any, steps: Iterator[Tensor]) -> Iterator[str]:
    held: list[int] = []
    for token in steps:
        if int(token) == model.tokenizer.eos_token_id:
            break
        held.append(int(token))
        piece = model.to_string(held)
        if not piece.endswith("\N{REPLACEMENT CHARACTER}"):
            yield piece
            held = []
    if held:
        yield model.to_string(held)
