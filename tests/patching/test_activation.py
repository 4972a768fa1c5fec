"""Activation patching against its naive twin, TransformerLens, and laws.

The file is longer than most: one function with many options, each with a twin or a law.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformer_lens import patching as theirs

from interp import metrics
from interp.patching import Ablation, Selection, ablate, effect, patch
from tests.helpers import on_sample, random_model, random_task
from tests.naive import patching as naive

STREAMS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
SHAPES = [{}, {"n_layers": 1}, {"n_heads": 1}, {"n_layers": 1, "n_heads": 1, "d_mlp": 8}]


def close(found, expected):
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    finite = expected[np.isfinite(expected)]
    assert finite.std() > 0.01 or finite.size == 1
    scale = max(np.abs(finite).max(), 1)
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("site", STREAMS)
@pytest.mark.parametrize("sizes", SHAPES)
@torch.inference_mode()
def test_streams_by_layer_and_position(site, direction, sizes):
    model, task = random_model(**sizes), random_task(3, (6, 1, 4))
    found = patch(model, task, site, direction=direction).logit_diff
    assert found.dims == ("layer", "position", "prompt")

    def twin(n, p, i):
        return naive.patched(model, task, i, site, n, pos=p, direction=direction)

    close(*on_sample(found.values, (model.config.n_layers, 6, 3), twin, 18))


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("site", ["z", "q", "k", "v", "pattern"])
@torch.inference_mode()
def test_heads_with_and_without_positions(site, direction):
    model, task = random_model(), random_task(3, (6, 4))
    whole = patch(model, task, site, direction=direction).logit_diff
    assert whole.dims == ("layer", "head", "prompt")
    by_role = patch(
        model,
        task,
        site,
        Selection(over=("role", "head", "layer"), heads=[3, 1]),
        direction=direction,
    ).logit_diff
    assert by_role.dims == ("role", "head", "layer", "prompt")
    assert by_role.role.values.tolist() == ["S2", "END"] and by_role["head"].values.tolist() == [
        3,
        1,
    ]

    def twin(n, h, i, role=None):
        pos = None if role is None else int(task.positions[role][i])
        return naive.patched(model, task, i, site, n, unit=h, pos=pos, direction=direction)

    def at_role(r, h, n, i):
        return twin(n, (3, 1)[h], i, ("S2", "END")[r])

    close(*on_sample(whole.values, (3, 4, 3), twin))
    close(*on_sample(by_role.values, (2, 2, 3, 3), at_role))


@torch.inference_mode()
def test_single_entries_of_patterns():
    model, task = random_model(n_layers=2), random_task(3, (6, 4))
    over = ("source", "layer", "head", "position")
    found = patch(
        model, task, "pattern", Selection(over=over, positions=[3, 1], sources=[0, 1])
    ).logit_diff

    def twin(s, n, h, p, i):
        index = {"unit": h, "pos": p, "source": s, "direction": "denoising"}
        return naive.patched(model, task, i, "pattern", n, **index)

    def at(s, n, h, p, i):
        return twin(s, n, h, (3, 1)[p], i)

    close(*on_sample(found.values, (2, 2, 4, 2, 3), at, 24))


@torch.inference_mode()
def test_neurons_and_embeddings():
    model, task = random_model(n_layers=2), random_task(3, (6, 4))
    found = patch(
        model, task, "mlp_post", Selection(neurons=[0, 7, 63], positions=["END"])
    ).logit_diff
    assert found.dims == ("layer", "neuron", "prompt")

    def twin(n, u, i):
        pos = int(task.positions["END"][i])
        return naive.patched(model, task, i, "mlp_post", n, unit=u, pos=pos, direction="denoising")

    close(found.values, [[[twin(n, u, i) for i in range(3)] for u in (0, 7, 63)] for n in range(2)])
    found = patch(model, task, "embed").logit_diff
    assert found.dims == ("position", "prompt")
    close(
        found.values,
        [
            [
                naive.patched(model, task, i, "embed", 0, pos=p, direction="denoising")
                for i in range(3)
            ]
            for p in range(6)
        ],
    )


@pytest.mark.parametrize("site", ["resid_pre", "z", "q", "k", "v", "attn_out", "mlp_out"])
@torch.inference_mode()
def test_the_numbers_are_transformer_lens_s(site):
    model, task = random_model(), random_task(4, (6,))
    _, clean = model.run_with_cache(task.clean_tokens)

    def metric(logits):
        return naive.logit_diff(logits, task).mean()

    function = {
        "resid_pre": theirs.get_act_patch_resid_pre,
        "attn_out": theirs.get_act_patch_attn_out,
        "mlp_out": theirs.get_act_patch_mlp_out,
        "z": theirs.get_act_patch_attn_head_out_all_pos,
        "q": theirs.get_act_patch_attn_head_q_all_pos,
        "k": theirs.get_act_patch_attn_head_k_all_pos,
        "v": theirs.get_act_patch_attn_head_v_all_pos,
    }[site]
    close(
        patch(model, task, site).logit_diff.mean("prompt").values,
        function(model, task.corrupted_tokens, clean, metric).numpy(),
    )


@torch.inference_mode()
def test_patching_nothing_changes_nothing_and_everything_gives_the_other_run():
    model, task = random_model(), random_task()
    same = replace(task, corrupted_tokens=task.clean_tokens)
    for site in ("resid_pre", "z", "mlp_out", "embed"):
        assert not np.nan_to_num(effect(patch(model, same, site))).any()
        whole = patch(model, task, site, Selection(over=()))
        if site in ("resid_pre", "embed"):
            close(whole.logit_diff.values, whole.logit_diff_clean.values)
    all_heads = patch(model, task, "z", Selection(over=("layer",)))
    all_mlps = patch(model, task, "mlp_out", Selection(over=("layer",)))
    assert all_heads.logit_diff.dims == all_mlps.logit_diff.dims == ("layer", "prompt")
    assert (np.abs(effect(all_heads)) > 1e-3).any()


@torch.inference_mode()
def test_several_layers_at_once_are_several_hooks():
    model, task = random_model(), random_task(4, (6,))
    found = patch(
        model, task, "z", Selection(over=("head",), layers=[0, 2], positions=["S2"])
    ).logit_diff
    for i in range(4):
        tokens, other = naive.one_prompt(task, i, "denoising")
        _, cache = model.run_with_cache(other)
        at = int(task.positions["S2"][i])
        for head in range(4):
            hooks = [
                naive.replace(name, cache[name], naive.index_of("z", head, at))
                for name in (naive.hook_name("z", 0), naive.hook_name("z", 2))
            ]
            expected = naive.difference(model, tokens, task, i, hooks)
            assert float(found.sel(head=head)[i]) == pytest.approx(expected, abs=2e-5)


@torch.inference_mode()
def test_padding_on_the_left_changes_nothing():
    model, right = random_model(), random_task(3, (6, 4))
    width, pad = 6, 6 - right.lengths
    index = (torch.arange(width) - pad[:, None]) % width
    left = replace(
        right,
        clean_tokens=right.clean_tokens.gather(1, index),
        corrupted_tokens=right.corrupted_tokens.gather(1, index),
        attention_mask=right.attention_mask.gather(1, index),
        positions={role: at + pad for role, at in right.positions.items()},
    )
    for site in ("resid_pre", "z"):
        found, expected = (patch(model, task, site).logit_diff.values for task in (left, right))
        np.testing.assert_array_equal(found, expected)


@torch.inference_mode()
def test_prompts_of_unequal_length_are_compared_by_role_alone():
    model, task = random_model(), random_task(3, (6, 6))
    shorter = task.attention_mask.clone()
    shorter[1, 4:] = False
    roles = {"S2": torch.tensor([0, 2, 3]), "END": shorter.sum(-1) - 1}
    other = replace(task, corrupted_mask=shorter, corrupted_positions=roles)
    with pytest.raises(ValueError, match="'END' and 'S2' are one token"):
        patch(model, other, "z", Selection(over=("role",)))
    here = {"S2": torch.tensor([1, 0, 4]), "END": task.positions["END"]}
    task = replace(other, positions=here)
    with pytest.raises(ValueError, match="patch by role"):
        patch(model, task, "resid_pre")
    with pytest.raises(ValueError, match="patch by role"):
        patch(model, task, "z", Selection(positions=[0, "S2"]))
    found = patch(model, task, "resid_pre", Selection(over=("layer", "role")), direction="noising")
    for i in range(3):
        corrupted = task.corrupted_tokens[i][shorter[i]][None]
        _, cache = model.run_with_cache(corrupted)
        for role in ("S2", "END"):
            for layer in range(3):
                name = f"blocks.{layer}.hook_resid_pre"

                def put(value, hook):
                    value = value.clone()
                    to, come = int(task.positions[role][i]), int(roles[role][i])  # noqa: B023
                    value[:, to] = cache[name][:, come]  # noqa: B023
                    return value

                expected = naive.difference(
                    model, task.clean_tokens[i][None], task, i, [(name, put)]
                )
                value = float(found.logit_diff.sel(layer=layer, role=role)[i])
                assert value == pytest.approx(expected, abs=2e-5)
    shared = found.logit_diff_corrupted.values[1]
    alone = naive.difference(model, task.corrupted_tokens[1, :4][None], task, 1, [])
    assert shared == pytest.approx(alone, abs=2e-5)


@torch.inference_mode()
def test_several_metrics_in_one_sweep():
    model, task = random_model(), random_task(5)

    def top(logits, some):
        assert len(some) == len(logits)
        return logits.max(-1).values

    chosen = ["logit_diff", "probability", "kl_divergence", "rank", "accuracy", top]
    found = patch(
        model, task, "resid_mid", Selection(positions=["END"], over=("layer",)), metrics=chosen
    )
    assert {"top", "top_clean", "top_corrupted", "rank", "accuracy"} <= set(found.data_vars)
    alone = patch(model, task, "resid_mid", Selection(positions=["END"], over=("layer",)))
    np.testing.assert_array_equal(found.logit_diff, alone.logit_diff)
    rows, end = torch.arange(5), task.positions["END"]
    clean, corrupted = (
        model(tokens, task.attention_mask)[rows, end]
        for tokens in (task.clean_tokens, task.corrupted_tokens)
    )
    assert found.kl_divergence_clean.values == pytest.approx(np.zeros(5), abs=1e-6)
    close(found.kl_divergence_corrupted.values, metrics.kl_divergence(corrupted, clean))
    close(found.probability_clean.values, metrics.probability(clean, task.answer))
    close(found.top_corrupted.values, corrupted.max(-1).values)
    last = patch(
        model, task, "resid_post", Selection(layers=[2], over=()), metrics=[top, "kl_divergence"]
    )
    close(last.top.values, clean.max(-1).values)  # the last stream is all there is


@torch.inference_mode()
def test_in_a_knocked_out_model():
    model, task = random_model(), random_task(4, (6, 5))
    gone = Ablation(["0.1", "1.2", "m1"], value="zero")
    found = patch(model, task, "z", ablation=gone, direction="noising")
    zero = [naive.hook_name("z", 0), naive.hook_name("z", 1), naive.hook_name("mlp_out", 1)]
    units = {zero[0]: 1, zero[1]: 2}

    def erase(value, hook):
        value = value.clone()
        value[(slice(None), slice(None), units[hook.name]) if hook.name in units else ...] = 0
        return value

    knocked_out = [(name, erase) for name in zero]
    for i in range(4):
        tokens, other = naive.one_prompt(task, i, "noising")
        with model.hooks(fwd_hooks=knocked_out):
            _, cache = model.run_with_cache(other)
        base = naive.difference(model, tokens, task, i, knocked_out)
        assert float(found.logit_diff_clean[i]) == pytest.approx(base, abs=2e-5)
        for layer in range(3):
            for head in range(4):
                name = naive.hook_name("z", layer)
                hook = naive.replace(name, cache[name], naive.index_of("z", head, None))
                expected = naive.difference(model, tokens, task, i, [hook, *knocked_out])
                value = float(found.logit_diff.sel(layer=layer, head=head)[i])
                assert value == pytest.approx(expected, abs=3e-5)
    one = ablate(model, task, "z", value="zero", ablation=gone)
    np.testing.assert_array_equal(one.logit_diff.sel(layer=0, head=1), one.logit_diff_clean)


@pytest.mark.parametrize(
    ("site", "options", "message"),
    [
        ("resid", {}, "unknown site 'resid'; expected one of"),
        ("z", {"over": ("layer", "neuron")}, "z can be swept over layer, head, position, position"),
        ("z", {"over": ("position", "role")}, "each once"),
        ("z", {"layers": [3]}, "no layer 3; the model has 3"),
        ("z", {"heads": [-1]}, "no head -1"),
        ("z", {"heads": []}, "heads are an empty list"),
        ("resid_pre", {"heads": [1]}, "has no heads to choose"),
        ("z", {"positions": ["S7"]}, "no role 'S7'"),
        ("z", {"positions": [9]}, "position 9 is in no prompt"),
        ("z", {"sources": [1]}, "only pattern has sources"),
        ("z", {"over": ("position",), "positions": ["END"]}, "takes indices.*sweep over 'role'"),
        ("z", {"over": ("role",), "positions": [1]}, "takes roles.*sweep over 'position'"),
        ("pattern", {"over": ("source",), "sources": ["S2"]}, "'source' takes indices"),
        ("pattern", {"over": ("source_role",), "sources": [1]}, "'source_role' takes roles"),
        ("z", {"metrics": "logits"}, "expected a metric among"),
        (
            "z",
            {"metrics": lambda logits, task: logits},
            r"one number per run.*it returned \(\d, 50\)",
        ),
        ("z", {"metrics": lambda logits, task: 1.0}, "one number per run.*it returned float"),
    ],
)
def test_what_cannot_be_patched_is_refused(site, options, message):
    metrics = options.pop("metrics", None)
    with pytest.raises(ValueError, match=message):
        patch(random_model(), random_task(), site, Selection(**options), metrics=metrics)
