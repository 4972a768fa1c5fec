"""Path patching against the paper's three hooked runs, and laws."""

import numpy as np
import pytest
import torch

import interp.patching.path as module
from interp.patching import Ablation, Receivers, Selection, ablate, effect, patch, path_patch
from tests.helpers import on_sample, random_model, random_task
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
    of_head = on_sample(heads.logit_diff.values, (3, 4, 2), lambda n, h, i: twin(i, "z", n, head=h))
    close(*of_head)
    of_mlps = path_patch(model, task, receivers, site="mlp_out", mlps=mlps)
    close(of_mlps.logit_diff.values, [[twin(i, "mlp_out", n) for i in range(2)] for n in range(3)])
    direction = "denoising"
    of_tokens = path_patch(model, task, receivers, site="embed", mlps=mlps, direction=direction)
    close(of_tokens.logit_diff.values, [twin(i, "embed", 0) for i in range(2)])
    by_role = path_patch(
        model, task, receivers, Selection(over=("layer", "head", "role"), heads=[1, 2]),
        mlps=mlps, direction=direction,
    )  # fmt: skip

    def at_role(n, h, r, i):
        at = int(task.positions[("S2", "END")[r]][i])
        return twin(i, "z", n, head=(1, 2)[h], pos=at)

    close(*on_sample(by_role.logit_diff.values, (3, 2, 2, 2), at_role))


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
def test_what_the_last_layers_heads_say_passes_through_its_mlp_and_past_it():
    """Sent together into resid_mid they reach the logits as in the whole model."""
    model, task = random_model(), random_task(3, (6, 4))
    last = Selection(over=(), layers=[2])
    through = path_patch(model, task, Receivers("mlp_in", layers=[2]), last)
    past = path_patch(model, task, "logits", last, mlps="frozen")
    whole = path_patch(model, task, "logits", last)
    assert whole.logit_diff.dims == ("prompt",)
    for one in (through, past):
        assert not np.allclose(one.logit_diff, whole.logit_diff, atol=1e-3)
    into_mid = path_patch(model, task, Receivers("resid_mid", layers=[2]), last)
    close(into_mid.logit_diff.values, whole.logit_diff.values)
    patched = patch(model, task, "z", last, direction="noising")
    close(patched.logit_diff.values, whole.logit_diff.values)


def without_last_norm():
    """A model whose logits are linear in the last stream, and a readout of one logit."""
    model = random_model()
    model.ln_final.unhooked = lambda x: x
    return model, {"logit": lambda logits, some: logits[:, 7]}


@pytest.mark.parametrize("direction", ["noising", "denoising"])
@torch.inference_mode()
def test_frozen_paths_add_up(direction):
    """Past frozen heads and MLPs the last stream is a sum of what is sent: all senders one by one
    change it as they do together, and together they make the other run's stream of this one.
    """
    model, metrics = without_last_norm()
    task = random_task(4, (6, 5))
    options = {"mlps": "frozen", "direction": direction, "metrics": metrics}
    found = {
        site: path_patch(model, task, "logits", site=site, **options)
        for site in ("z", "mlp_out", "embed")
    }
    total = 0
    for site, one_by_one in found.items():
        together = effect(
            path_patch(model, task, "logits", Selection(over=()), site=site, **options)
        )
        one_by_one = effect(one_by_one)
        summed = one_by_one.sum([dim for dim in one_by_one.dims if dim != "prompt"])
        close(summed.values, together.values)
        total = total + together
    runs = found["z"]
    whole = (runs.logit_corrupted - runs.logit_clean) * (1 if direction == "noising" else -1)
    close(total.values, whole.values)


@pytest.mark.parametrize(
    "receivers",
    [
        Receivers("resid_pre", layers=[2]),
        Receivers("resid_pre", layers=[1, 2], positions=["S2"]),
        Receivers("resid_mid", layers=[1]),
        Receivers("mlp_in", layers=[2], positions=["END"]),
    ],
    ids=str,
)
@torch.inference_mode()
def test_what_is_received_past_frozen_paths_is_a_sum_over_senders(receivers):
    """Before anything that is not linear: of any weights, at every receiver and position."""
    model, task = random_model(), random_task(4, (6, 5))
    got = {}

    class Noted(module.Paths):
        def receive(self, run, jobs, received, sent_rows, sent):
            for layer, values in sent.items():
                base = sent_rows.of(run.kept[self.receivers.site, layer])[: len(values)]
                for at, change in enumerate(values - base):
                    key = (layer, int(run.prompts[sent_rows.prompt[at]]), int(sent_rows.pos[at]))
                    got[key] = got.get(key, 0) + change
            return super().receive(run, jobs, received, sent_rows, sent)

    def received(selection, site="z"):
        got.clear()
        path_patch(model, task, receivers, selection, site=site, mlps="frozen")
        return dict(got)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "Paths", Noted)
        for site in ("z", "mlp_out"):
            one_by_one, together = received(Selection(), site), received(Selection(over=()), site)
            assert together.keys() == one_by_one.keys() and len(together) >= 4
            for key, change in together.items():
                torch.testing.assert_close(one_by_one[key], change, atol=1e-5, rtol=1e-4)
                assert change.abs().max() > 1e-3


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

        def twin(layer, head, i):
            to = ("logits", {}, None)
            return naive.path_patched(model, task, i, "z", layer, to, head=head, mlps="recomputed")

        values, expected = on_sample(found.logit_diff.values, (3, 4, 3), twin)
        assert values == pytest.approx(expected, abs=3e-5)
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
