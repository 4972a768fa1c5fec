"""What the caller asks for wins over the ablation in which it runs, at every site and layer.

The twin is a plain run with hooks: those of the ablation first, those of the caller after them.
"""

import itertools

import numpy as np
import pytest
import torch

from interp.parts import MLP, Head, Neuron, Node, as_node
from interp.patching import (
    Ablation,
    Receivers,
    Selection,
    ablate,
    attribution_patch,
    effect,
    patch,
    path_patch,
    screen,
)
from interp.runs.sites import SITES
from tests.helpers import apart, make_runs_small, on_sample, random_model, random_task
from tests.naive import ablation as twin
from tests.naive import patching as naive

GONE = ["0.1", "1.1", "2.1", "m0.3", "m1.3", "m2.3", "m0@END", "m2@S2", "1.2@S2"]
UNIT = {"head": 1, "neuron": 3, "": None}


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch):
    make_runs_small(monkeypatch)


def gone_hooks(model, task, i, ablation):
    nodes, at = ablation.nodes(model), ablation.positions
    return twin.hooks(model, task, i, nodes, ablation.value, positions=at, by_position=True)


def one_unit(site, **more):
    """A selection of one unit of a site, the one that is ablated."""
    unit = SITES[site].unit
    return Selection(**{f"{unit}s": [UNIT[unit]]} if unit else {}, **more)


@pytest.fixture(scope="module")
def model_and_task():
    return random_model(), apart(random_task(4))


@pytest.mark.parametrize(
    ("site", "layer", "positions"),
    [  # every two of the three meet; where the ablation may be at the same site, all three
        (site, layer, positions)
        for i, site in enumerate(site for site in SITES if site != "pattern")
        for layer in range(3)
        for j, positions in enumerate([None, ["END"], ["S2"]])
        if site in ("z", "mlp_post", "mlp_out") or (i + layer + j) % 3 == 0
    ],
)
@torch.inference_mode()
def test_ablate_in_an_ablation(site, layer, positions, model_and_task):
    model, task = model_and_task
    gone = Ablation(GONE, value="group mean")
    over = Selection(over=(), layers=[layer], positions=positions)
    chosen = one_unit(site, over=(), layers=[layer], positions=positions)
    found = ablate(model, task, site, chosen, value="zero", ablation=gone).logit_diff
    assert over.layers == chosen.layers
    name, changed = naive.hook_name(site, layer), False
    for i in range(len(task)):
        before = gone_hooks(model, task, i, gone)
        asked = []
        for pos in range(int(task.lengths[i])) if positions is None else positions:
            at = int(task.positions[pos][i]) if isinstance(pos, str) else pos
            index = naive.index_of(site, UNIT[SITES[site].unit], at)
            new = torch.zeros_like(twin.cache_of(model, task, i, "clean")[name])
            asked.append(naive.replace(name, new, index))
        expected = twin.difference(model, task, i, [*before, *asked])
        assert float(found[i]) == pytest.approx(expected, abs=2e-5)
        if not changed:
            other_way = twin.difference(model, task, i, [*asked, *before])
            changed = abs(other_way - expected) > 1e-3
    reads = layer < 2 or positions != ["S2"]  # else nothing reads it
    touched = (site in ("z", "mlp_post") and reads) or (
        site == "mlp_out" and (layer, positions) in ((0, None), (0, ["END"]), (2, None))
    )
    assert not touched or changed or (site, layer) in (("mlp_out", 2), ("mlp_post", 0))


@pytest.mark.parametrize("site", ["z", "mlp_post", "mlp_out"])
@torch.inference_mode()
def test_cells_over_several_layers_in_an_ablation(site):
    model, task = random_model(), apart(random_task(4))
    gone = Ablation([*GONE, "m1", "2.3"], value="zero")
    unit = UNIT[SITES[site].unit]
    for layers in ([0, 1], [0, 2], [1, 2], [0, 1, 2]):
        chosen = one_unit(site, over=(), layers=layers)
        found = ablate(model, task, site, chosen, value="mean", ablation=gone).logit_diff
        part = {"z": Head, "mlp_post": Neuron}.get(site)
        nodes = [Node(part(i, unit) if part else MLP(i)) for i in layers]
        for i in range(len(task)):
            before = gone_hooks(model, task, i, gone)
            asked = twin.hooks(model, task, i, nodes, "mean")
            expected = twin.difference(model, task, i, [*before, *asked])
            assert float(found[i]) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("site", SITES)
