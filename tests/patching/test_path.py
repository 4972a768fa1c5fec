"""Path patching against the paper's three hooked runs, and laws."""

import numpy as np
import pytest
import torch

from interp.patching import Ablation, Receivers, Selection, ablate, effect, path_patch
from tests.helpers import random_model, random_task
from tests.naive import patching as naive

RECEIVERS = [
    Receivers(),
    Receivers("q", heads=[(2, 1), (1, 0), (2, 3)], positions=["END"]),
    Receivers("q", heads=[(2, 1)]),
    Receivers("k", heads=[(1, 1), (2, 2)]),
    Receivers("v", heads=[(2, 0), (1, 3)], positions=["S2", 1]),
    Receivers("mlp_in", layers=[0, 2]),
    Receivers("resid_pre", layers=[1, 2], positions=["S2", 2]),
    Receivers("resid_mid", layers=[1]),
]


def close(found, expected):
    expected = np.asarray(expected)
    assert found.shape == expected.shape and expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(np.abs(expected).max(), 1), rtol=0)


def plain(receivers, task, i):
    """Receivers as the naive twin takes them: positions of prompt i."""
    length = int(task.lengths[i])
    if receivers.positions is None:
        return receivers.site, receivers.by_layer, None
    at = [int(task.positions[p][i]) if isinstance(p, str) else p for p in receivers.positions]
    return receivers.site, receivers.by_layer, [p for p in at if p < length]


@pytest.mark.parametrize("mlps", ["recomputed", "frozen"])
@pytest.mark.parametrize("receivers", RECEIVERS, ids=lambda r: f"{r.site} {r.positions}")
@torch.inference_mode()
def test_senders_of_every_kind_to_receivers_of_every_kind(receivers, mlps):
    model, task = random_model(), random_task(2, (6, 4))

    def twin(i, site, layer, **options):
        options |= {"mlps": mlps, "direction": direction}
        return naive.path_patched(model, task, i, site, layer, plain(receivers, task, i), **options)

    direction = "noising"
    heads = path_patch(model, task, receivers, mlps=mlps)
    assert heads.attrs["mlps"] == mlps and heads.logit_diff.dims == ("layer", "head", "prompt")
    close(
        heads.logit_diff.values,
        [[[twin(i, "z", n, head=h) for i in range(2)] for h in range(4)] for n in range(3)],
    )
    of_mlps = path_patch(model, task, receivers, site="mlp_out", mlps=mlps)
    close(of_mlps.logit_diff.values, [[twin(i, "mlp_out", n) for i in range(2)] for n in range(3)])
    direction = "denoising"
    of_tokens = path_patch(model, task, receivers, site="embed", mlps=mlps, direction=direction)
    close(of_tokens.logit_diff.values, [twin(i, "embed", 0) for i in range(2)])
    by_role = path_patch(
        model, task, receivers, Selection(over=("layer", "head", "role"), heads=[1, 2]),
        mlps=mlps, direction=direction,
    )  # fmt: skip
    close(
        by_role.logit_diff.values,
        [
            [[[twin(i, "z", n, head=h, pos=int(task.positions[r][i])) for i in range(2)]
              for r in ("S2", "END")] for h in (1, 2)]
            for n in range(3)
        ],
    )  # fmt: skip


@pytest.mark.parametrize("sizes", [{"n_layers": 1}, {"n_heads": 1}, {"n_layers": 1, "n_heads": 1}])
@torch.inference_mode()
def test_odd_shapes(sizes):
    model, task = random_model(**sizes), random_task(1, (1,))
    c = model.config
    for receivers in (Receivers(), Receivers("mlp_in", layers=[c.n_layers - 1])):
        found = path_patch(model, task, receivers).logit_diff.values
        expected = [
            [[naive.path_patched(
                model, task, 0, "z", n, plain(receivers, task, 0), head=h, mlps="recomputed"
            )] for h in range(c.n_heads)]
            for n in range(c.n_layers)
        ]  # fmt: skip
        np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)


@torch.inference_mode()
def test_what_no_path_leads_from_has_no_effect():
    model, task = random_model(), random_task(3, (6, 4))
    changed = effect(path_patch(model, task, Receivers("v", heads=[(1, 0)])))
    assert (changed.sel(layer=[1, 2]) == 0).all()
    assert (np.abs(changed.sel(layer=0)) > 1e-4).any()
    at_start = effect(path_patch(model, task, Receivers("k", heads=[(0, 2)])))
    assert (at_start == 0).all()


