"""Agreement of estimates with exact effects, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from interp.patching import Ablation, Selection, agreement, attribution_patch, effect, patch, screen
from tests.helpers import random_model, random_task

WHOLE = Selection()


def both(site="z", selection=WHOLE):
    model, task = random_model(), random_task(6, (6, 4))
    return attribution_patch(model, task, site, selection), patch(model, task, site, selection)


def test_correlations_are_scipys_and_the_error_is_by_hand():
    estimated, exact = both("attn_out", Selection(over=("position", "layer")))
    found = agreement(estimated, exact, worst=4)
    x, y = (effect(r).mean("prompt").values.ravel() for r in (estimated, exact))
    assert len(np.unique(y)) < y.size  # ties: most positions of the last layer do nothing
    assert found.rank_correlation == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.correlation == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found.relative_error == pytest.approx(np.abs(x - y).mean() / np.abs(y).mean())
    assert (found.n_cells, found.unit) == (18, "logits")
    order = np.argsort(-np.abs(x - y))[:4]
    table = found.worst
    assert list(table) == ["position", "layer", "estimate", "exact", "difference"]
    np.testing.assert_allclose(table["difference"], (x - y)[order])
    assert [tuple(c) for c in table[["position", "layer"]].values] == [
        divmod(int(i), 3) for i in order
    ]


def test_exact_effects_agree_with_themselves_and_zero_with_none():
    estimated, exact = both()
    same = agreement(exact, exact)
    assert same.rank_correlation == pytest.approx(1) and same.correlation == pytest.approx(1)
    assert same.relative_error == 0 and not same.worst["difference"].any()
    nothing = estimated.copy()
    nothing["logit_diff"] = estimated.logit_diff * 0 + estimated.logit_diff_corrupted
    none = agreement(nothing, exact)
    assert none.relative_error == pytest.approx(1) and np.isnan(none.rank_correlation)


def test_sizes_are_compared_with_the_mean_absolute_effect():
    model, task = random_model(), random_task(6, (6, 4))
    estimated = attribution_patch(model, task, "z", fixes=["grad_drop"])
    exact = patch(model, task, "z")
    found = agreement(estimated, exact, by="grad_drop")
    x = estimated.logit_diff_grad_drop.mean("prompt").values.ravel()
    y = np.abs(effect(exact)).mean("prompt").values.ravel()
    assert found.correlation == pytest.approx(stats.pearsonr(x, y).statistic)


def test_of_several_metrics_the_same_one_is_compared():
    model, task, names = random_model(), random_task(6, (6, 4)), ["probability", "logit_diff"]
    exact = patch(model, task, "z", metrics=names)
    for name in names:
        estimated = attribution_patch(model, task, "z", metric=name)
        alone = agreement(estimated, patch(model, task, "z", metrics=name))
        for found in (agreement(estimated, exact, name), agreement(estimated, exact)):
            assert found == alone and found.worst.equals(alone.worst)


def test_it_reads_as_a_report():
    text = str(agreement(*both(), worst=2))
    first, second, *table = text.splitlines()
    assert first.startswith("12 cells: rank correlation 0.") and "relative error" in first
    assert second == "worst misses (logits):" and len(table) == 3
    assert table[0].split() == ["layer", "head", "estimate", "exact", "difference"]
    for row in table[1:]:
        layer, head, estimate, exact, difference = row.split()
        assert int(layer) < 3 and int(head) < 4
        assert float(estimate) - float(exact) == pytest.approx(float(difference), abs=2e-3)


def test_cells_without_a_value_are_left_out():
    model, task = random_model(), random_task(6, (6, 4))
    estimated, exact = attribution_patch(model, task, "z"), screen(model, task, "z", top=5)
    assert agreement(estimated, exact).n_cells == 5


def test_the_same_cells_in_another_order_or_by_their_names_are_compared():
    model, task = random_model(), random_task(6, (6, 4))
    at_end = Selection(over=["head", "layer"], positions=["END"], heads=[0, 1, 2, 3])
    estimated = attribution_patch(model, task, "z", at_end)
    same = patch(model, task, "z", Selection(positions=["END"], layers=[0, 1, 2]))
    chosen = screen(model, task, "z", at_end, top=6)
    assert agreement(estimated, same).n_cells == 12
    assert agreement(estimated, chosen).n_cells == 6


def test_answers_to_other_questions_are_refused():
    estimated, exact = both()
    model, task = random_model(), random_task(6, (6, 4))
    zero = Ablation(["0.1"], value="zero")
    for other, message in (
        (
            patch(model, task, "z", direction="noising"),
            "the estimates are of direction 'denoising'.*the exact effects of.*'noising'",
        ),
        (patch(model, task, "v"), "of site 'z'.*'v'"),
        (patch(model, task, "z", Selection(heads=[0, 1])), "other values of head"),
        (patch(model, task, "z", Selection(over=("layer",))), "over .*, with other values of head"),
        (patch(model, task[:3], "z"), "of prompts '.*', the exact effects of"),
        (patch(model, random_task(6, (6, 4), seed=8), "z"), "of prompts '.*', the exact effects"),
        (patch(random_model(seed=4), task, "z"), "of model_fingerprint '.*', the exact effects"),
        (patch(model, task, "z", ablation=zero), "of ablation '', the exact .*'zero of 0.1'"),
        (patch(model, task, "z", Selection(positions=["END"])), "of positions all.* of END;"),
        (patch(model, task, "z", Selection(except_positions=[0])), "of except_positions all.* 0"),
    ):
        with pytest.raises(ValueError, match=message):
            agreement(estimated, other)
    gone = Ablation(["0.1"], value="mean")
    guess = attribution_patch(model, task, "z", ablation=zero)
    with pytest.raises(ValueError, match="of ablation 'zero of 0.1', the exact .*'mean of 0.1'"):
        agreement(guess, patch(model, task, "z", ablation=gone))
    assert agreement(guess, patch(model, task, "z", ablation=zero)).n_cells == 12
    with pytest.raises(ValueError, match="no logit_diff_grad_drop"):
        agreement(estimated, exact, by="grad_drop")
    with pytest.raises(ValueError, match="no metric 'rank'"):
        agreement(estimated, exact, "rank")
    whole = Selection(layers=[0], over=())
    with pytest.raises(ValueError, match="sweep over a part"):
        agreement(attribution_patch(model, task, "z", whole), patch(model, task, "z", whole))
    one = Selection(layers=[0], over=("layer",))
    two = Selection(layers=[0, 1], over=("layer",))
    assert agreement(*(f(model, task, "z", two) for f in (attribution_patch, patch))).n_cells == 2
    with pytest.raises(ValueError, match="at least two cells; there are 1"):
        agreement(attribution_patch(model, task, "z", one), patch(model, task, "z", one))