@torch.inference_mode()
def test_patch_in_an_ablation(site, direction):
    """Of both runs the same parts are gone; the patch is what the other one has."""
    model, task = random_model(), apart(random_task(3))
    gone = Ablation(GONE, value="resample", positions=["S2", 0, "END"])
    for chosen in (one_unit(site, over=["layer"]), one_unit(site, over=["layer", "role"])):
        found = patch(model, task, site, chosen, direction=direction, ablation=gone).logit_diff
        for i in range(len(task)):
            before = gone_hooks(model, task, i, gone)
            for layer in range(3):
                for role in ("S2", "END") if "role" in found.dims else (None,):
                    pos = None if role is None else int(task.positions[role][i])
                    with model.hooks(fwd_hooks=before):
                        expected = naive.patched(
                            model, task, i, site, layer, unit=UNIT[SITES[site].unit], pos=pos,
                            direction=direction,
                        )  # fmt: skip
                    got = found.sel(layer=layer, **{} if role is None else {"role": role})
                    assert float(got[i]) == pytest.approx(expected, abs=3e-5), (layer, role)


RECEIVERS = [
    Receivers(),
    Receivers("q", heads=["2.1", "1.1"], positions=["END"]),
    Receivers("k", heads=["1.1", "2.1"]),
    Receivers("v", heads=["2.1", "1.2"], positions=["S2"]),
    Receivers("mlp_in", layers=[0, 2]),
    Receivers("resid_pre", layers=[1, 2], positions=["S2", "END"]),
    Receivers("resid_mid", layers=[1]),
]


@pytest.mark.parametrize("mlps", ["recomputed", "frozen"])
@pytest.mark.parametrize("receivers", RECEIVERS, ids=str)
@torch.inference_mode()
def test_path_patch_in_an_ablation(receivers, mlps):
    """Heads, MLPs and single neurons are gone on the way, at senders, and at receivers."""
    model, task = random_model(), apart(random_task(2, (6, 4)))
    gone = Ablation([*GONE, "m1", "0.3"], value="zero", positions=["S2", 0, "END"])
    options = {"mlps": mlps, "ablation": gone}
    heads = path_patch(model, task, receivers, **options).logit_diff
    of_mlps = path_patch(model, task, receivers, site="mlp_out", **options).logit_diff
    embed = path_patch(model, task, receivers, site="embed", **options).logit_diff
    before = [gone_hooks(model, task, i, gone) for i in range(len(task))]

    def naively(site, layer, i, head=None):
        at = receivers.positions
        places = at and [int(task.positions[role][i]) for role in at]
        plain = (receivers.site, receivers.by_layer, places)
        with model.hooks(fwd_hooks=before[i]):
            return naive.path_patched(model, task, i, site, layer, plain, head=head, mlps=mlps)

    for found, expected in (
        on_sample(heads.values, (3, 4, 2), lambda n, h, i: naively("z", n, i, h)),
        on_sample(of_mlps.values, (3, 2), lambda n, i: naively("mlp_out", n, i)),
        on_sample(embed.values, (2,), lambda i: naively("embed", 0, i)),
    ):
        assert found == pytest.approx(expected, abs=3e-5)


@torch.inference_mode()
def test_neurons_that_are_gone_stay_gone_on_the_way():
    """On recomputed paths the MLPs between lack them; on frozen ones they say what they said."""
    model, task = random_model(), apart(random_task(3))
    some = [Node(Neuron(1, n)) for n in range(0, 64, 2)]
    gone, into = Ablation(some, value="mean"), Receivers("q", heads=["2.0", "2.3"])
    for mlps in ("recomputed", "frozen"):
        found = path_patch(model, task, into, Selection(layers=[0]), mlps=mlps, ablation=gone)
        whole = path_patch(model, task, into, Selection(layers=[0]), mlps=mlps)
        assert float(abs(effect(found) - effect(whole)).max()) > 1e-3
        for i, head in itertools.product(range(len(task)), range(4)):
            with model.hooks(fwd_hooks=gone_hooks(model, task, i, gone)):
                expected = naive.path_patched(
                    model, task, i, "z", 0, ("q", into.by_layer, None), head=head, mlps=mlps
                )
            assert float(found.logit_diff[0, head, i]) == pytest.approx(expected, abs=3e-5)


