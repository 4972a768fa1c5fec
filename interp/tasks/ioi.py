"""Indirect object identification: "When Mary and John met, John gave a book to" -> " Mary".

The indirect object IO is named once, the subject S twice; the answer is IO, the foil is S. A prompt
is in BABA order (S IO S) or ABBA order (IO S S). Its roles are the paper's IO, S1, S1+1 (the token
after S1), S2 and END (the last token), and also IO+1, S2+1 and END-1, through which models other
than GPT-2 small may move the name (S2+1 is END if the prompt ends there). The corrupted partner of
a prompt keeps everything except names:

    abc     IO, S1 and S2 become three different names, none of them the prompt's own
    flip    S2 becomes IO, so that the answer would be S
    random  IO and S become two other names, in the same pattern

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.1 and appendix A; flip is the counterfactual
of the MIB benchmark. The sentences are interp's own unless a file says otherwise.
"""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp.tasks.candidates import candidate_ids
from interp.tasks.fit import vocabulary_of
from interp.tasks.sampler import can_draw_more
from interp.tasks.task import Task
from interp.tasks.templates import parse_template, read_prompts, usable_words
from interp.tasks.tokens import encode_pairs
from interp.tasks.words import require_choice, require_count, require_words

Corruption = Literal["abc", "flip", "random"]
Order = Literal["mixed", "abba", "baba"]
_NAMES_NEEDED = {"abc": 5, "flip": 2, "random": 4}


class _Prompt(NamedTuple):
    template: int
    order: str
    io: str
    s: str
    place: str
    object: str


@can_draw_more
def ioi(
    tokenizer: PreTrainedTokenizerBase,
    n: int = 100,
    *,
    seed: int = 0,
    corruption: Corruption = "abc",
    order: Order = "mixed",
    prompts: str | Path | None = None,
    names: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
    drop_split_words: bool = False,
) -> Task:
    """Make IOI prompts.

    Templates and orders are spread evenly: prompts use the templates in shuffled order, with ABBA
    and BABA in turn, then again with the orders exchanged, then in another shuffled order. Thus for
    any `n`, the numbers of prompts of any two orders, templates, or pairs of both differ by at most
    one. Within a template and order, no prompt occurs twice until all have occurred. The clean
    prompts depend on the seed but not on the corruption.

    Args:
        tokenizer: the model's tokenizer
        n: number of prompts
        seed: seed of the templates, names and nouns
        corruption: "abc", "flip" or "random", see the module
        order: "abba", "baba", or "mixed" for both
        prompts: JSON file of templates, names and nouns (see `interp.tasks.templates`); None for
            interp's own
        names: names to use instead of the file's, for instance held-out ones
        templates: templates in BABA form to use instead of the file's. (The paper's "mixed" set
            uses only 7 of its 15.)
        drop_split_words: whether to leave out names and nouns that are several tokens; otherwise
            they are an error. Those in interp's own file are always left out.

    Returns:
        The task, named "ioi". `group` is, for instance, "03 ABBA" for template 3 in that order;
        `template` is the BABA form.

    Raises:
        FileNotFoundError: the file `prompts` does not exist
        ValueError: an argument is not one of its choices, the file or a template is not well
            formed, a word is several tokens (the message shows them), or too few names are left
    """
    require_count(n)
    require_choice("corruption", corruption, get_args(Corruption))
    require_choice("order", order, get_args(Order))
    for where, words in (("templates", templates), ("names", names)):
        if words is not None:
            require_words(words, where, bare=where == "names")

    file = read_prompts(prompts)
    templates = file.templates if templates is None else tuple(templates)
    orders = ("ABBA", "BABA") if order == "mixed" else (order.upper(),)
    forms = {(t, o): parse_template(templates[t], o) for t in range(len(templates)) for o in orders}

    drop = drop_split_words or prompts is None
    places = list(usable_words(tokenizer, file.places, kind="places", drop_split=drop, option=True))
    objects = list(
        usable_words(tokenizer, file.objects, kind="objects", drop_split=drop, option=True)
    )
    nouns = [
        (places if "[PLACE]" in form else [""], objects if "[OBJECT]" in form else [""])
        for form in templates
    ]
    if names is not None:
        drop = drop_split_words
    name_ids = usable_words(
        tokenizer,
        file.names if names is None else names,
        kind="names",
        drop_split=drop,
        least=_NAMES_NEEDED[corruption],
        option=True,
    )
    usable = list(name_ids)

    rng = random.Random(f"ioi {seed}")
    cells = _cells(n, len(templates), orders, rng)
    drawn = _draw(cells, usable, nouns, rng)
    rng = random.Random(f"ioi {seed} {corruption}")
    partners = [_corrupt(p, corruption, usable, rng) for p in drawn]
    clean = tuple(_write(forms, p, (p.io, p.s, p.s)) for p in drawn)
    corrupted = tuple(_write(forms, p, partner) for p, partner in zip(drawn, partners, strict=True))

    clean_tokens, corrupted_tokens, mask = encode_pairs(tokenizer, clean, corrupted)
    answer = torch.tensor([name_ids[p.io] for p in drawn])
    foil = torch.tensor([name_ids[p.s] for p in drawn])
    real = clean_tokens.masked_fill(~mask, -1)
    io, _ = _find(real, answer, 1, clean)
    s1, s2 = _find(real, foil, 2, clean)
    return Task(
        name="ioi",
        clean=clean,
        corrupted=corrupted,
        clean_tokens=clean_tokens,
        corrupted_tokens=corrupted_tokens,
        attention_mask=mask,
        answer=answer,
        foil=foil,
        positions=_positions(io, s1, s2, mask.sum(-1) - 1),
        group=tuple(f"{p.template:02d} {p.order}" for p in drawn),
        template=tuple(templates[p.template] for p in drawn),
        order=tuple(p.order for p in drawn),
        candidates=candidate_ids(name_ids.values()),
        vocabulary=vocabulary_of(
            tokenizer, clean_tokens, corrupted_tokens, torch.tensor(list(name_ids.values()))
        ),
    )


