"""Variants of IOI prompts that separate who S is from where S is, or name a name once more.

`signal_variants` pairs each prompt with six texts in which S2 gives other information about S:

    token  position   IO  S1  S2 of the prompt A B B     what S2 tells
      1       1       A   B   B     nothing is changed
      1      -1       B   A   B     the subject's name is the same, it stands where IO stood
      0       1       C   D   D     other names in the same places
      0      -1       D   C   D     other names, exchanged
     -1      -1       A   B   A     the other name, which stands where IO stands
     -1       1       B   A   A     the other name, which stands where S1 stood

`with_beginning` pairs each prompt with the same text after another sentence: S1 and S2 are at other
positions, but at the same distance from each other.

`named_again` adds two sentences about IO, or about S, between the names and the second clause: a
model that identifies S as the name that occurs twice should be misled by the former but not by the
latter.

Source: Wang et al. 2022 (arXiv 2211.00593), appendix A for the six texts and section 4.4 for the
adversarial prompts. The sentences are interp's own; like the authors', they follow the first comma
or full stop after the names, whatever comes next.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp.tasks.fit import vocabulary_of
from interp.tasks.sides import SIDES, Side
from interp.tasks.task import Task
from interp.tasks.tokens import encode

SIGNALS: tuple[tuple[int, int], ...] = ((1, 1), (1, -1), (0, 1), (0, -1), (-1, -1), (-1, 1))
"""Token and position signals of the six texts: 1 as in the prompt, -1 reversed, 0 unrelated."""

SENTENCES: tuple[str, ...] = (
    " [X] looked very happy.",
    " [X] wore a red coat.",
    " [X] liked the idea.",
    " [X] smiled at once.",
)
"""Sentences about a name that is named again."""

BEGINNING = "It was a cold morning."
"""The sentence before a prompt with a longer beginning."""

_BREAKS = (",", ".")


def signal_variants(
    task: Task, tokenizer: PreTrainedTokenizerBase, *, seed: int = 0
) -> dict[tuple[int, int], Task]:
    """Pair each prompt with the six texts that separate the token from the position signal.

    Args:
        task: a task made by `ioi` with "abc" or "random" corruption; names are drawn from all its
            prompts
        tokenizer: the model's tokenizer
        seed: seed of the random names

    Returns:
        (token, position) signal -> the same clean prompts, with the text of that signal as partner.

    Raises:
        ValueError: the task has fewer than four names, lacks one of the roles IO, S1 and S2, or has
            sets of answers
    """
    if task.answer.ndim != 1 or task.foil.ndim != 1:
        raise ValueError(
            "signals need one answer and one foil per prompt, IO and S; got sets of them"
        )
    rows = torch.arange(len(task))
    at = {role: _positions(task, role) for role in ("IO", "S1", "S2")}
    named = [task.answer, task.foil]
    named += [task.corrupted_tokens[rows, where] for where in at.values()]
    names = sorted({int(token) for one in named for token in one})
    if len(names) < 4:
        raise ValueError(f"four names are needed for the random ones; the task has {len(names)}")
    rng = random.Random(f"signals {seed}")
    others = []
    for io, s in zip(task.answer.tolist(), task.foil.tolist(), strict=True):
        fresh = [name for name in rng.sample(names, 4) if name not in (io, s)]
        others.append(fresh[:2])
    C, D = torch.tensor(others).T
    A, B = task.answer, task.foil
    written = dict(
        zip(
            SIGNALS,
            ((A, B, B), (B, A, B), (C, D, D), (D, C, D), (A, B, A), (B, A, A)),
            strict=True,
        )
    )
    found = {}
    for signal, ids in written.items():
        tokens = task.clean_tokens.clone()
        for where, token in zip(at.values(), ids, strict=True):
            tokens[rows, where] = token
        texts = _texts(tokenizer, tokens, task)
        found[signal] = replace(task, corrupted=texts, corrupted_tokens=tokens)
    return found


def with_beginning(
    task: Task, tokenizer: PreTrainedTokenizerBase, *, sentence: str = BEGINNING
) -> Task:
    """Pair each prompt with the same text after another sentence.

    Args:
        task: a task of `ioi`
        tokenizer: the model's tokenizer
        sentence: the sentence to put before the prompts

    Returns:
        The same clean prompts, with the longer texts as partners, in which the roles come later.

    Raises:
        ValueError: the sentence is empty, or changes the token of a role
    """
    if not sentence.strip():
        raise ValueError("the sentence before the prompts is empty; give one such as 'It rained.'")
    task = task.right_padded()
    texts = tuple(f"{sentence} {text}" for text in task.clean)
    rows = encode(tokenizer, texts)
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens, shift = _padded(rows, mask), lengths - task.lengths
    positions = {role: at + shift for role, at in task.positions.items()}
    prompt = torch.arange(len(task))
    for role, at in task.positions.items():
        same = tokens[prompt, positions[role]] == task.clean_tokens[prompt, at]
        if not same.all():
            i = int((~same).nonzero()[0])
            raise ValueError(
                f"prompt {i}: behind {sentence!r} the token of {role} is another one; choose a "
                "sentence that leaves the prompt's tokens as they are"
            )
    wider = tokens.shape[1] - task.clean_tokens.shape[1]
    return replace(
        task,
        name=f"{task.name}, longer beginning",
        corrupted=texts,
        clean_tokens=F.pad(task.clean_tokens, (0, wider)),
        attention_mask=F.pad(task.attention_mask, (0, wider)),
        corrupted_tokens=tokens,
        corrupted_mask=mask,
        corrupted_positions=positions,
        vocabulary=vocabulary_of(tokenizer, tokens, known=task.vocabulary),
    )


def named_again(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    role: str,
    *,
    sentences: Sequence[str] = SENTENCES,
    seed: int = 0,
) -> Task:
    """Name IO or S once more, in two sentences between the names and the second clause.

    Args:
        task: a task of `ioi`
        tokenizer: the model's tokenizer
        role: who is named, "IO" or "S1"
        sentences: the sentences, with [X] for the name, which needs a space on both sides
        seed: seed of the choice of sentences

    Returns:
        The prompts that have a comma or a full stop between the names and S2, with the two
        sentences added; in the partners, they name whoever has that role there.

    Raises:
        ValueError: the role is unknown, a sentence lacks " [X] ", or no prompt has such a mark
    """
    if role not in ("IO", "S1"):
        raise ValueError(f"IO or S1 can be named again, got {role!r}")
    wrong = [sentence for sentence in sentences if not sentence.startswith(" [X] ")]
    if wrong or len(sentences) < 2:
        raise ValueError(
            f"two sentences or more are needed, each beginning with ' [X] '; got {list(sentences)}"
        )
    task = task.right_padded()
    marks = breaks(task, tokenizer)
    chosen = [i for i, mark in enumerate(marks) if mark is not None]
    if not chosen:
        raise ValueError(
            "no prompt has a comma or a full stop between the names and the second clause, where "
            "the sentences would go"
        )
    rests = encode(tokenizer, [sentence.removeprefix(" [X]") for sentence in sentences])
    rng = random.Random(f"named again {seed}")
    rows: dict[Side, list[list[int]]] = {side: [] for side in SIDES}
    added, groups = [], []
    for i in chosen:
        pair = rng.sample(range(len(sentences)), 2)
        mark = marks[i]
        assert mark is not None
        for side in SIDES:
            ids = task.tokens(side)[i][task.attention_mask[i]].tolist()
            name = ids[int(task.positions[role][i])]
            extra = [token for k in pair for token in (name, *rests[k])]
            rows[side].append(ids[: mark + 1] + extra + ids[mark + 1 :])
        added.append(sum(1 + len(rests[k]) for k in pair))
        groups.append(f"{task.group[i]} + {pair[0]} {pair[1]}")
    short = task.subset(chosen)
    shift = torch.tensor(added)
    after = torch.tensor([mark for mark in marks if mark is not None])
    lengths = torch.tensor([len(row) for row in rows["clean"]])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    clean, corrupted = (_padded(rows[side], mask) for side in SIDES)
    longer = replace(
        short,
        name=f"{task.name}, {role} named again",
        clean_tokens=clean,
        corrupted_tokens=corrupted,
        attention_mask=mask,
        positions={r: where + shift * (where > after) for r, where in short.positions.items()},
        group=tuple(groups),
    )
    return replace(
        longer,
        clean=_texts(tokenizer, clean, longer),
        corrupted=_texts(tokenizer, corrupted, longer),
        vocabulary=vocabulary_of(tokenizer, clean, corrupted, known=task.vocabulary),
    )


def breaks(task: Task, tokenizer: PreTrainedTokenizerBase) -> list[int | None]:
    """Find the first comma or full stop between the names and S2 of each prompt.

    Args:
        task: a task made by `ioi`, padded on the right
        tokenizer: the model's tokenizer

    Returns:
        The position in each prompt, None if there is none.
    """
    marks = set(encode(tokenizer, list(_BREAKS))[0] + encode(tokenizer, list(_BREAKS))[1])
    first = torch.maximum(_positions(task, "IO"), _positions(task, "S1")).tolist()
    last = _positions(task, "S2").tolist()
    found = []
    for ids, start, stop in zip(task.clean_tokens.tolist(), first, last, strict=True):
        found.append(next((p for p in range(start + 1, stop) if ids[p] in marks), None))
    return found


def _positions(task: Task, role: str) -> Int[Tensor, " prompt"]:
    if role not in task.positions:
        raise ValueError(f"the task needs the roles IO, S1 and S2; it has {list(task.positions)}")
    return task.positions[role]


def _padded(rows: list[list[int]], mask: Bool[Tensor, "prompt pos"]) -> Int[Tensor, "prompt pos"]:
    tokens = torch.zeros(mask.shape, dtype=torch.long)
    tokens[mask] = torch.tensor([token for row in rows for token in row])
    return tokens


def _texts(
    tokenizer: PreTrainedTokenizerBase, tokens: Int[Tensor, "prompt pos"], task: Task
) -> tuple[str, ...]:
    return tuple(
        str(tokenizer.decode(row[real]))
        for row, real in zip(tokens, task.attention_mask, strict=True)
    )