@pytest.mark.parametrize("technique", [patch, ablate, path_patch, attribution_patch, screen])
def test_the_result_names_what_the_ablation_touches_too(technique):
    model, task = random_model(), apart(random_task(3))

    def named(site, selection, *gone):
        args = (site,) if technique is not path_patch else ()
        more = {} if technique is not path_patch else {"site": site}
        ablation = Ablation(gone, value="zero", positions=["END"])
        found = technique(model, task, *args, selection=selection, ablation=ablation, **more)
        return found.attrs.get("also_ablated")

    assert named("z", Selection(), "1.2", "m1") == "1.2"
    assert named("z", Selection(positions=["END"]), "1.2", "2.0", "m0.3") == "1.2 2.0"
    assert named("z", Selection(positions=["S2"]), "1.2") is None  # other places
    assert named("z", Selection(positions=["S2"]), "1.2@S2", "1.3") == "1.2"
    assert named("z", Selection(heads=[0, 1]), "1.2") is None  # other units
    assert named("z", Selection(layers=[0, 2]), "1.2") is None
    assert named("mlp_out", Selection(), "m1", "0.1") == "m1"
    assert named("mlp_out", Selection(), "m0", "m2", "m1.3") == "m0 m1.3 m2"
    if technique is path_patch:
        return
    assert named("mlp_post", Selection(neurons=[3, 5]), "m1.3", "m2.4") == "m1.3"
    assert named("mlp_post", Selection(neurons=[3]), "m1", "1.2") == "m1"
    assert named("q", Selection(heads=[2]), "1.2", "0.1") == "1.2"
    assert named("attn_out", Selection(["layer"], positions=["END"]), "1.2", "1.3") == "1.2 1.3"
    at_end = {"over": ["layer"], "positions": ["END"]}
    for site, gone in (("attn_out", "1.2@S2"), ("mlp_post", "m1@S2"), ("mlp_out", "m1.3@S2")):
        assert named(site, Selection(**at_end), gone) is None
    if technique is not ablate:
        assert named("pattern", Selection(heads=[2]), "1.2", "0.1") == "1.2"


def test_sets_name_what_the_ablation_touches_too():
    model, task = random_model(), apart(random_task(3))
    gone = Ablation(["0.1@END", "1.2", "m1", "m0.3@S2"], value="zero")
    sets = {"a": ["0.1@S2", "m0.3@S2"], "b": ["1.2@END", "m1.7", "m2"]}
    found = ablate(model, task, sets, ablation=gone)
    assert found.attrs["also_ablated"] == "m0.3 1.2 m1"
    apart_ = ablate(model, task, {"a": ["0.1@S2", "m0.3@END", "0.2"]}, ablation=gone)
    assert "also_ablated" not in apart_.attrs
    alone = ablate(model, task, sets)
    assert "also_ablated" not in alone.attrs


@torch.inference_mode()
def test_an_ablation_over_itself_changes_nothing():
    model, task = random_model(), apart(random_task(4))
    gone = Ablation(["0.1", "m1@END", "m2.3"], value="mean")
    same = ablate(model, task, {"same": ["0.1", "m1@END", "m2.3"]}, ablation=gone)
    np.testing.assert_array_equal(same.logit_diff[0], same.logit_diff_clean)
    assert same.attrs["also_ablated"] == "0.1 m1 m2.3"
    nodes = [as_node(one) for one in ("0.1", "m1@END", "m2.3")]
    plain = ablate(model, task, {"same": nodes})
    np.testing.assert_allclose(same.logit_diff, plain.logit_diff, atol=1e-5)