def _positions(
    io: Int[Tensor, " prompt"],
    s1: Int[Tensor, " prompt"],
    s2: Int[Tensor, " prompt"],
    end: Int[Tensor, " prompt"],
) -> dict[str, Int[Tensor, " prompt"]]:
    """The roles in the order of the ABBA template, none after END."""
    return {
        "IO": io,
        "IO+1": io + 1,
        "S1": s1,
        "S1+1": s1 + 1,
        "S2": s2,
        "S2+1": torch.minimum(s2 + 1, end),
        "END-1": end - 1,
        "END": end,
    }


def _cells(
    n: int, n_templates: int, orders: tuple[str, ...], rng: random.Random
) -> list[tuple[int, str]]:
    """Template and order of each prompt, in rounds that use every pair once."""
    cells: list[tuple[int, str]] = []
    while len(cells) < n:
        shuffled = rng.sample(range(n_templates), n_templates)
        for shift in range(len(orders)):
            cells += [(t, orders[(i + shift) % len(orders)]) for i, t in enumerate(shuffled)]
    return cells[:n]


def _draw(
    cells: list[tuple[int, str]],
    names: list[str],
    nouns: list[tuple[list[str], list[str]]],
    rng: random.Random,
) -> list[_Prompt]:
    """Fill each cell with names and its template's nouns, all fillings once before any twice."""
    pairs = len(names) * (len(names) - 1)
    fillings: dict[tuple[int, str], list[int]] = {}
    for cell, count in sorted(Counter(cells).items()):
        places, objects = nouns[cell[0]]
        total = pairs * len(places) * len(objects)
        batches = [count % total] + [total] * (count // total)
        fillings[cell] = [i for batch in batches for i in rng.sample(range(total), batch)]
    prompts = []
    for cell in cells:
        places, objects = nouns[cell[0]]
        filling, pair = divmod(fillings[cell].pop(), pairs)
        io, s = divmod(pair, len(names) - 1)
        s += s >= io  # the subject is any name except the indirect object
        place, thing = divmod(filling, len(objects))
        prompts.append(_Prompt(*cell, names[io], names[s], places[place], objects[thing]))
    return prompts


def _corrupt(
    prompt: _Prompt, corruption: str, names: list[str], rng: random.Random
) -> tuple[str, str, str]:
    """Names at IO, S1 and S2 in the corrupted partner."""
    if corruption == "flip":
        return prompt.io, prompt.s, prompt.io
    sample = rng.sample(names, _NAMES_NEEDED[corruption])
    fresh = [name for name in sample if name not in (prompt.io, prompt.s)]
    return (fresh[0], fresh[1], fresh[2] if corruption == "abc" else fresh[1])


def _write(forms: dict[tuple[int, str], str], prompt: _Prompt, names: tuple[str, str, str]) -> str:
    fields = dict(zip(("IO", "S1", "S2"), names, strict=True))
    form = forms[prompt.template, prompt.order]
    return form.format(PLACE=prompt.place, OBJECT=prompt.object, **fields)


def _find(
    tokens: Int[Tensor, "prompt pos"],
    ids: Int[Tensor, " prompt"],
    times: int,
    texts: tuple[str, ...],
) -> tuple[Int[Tensor, " prompt"], Int[Tensor, " prompt"]]:
    """First and last position of a token in each prompt, in which it must occur `times` times."""
    found = (tokens == ids[:, None]).int()  # b p
    wrong = (found.sum(-1) != times).nonzero()
    if len(wrong):
        i = int(wrong[0])
        raise ValueError(
            f"prompt {i}, {texts[i]!r}, has the name with token id {int(ids[i])} as a token "
            f"{int(found[i].sum())} times where {times} were written; a name must stand apart from "
            "other letters and must not be a word of the template"
        )
    return found.argmax(-1), found.shape[1] - 1 - found.flip(-1).argmax(-1)