@torch.inference_mode()
def test_all_heads_at_once_with_frozen_mlps_are_the_whole_stream():
    """With heads, MLPs and embeddings all sent, the logits are those of the other run."""
    model, task = random_model(), random_task(3, (6, 4))
    none = path_patch(
        model, task, selection=Selection(over=(), layers=[2], heads=[0]), mlps="frozen"
    )
    assert none.logit_diff.dims == ("prompt",)
    # from the last layer's heads alone there is one path to the MLP and one past it
    through = path_patch(
        model, task, Receivers("mlp_in", layers=[2]), Selection(over=(), layers=[2])
    )
    past = path_patch(model, task, selection=Selection(over=(), layers=[2]), mlps="frozen")
    whole = path_patch(model, task, selection=Selection(over=(), layers=[2]))
    assert not np.allclose(through.logit_diff, whole.logit_diff, atol=1e-3)
    assert not np.allclose(past.logit_diff, whole.logit_diff, atol=1e-3)
    into_mid = path_patch(
        model, task, Receivers("resid_mid", layers=[2]), Selection(over=(), layers=[2])
    )
    close(into_mid.logit_diff.values, whole.logit_diff.values)


@torch.inference_mode()
def test_frozen_paths_add_up():
    """Past frozen heads and MLPs, what reaches the last stream is a sum over senders."""
    model, task = random_model(), random_task(4, (6, 5))

    def stream(logits, some):
        """A linear readout, past the last layer norm's scale."""
        normalized = torch.linalg.pinv(model.unembed.weight.double()) @ logits.double().T
        return (normalized - model.ln_final.b.double()[:, None]).T[:, 0].float()

    heads = effect(path_patch(model, task, mlps="frozen", metrics=stream), "stream")
    both = effect(
        path_patch(model, task, selection=Selection(over=()), mlps="frozen", metrics=stream),
        "stream",
    )
    assert heads.shape == (3, 4, 4) and both.shape == (4,)
    # the layer norm's scale bends the sum; without it, they would be equal
    assert np.corrcoef(heads.sum(("layer", "head")), both)[0, 1] > 0.9


@torch.inference_mode()
def test_in_a_knocked_out_model():
    model, task = random_model(), random_task(3, (6, 5))
    gone = Ablation(["1.2", "m1"], value="zero")
    found = path_patch(model, task, ablation=gone)
    names = (naive.hook_name("z", 1), naive.hook_name("mlp_out", 1))

    def erase(value, hook):
        value = value.clone()
        value[(slice(None), slice(None), 2) if hook.name == names[0] else ...] = 0
        return value

    with model.hooks(fwd_hooks=[(name, erase) for name in names]):
        for i in range(3):
            for layer in range(3):
                for head in range(4):
                    expected = naive.path_patched(
                        model, task, i, "z", layer, ("logits", {}, None), head=head,
                        mlps="recomputed",
                    )  # fmt: skip
                    value = float(found.logit_diff.sel(layer=layer, head=head)[i])
                    assert value == pytest.approx(expected, abs=3e-5)
    assert (effect(found).sel(layer=1, head=2) == 0).all()
    assert ablate(model, task, ablation=gone).logit_diff_clean.values == pytest.approx(
        found.logit_diff_clean.values, abs=1e-6
    )


@pytest.mark.parametrize(
    ("site", "options", "message"),
    [
        ("z", {"heads": [(0, 0)]}, "unknown receiver 'z'"),
        ("q", {}, "'q' needs heads"),
        ("q", {"heads": [(0, 0)], "layers": [1]}, "'q' takes no layers"),
        ("q", {"heads": [(0, 0), "0.0"]}, "head 0.0 is given twice"),
        ("mlp_in", {"layers": [1, 1]}, "layer 1 is given twice"),
        ("mlp_in", {"heads": [(0, 0)]}, "takes no heads"),
        ("logits", {"layers": [1]}, "takes no layers"),
    ],
)
def test_receivers_are_checked_when_they_are_made(site, options, message):
    with pytest.raises(ValueError, match=message):
        Receivers(site, **options)


@pytest.mark.parametrize(
    ("receivers", "selection", "message"),
    [
        (Receivers("q", heads=[(3, 0)]), Selection(), "no Head 3.0"),
        (Receivers("q", heads=[(0, 4)]), Selection(), "no Head 0.4"),
        (Receivers("mlp_in", layers=[3]), Selection(), "no MLP m3"),
        (Receivers("q", heads=[(1, 0)], positions=["S7"]), Selection(), "no role 'S7'"),
        (Receivers(), Selection(heads=[7]), "no head 7"),
    ],
)
def test_what_there_is_not_is_refused(receivers, selection, message):
    with pytest.raises(ValueError, match=message):
        path_patch(random_model(), random_task(), receivers, selection)
