"""The other tokens that could have been the answer, against whose mean a logit is read.

One logit alone says nothing: adding the same number to all changes no probability. And the
difference of two says only how they are ordered. What a model says for the answer is therefore its
logit less the mean logit of the task's other candidates: of a name task, the names that the prompt
does not ask about.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.tasks.sides import options


def candidate_ids(ids: Iterable[int] | Tensor) -> Int[Tensor, " candidate"]:
    """Candidates as a task keeps them: each token once, in order.

    Args:
        ids: token ids; negative ones, which fill up sets, are left out.

    Returns:
        The ids.
    """
    found = ids if isinstance(ids, Tensor) else torch.tensor(list(ids), dtype=torch.long)
    found = found.reshape(-1).unique()
    return found[found >= 0]


def other_candidates(task: Any, d_vocab: int) -> Bool[Tensor, "prompt d_vocab"]:
    """Which tokens the answer and the foil of each prompt are read against.

    Args:
        task: a `Task`.
        d_vocab: the number of tokens of the model.

    Returns:
        True at the task's candidates but the prompt's answers and foils; at all other tokens of the
        vocabulary if the task names no candidates, or for a prompt that has no others among them.
    """
    prompts = len(task.answer)
    own = torch.cat([options(task.answer), options(task.foil)], 1)  # prompt option
    mask = torch.zeros(prompts, d_vocab, dtype=torch.bool, device=own.device)
    mask[:, slice(None) if task.candidates is None else task.candidates] = True
    taken = torch.zeros_like(mask).scatter(1, own.clamp(min=0), own >= 0)
    # -1 is written at token 0, so a real 0 is set again
    taken[:, 0] = (own == 0).any(-1)
    found = mask & ~taken
    return torch.where(found.any(-1, keepdim=True), found, ~taken)
