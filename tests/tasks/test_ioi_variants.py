"""The six texts that separate two signals, and names that are named again."""

from dataclasses import replace

import pytest
import torch

from interp.tasks import ioi, named_again, signal_variants, with_beginning
from interp.tasks.ioi_variants import SIGNALS, breaks

TEMPLATES = [
    "When [B] and [A] left the [PLACE], [B] gave a [OBJECT] to [A]",
    "Then [B] and [A] left. At the [PLACE] [B] gave a [OBJECT] to [A]",
]
NO_BREAK = "Then [B] and [A] left the [PLACE] and [B] gave a [OBJECT] to [A]"


def at(task, role, side="clean"):
    return task.tokens(side)[torch.arange(len(task)), task.positions[role]]


def test_six_texts_by_their_pattern(tokenizer):
    task = ioi(tokenizer, 30, templates=TEMPLATES)
    variants = signal_variants(task, tokenizer, seed=2)
    assert tuple(variants) == SIGNALS
    A, B = task.answer, task.foil
    for (token, position), one in variants.items():
        io, s1, s2 = (at(one, role, "corrupted") for role in ("IO", "S1", "S2"))
        assert torch.equal(s2, s1 if position == 1 else io)  # where the repeated name stood
        expected = {1: s2 == B, -1: s2 == A, 0: (s2 != A) & (s2 != B)}
        assert expected[token].all()
        assert (io != s1).all()
        changed = one.corrupted_tokens != task.clean_tokens
        at_names = torch.zeros_like(changed)
        for role in ("IO", "S1", "S2"):
            at_names[torch.arange(30), task.positions[role]] = True
        assert not (changed & ~at_names).any()
        assert torch.equal(one.clean_tokens, task.clean_tokens)
        for i in (0, 17):
            ids = one.corrupted_tokens[i][one.attention_mask[i]]
            assert tokenizer.decode(ids) == one.corrupted[i]
    assert torch.equal(variants[1, 1].corrupted_tokens, task.clean_tokens)
    both = signal_variants(task, tokenizer, seed=2)[0, 1].corrupted
    assert both == variants[0, 1].corrupted != signal_variants(task, tokenizer)[0, 1].corrupted


def test_a_longer_beginning_moves_the_roles_and_nothing_else(tokenizer):
    task = ioi(tokenizer, 20, templates=TEMPLATES)
    longer = with_beginning(task, tokenizer, sentence="Then she left.")
    for role, where in longer.positions.items():
        assert torch.equal(where, task.positions[role])
    for i in range(20):
        assert longer.clean_tokens[i][longer.attention_mask[i]].tolist() == (
            task.clean_tokens[i][task.attention_mask[i]].tolist()
        )
        theirs = longer.corrupted_tokens[i][longer.corrupted_mask[i]]
        assert tokenizer.decode(theirs) == longer.corrupted[i] == f"Then she left. {task.clean[i]}"
        for role, where in longer.corrupted_positions.items():
            assert where[i] > task.positions[role][i]
            assert theirs[where[i]] == task.clean_tokens[i, task.positions[role][i]]
        assert longer.corrupted_positions["END"][i] == len(theirs) - 1
    with pytest.raises(ValueError, match="the token of IO is another one"):
        with_beginning(replace(task, positions=task.positions | {"IO": 0 * task.answer}), tokenizer)


@pytest.mark.parametrize(("role", "times"), [("IO", (3, 2)), ("S1", (1, 4))])
def test_a_name_is_named_again(tokenizer, role, times):
    task = ioi(tokenizer, 12, templates=TEMPLATES)
    longer = named_again(task, tokenizer, role, seed=1)
    assert len(longer) == 12
    for i in range(12):
        ids = longer.clean_tokens[i][longer.attention_mask[i]].tolist()
        assert tokenizer.decode(ids) == longer.clean[i]
        assert (ids.count(int(task.answer[i])), ids.count(int(task.foil[i]))) == times
        mark = breaks(task, tokenizer)[i]
        before = task.clean_tokens[i][: mark + 1].tolist()
        after = task.clean_tokens[i][task.attention_mask[i]].tolist()[mark + 1 :]
        assert ids[: mark + 1] == before
        assert ids[-len(after) :] == after
    for name in ("IO", "S1", "S2"):
        assert torch.equal(at(longer, name), at(task, name))
        assert torch.equal(at(longer, name, "corrupted"), at(task, name, "corrupted"))
    assert torch.equal(longer.positions["END"], longer.lengths - 1)


def test_prompts_without_a_place_are_left_out(tokenizer):
    task = ioi(tokenizer, 12, templates=[TEMPLATES[0], NO_BREAK])
    assert len(named_again(task, tokenizer, "IO")) == 6
    with pytest.raises(ValueError, match="comma or a full stop"):
        named_again(ioi(tokenizer, 4, templates=[NO_BREAK]), tokenizer, "IO")


def test_what_cannot_be_done_is_refused(tokenizer):
    task = ioi(tokenizer, 4, templates=TEMPLATES)
    with pytest.raises(ValueError, match="'END'"):
        named_again(task, tokenizer, "END")
    with pytest.raises(ValueError, match="two sentences"):
        named_again(task, tokenizer, "IO", sentences=[" [X] slept."])
    one = ioi(tokenizer, 1, corruption="flip", templates=TEMPLATES)
    with pytest.raises(ValueError, match="four names"):
        signal_variants(one, tokenizer)
