"""The inputs of lenses and head scores: a text, several texts, token ids, or a task.

    text    a string, or the token ids of one prompt: [pos] or [1 pos]
    texts   a list of strings, or token ids [prompt pos] without padding
    task    the clean prompts of a task, which have roles, answers and foils

All three become a task, padded on the right and on the model's device, so that every technique runs
them in the same way and never sees padding. Texts have one role, END; each is its own partner, and
their answers and foils are meaningless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.user_hooks import require_no_hooks
from interp.runs.ablation import Ablation
from interp.runs.arguments import Token, one_or_more, require_vocabulary, token_texts
from interp.runs.sides import ready_task
from interp.tasks import Task
from interp.tasks.sides import Choice

Prompt = str | Task | Tensor | np.ndarray | Sequence[Any]
"""A text, several texts, token ids ([pos] or [prompt pos]), or a task; see the module."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Prompts, and the form in which they were given.

    Args:
        task: the prompts, padded on the right, on the model's device
        kind: the form in which they were given; see the module
    """

    task: Task
    kind: Literal["text", "texts", "task"]

    @property
    def is_one(self) -> bool:
        """Whether this is a single text, whose results have no dim prompt."""
        return self.kind == "text"

    @property
    def is_task(self) -> bool:
        """Whether the prompts have roles, answers and foils of their own."""
        return self.kind == "task"


def read_prompts(
    model: HookedGPT2, prompt: Prompt, technique: str, *, obeys_hooks: bool = False
) -> Texts:
    """Check prompts and turn them into a task.

    Args:
        model: the model that will run them
        prompt: the prompts; see the module
        technique: name of the function that reads them, for errors
        obeys_hooks: whether the technique obeys the caller's hooks on the model when it reads one
            text

    Returns:
        The prompts.

    Raises:
        ValueError: there is no prompt, a prompt is empty or longer than n_ctx, an id is outside the
            vocabulary, token ids have other dims than [pos] or [prompt pos], the task belongs to
            another tokenizer, or the caller has hooks on the model
        TypeError: the prompts are of another type
    """
    if isinstance(prompt, Task):
        return Texts(ready_task(model, prompt, technique), "task")
    texts = _texts(model, prompt)
    if not (obeys_hooks and texts.is_one):
        require_no_hooks(model, technique)
    return texts


def _texts(model: HookedGPT2, prompt: Any) -> Texts:
    """Check texts or token ids."""
    if isinstance(prompt, np.ndarray):
        prompt = prompt.tolist()
    if isinstance(prompt, str):
        return _as_texts(*model.tokenize(prompt), (prompt,), "text")
    if isinstance(prompt, Sequence) and any(isinstance(one, str) for one in prompt):
        return _as_texts(*model.tokenize(prompt), tuple(map(str, prompt)), "texts")
    tokens = _checked_ids(model, prompt)
    words = tuple("".join(token_texts(model, row.tolist())) for row in tokens)
    kind: Literal["text", "texts"] = "text" if len(tokens) == 1 else "texts"
    return _as_texts(tokens, torch.ones_like(tokens, dtype=torch.bool), words, kind)


def _checked_ids(model: HookedGPT2, prompt: Any) -> Int[Tensor, "prompt pos"]:
    """Check token ids."""
    if not isinstance(prompt, Tensor | Sequence | range):
        raise TypeError(
            "expected a text, several texts, token ids or a task to read; got "
            f"{type(prompt).__name__}"
        )
    if not len(prompt):
        raise ValueError("there is nothing to read: expected at least one token")
    try:
        tokens = prompt if isinstance(prompt, Tensor) else torch.tensor(prompt)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            "expected token ids, a list of integers for one prompt or rows of one length for "
            f"several; got {prompt!r:.80}"
        ) from error
    tokens = torch.atleast_2d(tokens)
    n_ctx = model.config.n_ctx
    whole = not (tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool)
    if tokens.ndim != 2 or not whole or not 0 < tokens.shape[1] <= n_ctx:
        raise ValueError(
            f"expected the 1 to {n_ctx} (n_ctx) token ids of each prompt, integers [pos] or "
            f"[prompt pos]; got {tokens.dtype} of shape {tuple(tokens.shape)}"
        )
    require_vocabulary(model, tokens)
    return tokens.long().to(model.device)


def _as_texts(
    tokens: Int[Tensor, "prompt pos"],
    mask: Bool[Tensor, "prompt pos"],
    words: tuple[str, ...],
    kind: Literal["text", "texts"],
) -> Texts:
    n = len(words)
    one = tokens.new_ones(n)
    # Each text forms its own group, since nothing is known about what texts share.
    labels = tuple(f"text {i}" for i in range(n))
    task = Task(
        kind,
        *(words, words),
        clean_tokens=tokens,
        corrupted_tokens=tokens,
        attention_mask=mask,
        answer=one,
        foil=one - 1,
        positions={"END": mask.sum(-1) - 1},
        group=labels,
        template=("",) * n,
        order=("",) * n,
    )
    return Texts(task, kind)


def require_reference(texts: Texts, ablation: Ablation | None) -> None:
    """Refuse an ablation that needs prompts other than the texts that are read.

    Args:
        texts: the prompts
        ablation: the ablation, if any

    Raises:
        ValueError: the ablation takes its values from corrupted partners, which texts do not have
    """
    if ablation is None or texts.is_task:
        return
    if ablation.value != "zero" and ablation.reference is None:
        raise ValueError(
            f"ablation by {ablation.value!r} needs other prompts, and a text has none; pass "
            "Ablation(..., reference=a task), or value='zero'"
        )


def answers_of(
    model: HookedGPT2,
    texts: Texts,
    answer: Token | Sequence[Token] | None,
    foil: Token | Sequence[Token] | None,
) -> dict[str, Choice]:
    """The answers and foils of prompts: the task's own, or those passed with texts.

    Args:
        model: the model
        texts: the prompts
        answer: for texts, one token for all or a list with one for each; None for none
        foil: the same for the foils

    Returns:
        "answer" and "foil", if there are any -> ids of each prompt, or one id for all.

    Raises:
        ValueError: they are passed for a task, a token is unknown, or the number of tokens is not
            that of the texts
        TypeError: a token is neither a text nor an integer
    """
    if texts.is_task:
        if not (answer is None and foil is None):
            raise ValueError("a task has its own answers and foils; pass none")
        return {"answer": texts.task.answer, "foil": texts.task.foil}
    found: dict[str, Choice] = {}
    for name, token in (("answer", answer), ("foil", foil)):
        if token is None:
            continue
        found[name], several = one_or_more(model, token, name)
        if several and len(found[name]) != len(texts.task):
            raise ValueError(
                f"{name} has {len(found[name])} tokens for {len(texts.task)} texts; pass one token "
                "for all texts, or one for each"
            )
    return found


def rows_of(ids: Tensor, rows: slice, n: int) -> Tensor:
    """The ids of the n prompts or positions of a batch; one id may stand for all."""
    return ids.expand(n) if ids.ndim == 1 and len(ids) == 1 else ids[rows]
