"""Wang et al.'s IOI algorithm as a program, and prompts to teach it with, for `mini-ioi`.

The program (Wang et al. 2022, section 3): of two names, find the one that the third name repeats,
avoid it, and say the other. Its variables and the parts of the model that carry them:

    repeated       the third name, if it is one of the two        duplicate-token and induction
                                                                  heads, at S2
    avoid          the same, at the last token                    S-inhibition heads, at END, and
                                                                  through the movers' queries alone
    option 1, 2    the names that may be said                     name movers, at END

The training intervenes on the last two, where `mini` differs from the algorithm.

Prompts are sentences of `mini`'s language with a giver and two names. Three rows go together, all
of one sentence: a base, a source with other names or with the other giver, and another one in which
no name comes back, whose activations say nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from interp.parts import Head
from interp.training.interchange import Cut, Kind, Program, Prompts, Site
from interp.training.mini import people

ROLES = ("N1", "N1+1", "N2", "N2+1", "S2", "END")
"""Roles of the prompts: the two names and the tokens after them, the giver, the last token."""

PROGRAM = Program(
    {
        "repeated": lambda x: torch.where(
            (x["name 3"] == x["name 1"]) | (x["name 3"] == x["name 2"]), x["name 3"], -1
        ),
        "avoid": lambda x: x["repeated"],
        "option 1": lambda x: torch.where(x["avoid"] == x["name 1"], x["name 2"], x["name 1"]),
        "option 2": lambda x: torch.where(x["avoid"] == x["name 2"], x["name 1"], x["name 2"]),
    },
    lambda x, d: 0.5 * F.one_hot(x["option 1"], d) + 0.5 * F.one_hot(x["option 2"], d),
)
"""The algorithm; where no name is repeated, either of the two is right."""


@dataclass(frozen=True)
class Parts:
    """Heads of the model by what they do in the algorithm.

    Args:
        previous: previous-token heads, at the tokens after the two names.
        induction: induction heads, at S2.
        duplicate: duplicate-token heads, at S2.
        inhibition: S-inhibition heads, at END.
        movers: name movers, at END.
    """

    previous: tuple[Head, ...]
    induction: tuple[Head, ...]
    duplicate: tuple[Head, ...]
    inhibition: tuple[Head, ...]
    movers: tuple[Head, ...]

    def circuit(self) -> tuple[Site, ...]:
        """The outputs that may matter."""
        return (
            *_at(self.previous, "N1+1 N2+1"),
            *_at((*self.duplicate, *self.induction), "S2"),
            *_at(self.inhibition, "END"),
            *_at(self.movers, "END"),
        )

    def cuts(self) -> tuple[Cut, ...]:
        """Where the variables are.

        Returns:
            What name movers write carries the options; what S-inhibition heads write carries the
            name to avoid, and so do the movers' queries; and while the queries keep what they are,
            the S-inhibition heads must not matter. What comes before is left as it is.
        """
        queries = _at(self.movers, "END", ("q",))
        inhibition = _at(self.inhibition, "END")
        return (
            Cut(("option 1", "option 2"), _at(self.movers, "END")),
            Cut(("avoid",), inhibition),
            Cut(("avoid",), queries),
            Cut((), inhibition, held=queries, weight=2.0),
        )


def _at(heads: Sequence[Head], roles: str, kinds: Sequence[Kind] = ("z",)) -> tuple[Site, ...]:
    return tuple(
        Site(head.layer, head.head, role, kind)
        for head in heads
        for role in roles.split()
        for kind in kinds
    )


@dataclass(frozen=True)
class Draw:
    """Draws base, source and other prompts, row by row from one sentence.

    Args:
        tokenizer: tokenizer of the model.
        longest: longest sentence, in tokens.
        same: rows of one sentence, over which activations can be averaged.
    """

    tokenizer: PreTrainedTokenizerBase
    longest: int = 24
    same: int = 6

    def __call__(
        self, rng: Random, n: int, device: str | torch.device = "cpu"
    ) -> tuple[Prompts, Prompts, Prompts]:
        """Draw prompts.

        Args:
            rng: the random source.
            n: number of rows.
            device: where the tokens go.

        Returns:
            Base, source and other prompts, with the inputs of `PROGRAM`.
        """
        sentences = [self._sentence(rng) for _ in range(-(-n // self.same))]
        rows = [(*sentences[i // self.same], self._names(rng)) for i in range(n)]
        lengths = torch.tensor([len(ids) for ids, _, _ in rows])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        first, second, giver = torch.tensor([at for _, at, _ in rows]).T
        positions = dict(
            zip(ROLES, (first, first + 1, second, second + 1, giver, lengths - 1), strict=True)
        )
        sides = []
        for side in range(3):
            tokens = torch.zeros(mask.shape, dtype=torch.long)
            named = torch.tensor([names[side] for _, _, names in rows])
            for i, (ids, at, _) in enumerate(rows):
                tokens[i, : len(ids)] = torch.tensor(ids)
                tokens[i, list(at)] = named[i]
            inputs = {f"name {j + 1}": named[:, j] for j in range(3)}
            group = torch.arange(n) // self.same
            sides.append(Prompts(tokens, mask, positions, inputs, group).to(device))
        return sides[0], sides[1], sides[2]

    def _sentence(self, rng: Random) -> tuple[list[int], tuple[int, int, int]]:
        """Tokens of a sentence, and where its two names and the giver stand."""
        while True:
            example = rng.choices((people.any_ioi, people.aside), (0.85, 0.15))[0](rng)
            ids = self.tokenizer(example.prompt)["input_ids"]
            answer, foil = (self._id(word) for word in (example.answer, example.foil))
            once = [i for i, token in enumerate(ids) if token == answer]
            twice = [i for i, token in enumerate(ids) if token == foil]
            if len(once) == 1 and len(twice) == 2 and len(ids) <= self.longest:
                first, second = sorted((once[0], twice[0]))
                if second < twice[1] < len(ids) - 1:
                    return ids, (first, second, twice[1])

    def _names(self, rng: Random) -> tuple[tuple[int, int, int], ...]:
        """Tokens of the three names of base, source and other prompt."""
        while True:
            casts = [[self._id(f" {w}") for w in people.draw_cast(rng, n)] for n in (3, 2, 3)]
            (a, b, c), (d, e), other = casts
            if len({a, b, c, d, e, *other}) == 8:
                break
        giver = rng.choice((a, b)) if rng.random() < 0.9 else c
        kind = rng.random()
        if kind < 0.4:  # the same names, the other giver
            source = (a, b, a if giver == b else b)
        elif kind < 0.8:  # in the other order
            source = (b, a, rng.choice((a, b)))
        elif kind < 0.94:
            source = (d, e, rng.choice((d, e)))
        else:
            source = (d, e, c)
        return (a, b, giver), source, (other[0], other[1], other[2])

    def _id(self, word: str) -> int:
        (token,) = self.tokenizer(word)["input_ids"]
        return int(token)
