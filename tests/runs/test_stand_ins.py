"""Stand-ins against means and partners by hand, wherever roles stand.

The file is longer than most: its cases share their twins.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import interp
import interp.runs.means as means
import interp.runs.stand_ins as module
from interp.parts import as_node
from interp.patching import Ablation, Selection, ablate, measure
from interp.runs.sides import run_side
from interp.runs.stand_ins import stand_ins
from interp.tasks import ioi
from interp.tasks.sampler import in_pieces, without_blocks
from tests.helpers import apart, make_runs_small, random_model, random_task, unaligned
from tests.naive import ablation as twin

NODES = ["0.1@S2", "1.2@END", "m1@S2", "m0.3@END", "2.0@END"]
VALUES = ["zero", "mean", "group mean", "resample"]


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch):
    make_runs_small(monkeypatch)


def fixed_roles(task, s2=1):
    return replace(task, positions={**task.positions, "S2": torch.full((len(task),), s2)})


def by_hand(model, task, parts, value, side="clean", **options):
    nodes = [as_node(one) for one in parts]
    return [
        twin.difference(
            model, task, i, twin.hooks(model, task, i, nodes, value, side=side, **options), side
        )
        for i in range(len(task))
    ]


def assert_close(found, expected):
    torch.testing.assert_close(
        torch.as_tensor(found.values), torch.tensor(expected), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("value", VALUES)
@torch.inference_mode()
def test_the_default_reference_is_the_task_itself(value):
    """The same numbers as with the task as reference, however it is padded."""
    model = random_model()
    for task in (random_task(6), unaligned(apart(random_task(6)))):
        wider = replace(
            task,
            **{
                name: F.pad(getattr(task, name), (0, 3))
                for name in ("clean_tokens", "corrupted_tokens", "attention_mask", "corrupted_mask")
                if getattr(task, name) is not None
            },
        )
        own = ablate(model, task, {"all": NODES}, value=value).logit_diff
        for reference in (task, wider, task.subset(list(range(6)))):
            same = ablate(model, task, {"all": NODES}, value=value, reference=reference)
            assert_close(same.logit_diff, own.values.tolist())
            gone = Ablation(NODES, value=value, reference=reference)
            assert_close(measure(model, task, ablation=gone).logit_diff, own.values[0].tolist())
        same = ablate(model, task, {"all": NODES}, value=value, reference=task)
        assert same.logit_diff.values.tolist() == own.values.tolist()  # bit by bit


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("side", ["clean", "corrupted"])
@torch.inference_mode()
def test_nodes_at_roles_that_stand_elsewhere_in_the_partner(value, side):
    model, task = random_model(), unaligned(apart(random_task(7)))
    found = measure(model, task, side=side, ablation=Ablation(NODES, value=value)).logit_diff
    aligned = side == "corrupted"  # the texts that are run are those that stand in
    expected = by_hand(model, task, NODES, value, side, by_position=aligned)
    assert_close(found, expected)
    roles = Ablation(["0.1", "m1"], value=value, positions=["END", "S2"])
    found = measure(model, task, side=side, ablation=roles).logit_diff
    places = {"positions": ["END", "S2"], "by_position": aligned}
    assert_close(found, by_hand(model, task, ["0.1", "m1"], value, side, **places))


@pytest.mark.parametrize("value", ["group mean", "resample"])
@torch.inference_mode()
def test_a_reference_of_other_prompts_whose_roles_stand_elsewhere(value):
    model, task = random_model(), apart(random_task(6))
    other = unaligned(apart(random_task(6, seed=8)))
    found = ablate(model, task, {"all": NODES}, value=value, reference=other).logit_diff[0]
    assert_close(found, by_hand(model, task, NODES, value, reference=other))
    at_roles = Selection(over=["layer"], heads=[1], positions=["S2", "END"])
    found = ablate(model, task, "z", at_roles, value=value, reference=other).logit_diff
    for layer in range(3):
        expected = by_hand(
            model, task, [f"{layer}.1"], value, reference=other, positions=["S2", "END"]
        )
        assert_close(found.sel(layer=layer), expected)


@torch.inference_mode()
def test_group_means_are_over_real_tokens_where_the_texts_of_a_group_differ_in_length():
    """Corrupted texts of 6, 7 and 8 tokens in one group, run and averaged position by position."""
    model, task = random_model(), unaligned(apart(random_task(7, (6,))))
    for parts in (["0.1", "m1", "m2.5"], ["1.3@END"], ["m0"]):
        gone = Ablation(parts, value="group mean")
        found = measure(model, task, side="corrupted", ablation=gone).logit_diff
        expected = by_hand(model, task, parts, "group mean", "corrupted", by_position=True)
        assert_close(found, expected)


@torch.inference_mode()
def test_group_means_by_role_where_the_texts_of_a_group_differ_in_length():
    model, task = random_model(), unaligned(apart(random_task(7, (6,))))
    found = measure(model, task, ablation=Ablation(NODES, value="group mean")).logit_diff
    assert_close(found, by_hand(model, task, NODES, "group mean"))
    swept = ablate(model, task, {"all": NODES}, value="group mean").logit_diff[0]
    assert_close(swept, found.values.tolist())


@torch.inference_mode()
def test_group_means_of_a_reference_with_longer_groups_of_the_same_lengths():
    model, task = random_model(), fixed_roles(random_task(4, (6, 4)))
    other = fixed_roles(random_task(9, (6, 4), seed=4))
    parts = ["0.1", "m1", "1.2@S2"]
    found = ablate(model, task, {"all": parts}, value="group mean", reference=other)
    expected = by_hand(model, task, parts, "group mean", reference=other, by_position=True)
    assert_close(found.logit_diff[0], expected)


def with_role(task, name, at=0):
    """The same prompts with one role more."""
    return replace(task, positions={name: torch.full((len(task),), at), **task.positions})


@torch.inference_mode()
def test_a_role_that_only_one_of_task_and_reference_has_says_nothing():
    """Group means everywhere are those of the reference, whatever its roles are called."""
    model, task = random_model(), fixed_roles(random_task(4, (6, 4)))
    other = fixed_roles(random_task(9, (6, 4), seed=4))
    expected = by_hand(model, task, ["0.1", "m1"], "group mean", reference=other, by_position=True)
    for mine, theirs in ((task, with_role(other, "IO")), (with_role(task, "IO"), other)):
        gone = Ablation(["0.1", "m1"], value="group mean", reference=theirs)
        assert_close(measure(model, mine, ablation=gone).logit_diff, expected)


@pytest.mark.parametrize("n", [1, 2, 3])
@torch.inference_mode()
def test_sets_with_references_of_their_own_however_many_these_are(n):
    """By hand: each set's stand-ins are those of its reference, by role or by position."""
    model, task = random_model(), apart(random_task(3, (6,)))
    references = [
        unaligned(apart(random_task(3, (6,), seed=8))),
        apart(random_task(3, (6,), seed=9)),
        None,
    ]
    sets = {"a": ["0.1@S2", "m1@END"], "b": ["0.1@S2", "m1@END"], "c": ["1.2@END"]}
    by_name = {name: references[i % n] or task for i, name in enumerate(sets)}
    found = ablate(model, task, sets, value="resample", reference=by_name).logit_diff
    for name, parts in sets.items():
        expected = by_hand(model, task, parts, "resample", reference=by_name[name])
        assert_close(found.sel(set=name), expected)


