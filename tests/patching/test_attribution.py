"""Attribution patching against its naive twin, exact patching where that is linear, and laws.

The file is longer than most: one function with many options, each with a twin or a law.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interp import metrics
from interp.patching import Ablation, Selection, attribution_patch, effect, patch
from tests.helpers import make_runs_small, random_model, random_task
from tests.naive import attribution as naive
from tests.naive import patching as hooked

STREAMS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
HEADS = ("z", "q", "k", "v", "pattern")
DIRECTIONS = ("denoising", "noising", "denoising", "noising", "denoising")


@pytest.fixture(autouse=True)
def _several_batches(monkeypatch):
    make_runs_small(monkeypatch, memory=1 << 15)


def close(found, expected, tolerance=1e-5):
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    finite = expected[np.isfinite(expected)]
    assert finite.std() > 0.01
    scale = max(np.abs(finite).max(), 1)
    np.testing.assert_allclose(found, expected, atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize(("site", "direction"), list(zip(STREAMS, DIRECTIONS, strict=True)))
def test_streams_by_layer_and_position(site, direction):
    model, task = random_model(n_layers=2), random_task(3, (6, 1, 4))
    found = attribution_patch(model, task, site, direction=direction, fixes=["grad_drop"])
    assert found.logit_diff.dims == found.logit_diff_grad_drop.dims
    assert found.logit_diff.dims == ("layer", "position", "prompt")

    def twin(way):
        return [
            [[way(model, task, i, site, n, pos=p, direction=direction) for i in range(3)]
             for p in range(6)]
            for n in range(2)
        ]  # fmt: skip

    close(found.logit_diff.values, twin(naive.estimated))
    close(found.logit_diff_grad_drop.values, twin(naive.grad_drop))
    exact = patch(model, task, site, Selection(over=("layer",)), direction=direction)
    for side in ("clean", "corrupted"):
        close(found[f"logit_diff_{side}"].values, exact[f"logit_diff_{side}"].values)


@pytest.mark.parametrize(("site", "direction"), list(zip(HEADS, DIRECTIONS, strict=True)))
def test_heads_with_and_without_positions(site, direction):
    model, task = random_model(), random_task(3, (6, 4))
    whole = attribution_patch(model, task, site, direction=direction).logit_diff
    assert whole.dims == ("layer", "head", "prompt")
    by_role = attribution_patch(
        model,
        task,
        site,
        Selection(over=("role", "head", "layer"), heads=[3, 1]),
        direction=direction,
    ).logit_diff
    assert by_role.dims == ("role", "head", "layer", "prompt")

    def twin(n, h, i, role=None):
        pos = None if role is None else int(task.positions[role][i])
        return naive.estimated(model, task, i, site, n, unit=h, pos=pos, direction=direction)

    close(whole.values, [[[twin(n, h, i) for i in range(3)] for h in range(4)] for n in range(3)])
    close(
        by_role.values,
        [
            [[[twin(n, h, i, r) for i in range(3)] for n in range(3)] for h in (3, 1)]
            for r in ("S2", "END")
        ],
    )


def test_single_entries_of_patterns():
    model, task = random_model(n_layers=2), random_task(3, (6, 4))
    over = ("source", "layer", "head", "position")
    found = attribution_patch(
        model, task, "pattern", Selection(over=over, positions=[3, 1], sources=[0, 1])
    )

    def twin(s, n, h, p, i):
        index = {"unit": h, "pos": p, "source": s, "direction": "denoising"}
        return naive.estimated(model, task, i, "pattern", n, **index)

    close(
        found.logit_diff.values,
        [
            [[[[twin(s, n, h, p, i) for i in range(3)] for p in (3, 1)] for h in range(4)]
             for n in range(2)]
            for s in (0, 1)
        ],
    )  # fmt: skip


def test_neurons_embeddings_and_units_together():
    model, task = random_model(n_layers=2), random_task(3, (6, 4))
    found = attribution_patch(
        model, task, "mlp_post", Selection(neurons=[0, 7, 63], positions=["END"])
    )

    def twin(site, n, i, pos, unit=None):
        place = {"unit": unit, "pos": pos, "direction": "denoising"}
        return naive.estimated(model, task, i, site, n, **place)

    ends = task.positions["END"].tolist()
    expected = [
        [[twin("mlp_post", n, i, ends[i], u) for i in range(3)] for u in (0, 7, 63)]
        for n in range(2)
    ]
    close(found.logit_diff.values, expected)
    found = attribution_patch(model, task, "embed").logit_diff
    assert found.dims == ("position", "prompt")
    close(found.values, [[twin("embed", 0, i, p) for i in range(3)] for p in range(6)])
    one = attribution_patch(model, task, "z", Selection(heads=[0, 2]))
    both = attribution_patch(model, task, "z", Selection(heads=[0, 2], over=("layer",)))
    np.testing.assert_allclose(effect(both), effect(one).sum("head"), atol=1e-5)
    alone = attribution_patch(model, task, "z", Selection(heads=[0, 2], layers=[1], over=()))
    np.testing.assert_array_equal(alone.logit_diff, both.logit_diff.sel(layer=1))


@pytest.mark.parametrize(("site", "direction"), [("q", "noising"), ("k", "denoising")])
def test_both_fixes_for_queries_and_keys(site, direction):
    model, task = random_model(n_heads=2), random_task(3, (6, 4))
    options = {"fixes": ["qk", "grad_drop"], "direction": direction}
    whole = attribution_patch(model, task, site, **options)
    placed = attribution_patch(
        model,
        task,
        site,
        Selection(over=("layer", "head", "position"), positions=[2, 3]),
        **options,
    )

    def twin(way, **at):
        return [
            [[way(model, task, i, site, n, unit=h, fix=True, direction=direction, **at)
              for i in range(3)] for h in range(2)]
            for n in range(3)
        ]  # fmt: skip

    close(whole.logit_diff.values, twin(naive.estimated))
    close(whole.logit_diff_grad_drop.values, twin(naive.grad_drop))
    for pos in (2, 3):
        at = placed.sel(position=pos)
        close(at.logit_diff.values, twin(naive.estimated, pos=pos))
        close(at.logit_diff_grad_drop.values, twin(naive.grad_drop, pos=pos))


def linear_after_attention(**sizes):
    """One layer whose output is linear in the pattern and in the values; and a task for it."""
    model = random_model(n_layers=1, **sizes)
    model.ln_final.unhooked = lambda x: x
    with torch.no_grad():
        model.blocks[0].mlp.W_out.zero_()
    return model, random_task(4, (6, 4))


@pytest.mark.parametrize(
    ("site", "over"),
    [
        ("resid_post", ("layer",)),
        ("attn_out", ("layer", "position")),
        ("z", ("layer", "head")),
        ("v", ("layer", "head", "position")),
        ("pattern", ("layer", "head", "source")),
    ],
)
def test_the_estimate_is_exact_where_the_metric_is_linear(site, over):
    model, task = linear_after_attention()
    for direction in ("denoising", "noising"):
        exact = patch(model, task, site, Selection(over=over), direction=direction)
        found = attribution_patch(model, task, site, Selection(over=over), direction=direction)
        close(found.logit_diff.values, exact.logit_diff.values)


@pytest.mark.parametrize("over", [("layer", "head"), ("layer", "head", "position")])
@pytest.mark.parametrize("site", ["q", "k"])
def test_the_fix_for_queries_and_keys_is_exact_up_to_the_pattern(site, over):
    model, task = linear_after_attention()
    with torch.no_grad():  # queries and keys so long that every softmax is saturated
        model.blocks[0].attn.W_QKV[:, :64] *= 20
    exact = patch(model, task, site, Selection(over=over))
    plain = attribution_patch(model, task, site, Selection(over=over))
    fixed = attribution_patch(model, task, site, Selection(over=over), fixes=["qk"])
    close(fixed.logit_diff.values, exact.logit_diff.values)
    large = np.abs(effect(exact)) > 1
    assert int(large.sum()) >= 4
    assert float(np.abs(effect(plain)).where(large).median()) < 0.01


def test_grad_drop_sees_effects_that_cancel():
    model, task = random_model(n_layers=2, d_mlp=32), random_task(4, (6, 4))
    model.ln_final.unhooked = lambda x: x
    block = model.blocks[1]
    block.ln2.unhooked = lambda x: x
    with torch.no_grad():  # the last MLP takes nearly everything out of the stream again
        block.attn.W_O.zero_()
        block.mlp.act = torch.nn.Identity()
        block.mlp.W_in.copy_(torch.eye(32))
        block.mlp.W_out.copy_(-0.999 * torch.eye(32))
    chosen = Selection(layers=[0], positions=["END"], over=("layer",))
    found = attribution_patch(model, task, "mlp_out", chosen, fixes=["grad_drop"])
    direct = effect(patch(model, task, "mlp_out", chosen, ablation=Ablation(["m1"], value="zero")))
    assert float(np.abs(direct).max()) > 1
    close(found.logit_diff_grad_drop.values, np.abs(direct.values))
    np.testing.assert_allclose(effect(found), direct / 1000, atol=1e-5)


@pytest.mark.parametrize("site", ["resid_pre", "q", "mlp_post"])
def test_the_gradient_is_what_a_small_step_changes(site):
    model, task = random_model().double(), random_task(2, (5,))
    found = effect(
        attribution_patch(model, task, site, Selection(over=("layer",)), direction="noising")
    )
    step = 1e-5
    for i in range(2):
        tokens, other = hooked.one_prompt(task, i, "noising")
        with torch.no_grad():
            _, new = model.run_with_cache(other)
            base = hooked.difference(model, tokens, task, i, [])
            for layer in range(3):

                def nudge(value, hook):
                    return value + step * (new[hook.name] - value)  # noqa: B023

                hook = (hooked.hook_name(site, layer), nudge)
                slope = (hooked.difference(model, tokens, task, i, [hook]) - base) / step
                assert float(found.sel(layer=layer)[i]) == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_prompts_of_unequal_length_are_compared_by_role():
    model, task = random_model(), random_task(3, (6,))
    shorter = task.attention_mask.clone()
    shorter[1, 4:] = False
    here = {"S2": torch.tensor([1, 0, 4]), "END": task.positions["END"]}
    there = {"S2": torch.tensor([0, 2, 3]), "END": shorter.sum(-1) - 1}
    task = replace(task, corrupted_mask=shorter, corrupted_positions=there, positions=here)
    with pytest.raises(ValueError, match="patch by role"):
        attribution_patch(model, task, "resid_pre")
    over = ("layer", "role")
    found = attribution_patch(model, task, "resid_pre", Selection(over=over), direction="noising")
    for i in range(3):
        corrupted = task.corrupted_tokens[i][shorter[i]][None]
        with torch.no_grad():
            _, cache = model.run_with_cache(corrupted)
        for layer in range(3):
            name = f"blocks.{layer}.hook_resid_pre"
            tokens = task.clean_tokens[i][None]
            metric, value, gradient = naive.with_gradient(model, tokens, task, i, name)
            for role in ("S2", "END"):
                to, come = int(here[role][i]), int(there[role][i])
                change = (gradient[0, to] * (cache[name][0, come] - value[0, to])).sum().item()
                got = float(found.logit_diff.sel(layer=layer, role=role)[i])
                assert got == pytest.approx(metric + change, abs=2e-5)


def test_in_a_knocked_out_model():
    model, task = random_model(), random_task(4, (6, 5))
    gone = Ablation(["0.1", "1.2", "m1"], value="zero")
    found = attribution_patch(model, task, "z", ablation=gone, fixes=["grad_drop"])
    exact = patch(model, task, "z", ablation=gone)
    np.testing.assert_allclose(found.logit_diff_clean, exact.logit_diff_clean, atol=2e-5)
    assert not effect(found).sel(layer=0, head=1).any()
    with torch.no_grad():  # zero weights do what zero ablation does
        for layer, head in ((0, 1), (1, 2)):
            model.blocks[layer].attn.W_O[head].zero_()
        model.blocks[1].mlp.W_out.zero_()
        model.blocks[1].mlp.b_out.zero_()
    same = attribution_patch(model, task, "z", fixes=["grad_drop"])
    close(found.logit_diff.values, same.logit_diff.values)
    close(found.logit_diff_grad_drop.values, same.logit_diff_grad_drop.values)


def test_any_metric_that_can_be_differentiated():
    model, task = random_model(), random_task(5)

    def top(logits, some):
        assert len(some) == len(logits)
        return logits.logsumexp(-1)

    with torch.no_grad():
        runs = [
            model.run_with_cache(tokens, task.attention_mask)[1]["blocks.2.hook_resid_post"]
            for tokens in (task.corrupted_tokens, task.clean_tokens)
        ]
    base, new = (run[torch.arange(5), task.positions["END"]] for run in runs)  # prompt d_model

    def logits(stream):
        return model.unembed(model.ln_final(stream))

    clean = logits(new).detach()
    expected = {
        "probability": lambda x: metrics.probability(logits(x), task.answer),
        "probability_diff": lambda x: metrics.probability_diff(logits(x), task.answer, task.foil),
        "kl_divergence": lambda x: metrics.kl_divergence(logits(x), clean),
        "top": lambda x: top(logits(x), task),
    }
    for name, function in expected.items():
        metric = top if name == "top" else name
        chosen = Selection(layers=[2], over=())
        found = attribution_patch(model, task, "resid_post", chosen, metric=metric)
        exact = patch(model, task, "resid_post", chosen, metrics=metric)
        _, slope = torch.autograd.functional.jvp(function, base, new - base)
        close(effect(found, name).values, slope)
        for side in ("clean", "corrupted"):
            np.testing.assert_allclose(found[f"{name}_{side}"], exact[f"{name}_{side}"], atol=1e-5)
        assert found[name].attrs["unit"] == exact[name].attrs["unit"]


def test_half_precision_is_close():
    model, task = random_model(n_layers=2), random_task(6, (6, 4))
    for site in ("z", "q", "resid_pre"):
        fixes = ["qk", "grad_drop"] if site == "q" else ["grad_drop"]
        exact = attribution_patch(model, task, site, fixes=fixes)
        rough = attribution_patch(model, task, site, fixes=fixes, dtype=torch.bfloat16)
        assert (exact.attrs["dtype"], rough.attrs["dtype"]) == ("float32", "bfloat16")
        for a, b in (
            (effect(exact), effect(rough)),
            (exact.logit_diff_grad_drop, rough.logit_diff_grad_drop),
        ):
            a, b = np.nan_to_num(a), np.nan_to_num(b)
            assert not np.array_equal(a, b)
            assert np.abs(a - b).mean() < 0.03 * np.abs(a).mean()


def test_nothing_is_left_behind():
    model, task = random_model(), random_task()
    model.embed.W_E.requires_grad_(False)

    def fails(logits, some):
        raise RuntimeError("the user's own")

    with torch.inference_mode():
        inside = attribution_patch(model, random_task(), "z")
    np.testing.assert_array_equal(inside.logit_diff, attribution_patch(model, task, "z").logit_diff)
    with pytest.raises(RuntimeError, match="the user's own"):
        attribution_patch(model, task, "z", metric=fails)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name != "embed.W_E") and parameter.grad is None
    assert not any(module._forward_hooks for module in model.modules())


def test_patching_nothing_changes_nothing():
    model, task = random_model(), random_task()
    same = replace(task, corrupted_tokens=task.clean_tokens)
    for site in ("embed", "z", "k", "mlp_out"):
        fixes = ["grad_drop", "qk"] if site == "k" else ["grad_drop"]
        found = attribution_patch(model, same, site, fixes=fixes)
        for change in (effect(found), found.logit_diff_grad_drop):
            assert np.abs(change).max() < 1e-6


@pytest.mark.parametrize(
    ("site", "options", "message"),
    [
        ("resid", {}, "unknown site 'resid'; expected one of"),
        ("z", {"selection": Selection(over=("head",))}, "one layer at a time"),
        ("z", {"fixes": ["qk"]}, "'qk' is for queries and keys"),
        ("z", {"metric": "rank"}, "'rank' jumps"),
        ("z", {"metric": "accuracy"}, "'accuracy' jumps"),
        ("z", {"metric": "kl_divergence", "direction": "noising"}, "every estimate, is zero"),
        ("z", {"metric": lambda logits, task: logits[:, 0].round().detach()}, "has no gradient"),
        (
            "z",
            {"dtype": torch.float16},
            "expected dtype torch.bfloat16 or the .* torch.float32, got",
        ),
    ],
)
def test_what_cannot_be_estimated_is_refused(site, options, message):
    with pytest.raises(ValueError, match=message):
        attribution_patch(random_model(), random_task(), site, **options)


def test_a_fix_that_there_is_not_is_refused():
    with pytest.raises((ValueError, TypeError), match="typo"):  # whichever looks first
        attribution_patch(random_model(), random_task(), "z", fixes=["typo"])


def test_models_without_gradients_or_layers_to_drop_are_refused():
    with torch.inference_mode():
        model = random_model()
    with pytest.raises(ValueError, match="made inside torch.inference_mode"):
        attribution_patch(model, random_task(), "z")
    with pytest.raises(ValueError, match="needs a model of two layers"):
        attribution_patch(random_model(n_layers=1), random_task(), "z", fixes=["grad_drop"])
