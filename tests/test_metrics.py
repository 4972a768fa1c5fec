"""Metrics: hand-computed cases and laws.

The file is longer than most: each metric by hand, and the choice of metrics by name.
"""

import functools
import inspect
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp import metrics
from interp.tasks import Task

HALVES = torch.tensor([[math.log(0.5), math.log(0.3), math.log(0.2)]])


def ids(*values: int) -> torch.Tensor:
    """Token ids."""
    return torch.tensor(values)


def random_logits(seed: int, prompts: int = 4, words: int = 7) -> torch.Tensor:
    """Seeded logits in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(prompts, words, generator=generator, dtype=torch.float64) * 5


def test_by_hand() -> None:
    logits = HALVES + 3  # a shift of all logits changes nothing
    assert metrics.logit_diff(logits, ids(0), ids(2)).item() == pytest.approx(math.log(2.5))
    assert metrics.probability(logits, ids(1)).item() == pytest.approx(0.3)
    assert metrics.probability_diff(logits, ids(2), ids(0)).item() == pytest.approx(-0.3)
    assert [metrics.rank(logits, ids(i)).item() for i in range(3)] == [0, 1, 2]
    assert [metrics.top1(logits, ids(i)).item() for i in range(3)] == [1, 0, 0]
    assert metrics.accuracy(logits, ids(1), ids(2)).item() == 1
    assert metrics.accuracy(logits, ids(1), ids(0)).item() == 0


def test_logits_against_the_other_candidates_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0, 9.0]])
    others = torch.tensor([[True, False, True, False]])
    assert metrics.answer_logit(logits, ids(3), others).item() == 6.5
    assert metrics.foil_logit(logits, ids(1), others).item() == -0.5
    for wrong in (others[:, :3], others & False):
        with pytest.raises(ValueError, match="mask of the logits' shape, .* at least one token"):
            inspect.unwrap(metrics.answer_logit)(logits, ids(3), wrong)


def test_kl_by_hand() -> None:
    uniform = torch.zeros(1, 3)
    expected = 0.5 * math.log(1.5) + 0.3 * math.log(0.9) + 0.2 * math.log(0.6)
    assert metrics.kl_divergence(uniform, HALVES).item() == pytest.approx(expected, abs=1e-6)
    other_way = -(math.log(1.5) + math.log(0.9) + math.log(0.6)) / 3
    assert metrics.kl_divergence(HALVES, uniform).item() == pytest.approx(other_way, abs=1e-6)


def test_kl_where_the_reference_rules_a_token_out() -> None:
    reference = torch.tensor([[0.0, -torch.inf]])
    logits = torch.zeros(1, 2, requires_grad=True)
    divergence = metrics.kl_divergence(logits, reference)
    assert divergence.item() == pytest.approx(math.log(2))
    divergence.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.5, 0.5]]))
    assert metrics.kl_divergence(reference, torch.zeros(1, 2)).item() == math.inf


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_laws(seed: int) -> None:
    logits, other = random_logits(seed), random_logits(seed + 1)
    answer, foil = ids(0, 1, 2, 3), ids(4, 5, 6, 0)
    diff = metrics.logit_diff(logits, answer, foil)
    torch.testing.assert_close(diff, -metrics.logit_diff(logits, foil, answer))
    odds = metrics.probability(logits, answer).log() - metrics.probability(logits, foil).log()
    torch.testing.assert_close(diff, odds)
    everything = torch.ones_like(logits, dtype=torch.bool)
    torch.testing.assert_close(metrics.probability(logits, everything), torch.ones(4).double())
    assert bool((metrics.kl_divergence(logits, other) > 0).all())
    zero = metrics.kl_divergence(logits, logits + 7)
    torch.testing.assert_close(zero, torch.zeros(4).double(), atol=1e-12, rtol=0)
    assert torch.equal(metrics.accuracy(logits, answer, foil), (diff > 0).double())
    assert torch.equal(metrics.top1(logits, answer), (logits.argmax(-1) == answer).double())
    ranks = torch.stack([metrics.rank(logits, ids(*[i] * 4)) for i in range(7)])
    assert torch.equal(ranks.sort(0).values, torch.arange(7)[:, None].expand(7, 4))


def test_sets_of_tokens_add_up() -> None:
    logits = random_logits(0)
    answer = torch.zeros_like(logits, dtype=torch.bool)
    answer[:, 2] = True
    one = metrics.probability(logits, ids(2, 2, 2, 2))
    torch.testing.assert_close(metrics.probability(logits, answer), one)
    torch.testing.assert_close(
        metrics.probability_diff(logits, answer, ~answer), 2 * one - 1, atol=1e-12, rtol=0
    )


def test_ties_count_as_wrong() -> None:
    logits = torch.zeros(1, 3)
    assert metrics.rank(logits, ids(1)).item() == 2
    assert metrics.top1(logits, ids(1)).item() == 0
    assert metrics.accuracy(logits, ids(1), ids(0)).item() == 0


def test_half_precision_is_computed_in_float32() -> None:
    exact = random_logits(1, words=500)
    half = exact.bfloat16()
    answer, foil = ids(1, 2, 3, 4), ids(0, 0, 0, 0)
    for metric in (metrics.logit_diff, metrics.probability_diff):
        values = metric(half, answer, foil)
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, metric(half.double(), answer, foil).float())


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4]])
    assert metrics.probability(logits, ids(0)).item() == 1
    assert metrics.kl_divergence(logits, logits).item() == 0


def make_task() -> Task:
    """Two prompts of three tokens and one."""
    tokens = torch.tensor([[1, 2, 3], [1, 0, 0]])
    return Task(
        name="two",
        clean=("a b c", "a"),
        corrupted=("a b c", "a"),
        clean_tokens=tokens,
        corrupted_tokens=tokens,
        attention_mask=tokens > 0,
        answer=ids(1, 1),
        foil=ids(2, 2),
        positions={"END": ids(2, 0)},
        group=("long", "short"),
        template=("", ""),
        order=("", ""),
    )


def test_end_logits_are_those_of_each_last_token() -> None:
    logits = torch.arange(24.0).view(2, 3, 4)
    taken = metrics.end_logits(logits, make_task())
    assert torch.equal(taken, torch.stack([logits[0, 2], logits[1, 0]]))


def test_shapes_that_do_not_fit() -> None:
    # Unwrapped, for in the tests the shape checker would speak first.
    logits = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="do not belong to the task's tokens"):
        inspect.unwrap(metrics.end_logits)(torch.zeros(2, 4, 5), make_task())
    for values, tokens in [(logits, ids(0)), (logits[:, None], ids(0, 0))]:
        with pytest.raises(ValueError, match=r"expected logits \[prompt d_vocab\].*end_logits"):
            inspect.unwrap(metrics._take)(values, tokens)
    with pytest.raises(ValueError, match=r"mask of answers .* \(2, 3\); it has \(2, 4\)"):
        inspect.unwrap(metrics.probability)(logits, torch.ones(2, 4).bool())
    with pytest.raises(ValueError, match="must have the same shape"):
        inspect.unwrap(metrics.kl_divergence)(logits, torch.zeros(2, 4))


@pytest.mark.parametrize("token", [-1, 3])
def test_ids_outside_the_vocabulary(token: int) -> None:
    with pytest.raises(ValueError, match=f"token id {token} is outside a vocabulary of 3"):
        metrics.logit_diff(torch.zeros(2, 3), ids(0, token), ids(1, 1))


def test_sets_by_hand() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 0.0], [0.0, 1.0, 5.0, 4.0]])
    answer, foil = torch.tensor([[1, 2], [3, -1]]), torch.tensor([[0, 3], [1, 2]])
    assert metrics.logit_diff(logits, answer, foil).tolist() == [2.5 - 0.5, 4.0 - 3.0]
    p = logits.softmax(-1)
    expected = torch.stack([p[0, 1] + p[0, 2], p[1, 3]])
    torch.testing.assert_close(metrics.probability(logits, answer), expected)
    assert metrics.accuracy(logits, answer, foil).tolist() == [1.0, 0.0]
    assert metrics.top1(logits, answer).tolist() == [1.0, 0.0]
    assert metrics.rank(logits, answer).tolist() == [0, 1]
    sharp = metrics.cutoff_sharpness(logits, answer, foil)
    torch.testing.assert_close(sharp, torch.stack([p[0, 1] - p[0, 3], p[1, 3] - p[1, 2]]))


def test_a_cutoff_needs_two_foils_in_order() -> None:
    logits, answer = torch.zeros(2, 4), torch.tensor([[1, 2], [3, 0]])
    for foil in (torch.tensor([0, 1]), torch.tensor([[0], [1]]), torch.tensor([[0, 3], [1, -1]])):
        with pytest.raises(ValueError, match=r"needs sets.*two foils"):
            inspect.unwrap(metrics.cutoff_sharpness)(logits, answer, foil)


def test_an_id_of_a_set_outside_the_vocabulary() -> None:
    with pytest.raises(ValueError, match="token id 9 is outside a vocabulary of 4"):
        metrics.probability(torch.zeros(1, 4), torch.tensor([[0, 9]]))


def half(logits: torch.Tensor, task: Task) -> torch.Tensor:
    """A metric of one's own."""
    return logits[:, 0] / 2


