"""Number formats: torch's default one changes nothing, and a model stays in its own."""

import pytest
import torch

import interp
from tests.helpers import random_model

TEXT = "Mary and John went to the market, and John gave a"


@pytest.fixture
def default_float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def expected():
    """What the bundled model says when nobody changed the default."""
    return answers(interp.load("mini"))


def answers(model):
    logits, cache = model.run_with_cache(TEXT, names_filter=lambda name: True)
    simple = interp.process_weights(model)
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    return {
        "logits": logits,
        **cache,
        "loss": model([TEXT, "Mary"], return_type="loss"),
        "padded": model(torch.ones(2, 4, dtype=torch.long), mask),
        "processed": simple(TEXT),
        "W_OV": interp.AttentionWeights.of(model).folded().W_V,
        "generated": model.tokenize(
            model.generate(TEXT, max_new_tokens=5, temperature=0.7, top_k=20, top_p=0.9, seed=1)
        )[0],
        "probability": torch.tensor(interp.next_tokens(model, TEXT)["probability"].to_numpy()),
    }


def test_the_default_changes_nothing(default_float64, expected, tmp_path):
    model = interp.load("mini")
    assert model.dtype == torch.float32
    found = answers(model)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name].nan_to_num(), value.nan_to_num()), name
    assert interp.load_attention("mini").W_Q.dtype == torch.float32
    model.save(tmp_path)
    assert interp.load(tmp_path).fingerprint() == model.fingerprint()
    assert interp.verify("mini").passed


def test_a_new_model_is_in_the_default_format_throughout(default_float64):
    model = random_model()
    tokens = torch.ones(1, 5, dtype=torch.long)
    logits, cache = model.run_with_cache(tokens, names_filter=lambda name: True)
    assert {value.dtype for value in (logits, *cache.values())} == {torch.float64}
    assert interp.process_weights(model)(tokens).dtype == torch.float64
    assert model(tokens, return_type="loss").dtype == torch.float64
    assert model(torch.zeros(1, 2, 32), start_at_layer=1).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_model_stays_in_its_own_format(dtype, expected):
    model = interp.load("mini", dtype=dtype)
    found = answers(model)
    for name, value in found.items():
        if value.is_floating_point() and name != "probability":
            assert value.dtype == dtype, name
    if dtype == torch.float64:
        exact = model(TEXT)[0, -1].softmax(-1).sort(descending=True).values[:10]
        torch.testing.assert_close(found["probability"], exact, atol=1e-12, rtol=1e-12)
        assert torch.equal(found["generated"], expected["generated"])
