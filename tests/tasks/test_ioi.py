"""The IOI task: positions, patterns, balance, corruption, and what it refuses."""

import importlib
import inspect
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

import interp.tasks
from interp.tasks import Task, ioi
from interp.tasks.templates import read_prompts

SPLIT_NAME = "Timothy"  # several tokens under the small tokenizer
PAPER = Path(__file__).parents[2].parent / "shared" / "ioi" / "paper_prompts.json"
CORRUPTIONS = ("abc", "flip", "random")


def write_prompts(folder: Path, **changes: Any) -> Path:
    """Write a small prompt file."""
    data = {
        "baba_templates": ["When [B] and [A] left the [PLACE], [B] gave a [OBJECT] to [A]"],
        "names": ["Mary", "John", "Anna", "Peter", "Alice"],
        "places": ["park"],
        "objects": ["book"],
    }
    file = folder / "prompts.json"
    file.write_text(json.dumps(data | changes))
    return file


def at(task: Task, role: str, tokens: str = "clean_tokens") -> torch.Tensor:
    """Tokens at a role."""
    return getattr(task, tokens)[torch.arange(len(task)), task.positions[role]]


def test_function_wins_over_its_module() -> None:
    importlib.import_module("interp.tasks.ioi")
    assert callable(interp.tasks.ioi)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n=st.integers(1, 80),
    seed=st.integers(0, 2**32),
    corruption=st.sampled_from(CORRUPTIONS),
    order=st.sampled_from(["mixed", "abba", "baba"]),
)
def test_roles_hold_the_names(
    tokenizer: PreTrainedTokenizerBase, n: int, seed: int, corruption: Any, order: Any
) -> None:
    task = ioi(tokenizer, n, seed=seed, corruption=corruption, order=order)
    assert len(task) == n
    assert torch.equal(at(task, "IO"), task.answer)
    assert torch.equal(at(task, "S1"), task.foil)
    assert torch.equal(at(task, "S2"), task.foil)
    assert torch.equal(task.positions["S1+1"], task.positions["S1"] + 1)
    assert torch.equal(task.positions["END"] + 1, task.attention_mask.sum(-1))
    assert bool((task.positions["S1"] < task.positions["S2"]).all())
    assert bool((task.positions["IO"] < task.positions["S2"]).all())
    # ABBA is IO S S, BABA is S IO S
    io_first = (task.positions["IO"] < task.positions["S1"]).tolist()
    assert io_first == [o == "ABBA" for o in task.order]
    for i, text in enumerate(task.clean):
        assert tokenizer.decode(task.clean_tokens[i][task.attention_mask[i]]) == text
        assert (
            tokenizer.decode(task.corrupted_tokens[i][task.attention_mask[i]])
            == (task.corrupted[i])
        )
        assert text.endswith(" to")


def test_corruption_changes_names_only(tokenizer: PreTrainedTokenizerBase) -> None:
    for corruption in CORRUPTIONS:
        task = ioi(tokenizer, 60, corruption=corruption)
        names = torch.zeros_like(task.attention_mask)
        for role in ("S2",) if corruption == "flip" else ("IO", "S1", "S2"):
            names[torch.arange(60), task.positions[role]] = True
        assert torch.equal(task.clean_tokens != task.corrupted_tokens, names)


def test_corruption_patterns(tokenizer: PreTrainedTokenizerBase) -> None:
    tasks = {corruption: ioi(tokenizer, 200, corruption=corruption) for corruption in CORRUPTIONS}
    io, s1, s2 = (
        {c: at(task, role, "corrupted_tokens") for c, task in tasks.items()}
        for role in ("IO", "S1", "S2")
    )
    own = tasks["abc"]
    for tokens in (io, s1, s2):
        for corruption in ("abc", "random"):
            assert bool((tokens[corruption] != own.answer).all())
            assert bool((tokens[corruption] != own.foil).all())
    assert bool((io["abc"] != s1["abc"]).all())
    assert bool((io["abc"] != s2["abc"]).all())
    assert bool((s1["abc"] != s2["abc"]).all())
    assert torch.equal(s1["random"], s2["random"])
    assert bool((io["random"] != s1["random"]).all())
    assert torch.equal(io["flip"], own.answer)
    assert torch.equal(s1["flip"], own.foil)
    assert torch.equal(s2["flip"], own.answer)


