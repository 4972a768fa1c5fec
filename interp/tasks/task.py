"""A task: prompts in pairs, with the right and the wrong next tokens and the positions of roles.

A prompt is a clean text and a corrupted partner, both without the answer. Usually they have the
same number of tokens, so that a position means the same in both; otherwise `corrupted_mask` and
`corrupted_positions` describe the partner, and the two can be compared by role.

The answer is the token that should follow the clean text, and the foil is the token that it is
measured against; either may be a set of tokens, such as all later years.

A role ("IO", "S2", ...) names one token position in each prompt. "END" always exists: it is the
last token, where the answer is predicted. Prompts of one group share template, order and length;
over such groups, Wang et al. 2022 (arXiv 2211.00593, section 2.2) take the means of their mean
ablation.

The file is longer than most: it is one class.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp.tasks.checks import TEXTS, check_task, prompt_number
from interp.tasks.fit import require_fits
from interp.tasks.sampler import Sampler
from interp.tasks.sides import SIDES, Choice, Side, as_column, options, require_side, shown


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """Prompts in pairs, padded to one length, with answers, foils and the positions of roles.

    Args:
        name: name of the task in results and figures
        clean: the clean texts, without the answer
        corrupted: their corrupted partners
        clean_tokens: token ids of the clean texts
        corrupted_tokens: token ids of the corrupted texts, as long as the clean ones
        attention_mask: True at real tokens, False at padding, which may be on either side
        answer: token id of the right next token; or the ids of all right ones [prompt option], in
            an order that the task chooses, padded with -1
        foil: token id of the wrong next token to compare with, or the ids of several, in the same
            form
        positions: role -> its index into the tokens of each prompt; "END" is the last token
        group: label of the prompts that share template, order and length
        template: template of each prompt; "" if there is none
        order: "ABBA" or "BABA" for IOI; "" if the task has no orders
        corrupted_mask: the mask of the corrupted texts, if it differs
        corrupted_positions: the roles' positions in the corrupted texts, if they differ
        metric: name of the metric that is used unless another is chosen
        candidates: token ids that could be answers of the task, such as all its names, in any
            order; None for the whole vocabulary. See `interp.tasks.candidates`.
        vocabulary: token id -> its text in the tokenizer's vocabulary, for the ids that the task
            uses; empty if unknown. `require_fits` compares it with a model's.
        sampler: draws more prompts of the kind; None for a task that was not drawn, or whose fields
            were replaced
        pieces: tasks whose prompts are these together, so that sums over them can be shared; empty
            for most tasks

    Raises:
        ValueError: a field does not fit the others; the message names the field and the prompt

    Example:
        >>> one = torch.tensor([[5, 6, 7]])
        >>> task = Task(
        ...     "copy", ("a b c",), ("a d c",), one, torch.tensor([[5, 8, 7]]), one > 0,
        ...     answer=torch.tensor([6]), foil=torch.tensor([8]),
        ...     positions={"END": torch.tensor([2])}, group=("all",), template=("",), order=("",),
        ... )
        >>> len(task), task.positions["END"].tolist()
        (1, [2])
    """

    name: str
    clean: tuple[str, ...]
    corrupted: tuple[str, ...]
    clean_tokens: Int[Tensor, "prompt pos"]
    corrupted_tokens: Int[Tensor, "prompt pos"]
    attention_mask: Bool[Tensor, "prompt pos"]
    answer: Choice
    foil: Choice
    positions: dict[str, Int[Tensor, " prompt"]]
    group: tuple[str, ...]
    template: tuple[str, ...]
    order: tuple[str, ...]
    corrupted_mask: Bool[Tensor, "prompt pos"] | None = None
    corrupted_positions: dict[str, Int[Tensor, " prompt"]] | None = None
    metric: str = "logit_diff"
    candidates: Int[Tensor, " candidate"] | None = None
    vocabulary: tuple[tuple[int, str], ...] = ()
    sampler: Sampler | None = field(default=None, init=False)
    pieces: tuple["Task", ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the fields fit together."""
        check_task(self)

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.clean)

    def __getitem__(self, index: int | slice) -> "Task":
        """Return the prompts of a slice, or the one prompt at an index, as a Task."""
        return self.subset(range(len(self))[index] if isinstance(index, slice) else [index])

    def __repr__(self) -> str:
        """Summarize the task and show its first prompt."""
        low, high = int(self.lengths.min()), int(self.lengths.max())
        return (
            f"Task {self.name!r}: {len(self)} prompts of {low} to {high} tokens in "
            f"{len(set(self.group))} groups; roles {', '.join(self.positions)}\n"
            f"  clean[0]      {self.clean[0]!r}\n"
            f"  corrupted[0]  {self.corrupted[0]!r}\n"
            f"  answer[0]     {shown(self.answer)}, foil[0] {shown(self.foil)} (token ids)"
        )

    def tokens(self, side: Side) -> Int[Tensor, "prompt pos"]:
        """Token ids of the clean or the corrupted texts."""
        require_side(side)
        return self.clean_tokens if side == "clean" else self.corrupted_tokens

    def mask(self, side: Side) -> Bool[Tensor, "prompt pos"]:
        """True at the real tokens of the clean or the corrupted texts."""
        require_side(side)
        own = self.corrupted_mask if side == "corrupted" else None
        return self.attention_mask if own is None else own

    def roles(self, side: Side) -> dict[str, Int[Tensor, " prompt"]]:
        """Positions of the roles in the clean or the corrupted texts."""
        require_side(side)
        own = self.corrupted_positions if side == "corrupted" else None
        return self.positions if own is None else own

    @property
    def aligned(self) -> bool:
        """Whether a position means the same in both texts, that is, masks and roles are equal."""
        other = self.roles("corrupted")
        return torch.equal(self.mask("clean"), self.mask("corrupted")) and all(
            torch.equal(at, other[role]) for role, at in self.positions.items()
        )

    def right_padded(self) -> "Task":
        """Move every text's first token to position 0.

        Returns:
            The same prompts; a position is then the index of a token in its own text.
        """
        if bool(self.attention_mask[:, 0].all() and self.mask("corrupted")[:, 0].all()):
            return self
        fields: dict[str, Any] = {}
        for side, names in zip(SIDES, _SIDE_FIELDS, strict=True):
            mask = self.mask(side)
            first = mask.int().argmax(-1)  # prompt
            pos = torch.arange(mask.shape[1], device=mask.device)
            index = (pos + first[:, None]) % mask.shape[1]  # prompt pos
            roles = {role: at - first for role, at in self.roles(side).items()}
            values = (self.tokens(side).gather(1, index), mask.gather(1, index), roles)
            fields |= dict(zip(names, values, strict=True))
        return self._with(fields)

    @cached_property
    def fingerprint(self) -> str:
        """A digest, in 16 hexadecimal digits, of everything that numbers on this task depend on.

        It covers token ids and roles of both texts, answers, foils, candidates and groups. It does
        not depend on the device, on padding, or on names.
        """
        digest = hashlib.sha256(json.dumps(self.group).encode())

        def add(*parts: Tensor) -> None:
            for part in parts:
                numbers = part.cpu().numpy().astype("<i8")
                digest.update(f"{numbers.shape}".encode() + numbers.tobytes())

        for side in SIDES:
            mask, roles = self.mask(side), self.roles(side)
            add(mask.sum(-1), self.tokens(side)[mask])
            for role in sorted(roles):
                digest.update(json.dumps(role).encode())
                add(roles[role] - mask.int().argmax(-1))
        for choice in map(options, (self.answer, self.foil)):
            add((choice >= 0).sum(-1), choice[choice >= 0])
        if self.candidates is not None:
            add(self.candidates.sort().values)
        return digest.hexdigest()[:16]

    def require_fits(self, model: Any) -> None:
        """Refuse a model that the task does not fit.

        Args:
            model: a `HookedGPT2`

        Raises:
            ValueError: a text is longer than the model's context, a token id is outside its
                vocabulary, or a token id that the task uses is another word there
        """
        require_fits(self, model)

    @property
    def n(self) -> int:
        """The number of prompts."""
        return len(self)

    @property
    def lengths(self) -> Int[Tensor, " prompt"]:
        """The number of real tokens of each prompt."""
        return self.attention_mask.sum(-1)

    def subset(self, indices: Sequence[int]) -> "Task":
        """Pick prompts.

        Args:
            indices: indices of the prompts, in the order wanted; negative ones count from the end

        Returns:
            A Task with those prompts, padded to the same width as this one.

        Raises:
            TypeError: an index is not a whole number
            IndexError: an index is outside the task
            ValueError: there are no indices; a task has at least one prompt
        """
        indices = [prompt_number(i) for i in indices]
        wrong = [i for i in indices if not -len(self) <= i < len(self)]
        if wrong:
            raise IndexError(f"no prompt {wrong[0]}: the task has {len(self)} prompts, from 0")
        rows = torch.tensor(list(indices), dtype=torch.long, device=self.clean_tokens.device)
        fields: dict[str, Any] = {
            **{field: tuple(getattr(self, field)[i] for i in indices) for field in TEXTS},
            **{field: tensor[rows] for field, tensor in self._tensors().items()},
            **{
                field: {role: at[rows] for role, at in roles.items()}
                for field, roles in self._role_fields().items()
            },
        }
        return self._with(fields)

    def to(self, device: str | torch.device) -> "Task":
        """Move every tensor to a device.

        Args:
            device: the device, for instance "cuda" or `model.device`

        Returns:
            The same task there.
        """
        fields: dict[str, Any] = {
            **{field: tensor.to(device) for field, tensor in self._tensors().items()},
            **{
                field: {role: at.to(device) for role, at in roles.items()}
                for field, roles in self._role_fields().items()
            },
        }
        if self.candidates is not None:
            fields["candidates"] = self.candidates.to(device)
        return self._with(fields)

    def drawn_by(self, sampler: Sampler) -> "Task":
        """The same task, with a sampler that can draw more prompts like its own.

        Args:
            sampler: the sampler

        Returns:
            The task.
        """
        task = replace(self)
        object.__setattr__(task, "sampler", sampler)
        return task

    def made_of(self, pieces: tuple["Task", ...]) -> "Task":
        """The same task, which knows that its prompts are those of some others together.

        Args:
            pieces: the others, padded to the same width

        Returns:
            The task; copies of it that hold other tensors do not know it.
        """
        task = self._with({})
        object.__setattr__(task, "pieces", pieces)
        return task

    @property
    def reference(self) -> "Task | None":
        """Other prompts of the same kind, for means; None for a task that cannot draw any."""
        return self.sampler.reference if self.sampler else None

    def to_dataframe(self, tokenizer: PreTrainedTokenizerBase | None = None) -> pd.DataFrame:
        """Write the task as a table, one row per prompt.

        Args:
            tokenizer: if given, the columns `answer` and `foil` hold the answer and the foil as
                text, and `from_table` can read the table again if they are single tokens; the texts
                of a set are joined

        Returns:
            A table with the columns `clean`, `corrupted`, `answer_id`, `foil_id` (a token id, or
            the ids of a set separated by spaces), one column per role (its position), `group`,
            `template`, `order`; then `answer` and `foil`, if asked for.
        """
        table: dict[str, Sequence[str] | Sequence[int]] = {
            "clean": self.clean,
            "corrupted": self.corrupted,
        }
        table |= {"answer_id": as_column(self.answer), "foil_id": as_column(self.foil)}
        table |= {role: at.tolist() for role, at in self.positions.items()}
        table |= {"group": self.group, "template": self.template, "order": self.order}
        if tokenizer is not None:
            for field in ("answer", "foil"):
                rows = options(getattr(self, field)).tolist()
                table[field] = [tokenizer.decode([t for t in row if t >= 0]) for row in rows]
        return pd.DataFrame(table)

    def _with(self, fields: dict[str, Any]) -> "Task":
        """The same prompts, or some of them, in other tensors."""
        task = replace(self, **fields)
        return task.drawn_by(self.sampler) if self.sampler else task

    def _tensors(self) -> dict[str, Tensor]:
        """The fields that are tensors."""
        found = {field: getattr(self, field) for field in (*_TENSORS, "corrupted_mask")}
        return {field: tensor for field, tensor in found.items() if tensor is not None}

    def _role_fields(self) -> dict[str, dict[str, Tensor]]:
        """The fields that hold positions of roles."""
        found = {field: getattr(self, field) for field in ("positions", "corrupted_positions")}
        return {field: roles for field, roles in found.items() if roles is not None}


_SIDE_FIELDS = (
    ("clean_tokens", "attention_mask", "positions"),
    ("corrupted_tokens", "corrupted_mask", "corrupted_positions"),
)
_TENSORS = ("clean_tokens", "corrupted_tokens", "attention_mask", "answer", "foil")