def test_a_reference_that_changes_nothing_leaves_the_others_theirs():
    """Whether a set changes anything is up to its own reference, whichever comes first."""
    model, task = random_model(), apart(random_task(3, (6,)))
    same = replace(task, corrupted_tokens=task.clean_tokens)
    parts = ["0.1@S2", "1.2"]
    expected = by_hand(model, task, parts, "resample", by_position=True)
    for names in (["same", "own"], ["own", "same"]):
        sets = {name: parts for name in names}
        references = {"same": same, "own": task}
        found = ablate(model, task, sets, value="resample", reference=references)
        ours = found.logit_diff.sel(set="same")
        np.testing.assert_allclose(ours, found.logit_diff_clean, atol=1e-6)
        assert_close(found.logit_diff.sel(set="own"), expected)


def test_a_set_away_from_roles_does_not_bar_another_from_a_reference_by_role():
    """What is matched by role is what the sets of that reference are at, not all of them."""
    model, task = random_model(), apart(random_task(3, (6,)))
    elsewhere = unaligned(apart(random_task(3, (6,), seed=8)))
    sets = {"roles": ["0.1@S2"], "everywhere": ["1.2"]}
    found = ablate(
        model, task, sets, value="resample", reference={"roles": elsewhere, "everywhere": task}
    ).logit_diff
    expected = by_hand(model, task, ["0.1@S2"], "resample", reference=elsewhere)
    assert_close(found.sel(set="roles"), expected)
    for name in ("roles", "everywhere"):
        with pytest.raises(ValueError, match="ablate at roles that both have"):
            ablate(
                model, task, sets, value="resample",
                reference={"roles": task, "everywhere": elsewhere}
                if name == "everywhere" else elsewhere,
            )  # fmt: skip


