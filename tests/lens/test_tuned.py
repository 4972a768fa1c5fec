"""The tuned lens: training, files, the published format; it reads mini better than without."""

import json

import numpy as np
import pytest
import torch

import interp
from interp.lens import TunedLens, compare_lenses, logit_lens, reading, text_batches, tune
from interp.training import Batches
from interp.training.mini import Sentences
from tests.helpers import pair, random_model
from tests.naive.lens import kl_to_final

TOKENS = torch.tensor([4, 9, 2, 30, 17, 8])


@pytest.fixture(scope="module")
def model():
    return random_model()


def random_lens(model, seed=3, scale=0.1):
    generator = torch.Generator().manual_seed(seed)
    zero = TunedLens.identity(model)
    weight = torch.randn(zero.weight.shape, generator=generator) * scale
    bias = torch.randn(zero.bias.shape, generator=generator) * scale
    return TunedLens(weight, bias, zero.metadata)


def random_batch(step):
    return torch.randint(0, 50, (6, 8), generator=torch.Generator().manual_seed(step))


def test_the_identity_is_the_logit_lens(model):
    lens = TunedLens.identity(model)
    for site in ("resid_pre", "resid_post"):
        plain = logit_lens(model, TOKENS, site=site)
        tuned = logit_lens(model, TOKENS, site=site, tuned=lens)
        np.testing.assert_array_equal(plain.kl_divergence, tuned.kl_divergence)
    found = compare_lenses(model, random_batch(0), lens)
    np.testing.assert_array_equal(found.logit_lens, found.tuned_lens)


def test_nats_are_those_of_transformers(tmp_path):
    theirs, model = pair(tmp_path)
    lens, tokens = random_lens(model), random_batch(1)
    found = compare_lenses(model, tokens, lens)
    assert found.tuned_lens.dims == ("layer", "prompt") and found.tuned_lens.attrs["unit"] == "nats"
    for layer in range(3):
        expected = kl_to_final(theirs, tokens[2], layer, lens.weight[layer], lens.bias[layer])
        assert float(found.tuned_lens[layer, 2]) == pytest.approx(expected, abs=1e-4)
        expected = kl_to_final(theirs, tokens[2], layer, 0 * lens.weight[layer], 0 * lens.bias[0])
        assert float(found.logit_lens[layer, 2]) == pytest.approx(expected, abs=1e-4)


def test_a_reading_through_the_lens_is_what_is_compared(model):
    """resid_post of layer l is resid_pre of layer l + 1, and the last stream is left alone."""
    lens = random_lens(model)
    before = logit_lens(model, TOKENS, site="resid_pre", tuned=lens).kl_divergence
    after = logit_lens(model, TOKENS, tuned=lens).kl_divergence
    np.testing.assert_allclose(before[1:], after[:-1], atol=1e-5)
    np.testing.assert_allclose(after[-1], 0, atol=1e-5)
    compared = compare_lenses(model, TOKENS[None], lens).tuned_lens[:, 0]
    np.testing.assert_allclose(before.mean("position"), compared, atol=1e-5)


def test_a_step_goes_down_the_gradient_of_the_divergence(model):
    """Adam's first step is the learning rate against the sign of the gradient."""
    lens = tune(model, random_batch, steps=1, learning_rate=1e-2)
    tokens = random_batch(0)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        final = model(tokens).log_softmax(-1)
    for layer in range(3):
        bias = torch.zeros(32, requires_grad=True)
        x = cache["resid_pre", layer].detach() + bias
        lens_log_p = model.unembed(model.ln_final(x)).log_softmax(-1)
        divergence = (final.exp() * (final - lens_log_p)).sum(-1).mean()
        (gradient,) = torch.autograd.grad(divergence, bias)
        torch.testing.assert_close(lens.bias[layer], -1e-2 * gradient.sign(), atol=1e-4, rtol=0)


