"""Threads on one model: each gets its own answer or a clear refusal, and no hook is left behind."""

import copy
import pickle
import threading

import pytest
import torch

import interp
from interp.model.turns import Turn
from tests.helpers import random_model

ROUNDS = 30


def in_threads(*jobs):
    """What each job returned or raised, each run in its own thread, all of them at once."""
    found = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(i):
        start.wait()
        try:
            found[i] = jobs[i]()
        except Exception as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a deadlock"
    return found


def tokens(seed):
    return torch.randint(0, 50, (2, 8), generator=torch.Generator().manual_seed(seed))


def test_each_thread_gets_the_answers_that_it_gets_alone():
    model = random_model()

    def scale(factor):
        return [("blocks.1.attn.hook_z", lambda z, hook: factor * z)]

    def cached(seed):
        logits, cache = model.run_with_cache(tokens(seed))
        return torch.cat([logits.flatten(), cache["z", 2].flatten()])

    def own(seed):
        with model.own_hooks(scale(2.0)):
            return model(tokens(seed))

    jobs = [
        lambda: cached(1),
        lambda: model.run_with_hooks(tokens(2), fwd_hooks=scale(0.0)),
        lambda: model(tokens(3)),
        lambda: own(4),
        lambda: model.generate(tokens(5), max_new_tokens=3),
    ]
    expected = [job() for job in jobs]
    for found in zip(
        *in_threads(*(lambda job=job: [job() for _ in range(ROUNDS)] for job in jobs)), strict=True
    ):
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert model.user_hooks() == []
    assert model.context_level == 0


def test_a_block_of_the_users_refuses_other_threads_even_those_it_waits_for():
    model = random_model()
    calls = [
        lambda: model(tokens(1)),
        lambda: model.run_with_cache(tokens(1)),
        lambda: model.run_with_hooks(tokens(1)),
        lambda: model.hooks().__enter__(),
        lambda: model.add_hook("hook_embed", print),
        lambda: interp.model.user_hooks.require_no_hooks(model, "patch"),
        lambda: list(interp.sample(model, tokens(1))),
    ]
    with model.hooks([("hook_embed", lambda x, hook: 0 * x)]):
        for error in in_threads(*calls):
            assert isinstance(error, RuntimeError)
            assert "hooks of another thread" in str(error)
            assert "deepcopy" in str(error)
        twin = copy.deepcopy(model)
        (logits,) = in_threads(lambda: twin(tokens(1)))
        assert isinstance(logits, torch.Tensor)
    assert model.user_hooks() == []
    assert isinstance(in_threads(calls[0])[0], torch.Tensor)


def test_in_one_thread_everything_nests():
    model = random_model()

    def inside(x, hook):
        with model.hooks([("ln_final.hook_scale", lambda scale, hook: None)]):
            model.run_with_cache(tokens(2), stop_at_layer=0)

    expected = model(tokens(1))
    with model.hooks([("blocks.0.hook_resid_mid", inside)]), model.own_hooks():
        logits, _ = model.run_with_cache(tokens(1))
    torch.testing.assert_close(logits, expected)
    assert model.user_hooks() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_model_is_free(error):
    model = random_model()

    def fail(x, hook):
        raise error("in a hook")

    def entered(context):
        with context:
            model(tokens(1))

    for run in (
        lambda: model.run_with_hooks(tokens(1), fwd_hooks=[("blocks.1.hook_mlp_out", fail)]),
        lambda: entered(model.hooks([("blocks.1.hook_mlp_out", fail)])),
        lambda: entered(model.own_hooks([("blocks.1.hook_mlp_out", fail)])),
    ):
        with pytest.raises(error):
            run()
        assert model.user_hooks() == []
        assert isinstance(in_threads(lambda: model(tokens(1)))[0], torch.Tensor)


def test_bad_hooks_leave_nothing_behind():
    model = random_model()
    for bad in ([("hook_embed", print), ("no such", print)], [("hook_embed", None)]):
        with pytest.raises((KeyError, TypeError)):
            model.run_with_hooks(tokens(1), fwd_hooks=bad)
        assert model.user_hooks() == []
    assert isinstance(in_threads(lambda: model(tokens(1)))[0], torch.Tensor)


def test_a_stream_holds_the_model_only_while_it_steps():
    model = interp.load("mini")
    pieces = model.stream("Mary and John", max_new_tokens=5)
    first = next(pieces)
    (other,) = in_threads(lambda: model.generate("Mary and John", max_new_tokens=5))
    assert other == "Mary and John" + first + "".join(pieces)
    abandoned = model.stream("Mary and John", max_new_tokens=5)
    next(abandoned)
    del abandoned
    assert in_threads(lambda: model.generate("Mary and John", max_new_tokens=5)) == [other]


def test_a_block_may_end_in_another_thread():
    model = random_model()
    block = model.hooks()
    block.__enter__()
    in_threads(lambda: block.__exit__(None, None, None))
    assert isinstance(in_threads(lambda: model(tokens(1)))[0], torch.Tensor)


def test_copies_of_a_turn_are_free():
    turn = Turn()
    with turn, turn:
        for twin in (copy.deepcopy(turn), pickle.loads(pickle.dumps(turn))):
            assert in_threads(lambda twin=twin: twin.__enter__()) == [None]