def test_zeros_need_no_reference_and_no_run(monkeypatch):
    """Any task may be given as reference, also one that has no prompts of some groups."""
    model, task = random_model(), random_task(4, (6, 4))
    plain = measure(model, task, ablation=Ablation(["0.1", "m1"], value="zero")).logit_diff

    def refuse(*args, **options):
        raise AssertionError("the model is run")

    monkeypatch.setattr(module, "run_side", refuse)
    other = random_task(2, (3,))
    gone = Ablation(["0.1", "m1"], value="zero", reference=other)
    np.testing.assert_array_equal(measure(model, task, ablation=gone).logit_diff, plain)


@pytest.mark.parametrize("value", VALUES)
@torch.inference_mode()
def test_hooks_fit_a_run_of_any_length(value):
    """Prompts that are shorter than others of the task, padded or not: the same at END."""
    model, task = random_model(), random_task(6, (6, 4))
    gone = Ablation(["0.1", "m1", "m2.3"], value=value).prepare(model, task)
    short = torch.tensor([1, 3, 5])
    expected, _ = run_side(model, task, short, "clean", hooks=gone.hooks(short, 4))
    for length in (4, 5, 6):
        for hooks in (gone.hooks(short), gone.hooks(short, length)):
            found, _ = run_side(model, task, short, "clean", length=length, hooks=hooks)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", VALUES)
def test_a_reference_that_does_not_fit_the_model_is_refused(value):
    """Whatever it is needed for: longer than the context, or of another tokenizer."""
    task = random_task(2, (6,))
    model = random_model(n_ctx=8)
    with pytest.raises(ValueError, match="takes at most 8"):
        ablate(model, task, value=value, reference=random_task(2, (9,)))
    with pytest.raises(ValueError, match="of another tokenizer"):
        measure(model, task, ablation=Ablation(
            ["0.1"], value=value, reference=replace(task, corrupted_tokens=task.clean_tokens + 50)
        ))  # fmt: skip


EVERYWHERE = {"heads": ["0.1"], "MLP": ["m1"], "mixed": ["0.1@S2", "1.2"]}


@pytest.mark.parametrize("parts", EVERYWHERE.values(), ids=EVERYWHERE)
@pytest.mark.parametrize("value", ["group mean", "resample"])
def test_positions_that_cannot_be_matched_are_refused(value, parts):
    """Longer partners, a longer clean side, and a role elsewhere, in the task and a reference."""
    model, plain = random_model(), fixed_roles(random_task(4, (6,)))
    cases = [
        (unaligned(plain), None),
        (plain, unaligned(plain)),
        (fixed_roles(random_task(4, (6, 5)), 2), fixed_roles(random_task(4, (6, 5), seed=5))),
    ]
    shorter = plain.attention_mask.clone()
    shorter[1, 4:] = False
    roles = {"S2": plain.positions["S2"], "END": shorter.sum(-1) - 1}
    cases.append((replace(plain, corrupted_mask=shorter, corrupted_positions=roles), None))
    message = "ablate at roles that both have, use value='mean"
    for task, reference in cases:
        with pytest.raises(ValueError, match=message):
            ablate(model, task, {"a": parts}, value=value, reference=reference)
        with pytest.raises(ValueError, match=message):
            measure(model, task, ablation=Ablation(parts, value=value, reference=reference))