def test_training_leaves_the_model_alone_and_repeats(model, monkeypatch):
    before = {name: p.clone() for name, p in model.named_parameters()}
    lens = tune(model, random_batch, steps=3)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    assert lens.metadata["steps"] == "3"
    again = tune(model, random_batch, steps=3)
    assert torch.equal(again.weight, lens.weight) and torch.equal(again.bias, lens.bias)
    monkeypatch.setattr(reading, "_LOGITS", 7 * 50)  # in chunks of 7 tokens
    pieces = tune(model, random_batch, steps=3)
    torch.testing.assert_close(pieces.bias, lens.bias, atol=1e-4, rtol=0)


def test_it_is_at_or_below_the_logit_lens_on_held_out_text_of_mini():
    mini = interp.load("mini")

    def stream(name):
        return Batches(mini.tokenizer, 128, 256, 0, Sentences(), stream=name, random=0.0)

    lens = tune(mini, stream("lens"), steps=15, learning_rate=4e-3)
    nats = compare_lenses(mini, stream("lens, held out")(0), lens).mean("prompt")
    assert bool((nats.tuned_lens <= nats.logit_lens).all())
    assert float(nats.tuned_lens[0]) < 0.8 * float(nats.logit_lens[0])


def test_files_keep_everything(model, tmp_path):
    lens = random_lens(model)
    lens.save(tmp_path / "lens.safetensors")
    again = TunedLens.load(tmp_path / "lens.safetensors")
    assert torch.equal(again.weight, lens.weight) and torch.equal(again.bias, lens.bias)
    assert again.metadata == lens.metadata
    again.require(model)


def published(directory, state, **config):
    directory.mkdir(exist_ok=True)
    sizes = {"base_model_name_or_path": "theirs", "num_hidden_layers": 3, "d_model": 32}
    (directory / "config.json").write_text(json.dumps(sizes | config))
    torch.save(state, directory / "params.pt")
    return directory


@pytest.mark.parametrize("bias", [True, False])
def test_the_published_format(tmp_path, bias):
    """One torch Linear a layer, whose output is added to the stream."""
    translators = torch.nn.ModuleList([torch.nn.Linear(32, 32, bias=bias) for _ in range(3)])
    lens = TunedLens.load(published(tmp_path / "lens", translators.state_dict(), bias=bias))
    assert lens.metadata == {"model": "theirs"}
    x = torch.randn(5, 32)
    for layer, translator in enumerate(translators):
        torch.testing.assert_close(lens(x, layer), x + translator(x).detach())
    assert lens(x, 3) is x
    lens.require(random_model())


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


def test_what_is_no_lens_is_refused(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="no tuned lens at"):
        TunedLens.load(tmp_path / "nowhere.safetensors")
    (tmp_path / "text").write_text("not a lens")
    with pytest.raises(ValueError, match=r"as TunedLens\.save writes it"):
        TunedLens.load(tmp_path / "text")
    with pytest.raises(ValueError, match="3 translators of 32"):
        TunedLens.load(published(tmp_path / "short", {"0.weight": torch.zeros(32, 32)}))
    with pytest.raises(ValueError, match="3 translators of 32"):
        TunedLens.load(published(tmp_path / "list", [torch.zeros(2)]))
    with pytest.raises(ValueError, match="num_hidden_layers and d_model"):
        TunedLens.load(published(tmp_path / "config", {}, num_hidden_layers=None))
    trap = published(tmp_path / "trap", {"0.weight": _Trap()})
    with pytest.raises(ValueError, match="can run any code"):
        TunedLens.load(trap)


def test_a_lens_that_diverged_is_refused(model):
    for part in ("weight", "bias"):
        lens = random_lens(model)
        getattr(lens, part)[1, 0] = torch.nan
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            logit_lens(model, TOKENS, tuned=lens)


