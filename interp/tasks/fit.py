"""Whether a task fits a model: the same token ids, the same words, and a length it can read.

A task keeps the text of each token id that it uses, as in its tokenizer's vocabulary. Two
vocabularies fit if they agree on these; their other tokens do not matter.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from interp.tasks.sides import SIDES, options


def vocabulary_of(
    tokenizer: Any, *ids: Tensor, known: Iterable[tuple[int, str]] = ()
) -> tuple[tuple[int, str], ...]:
    """Look up the texts of token ids.

    Args:
        tokenizer: the tokenizer of the ids, from transformers
        ids: token ids of any shape; negative ones, which pad sets, are left out
        known: ids whose texts are known already

    Returns:
        Id -> the token's text as the vocabulary writes it, in the order of the ids.
    """
    used = torch.cat([each.reshape(-1) for each in ids]).unique().tolist()
    used = [token for token in used if token >= 0]
    texts = tokenizer.convert_ids_to_tokens(used)
    found = {token: str(text) for token, text in zip(used, texts, strict=True)}
    return tuple(sorted({**dict(known), **found}.items()))


def require_fits(task: Any, model: Any) -> None:
    """Refuse a task that does not fit a model.

    Args:
        task: a `Task`
        model: a `HookedGPT2`, or anything with its `config` and `tokenizer`

    Raises:
        ValueError: a text is longer than the model's context, or a token id is outside the model's
            vocabulary or is another word there
    """
    config, name = model.config, getattr(model, "name", "") or "the model"
    for side in SIDES:
        lengths = task.mask(side).sum(-1)
        longest = int(lengths.max())
        if longest > config.n_ctx:
            i = int(lengths.argmax())
            raise ValueError(
                f"prompt {i} of task {task.name!r} has {longest} tokens in its {side} text; "
                f"{name} takes at most {config.n_ctx} (n_ctx), so leave out the longer prompts"
            )
    width = task.clean_tokens.shape[1]
    if width > config.n_ctx:
        raise ValueError(
            f"task {task.name!r} is padded to {width} tokens, more than the {config.n_ctx} (n_ctx) "
            f"that {name} takes; make it again without the longer prompts"
        )
    fields = {f"{side} text": task.tokens(side) for side in SIDES}
    fields |= {"answer": options(task.answer), "foil": options(task.foil)}
    for field, ids in fields.items():
        if int(ids.max()) >= config.d_vocab:
            i = int((ids >= config.d_vocab).any(-1).nonzero()[0])
            raise ValueError(
                f"prompt {i} of task {task.name!r} has the token id {int(ids.max())} in its "
                f"{field}; {name} has {config.d_vocab} tokens, so the task is of another "
                "tokenizer; make it with model.tokenizer"
            )
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is not None and task.vocabulary:
        real = [task.tokens(side)[task.mask(side)] for side in SIDES]
        theirs = dict(vocabulary_of(tokenizer, *real, task.answer, task.foil))
        for token, text in task.vocabulary:
            if theirs.get(token, text) != text:
                raise ValueError(
                    f"task {task.name!r} is of another tokenizer than {name}: token id {token} is "
                    f"{text!r} in the task and {theirs[token]!r} in the model; make the task with "
                    "model.tokenizer"
                )
