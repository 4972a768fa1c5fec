"""The tests over prompts against scipy's, and the bound on false discoveries by simulation."""

import numpy as np
import pytest
from scipy import stats

from interp.circuits.discoveries import effect_p_values, q_values


@pytest.mark.parametrize("n", [2, 3, 8, 31, 100])
def test_no_smallest_effect_is_the_two_sided_t_test(n):
    effects = np.random.default_rng(n).normal(0.4, 1.0, (6, n))
    expected = stats.ttest_1samp(effects, 0.0, axis=-1).pvalue
    np.testing.assert_allclose(effect_p_values(effects), expected, atol=1e-14)


def test_a_smallest_effect_is_tested_against_from_either_side():
    effects = np.random.default_rng(0).normal(0.8, 1.0, (1, 40))
    near, far = (
        stats.ttest_1samp(effects, at, axis=-1, alternative="greater").pvalue for at in (0.3, -0.3)
    )
    for sign in (1, -1):
        p = effect_p_values(sign * effects, smallest=0.3)
        np.testing.assert_allclose(p, near + far, atol=1e-14)


def test_effects_without_spread():
    p = effect_p_values(np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]), smallest=0.5)
    assert p.tolist() == [1.0, 0.0, 1.0]


def test_q_values_are_benjamini_and_hochbergs():
    p = np.random.default_rng(1).random(30) ** 2
    np.testing.assert_allclose(q_values(p), stats.false_discovery_control(p))
    padded = np.concatenate([p, np.ones(12)])
    np.testing.assert_allclose(q_values(p, family=42), q_values(padded)[:30])


def test_false_discoveries_stay_within_the_bound():
    rng, rates = np.random.default_rng(2), []
    for _ in range(300):
        true = np.where(np.arange(60) < 15, 1.2, 0.5)  # the others lie on the edge of what counts
        effects = rng.normal(true[:, None], 1.0, (60, 40))
        found = q_values(effect_p_values(effects, smallest=0.5)) <= 0.1
        rates.append(found[15:].sum() / max(found.sum(), 1))
    assert 0.05 < np.mean(rates) < 0.1


@pytest.mark.parametrize(("n", "smallest"), [(1, 0.0), (5, -0.1), (5, float("nan"))])
def test_what_cannot_be_tested(n, smallest):
    with pytest.raises(ValueError, match="at least 2 prompts and a smallest effect of at least 0"):
        effect_p_values(np.zeros((3, n)), smallest=smallest)