def test_indices_are_no_roles_to_match_by():
    model, task = random_model(), unaligned(random_task(4, (6,)))
    with pytest.raises(ValueError, match="ablate at roles"):
        ablate(model, task, "z", Selection(positions=[1, "END"]), value="resample")
    with pytest.raises(ValueError, match="ablate at roles"):
        measure(model, task, ablation=Ablation(["0.0"], value="group mean", positions=[1]))
    assert ablate(model, task, "z", Selection(positions=[1]), value="mean").logit_diff.size


def test_a_token_of_two_roles_for_which_two_would_stand_in_is_refused():
    model, task = random_model(), random_task(4, (6,))
    task.positions["S2"][:] = 5
    elsewhere = {"S2": torch.full((4,), 2), "END": task.positions["END"]}
    two = replace(task, corrupted_positions=elsewhere)
    both = {"both": ["0.1@S2", "0.1@END"]}
    for value, message in (("resample", "one token in one text"), ("group mean", "two means")):
        with pytest.raises(ValueError, match=message):
            ablate(model, two, both, value=value)
        one = ablate(model, two, {"one": ["0.1@S2"]}, value=value).logit_diff[0]
        assert_close(one, by_hand(model, two, ["0.1@S2"], value))
    other_way = replace(
        task,
        positions=elsewhere,
        corrupted_positions=dict.fromkeys(("S2", "END"), task.positions["END"]),
    )
    found = ablate(model, other_way, both, value="group mean").logit_diff[0]
    assert_close(found, by_hand(model, other_way, both["both"], "group mean"))


@pytest.mark.parametrize("value", VALUES)
def test_the_other_side_is_prepared_by_its_own_roles(value):
    """`Pair` ablates both runs, each at its own roles; NodePaths and `patch` rest on that."""
    model, task = random_model(), unaligned(apart(random_task(5)))
    gone = Ablation(NODES, value=value)
    for side in ("clean", "corrupted"):
        prepared = gone.prepare(model, task, side)
        for key, mask in prepared.masks.items():
            roles = {node.role for node in gone.nodes(model) if node.layer == key[1]}
            some = torch.zeros(task.tokens(side).shape, dtype=torch.bool)
            for role in roles:
                some[torch.arange(5), task.roles(side)[role]] = True
            assert not (mask.any(-1) & ~some).any() and mask.any()


@pytest.mark.parametrize("value", ["mean", "group mean"])
def test_a_reference_made_of_pieces_is_run_once_for_all_that_they_make(monkeypatch, value):
    mini = interp.load("mini")
    task, whole = ioi(mini.tokenizer, n=4, seed=0), ioi(mini.tokenizer, n=240, seed=1)
    parts = in_pieces(whole, 4)
    kept = without_blocks(parts, 4)[1]
    ran = []
    run_side = means.run_side

    def counted(model, source, rows, *args, **kwargs):
        ran.append(len(source.clean_tokens[rows]))
        return run_side(model, source, rows, *args, **kwargs)

    monkeypatch.setattr(means, "run_side", counted)
    keys = [("z", 2)]
    found = [stand_ins(mini, task, keys, value, reference=one).means for one in (parts, kept)]
    assert sum(ran) == 240
    for one, made in zip((whole, kept.subset(range(len(kept)))), found, strict=True):
        alone = stand_ins(mini, task, keys, value, reference=one).means  # made of no pieces
        torch.testing.assert_close(made, alone)
