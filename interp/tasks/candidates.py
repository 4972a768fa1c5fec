"""Candidates: other tokens that could have been the answer, whose mean logit is the baseline.

A single logit says nothing, because adding the same number to all logits changes no probability,
and the difference of two logits only says how they are ordered. How much a model favors the answer
is therefore its logit minus the mean logit of the task's other candidates: in a task about names,
the names that are neither answer nor foil.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.tasks.sides import options


def candidate_ids(ids: Iterable[int] | Tensor) -> Int[Tensor, " candidate"]:
    """Sort candidates as a task keeps them, each token once.

    Args:
        ids: token ids; negative ones, which pad sets, are left out

    Returns:
        The ids.
    """
    found = ids if isinstance(ids, Tensor) else torch.tensor(list(ids), dtype=torch.long)
    found = found.reshape(-1).unique()
    return found[found >= 0]


def other_candidates(task: Any, d_vocab: int) -> Bool[Tensor, "prompt d_vocab"]:
    """Mark the tokens that the answer and the foil of each prompt are compared with.

    Args:
        task: a `Task`
        d_vocab: number of tokens in the model's vocabulary

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