def test_seed_alone_decides_the_clean_prompts(small_tokenizer: PreTrainedTokenizerBase) -> None:
    tasks = [ioi(small_tokenizer, 50, seed=3, corruption=c) for c in (*CORRUPTIONS, "abc")]
    assert len({task.clean for task in tasks}) == 1
    assert tasks[0].corrupted == tasks[-1].corrupted
    assert ioi(small_tokenizer, 50, seed=4).clean != tasks[0].clean


def test_seed_means_the_same_in_every_process(
    small_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    task = ioi(small_tokenizer, 2, seed=1, prompts=write_prompts(tmp_path))
    assert task.clean == (
        "When Peter and John left the park, John gave a book to",
        "When Alice and John left the park, Alice gave a book to",
    )
    assert task.corrupted == (
        "When Anna and Alice left the park, Mary gave a book to",
        "When Mary and Anna left the park, Peter gave a book to",
    )


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(n=st.integers(1, 120), templates=st.integers(1, 18), seed=st.integers(0, 99))
def test_templates_and_orders_are_balanced(
    small_tokenizer: PreTrainedTokenizerBase, n: int, templates: int, seed: int
) -> None:
    chosen = read_prompts().templates[:templates]
    task = ioi(small_tokenizer, n, seed=seed, templates=chosen)
    everything = [(template, order) for template in chosen for order in ("ABBA", "BABA")]
    for labels, possible in [
        (task.order, ["ABBA", "BABA"]),
        (task.template, chosen),
        (list(zip(task.template, task.order, strict=True)), everything),
    ]:
        counts = Counter(labels)
        spread = [counts[label] for label in possible]
        assert sum(spread) == n
        assert max(spread) - min(spread) <= 1
    assert len(set(task.group)) == len(set(zip(task.template, task.order, strict=True)))


def test_prompts_are_distinct_until_all_have_come(
    small_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    template = "Then [B] and [A] talked, and [B] spoke to [A]"  # no nouns: only names differ
    file = write_prompts(tmp_path, baba_templates=[template], places=["park", "market"])
    possible = 5 * 4 * 2  # ordered pairs of names, orders
    for n in (possible - 1, possible, 2 * possible):
        times = Counter(ioi(small_tokenizer, n, prompts=file).clean)
        assert len(times) == min(n, possible)
        assert max(times.values()) == -(-n // possible)
    assert len(set(ioi(small_tokenizer, 1000).clean)) == 1000


def test_positions_by_hand(gpt2_tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    # Then , Mary and John went to the park . John gave a book to
    #  0   1  2    3   4    5    6  7   8   9  10  11  12  13  14
    template = "Then, [B] and [A] went to the [PLACE]. [B] gave a [OBJECT] to [A]"
    file = write_prompts(tmp_path, baba_templates=[template], names=["Mary", "John"])
    for order, io, s1 in [("baba", 4, 2), ("abba", 2, 4)]:
        task = ioi(gpt2_tokenizer, 2, prompts=file, order=order, corruption="flip")
        found = {role: set(pos.tolist()) for role, pos in task.positions.items()}
        paper = {"IO": {io}, "S1": {s1}, "S1+1": {s1 + 1}, "S2": {10}, "END": {14}}
        assert found == paper | {"IO+1": {io + 1}, "S2+1": {11}, "END-1": {13}}
    i = task.clean.index("Then, Mary and John went to the park. John gave a book to")
    assert task.corrupted[i] == "Then, Mary and John went to the park. Mary gave a book to"
    assert (int(task.answer[i]), int(task.foil[i])) == (5335, 1757)  # " Mary", " John"


def test_paper_prompts_are_read(gpt2_tokenizer: PreTrainedTokenizerBase) -> None:
    if not PAPER.is_file():
        pytest.skip(f"the paper's prompts are not at {PAPER}")
    task = ioi(gpt2_tokenizer, 300, prompts=PAPER)  # all 99 names are single tokens
    assert len(set(task.group)) == 30
    assert "Then, [B] and [A] went to the [PLACE]. [B] gave a [OBJECT] to [A]" in task.template


def test_own_file_has_enough() -> None:
    file = read_prompts()
    assert len(file.templates) >= 15
    assert len(file.names) >= 100


def test_own_words_that_are_split_are_left_out(
    small_tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert SPLIT_NAME in read_prompts().names
    task = ioi(small_tokenizer, 1000)
    assert not any(SPLIT_NAME in text for text in task.clean + task.corrupted)


def test_names_and_templates_are_chosen(small_tokenizer: PreTrainedTokenizerBase) -> None:
    template = read_prompts().templates[4]
    names = ["Mary", "John", "Anna", "Peter"]
    task = ioi(small_tokenizer, 30, names=names, templates=[template], corruption="random")
    assert set(task.template) == {template}
    used = {word for text in task.clean for word in text.split() if word in read_prompts().names}
    assert used == set(names)


def test_split_words_are_an_error_unless_dropped(
    small_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    names = ["Mary", "John", "Anna", "Peter", "Alice", SPLIT_NAME]
    file = write_prompts(tmp_path, names=names)
    for options in ({"prompts": file}, {"names": names}):
        with pytest.raises(
            ValueError, match=rf"1 of 6 names .* '{SPLIT_NAME}' = \['.+', .*drop_sp"
        ):
            ioi(small_tokenizer, 5, **options)
        task = ioi(small_tokenizer, 40, drop_split_words=True, **options)
        assert not any(SPLIT_NAME in text for text in task.clean)
    with pytest.raises(ValueError, match="1 of 2 places are not single tokens"):
        ioi(small_tokenizer, 5, prompts=write_prompts(tmp_path, places=["park", "xqzvj"]))


@pytest.mark.parametrize(("corruption", "least"), [("abc", 5), ("flip", 2), ("random", 4)])
def test_too_few_names(
    small_tokenizer: PreTrainedTokenizerBase, corruption: Any, least: int
) -> None:
    names = ["Mary", "John", "Anna", "Peter", "Alice"]
    assert ioi(small_tokenizer, 4, names=names[:least], corruption=corruption)
    with pytest.raises(ValueError, match=f"{least} names are needed, but only {least - 1}"):
        ioi(small_tokenizer, 4, names=names[: least - 1], corruption=corruption)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be at least 1"),
        ({"corruption": "bca"}, "corruption must be one of .*'abc'.*it is 'bca'"),
        ({"order": "ABBA"}, "order must be one of .*'mixed'"),
        ({"templates": []}, "templates is empty"),
        ({"names": []}, "names is empty"),
        ({"names": ["Mary", "Mary"]}, "names has 'Mary' more than once"),
    ],
)
def test_options_out_of_range(
    small_tokenizer: PreTrainedTokenizerBase, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(ioi)(small_tokenizer, **options)


def test_a_name_that_is_a_word_of_the_template(
    small_tokenizer: PreTrainedTokenizerBase,
) -> None:
    template = "Yesterday [B] and [A] met Mary, and [B] spoke to [A]"
    with pytest.raises(ValueError, match=r"prompt \d+, 'Yesterday .* 2 times where 1 were written"):
        ioi(small_tokenizer, 8, templates=[template], names=["Mary", "John"], corruption="flip")


def test_many_prompts_are_padded_on_the_right(tokenizer: PreTrainedTokenizerBase) -> None:
    task = ioi(tokenizer, 100)
    padding = task.clean_tokens[~task.attention_mask]
    assert padding.numel() > 0
    assert set(padding.tolist()) == {tokenizer.eos_token_id}
