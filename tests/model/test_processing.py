"""Weight processing leaves every prediction as it was, and the weights in the promised form."""

import pytest
import torch

import interp
from tests.helpers import random_model

OFF = {
    "fold_layer_norm": False,
    "center_writing_weights": False,
    "center_unembed": False,
    "fold_value_biases": False,
}


@pytest.fixture
def tokens():
    return torch.randint(0, 50, (4, 12))


@pytest.mark.parametrize("step", [None, *OFF])
def test_log_probabilities_stay(tokens, step):
    model = random_model()
    processed = (
        interp.process_weights(model)
        if step is None
        else interp.process_weights(model, **{**OFF, step: True})
    )
    difference = model(tokens).log_softmax(-1) - processed(tokens).log_softmax(-1)
    assert difference.abs().max() < 1e-5
    changed = [
        name
        for name, weight in processed.state_dict().items()
        if not torch.equal(weight, model.state_dict()[name])
    ]
    assert changed


def test_mini_keeps_its_log_probabilities():
    model = interp.load("mini")
    processed = interp.process_weights(model)
    tokens = torch.randint(0, model.config.d_vocab, (4, 64))
    with torch.inference_mode():
        before, after = (m(tokens).log_softmax(-1) for m in (model, processed))
        # Rounding of the runs themselves grows with the numbers; the weights alone add none.
        assert (before - after).abs().max() < 1e-5 * before.abs().max()
        before, after = (m.double()(tokens).log_softmax(-1) for m in (model, processed))
    assert (before - after).abs().max() < 1e-5


def test_the_promised_form():
    processed = interp.process_weights(random_model())
    state = processed.state_dict()
    for name, weight in state.items():
        if ".ln" in name or name.startswith("ln_final"):
            assert torch.equal(weight, torch.full_like(weight, float(name.endswith(".w")))), name
        if name.endswith(("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out")):
            assert weight.mean(-1).abs().max() < 1e-6, name
    assert processed.W_U.mean(-1).abs().max() < 1e-6
    assert processed.b_V.abs().max() == 0
    assert not processed.config.tied


def test_the_given_model_is_left_alone(tokens):
    model = random_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    interp.process_weights(model)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert model.unembed.weight is model.embed.W_E


def test_all_off_is_a_copy(tokens):
    model = random_model()
    assert torch.equal(interp.process_weights(model, **OFF)(tokens), model(tokens))
