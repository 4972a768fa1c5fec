"""Direct logit attribution: the parts add up, and are what TransformerLens and hands compute."""

import numpy as np
import pytest
import torch

import interp
from interp.lens import cumulative, direct_logit_attribution
from interp.patching import Ablation, measure
from tests.heads.hand import DUPLICATE, INDUCTION, LENGTH, hand_set_model
from tests.helpers import random_model, random_task

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def task():
    return random_task()


@pytest.mark.parametrize("ablation", [None, Ablation(["0.1", "2.3", "m1", "m0.5"])])
def test_components_make_the_logit_difference(model, task, ablation):
    found = direct_logit_attribution(model, task, ablation=ablation)
    assert found.dims == ("component", "prompt") and found.sizes["component"] == 2 + 4 * 3 + 2
    if ablation is None:
        expected = measure(model, task, "logit_diff").logit_diff
    else:
        hooks = ablation.prepare(model, task).hooks(slice(0, len(task)))
        logits = model.run_with_hooks(task.clean_tokens, fwd_hooks=list(hooks))
        rows = torch.arange(len(task))
        at_end = logits[rows, task.positions["END"]]
        expected = (at_end[rows, task.answer] - at_end[rows, task.foil]).detach()
    np.testing.assert_allclose(found.sum("component"), expected, **CLOSE)
    assert abs(found).max() > 0.5


def test_the_bias_of_a_folded_unembedding_counts(model, task):
    folded = interp.process_weights(model)
    found = direct_logit_attribution(folded, task)
    assert float(abs(found.sel(component="b_U")).min()) > 0.01
    expected = measure(model, task, "logit_diff").logit_diff
    np.testing.assert_allclose(found.sum("component"), expected, **CLOSE)


@pytest.mark.parametrize("position", ["END", 3])
def test_components_make_the_logits_of_a_text_at_any_position(model, position):
    tokens = torch.tensor([4, 9, 2, 30, 17])
    answers = [11, 3, 40]
    found = direct_logit_attribution(model, tokens, answer=answers, position=position)
    assert found.answer.values.tolist() == ["[11]", "[3]", "[40]"]
    logits = model(tokens[None])[0, -1 if position == "END" else position].detach()
    np.testing.assert_allclose(found.sum("component"), logits[answers], **CLOSE)
    against = direct_logit_attribution(model, tokens, answer=answers, foil=7, position=position)
    np.testing.assert_allclose(against.sum("component"), logits[answers] - logits[7], **CLOSE)


@pytest.mark.parametrize("position", ["END", "S2"])
def test_heads_make_attention_neurons_the_mlp_and_sources_the_head(model, task, position):
    def by(part):
        return direct_logit_attribution(model, task, by=part, position=position)

    parts = by("component")
    heads, neurons, sources = by("head"), by("neuron"), by("source")
    assert neurons.dims == ("layer", "neuron", "prompt") and sources.dims[2] == "source"
    for kind, whole in (("attn", heads.sum("head")), ("mlp", neurons.sum("neuron"))):
        expected = parts[parts.kind == kind]
        np.testing.assert_allclose(whole, expected, **CLOSE)
    np.testing.assert_allclose(sources.sum("source"), heads, **CLOSE)
    padding = np.broadcast_to(~task.attention_mask.numpy().T, sources.shape)
    assert (np.isnan(sources.values) == padding).all() and padding.any()
    roles = by("source_role")
    assert list(roles.source_role.values) == ["S2", "END"]
    picked = [sources.values[:, :, at, i] for i, at in enumerate(task.positions["S2"].tolist())]
    np.testing.assert_allclose(
        roles.sel(source_role="S2").transpose("prompt", "layer", "head"), np.stack(picked)
    )


def test_what_was_replaced_has_no_parts(model, task):
    ablation = Ablation(["1.2", "m2"], value="zero", positions=["END"])
    neurons = direct_logit_attribution(model, task, by="neuron", ablation=ablation)
    assert bool(neurons.sel(layer=2).isnull().all()) and bool(neurons[:2].notnull().all())
    sources = direct_logit_attribution(model, task, by="source", ablation=ablation)
    assert bool(sources.sel(layer=1, head=2).isnull().all())
    assert bool(sources.sel(layer=1, head=3, source=0).notnull().all())
    heads = direct_logit_attribution(model, task, by="head", ablation=ablation)
    assert float(abs(heads.sel(layer=1, head=2)).max()) == 0


def test_cumulative_is_the_lens_at_the_final_scale(model, task):
    parts = direct_logit_attribution(model, task)
    running = cumulative(parts)
    assert running.sizes["component"] == parts.sizes["component"] - 2
    assert list(running.component.values[[0, 1, 2, -1]]) == [
        "embed",
        "pos_embed",
        "0.attn",
        "2.b_out",
    ]
    expected = measure(model, task, "logit_diff").logit_diff
    np.testing.assert_allclose(running.sel(component="2.b_out"), expected, **CLOSE)
    lens = interp.lens.logit_lens(model, task, site="resid_pre", scale="final").logit_diff
    for layer, name in enumerate(["pos_embed", "0.b_out", "1.b_out"]):
        np.testing.assert_allclose(running.sel(component=name), lens.sel(layer=layer), **CLOSE)
    with pytest.raises(ValueError, match="by='component'"):
        cumulative(direct_logit_attribution(model, task, by="head"))


