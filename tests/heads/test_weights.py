"""OV, QK, composition and positions against whole matrices, TransformerLens and GPT-2's weights."""

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

import interp
from interp.heads import (
    composition_pairs,
    composition_scores,
    ov_directions,
    ov_matrices,
    position_similarity,
    position_spectrum,
    qk_directions,
    qk_matrices,
    random_composition,
    strongest_senders,
)
from interp.heads.positions import sinusoidal
from tests.heads.hand import INDUCTION, PREVIOUS, hand_set_model
from tests.helpers import pair, random_model
from tests.naive.heads import composition

INDUCTION_HEADS = ["5.1", "5.5", "6.9", "7.2", "7.10"]


@pytest.fixture(scope="module")
def gpt2(shared):
    """The real attention weights of GPT-2 small."""
    return interp.load_attention(shared / "gpt2-attention")


@pytest.fixture(scope="module")
def into_keys(gpt2):
    return composition_scores(gpt2, kinds=["k"])


def test_gpt2s_previous_token_head_feeds_its_induction_heads(into_keys):
    """4.11 is the strongest sender into their keys, with the layer norm folded."""
    senders = strongest_senders(into_keys).set_index("receiver")["sender"]
    assert {head: senders[head] for head in INDUCTION_HEADS} == dict.fromkeys(
        INDUCTION_HEADS, "4.11"
    )


def test_without_the_layer_norm_gpt2s_4_7_comes_before_it_into_7_2(gpt2):
    """The two are close; only what the layer norm lets through decides for 4.11."""
    raw = strongest_senders(composition_scores(gpt2, kinds=["k"], fold_layer_norm=False))
    raw = raw.set_index("receiver")
    assert raw["sender"]["7.2"] == "4.7"
    assert raw["runner_up"]["7.2"] == "4.11"
    assert set(raw["sender"][[head for head in INDUCTION_HEADS if head != "7.2"]]) == {"4.11"}


def test_gpt2s_position_embedding_is_smooth_and_slow(gpt2):
    learned = position_similarity(gpt2)["learned"].values
    assert learned.shape == (1024, 1024)
    neighbours, far = np.diag(learned, 1)[100:900], np.diag(learned, 300)
    assert neighbours.min() > 0.9 > far.mean()
    spectrum = position_spectrum(gpt2)["learned"]
    assert float(spectrum.sel(frequency=slice(1, 5)).sum()) > 0.5


@pytest.mark.parametrize("fold", [True, False])
def test_composition_is_that_of_whole_matrices(fold):
    model = random_model()
    weights = interp.AttentionWeights.of(model)
    weights = weights.folded() if fold else weights
    scores = composition_scores(model, fold_layer_norm=fold)
    assert scores.dims == ("kind", "sender_layer", "sender_head", "layer", "head")
    for kind in "qkv":
        for sender, receiver in (((0, 1), (1, 2)), ((0, 3), (2, 0)), ((1, 0), (2, 3))):
            found = scores.sel(
                kind=kind,
                sender_layer=sender[0],
                sender_head=sender[1],
                layer=receiver[0],
                head=receiver[1],
            )
            expected = composition(weights, kind, sender, receiver)
            assert float(found) == pytest.approx(expected, abs=1e-5)
    later = scores.sender_layer >= scores.layer
    assert bool((scores.isnull() == later).all())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fold", [True, False])
def test_composition_is_transformer_lenss(tmp_path, fold):
    _, ours = pair(tmp_path)
    theirs = TransformerBridge.boot_transformers(str(tmp_path), device="cpu")
    if fold:
        theirs.enable_compatibility_mode()
    with torch.inference_mode():
        for kind in "qkv":
            his = theirs.all_composition_scores(kind.upper()).scores
            mine = composition_scores(ours, kinds=[kind], fold_layer_norm=fold)[0].fillna(0)
            np.testing.assert_allclose(mine.values, his.numpy(), atol=1e-4)
    assert mine.max() > 0.1


def test_weights_analyses_do_not_change_with_weight_processing():
    model = random_model()
    simple = interp.process_weights(model)
    np.testing.assert_allclose(
        composition_scores(model).values, composition_scores(simple).values, atol=1e-5
    )
    assert not np.allclose(
        composition_scores(model, fold_layer_norm=False).values,
        composition_scores(model).values,
        atol=1e-3,
        equal_nan=True,
    )


