"""What a run is given, checked before it starts."""

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.model.checks import check_whole
from interp.model.config import GPT2Config
from interp.model.key_value_cache import KeyValueCache

NO_TARGET = -100
"""What `cross_entropy` takes for no token to predict."""


def layer_range(n_layers: int, start: int | None, stop: int | None) -> tuple[int, int]:
    """The first block that runs, and the one before which a run stops.

    Args:
        n_layers: blocks of the model.
        start: start_at_layer; None for the first, negative from the end.
        stop: stop_at_layer; None for the end, negative from the end.

    Raises:
        ValueError: for layers that are not there, or in the wrong order.
        TypeError: for anything but whole numbers.
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
    """Refuse anything but a residual stream that the model can go on with.

    Args:
        input: what was given.
        start: the layer before which the run starts.
        d_model: width of the model's stream.
        dtype: the model's number format.

    Raises:
        ValueError: for tokens and text, another shape or number format.
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
    """How many earlier tokens a cache holds.

    Args:
        past: the cache, or None.
        config: the model's shape.
        batch: prompts of the run.

    Raises:
        ValueError: for a cache of another model, or of another number of prompts.
        TypeError: for anything but a cache.
    """
    if past is None:
        return 0
    if not isinstance(past, KeyValueCache):
        raise TypeError(f"past must be an interp.KeyValueCache, got {type(past).__name__}")
    past.require_fit(config, batch)
    return past.length


def check_size(batch: int, length: int, n_past: int, n_ctx: int) -> None:
    """Refuse an empty batch, empty prompts and prompts longer than the model takes.

    Args:
        batch: prompts.
        length: tokens of each.
        n_past: earlier tokens of each.
        n_ctx: the most tokens that the model takes.

    Raises:
        ValueError: if one of them is out of bounds.
    """
    if batch == 0:
        raise ValueError("expected at least one prompt, got an empty batch")
    if length == 0 or n_past + length > n_ctx:
        raise ValueError(f"expected 1 to {n_ctx} tokens per prompt (n_ctx), got {n_past + length}")


def real_tokens(
    mask: Any, batch: int, keys: int, device: torch.device
) -> Bool[Tensor, "b keys"] | None:
    """True where a token is real; None if all of them are.

    Args:
        mask: attention_mask, or None.
        batch: prompts.
        keys: tokens of each, earlier ones too.
        device: where the model is.

    Raises:
        ValueError: for another shape, or a prompt that is all padding.
        TypeError: for anything but a tensor of booleans or whole numbers.
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
    """The token to predict at each position but the last, where a loss is asked for.

    Args:
        return_type: what `forward` was asked for.
        tokens: the new tokens; None where the run starts with the residual stream.
        real: True where a token is real, earlier ones too; None if all are.
        n_past: earlier tokens of each prompt.
        stop_at_layer: where the run stops, if before the end.

    Returns:
        [batch pos-1], `NO_TARGET` next to padding; None if no loss is asked for.

    Raises:
        ValueError: for another return type, or a loss of which there is none.
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
            f"stop_at_layer={stop_at_layer} returns the residual stream, from which there is no "
            f"loss; leave out return_type={return_type!r}"
        )
    targets = tokens[:, 1:].clone()
    if real is not None:
        new = real[:, n_past:]
        targets[~(new[:, 1:] & new[:, :-1])] = NO_TARGET
    if not bool((targets != NO_TARGET).any()):
        raise ValueError("the loss needs a prompt of at least two tokens, to predict the second")
    return targets
