"""The logit lens against a plain computation, TransformerLens's streams and its own laws."""

import numpy as np
import pytest
import torch

import interp
from interp.lens import TunedLens, direct_logit_attribution, logit_lens, reading
from interp.lens.logit_lens import LENS_SITES
from interp.patching import Ablation, measure
from tests.helpers import random_model, random_task

TOKENS = torch.tensor([4, 9, 2, 30, 17, 8])
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def model():
    return random_model()


def vectors(model, site):
    """What is read, [layer (head) pos d], from a full cache."""
    with torch.no_grad():
        _, cache = model.run_with_cache(TOKENS[None])
    found = []
    for layer in range(3):
        x = cache[site, layer][0]
        found += [(x[:, h] @ model.W_O[layer, h]) for h in range(4)] if site == "z" else [x]
    return torch.stack(found), cache["resid_post", 2][0]


def plain(model, x, final, scale, bias):
    """Logits of vectors, written out."""
    by = final if scale == "final" else x
    std = (by.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    y = (x - x.mean(-1, keepdim=True)) / std * model.ln_final.w + bias * model.ln_final.b
    return (y @ model.W_U + bias * model.b_U).detach()


@pytest.mark.parametrize("scale", ["own", "final", None])
@pytest.mark.parametrize("site", LENS_SITES)
def test_every_site_is_layer_norm_and_unembedding(model, site, scale):
    model = interp.process_weights(model)  # so that the unembedding has a bias
    with torch.no_grad():
        for p in (model.ln_final.w, model.ln_final.b):
            p += torch.linspace(-0.5, 0.5, 32)
    stream = site.startswith("resid")
    used = scale or ("own" if stream else "final")
    x, final = vectors(model, site)
    logits = plain(model, x, final, used, bias=float(stream))
    if stream and used == "own":  # the model's own modules say the same
        torch.testing.assert_close(model.unembed(model.ln_final(x)).detach(), logits, **CLOSE)
    found = logit_lens(model, TOKENS, site=site, scale=scale, k=3, answer=11, foil=3)
    assert found.attrs["scale"] == used
    dims = ("layer", "head", "position") if site == "z" else ("layer", "position")
    assert found.entropy.dims == dims and found.top_id.dims == (*dims, "top")

    def flat(name):
        return found[name].values.reshape(len(x), 6, *found[name].shape[len(dims) :])

    log_p = logits.log_softmax(-1)
    last = plain(model, final, final, "own", 1.0).log_softmax(-1)
    np.testing.assert_allclose(flat("entropy"), -(log_p.exp() * log_p).sum(-1), **CLOSE)
    np.testing.assert_allclose(
        flat("kl_divergence"), (last.exp() * (last - log_p)).sum(-1), atol=1e-4, rtol=1e-3
    )
    np.testing.assert_allclose(flat("top_probability"), log_p.exp().topk(3).values, **CLOSE)
    np.testing.assert_array_equal(flat("top_id"), log_p.topk(3).indices)
    np.testing.assert_allclose(flat("probability"), log_p[..., 11].exp(), **CLOSE)
    np.testing.assert_allclose(flat("logit_diff"), logits[..., 11] - logits[..., 3], **CLOSE)
    np.testing.assert_array_equal(flat("rank"), (logits > logits[..., 11:12]).sum(-1))


def test_the_last_stream_is_the_models_own_prediction(model):
    found = logit_lens(model, TOKENS, k=50)
    own = model(TOKENS[None])[0].detach().softmax(-1)
    last = found.sel(layer=2)
    np.testing.assert_allclose(
        last.top_probability, own.gather(1, torch.tensor(last.top_id.values)), **CLOSE
    )
    np.testing.assert_allclose(last.kl_divergence, 0, atol=1e-5)
    assert float(found.kl_divergence.sel(layer=[0, 1]).min()) > 1e-3
    assert list(found.token.values) == [f"[{i}]" for i in TOKENS.tolist()]
    assert found.top_token.values[0, 0, 0] == f"[{found.top_id.values[0, 0, 0]}]"


@pytest.mark.filterwarnings("ignore")
def test_streams_are_those_of_transformer_lens(model):
    _, cache = model.run_with_cache(TOKENS[None])
    streams = cache.accumulated_resid(incl_mid=True)[:, 0].detach()  # pre mid pre mid ... post
    for site, own in (("resid_pre", streams[:-1:2]), ("resid_mid", streams[1::2])):
        logits = model.unembed(model.ln_final(own)).detach()
        found = logit_lens(model, TOKENS, site=site, answer=11, foil=3)
        np.testing.assert_allclose(
            found.logit_diff, logits[..., 11] - logits[..., 3], err_msg=site, **CLOSE
        )


def test_prompts_of_a_task_are_read_at_a_role():
    model, task = random_model(), random_task()
    found = logit_lens(model, task, k=2)
    expected = measure(model, task, ("logit_diff", "probability", "rank"))
    for name in ("logit_diff", "probability", "rank"):
        assert found[name].dims == ("layer", "prompt")
        np.testing.assert_allclose(found[name].sel(layer=2), expected[name], **CLOSE)
    some = logit_lens(model, task, layers=[2, 0])
    assert some.layer.values.tolist() == [2, 0]
    np.testing.assert_allclose(some.logit_diff, found.logit_diff.sel(layer=[2, 0]), **CLOSE)
    early = logit_lens(model, task, position="S2", layers=[1])
    assert early.layer.values.tolist() == [1]
    for i in range(len(task)):
        at = int(task.positions["S2"][i])
        one = logit_lens(model, task.clean_tokens[i, : at + 1], answer=int(task.answer[i]))
        np.testing.assert_allclose(
            early.probability[0, i], one.probability.sel(layer=1, position=at), **CLOSE
        )


@pytest.mark.parametrize("ablation", [None, Ablation(["0.1", "m1"], value="zero")])
def test_parts_say_what_direct_logit_attribution_says(ablation):
    """At the final scale of the run that is read, also where parts are ablated."""
    model, task = random_model(), random_task()
    heads = direct_logit_attribution(model, task, by="head", ablation=ablation)
    found = logit_lens(model, task, site="z", ablation=ablation).logit_diff
    np.testing.assert_allclose(found.transpose(*heads.dims), heads, **CLOSE)


def test_an_ablated_model_is_read_and_compared_with_the_whole_one():
    model, task = random_model(), random_task()
    ablation = Ablation(["m0", "m2"], value="zero")
    found = logit_lens(model, task, ablation=ablation)
    expected = measure(model, task, "kl_divergence", ablation=ablation).kl_divergence
    assert float(expected.min()) > 0.01
    np.testing.assert_allclose(found.kl_divergence.sel(layer=2), expected, **CLOSE)
    for attrs in (found.attrs, found.kl_divergence.attrs):
        assert "whole model" in attrs["compared_with"]
    text = logit_lens(model, TOKENS, ablation=ablation)
    final = torch.log_softmax(model(TOKENS[None])[0].detach(), -1)
    hooks = [(f"blocks.{i}.hook_mlp_out", lambda x, hook: 0 * x) for i in (0, 2)]
    read = model.run_with_hooks(TOKENS[None], fwd_hooks=hooks)[0].detach().log_softmax(-1)
    divergence = (final.exp() * (final - read)).sum(-1)
    np.testing.assert_allclose(text.kl_divergence.sel(layer=2), divergence, **CLOSE)
    whole = logit_lens(model, task)
    assert float(abs(found.logit_diff - whole.logit_diff).min()) > 1e-4
    parts = direct_logit_attribution(model, task, ablation=ablation)
    np.testing.assert_allclose(found.logit_diff.sel(layer=2), parts.sum("component"), **CLOSE)


@pytest.mark.parametrize("site", ["resid_mid", "z"])
def test_chunks_change_nothing(model, monkeypatch, site):
    whole = logit_lens(model, TOKENS, site=site, answer=5, foil=6)
    monkeypatch.setattr(reading, "_LOGITS", 2 * 50)
    pieces = logit_lens(model, TOKENS, site=site, answer=5, foil=6)
    for name, value in whole.items():
        if value.dtype == object:
            assert (value == pieces[name]).all()
        else:
            np.testing.assert_allclose(value, pieces[name], atol=1e-6, err_msg=str(name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"site": "q"}, "unknown site 'q'; expected one of resid_pre"),
        ({"layers": [3]}, "layers 0 to 2"),
        ({"layers": []}, "layers is an empty list"),
        ({"layers": [1, 1]}, "layer 1 is given twice"),
        ({"k": 0}, "k must be from 1 to 50"),
        ({"foil": 3}, "pass an answer too"),
        ({"answer": 99}, "0 to 49"),
        ({"position": "IO"}, "no role 'IO'"),
        ({"ablation": Ablation("heads")}, "needs other prompts"),
    ],
)
def test_errors(model, options, message):
    with pytest.raises(ValueError, match=message):
        logit_lens(model, TOKENS, **options)


def test_errors_of_a_task_and_of_a_tuned_lens(model):
    with pytest.raises(ValueError, match="its own answers"):
        logit_lens(model, random_task(), answer=3)
    lens = TunedLens.identity(model)
    for wrong in ({"site": "resid_mid"}, {"scale": "final"}):
        with pytest.raises(ValueError, match="at their own scale"):
            logit_lens(model, TOKENS, tuned=lens, **wrong)
    with pytest.raises(ValueError, match="2 layers of 32"):
        logit_lens(random_model(n_layers=2), TOKENS, tuned=lens)