class Share:
    """A metric with a setting."""

    def __call__(self, logits: torch.Tensor, task: Task) -> torch.Tensor:
        return logits[:, 0]


def rank(logits: torch.Tensor, task: Task) -> torch.Tensor:
    """A metric of one's own that has a name of METRICS."""
    return logits[:, 0]


def scaled(scale: float, logits: torch.Tensor, task: Task) -> torch.Tensor:
    """A metric with a setting of its own."""
    return scale * logits[:, 0]


named = inspect.unwrap(metrics.named_metrics)
double, share = functools.partial(scaled, 2.0), Share()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("rank", {"rank": None}),
        (half, {"half": half}),
        (["rank", half, "accuracy"], {"rank": None, "half": half, "accuracy": None}),
        ((half,), {"half": half}),
        ({"a": half, "b": half}, {"a": half, "b": half}),
        (double, {"scaled": double}),
        (functools.partial(double), {"scaled": functools.partial(double)}),
        ([share], {"Share": share}),
        ([metrics.logit_diff, metrics.rank], {"logit_diff": None, "rank": None}),
        ({"rank": None, "mine": half}, {"rank": None, "mine": half}),
        ({"rank": metrics.rank}, {"rank": None}),
    ],
)
def test_each_metric_has_its_name(chosen: object, expected: dict[str, object]) -> None:
    found = named(chosen)
    assert list(found) == list(expected)
    for name, function in expected.items():
        if isinstance(function, functools.partial):
            assert isinstance(found[name], functools.partial)
        else:
            assert found[name] is function
    assert named(found) == found