def test_turned_at_random_the_mean_square_is_one_over_d_model():
    model = random_model()
    random = random_composition(model, samples=60, fold_layer_norm=False)
    assert random.dims[0] == "sample"
    mean_square = (random**2).mean(("sample", "sender_layer", "sender_head", "layer", "head"))
    np.testing.assert_allclose(mean_square.values, 1 / 32, rtol=0.05)
    again = random_composition(model, samples=2, seed=0, fold_layer_norm=False)
    assert again.equals(random[:2])
    assert not again.equals(random_composition(model, samples=2, seed=1, fold_layer_norm=False))


def test_pairs_are_ordered_by_what_is_above_chance():
    model = random_model()
    scores, random = composition_scores(model), random_composition(model)
    table = composition_pairs(scores, random=random, n=6)
    assert list(table.columns) == ["kind", "sender", "receiver", "score", "random", "excess"]
    assert len(table) == 6 and table["excess"].is_monotonic_decreasing
    first = table.iloc[0]
    assert first["excess"] == pytest.approx(first["score"] - first["random"])
    (layer, head), (to, of) = (first[side].split(".") for side in ("sender", "receiver"))
    cell = {"sender_layer": int(layer), "sender_head": int(head), "layer": int(to), "head": int(of)}
    assert first["score"] == float(scores.sel(kind=first["kind"], **cell))
    alone = composition_pairs(scores, n=3)
    assert alone["score"][0] == float(scores.max())


def test_strongest_senders():
    scores = composition_scores(random_model(n_layers=2))
    table = strongest_senders(scores)
    assert len(table) == 3 * 4  # kinds, and the heads of the second layer
    for _, row in table.iterrows():
        layer, head = map(int, row["receiver"].split("."))
        into = scores.sel(kind=row["kind"], layer=layer, head=head, sender_layer=0).values
        assert row["sender"] == f"0.{into.argmax()}" and row["score"] == into.max()
        assert row["runner_up"] == f"0.{into.argsort()[-2]}"
        assert row["runner_up_score"] == np.sort(into)[-2]
    lonely = strongest_senders(composition_scores(random_model(n_layers=2, n_heads=1)))
    assert lonely["sender"].tolist() == ["0.0"] * 3 and "runner_up" not in lonely


def test_products_are_the_models():
    model = random_model()
    ov, qk = (f(model, fold_layer_norm=False) for f in (ov_matrices, qk_matrices))
    assert ov.shape == qk.shape == (3, 4, 32, 32)
    torch.testing.assert_close(ov[1, 2].AB, model.W_V[1, 2] @ model.W_O[1, 2])
    torch.testing.assert_close(qk[1, 2].AB, model.W_Q[1, 2] @ model.W_K[1, 2].T)
    simple = interp.process_weights(model)
    x = torch.randn(32) - 1
    x = x - x.mean()
    folded = ov_matrices(model)[2, 0].AB
    torch.testing.assert_close(x @ folded, x @ simple.W_V[2, 0] @ simple.W_O[2, 0])


def test_directions_of_a_copying_head_read_what_they_write():
    model = hand_set_model()
    table = ov_directions(model, (0, PREVIOUS), n=3, k=2)
    assert list(table.columns) == ["direction", "singular_value", "sign", "reads", "writes"]
    assert table["sign"].tolist() == [1, -1] * 3
    assert (table["singular_value"].diff().fillna(0) <= 1e-6).all()
    assert all(
        reads[0] == writes[0] for reads, writes in zip(table.reads, table.writes, strict=True)
    )
    suppressed = ov_directions(model, (0, INDUCTION), n=1, k=8)
    assert suppressed.reads[0][0] == suppressed.writes[0][-1]


def test_directions_are_singular_vectors():
    model = random_model()
    table = qk_directions(model, "1.2", n=2, k=3)
    U, S, Vh = torch.linalg.svd(qk_matrices(model)[1, 2].AB)
    assert table["singular_value"][0] == pytest.approx(S[0].item(), rel=1e-4)
    for side, end in (("query", U[:, 0]), ("key", Vh[0])):
        along = model.W_E @ end
        both = {tuple(f"[{i}]" for i in (s * along).topk(3).indices.tolist()) for s in (1, -1)}
        assert {tuple(table[side][0]), tuple(table[side][1])} == both


