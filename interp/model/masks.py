"""Which tokens a token may attend to, and its position, when prompts are padded.

Also the targets of heads that look for repetitions: duplicate-token and induction heads.

`real` [batch keys] is True at real tokens, past ones first, or None if there is no padding.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor


def causal_mask(queries: int, keys: int, device: torch.device) -> Bool[Tensor, "1 1 q keys"]:
    """True where a query may attend: to itself and before; queries are the last of the keys."""
    all_true = torch.ones(queries, keys, dtype=torch.bool, device=device)
    return all_true.tril(keys - queries)[None, None]


def allowed_keys(
    real: Tensor | None, n_past: int, length: int, device: torch.device
) -> Bool[Tensor, "#b 1 p keys"] | None:
    """The causal mask without padding as keys; None for plain causal attention.

    Every token may attend to itself, so that rows of padding are defined and nothing becomes NaN.
    """
    if real is None:
        return None if n_past == 0 else causal_mask(length, n_past + length, device)
    keys = n_past + length
    itself = torch.eye(keys, dtype=torch.bool, device=device)[n_past:]
    return causal_mask(length, keys, device) & (real[:, None, None, :] | itself)


def position_ids(
    real: Tensor | None, n_past: int, length: int, batch: int, device: torch.device
) -> Int[Tensor, "b p"]:
    """Index of each new token among the real tokens of its prompt; any valid index at padding."""
    if real is None:
        return torch.arange(n_past, n_past + length, device=device).expand(batch, length)
    return (real.long().cumsum(-1) - 1).clamp(min=0)[:, n_past:]


def same_token_before(tokens: Int[Tensor, "b p"]) -> Bool[Tensor, "b q k"]:
    """The targets of a duplicate-token head: True for each k before q with the same token.

    Args:
        tokens: token ids

    Returns:
        [batch query key].
    """
    return (tokens[:, :, None] == tokens[:, None, :]).tril(-1)


def after_same_token(tokens: Int[Tensor, "b p"]) -> Bool[Tensor, "b q k"]:
    """The targets of an induction head: True for each k right after an earlier copy of q's token.

    Args:
        tokens: token ids

    Returns:
        [batch query key].

    Example:
        >>> after_same_token(torch.tensor([[5, 6, 5]]))[0].nonzero().tolist()  # 5 at 2: 6 at 1
        [[2, 1]]
    """
    return F.pad(same_token_before(tokens)[:, :, :-1], (1, 0))