def test_a_lens_of_another_model_is_refused(model):
    other = random_model(seed=1)
    with pytest.raises(ValueError, match="trained for other weights"):
        compare_lenses(other, TOKENS[None], TunedLens.identity(model))
    with pytest.raises(ValueError, match="3 translators of 32"):
        logit_lens(random_model(n_layers=2), TOKENS, tuned=TunedLens.identity(model))


def test_a_text_is_cut_into_rows_to_train_on_and_to_hold_out():
    mini = interp.load("mini")
    text = "Yesterday Mary and John met at the market. " * 40
    batches, held_out = text_batches(mini, text, length=16, rows=3)
    ids = torch.tensor(mini.tokenizer(text).input_ids)
    rows = ids[: len(ids) // 16 * 16].view(-1, 16)
    assert torch.equal(held_out, rows[len(rows) - len(rows) // 10 :]) and len(held_out) >= 2
    first = batches(0)
    assert first.shape == (3, 16) and torch.equal(first, batches(0))
    assert not torch.equal(first, batches(1))
    other, _ = text_batches(mini, text, length=16, rows=3, seed=1)
    assert not torch.equal(first, other(0))
    of_rows, held_out_rows = text_batches(mini, rows, rows=3)  # the same rows, cut already
    assert torch.equal(of_rows(0), first) and torch.equal(held_out_rows, held_out)


def test_errors_of_training(model):
    for wrong, message in (
        ({"steps": 0}, "steps must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number"),
    ):
        with pytest.raises(ValueError, match=message):
            tune(model, random_batch, **wrong)
    mini = interp.load("mini")
    with pytest.raises(ValueError, match="20 rows of 16 need at least 320"):
        text_batches(mini, "Mary and John", length=16)
    with pytest.raises(ValueError, match="length must be from 2"):
        text_batches(mini, "Mary and John", length=1000)
    with pytest.raises(ValueError, match="no tokenizer"):
        text_batches(model, "Mary", length=8)


def test_padding_enters_neither_training_nor_comparison(model):
    """Rows of unequal length, with their mask, are as good as each row by itself."""
    tokens = random_batch(0)[:2]
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[0, 5:] = False
    padded = tune(model, lambda step: (tokens, mask), steps=1, learning_rate=1e-2)
    rest = torch.where(mask, tokens, (tokens + 7) % 50)
    other = tune(model, lambda step: (rest, mask), steps=1, learning_rate=1e-2)
    torch.testing.assert_close(padded.bias, other.bias)
    # The same rows with their padding at the left, where it would be looked at without the mask.
    left = torch.stack([tokens[0].roll(3), tokens[1]])
    there = torch.stack([mask[0].roll(3), mask[1]])
    shifted = tune(model, lambda step: (left, there), steps=1, learning_rate=1e-2)
    torch.testing.assert_close(shifted.bias, padded.bias)
    full = tune(model, lambda step: tokens, steps=1, learning_rate=1e-2)
    assert not torch.allclose(padded.bias, full.bias, atol=1e-4)
    for wrong in (mask[:1], ~torch.ones_like(mask)):
        with pytest.raises(ValueError, match="True at real ones"):
            tune(model, lambda step, wrong=wrong: (tokens, wrong), steps=1)
    for batch, message in (
        (torch.zeros(0, 3).long(), "must return token ids"),
        (torch.tensor([[1, 50]]), "from 0 to 49"),
        ([1, 2], "must return token ids"),
    ):
        with pytest.raises(ValueError, match=message):
            tune(model, lambda step, batch=batch: batch, steps=1)


def test_rows_to_train_on_are_checked(model):
    rows = torch.zeros(30, 8).long()
    for wrong, message in (
        ({"rows": 0}, "rows must be at least 1"),
        ({"text": rows[0]}, "rows of token ids"),
        ({"text": rows + 50}, "from 0 to 49"),
    ):
        with pytest.raises(ValueError, match=message):
            text_batches(model, **{"text": rows, **wrong})