def test_a_task_has_a_metric_of_its_own() -> None:
    task = replace(make_task(), metric="probability_diff")
    assert named(None, task) == {"probability_diff": None}
    assert named("rank", task) == {"rank": None}
    with pytest.raises(ValueError, match="no metric is chosen"):
        named(None)
    with pytest.raises(ValueError, match="needs sets"):
        named("cutoff_sharpness", task)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ([lambda z, t: z[:, 0], lambda z, t: z[:, 1]], ValueError, "called '<lambda>'; pass a map"),
        ([half, functools.partial(half)], ValueError, "called 'half'; pass a mapping"),
        (rank, ValueError, "called 'rank' would be taken for the metric of that name"),
        ({"rank": half}, ValueError, "called 'rank' would be taken"),
        (functools.partial(metrics.rank, answer=ids(0)), ValueError, "called 'rank' would be"),
        ([], ValueError, "no metric is chosen"),
        ({}, ValueError, "no metric is chosen"),
        (["rank", "accuracy", "rank"], ValueError, "'rank' is chosen twice; choose it once"),
        ("logit_dif", ValueError, "expected a metric among .*; did you mean 'logit_diff'?"),
        (["zzz"], ValueError, "among logit_diff, .*; got 'zzz'$"),
        ({1: half}, TypeError, "are their names, strings; got the key 1"),
        ({"": half}, ValueError, "is empty"),
        ({"mine": "rank"}, TypeError, "must be a function .*; choose 'rank' by its name"),
        ({"mine": None}, TypeError, "must be a function .* got None"),
        ({"mine": metrics.kl_divergence}, ValueError, "kl_divergence does not take a task"),
        (3, TypeError, "got 3"),
        (["rank", 3], TypeError, "got 3"),
        (lambda z: z, ValueError, "must take two arguments, the logits at END and the task"),
        ({"three": lambda a, b, c: a}, ValueError, "'three' must take two arguments"),
    ],
)
def test_a_choice_that_is_not_clear(chosen: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        named(chosen)


def test_every_metric_has_a_function_and_a_unit() -> None:
    for name, unit in metrics.METRICS.items():
        assert callable(getattr(metrics, name)) and unit
        assert name in (metrics.__doc__ or "")


ANSWER, FOIL = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[0, 5], [0, 6]])
OTHERS = torch.tensor([[False, False, False, True, True, False, False]] * 2)
EVERY = {
    "logit_diff": lambda z: metrics.logit_diff(z, ANSWER, FOIL),
    "probability": lambda z: metrics.probability(z, ANSWER),
    "probability_diff": lambda z: metrics.probability_diff(z, ANSWER, FOIL),
    "cutoff_sharpness": lambda z: metrics.cutoff_sharpness(z, ANSWER, FOIL),
    "kl_divergence": lambda z: metrics.kl_divergence(z, torch.ones_like(z)),
    "kl_divergence from it": lambda z: metrics.kl_divergence(torch.ones_like(z), z),
    "accuracy": lambda z: metrics.accuracy(z, ANSWER, FOIL),
    "top1": lambda z: metrics.top1(z, ANSWER),
    "answer_logit": lambda z: metrics.answer_logit(z, ANSWER, OTHERS),
    "foil_logit": lambda z: metrics.foil_logit(z, FOIL, OTHERS),
    "rank": lambda z: metrics.rank(z, ANSWER),
}


def test_every_metric_is_among_them() -> None:
    assert {name.split()[0] for name in EVERY} == set(metrics.METRICS)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("where", [slice(None), 1, 0, 6, 5])
def test_nan_logits_give_no_plausible_number(name: str, where: object) -> None:
    logits = random_logits(3, prompts=2)
    fine = EVERY[name](logits)
    logits[1, where] = math.nan
    if name == "rank":
        with pytest.raises(ValueError, match="logits of prompt 1 are not all numbers"):
            EVERY[name](logits)
    else:
        found = EVERY[name](logits)
        assert found[1].isnan() and torch.equal(found[0], fine[0])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_values_have_the_precision_of_the_logits(
    name: str, dtype: torch.dtype, expected: torch.dtype
) -> None:
    before = torch.get_default_dtype()
    for default in (torch.float32, torch.float64):
        torch.set_default_dtype(default)
        try:
            found = EVERY[name](random_logits(4, prompts=2).to(dtype))
        finally:
            torch.set_default_dtype(before)
        assert found.dtype == (torch.int64 if name == "rank" else expected)