def test_directions_need_a_head():
    with pytest.raises(ValueError, match="no Head 3.0"):
        ov_directions(random_model(), (3, 0))
    with pytest.raises(ValueError, match="d_head"):
        qk_directions(random_model(), "0.0", n=9)


def test_sinusoids_are_vaswanis():
    table = sinusoidal(50, 6)
    for pos, i in ((0, 0), (7, 1), (49, 2)):
        angle = pos / 10000 ** (2 * i / 6)
        assert table[pos, 2 * i].item() == pytest.approx(np.sin(angle), abs=1e-4)
        assert table[pos, 2 * i + 1].item() == pytest.approx(np.cos(angle), abs=1e-4)
    with pytest.raises(ValueError, match="even"):
        sinusoidal(4, 3)


def test_one_wave_has_one_frequency():
    model = random_model()
    with torch.no_grad():
        wave = torch.cos(2 * torch.pi * 3 * torch.arange(32) / 32)
        model.pos_embed.W_pos.copy_(wave[:, None] * torch.randn(32) + torch.randn(32))
    spectrum = position_spectrum(model)
    learned = spectrum["learned"]
    assert float(learned.sel(frequency=3)) == pytest.approx(1, abs=1e-5)
    assert float(learned.period.sel(frequency=3)) == pytest.approx(32 / 3)
    for part in spectrum.values():
        assert float(part.sum()) == pytest.approx(1, abs=1e-5)


def test_a_lone_impulse_has_every_frequency_alike_but_the_last():
    """White: each frequency stands for two terms of the transform, the highest for one."""
    model = random_model()
    with torch.no_grad():
        model.pos_embed.W_pos.zero_()[5] = 1
    learned = position_spectrum(model)["learned"].values
    np.testing.assert_allclose(learned, [2 / 31] * 15 + [1 / 31], atol=1e-5)


def test_similarity_is_a_cosine():
    model = random_model()
    found = position_similarity(model)
    a, b = model.W_pos[3], model.W_pos[10]
    expected = torch.nn.functional.cosine_similarity(a, b, dim=0).item()
    assert float(found["learned"].sel(pos=3, other=10)) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(np.diag(found["sinusoidal"]), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("kinds", "error", "message"),
    [
        (["x"], ValueError, "kinds among q, k, v"),
        ([], ValueError, "kinds is an empty list"),
        (["k", "k"], ValueError, "kind k is given twice"),
        ("k", TypeError, "kinds must be a list"),
    ],
)
def test_kinds_are_q_k_v(kinds, error, message):
    for scores in (composition_scores, random_composition):
        with pytest.raises(error, match=message):
            scores(random_model(), kinds=kinds)


def test_no_sample():
    with pytest.raises(ValueError, match="samples must be at least 1"):
        random_composition(random_model(), samples=0)


def test_tables_of_pairs_do_not_depend_on_the_order_of_dims_or_the_number_of_kinds():
    model = random_model()
    scores, random = composition_scores(model), random_composition(model)
    turned = scores.transpose("head", "layer", "kind", "sender_head", "sender_layer")
    back = random.transpose(*reversed(random.dims))
    assert composition_pairs(turned).equals(composition_pairs(scores))
    expected = composition_pairs(scores, random=random)
    assert composition_pairs(turned, random=back).equals(expected)
    assert strongest_senders(turned).equals(strongest_senders(scores))
    keys = scores.sel(kind="k")
    every = strongest_senders(scores)
    alone = strongest_senders(keys)
    assert alone.equals(every[every.kind == "k"].reset_index(drop=True))
    pairs = composition_pairs(keys, random=random.sel(kind="k"), n=5)
    whole = composition_pairs(scores.sel(kind=["k"]), random=random, n=5)
    assert pairs.equals(whole)


def test_what_are_no_scores_of_pairs():
    scores, random = composition_scores(random_model()), random_composition(random_model())
    for wrong in (random, scores.mean("head"), scores.drop_vars("kind")):
        for table in (composition_pairs, strongest_senders):
            with pytest.raises(ValueError, match="scores of composition_scores"):
                table(wrong)
    with pytest.raises(ValueError, match="no scores of kind 'q'"):
        composition_pairs(scores, random=random.sel(kind=["k", "v"]))
    with pytest.raises(ValueError, match="n must be at least 1"):
        composition_pairs(scores, n=0)
