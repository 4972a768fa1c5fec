"""The six texts that separate two signals, and names that are named again."""

import pytest
import torch

from interp.tasks import ioi, named_again, signal_variants
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
