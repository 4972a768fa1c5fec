"""Checks of the inputs of a run, before it starts."""

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.model.checks import check_whole
from interp.model.config import GPT2Config
from interp.model.key_value_cache import KeyValueCache

NO_TARGET = -100
"""The label that `cross_entropy` ignores: no token to predict."""


def layer_range(n_layers: int, start: int | None, stop: int | None) -> tuple[int, int]:
    """The first block that runs, and the block before which the run stops.

    Args:
        n_layers: number of blocks
        start: start_at_layer; None for the first, negative to count from the end
        stop: stop_at_layer; None for the end, negative to count from the end

    Raises:
        ValueError: a layer does not exist, or the two are in the wrong order
        TypeError: a layer is not an integer
    """
    if start is not None:
        check_whole(start, "start_at_layer")
    if stop is not None:
        check_whole(stop, "stop_at_layer")
    ends = (0 if start is None else start, n_layers if stop is None else stop)
    first, last = (i + n_layers if i < 0 else i for i in ends)
    if not 0 <= first <= last <= n_layers:
        raise ValueError(
            f"expected 0 <= start_at_layer <= stop_at_layer <= {n_layers} (n_layers), got "
            f"start_at_layer={start}, stop_at_layer={stop}"
        )
    return first, last


def check_stream(input: Any, start: int, d_model: int, dtype: torch.dtype) -> None:
    """Refuse anything but a residual stream that the model can continue from.

    Args:
        input: what was given
        start: the layer before which the run starts
        d_model: width of the model's residual stream
        dtype: the model's dtype

    Raises:
        ValueError: tokens or text were given, or a stream of another shape or dtype
    """
    if not isinstance(input, Tensor) or not input.is_floating_point():
        raise ValueError(
            f"start_at_layer={start} takes the residual stream before that layer as input, a float "
            "tensor [batch pos d_model]; got tokens or text"
        )
    if input.ndim != 3 or input.shape[-1] != d_model or input.dtype != dtype:
        raise ValueError(
            f"start_at_layer={start} takes the residual stream [batch pos d_model={d_model}] in "
            f"{dtype}, got {tuple(input.shape)} in {input.dtype}"
        )


def past_length(past: Any, config: GPT2Config, batch: int) -> int:
    """The number of earlier tokens in a cache.

    Args:
        past: the cache, or None
        config: the model's shape
        batch: number of prompts in the run

    Raises:
        ValueError: the cache belongs to another model or has another number of prompts
        TypeError: `past` is not a cache
    """
    if past is None:
        return 0
    if not isinstance(past, KeyValueCache):
        raise TypeError(f"past must be an interp.KeyValueCache, got {type(past).__name__}")
    past.require_fit(config, batch)
    return past.length


def check_size(batch: int, length: int, n_past: int, n_ctx: int) -> None:
    """Refuse an empty batch, empty prompts, and prompts that are too long for the model.

    Args:
        batch: prompts
        length: tokens of each
        n_past: earlier tokens of each
        n_ctx: the most tokens that the model takes

    Raises:
        ValueError: a size is out of bounds
    """
    if batch == 0:
        raise ValueError("expected at least one prompt, got an empty batch")
    if length == 0 or n_past + length > n_ctx:
        raise ValueError(f"expected 1 to {n_ctx} tokens per prompt (n_ctx), got {n_past + length}")


def real_tokens(
    mask: Any, batch: int, keys: int, device: torch.device
) -> Bool[Tensor, "b keys"] | None:
    """Turn an attention mask into booleans, True at real tokens; None if all tokens are real.

    Args:
        mask: attention_mask, or None
        batch: prompts
        keys: tokens of each, earlier ones too
        device: where the model is

    Raises:
        ValueError: the mask has another shape, or a prompt is all padding
        TypeError: the mask is not a tensor of booleans or integers
    """
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.is_floating_point():
        raise TypeError(
            "attention_mask must be a tensor of booleans or whole numbers, nonzero where a token "
            f"is real, got {mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}"
        )
    if mask.shape != (batch, keys):
        raise ValueError(
            f"attention_mask must have one entry per token, shape {(batch, keys)}, got "
            f"{tuple(mask.shape)}"
        )
    mask = mask.to(device).bool()
    if bool(mask.all()):
        return None
    empty = (~mask.any(-1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"attention_mask says that prompt {empty[0]} has no real token")
    return mask


def loss_targets(
    return_type: str | None,
    tokens: Int[Tensor, "b p"] | None,
    real: Bool[Tensor, "b keys"] | None,
    n_past: int,
    stop_at_layer: int | None,
) -> Int[Tensor, "b _"] | None:
    """The token to predict at each position but the last, if a loss is asked for.

    Args:
        return_type: the return type asked of `forward`
        tokens: the new tokens; None if the run starts from the residual stream
        real: True at real tokens, including earlier ones; None if all are real
        n_past: number of earlier tokens of each prompt
        stop_at_layer: the layer before which the run stops, if it does

    Returns:
        The tokens [batch pos-1], with `NO_TARGET` next to padding; None if no loss is asked for.

    Raises:
        ValueError: the return type is unknown, or there is nothing to compute a loss from
    """
    if return_type not in (None, "logits", "loss", "both"):
        raise ValueError(
            f'return_type must be "logits", "loss", "both" or None, got {return_type!r}'
        )
    if return_type not in ("loss", "both"):
        return None
    if tokens is None:
        raise ValueError("the loss needs tokens; with start_at_layer ask for logits")
    if stop_at_layer is not None:
        raise ValueError(
            f"stop_at_layer={stop_at_layer} returns the residual stream, which has no loss; leave "
            f"out return_type={return_type!r}"
        )
    targets = tokens[:, 1:].clone()
    if real is not None:
        new = real[:, n_past:]
        targets[~(new[:, 1:] & new[:, :-1])] = NO_TARGET
    if not bool((targets != NO_TARGET).any()):
        raise ValueError("the loss needs a prompt of at least two tokens, to predict the second")
    return targets