@pytest.mark.filterwarnings("ignore")
def test_the_same_as_transformer_lens(model):
    simple = interp.process_weights(model)  # folded: W_U is what logit_attrs multiplies
    tokens = torch.tensor([[4, 9, 2, 30, 17, 8]])
    _, cache = simple.run_with_cache(tokens)

    def theirs(stack):
        return cache.logit_attrs(stack, torch.tensor([11]), torch.tensor([3]))[:, 0, -1].detach()

    def ours(part):
        return direct_logit_attribution(simple, tokens, answer=11, foil=3, by=part)

    parts, labels = cache.decompose_resid(return_labels=True)
    found = ours("component").squeeze("answer")
    joined = [found.sel(component=["embed"]).sum(), found.sel(component=["pos_embed"]).sum()]
    for layer in range(3):
        joined += [
            found.sel(component=[f"{layer}.attn", f"{layer}.b_O"]).sum(),
            found.sel(component=[f"{layer}.mlp", f"{layer}.b_out"]).sum(),
        ]
    assert labels[:4] == ["embed", "pos_embed", "0_attn_out", "0_mlp_out"]
    np.testing.assert_allclose(joined, theirs(parts)[: len(joined)], **CLOSE)
    heads = theirs(cache.stack_head_results())
    np.testing.assert_allclose(ours("head").values.ravel(), heads, **CLOSE)
    for layer in range(3):
        neurons = theirs(cache.get_neuron_results(layer).permute(2, 0, 1, 3))
        np.testing.assert_allclose(ours("neuron").values[layer, :, 0], neurons, **CLOSE)


def test_heads_set_by_hand():
    """At the end of 0..7 0..7, toward 7: two heads copy 7 or 6, one writes against 0.

    Streams are one-hot; a head writes a token after layer norm, its one 1 / s1 above the rest.
    """
    model = hand_set_model()
    tokens = torch.arange(LENGTH).repeat(2)
    read = np.zeros(96)
    read[[7, LENGTH + 15]] = 1
    s1 = np.sqrt(read.var() + 1e-5)
    one = np.eye(LENGTH) / s1 - read.mean() / s1  # what each token's value is
    stream = read.copy()
    stream[:LENGTH] += one[6] + one[7] - one[0]
    scale = np.sqrt(stream.var() + 1e-5)
    # Toward 7 rather than 0 the direction is one-hot and has no mean to center.
    found = direct_logit_attribution(model, tokens, answer=7, foil=0)
    expected = np.zeros(found.sizes["component"])
    names = list(found.component.values)
    expected[names.index("embed")] = 1 / scale
    expected[names.index("0.attn")] = 2 / s1 / scale
    np.testing.assert_allclose(found.squeeze("answer"), expected, atol=1e-5)
    heads = direct_logit_attribution(model, tokens, answer=7, foil=0, by="head")
    np.testing.assert_allclose(
        heads.values.ravel(), [0, 1 / s1 / scale, 1 / s1 / scale, 0], atol=1e-5
    )
    sources = direct_logit_attribution(model, tokens, answer=7, foil=0, by="source")[0, ..., 0]
    assert int(sources.sel(head=DUPLICATE).argmax("source")) == 7
    assert int(sources.sel(head=INDUCTION).argmax("source")) == 8
    np.testing.assert_allclose(sources.sel(head=DUPLICATE, source=7), 1 / s1 / scale, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "pass answer"),
        ({"answer": []}, "empty list"),
        ({"answer": 50}, "0 to 49"),
        ({"answer": 1, "foil": -1}, "0 to 49"),
        ({"answer": 1, "by": "source_role"}, "has no roles"),
        ({"answer": 1, "position": "IO"}, "no role 'IO'"),
        ({"answer": 1, "position": 3}, "shortest, has 3 tokens"),
        ({"answer": 1, "ablation": Ablation("heads")}, "needs other prompts"),
    ],
)
def test_errors_of_a_text(model, options, message):
    with pytest.raises(ValueError, match=message):
        direct_logit_attribution(model, torch.tensor([1, 2, 3]), **options)


def test_errors_of_prompts(model, task):
    with pytest.raises(ValueError, match="its own answers"):
        direct_logit_attribution(model, task, answer=3)
    for tokens in (torch.ones(2, 3, 1).long(), torch.ones(1, 0).long()):
        with pytest.raises(ValueError, match="token ids of each prompt"):
            direct_logit_attribution(model, tokens, answer=3)
    with pytest.raises(ValueError, match="no tokenizer"):
        direct_logit_attribution(model, torch.tensor([1]), answer=" a")


def test_cumulative_does_not_depend_on_the_order_of_dims_or_components(model, task):
    parts = direct_logit_attribution(model, task)
    running = cumulative(parts)
    turned = cumulative(parts.transpose("prompt", "component"))
    assert turned.dims == ("prompt", "component")
    np.testing.assert_array_equal(turned.transpose(*running.dims), running)
    assert list(turned.component.values) == list(running.component.values)
    backward = cumulative(parts.isel(component=slice(None, None, -1)))
    np.testing.assert_allclose(backward, running, atol=1e-5)
    mean = cumulative(parts.mean("prompt"))
    np.testing.assert_allclose(mean, running.mean("prompt"), atol=1e-5)
    one = cumulative(parts.isel(prompt=2))
    np.testing.assert_array_equal(one, running.isel(prompt=2))
    assert running.attrs["unit"] == "logits" and running.attrs["technique"]
    by_hand = parts.values[:-2].cumsum(0) + parts.values[-2:].sum(0)
    np.testing.assert_allclose(running, by_hand, atol=1e-4)


def test_cumulative_needs_every_component(model, task):
    parts = direct_logit_attribution(model, task)
    for some in (parts[parts.kind != "mlp"], parts.isel(component=slice(1, None))):
        with pytest.raises(ValueError, match="every component once"):
            cumulative(some)
    with pytest.raises(ValueError, match="by='component'"):
        cumulative(parts.drop_vars("kind"))
