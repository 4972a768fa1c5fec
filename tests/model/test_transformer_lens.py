"""HookedGPT2 against TransformerLens: the same activations, and its tools run on our model."""

import pytest
import torch
from transformer_lens import ActivationCache, head_detector, patching
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_protocol import TransformerLensModel, TransformerLensModelWithWeights
from transformers import AutoTokenizer

import interp
from tests.helpers import hugging_face_gpt2, random_model

# The bridge warns about itself; nothing here is about our code.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def directory(tmp_path_factory, shared):
    path = tmp_path_factory.mktemp("checkpoint")
    hugging_face_gpt2(vocab_size=50257, bos_token_id=50256, eos_token_id=50256).save_pretrained(
        path
    )
    AutoTokenizer.from_pretrained(shared / "gpt2-tokenizer").save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def ours(directory):
    return interp.load(directory)


def bridge(directory):
    return TransformerBridge.boot_transformers(str(directory), device="cpu")


@pytest.fixture
def tokens():
    return torch.randint(0, 50257, (3, 10), generator=torch.Generator().manual_seed(1))


def compare_caches(ours, theirs, tokens):
    logits, cache = ours.run_with_cache(tokens, names_filter=lambda name: True)
    their_logits, their_cache = theirs.run_with_cache(tokens)
    torch.testing.assert_close(
        logits.log_softmax(-1), their_logits.log_softmax(-1), atol=1e-4, rtol=0
    )
    common = cache.keys() & their_cache.keys()
    assert len(common) == 4 + 17 * 3, sorted(common)  # all but result, q/k/v inputs and mlp_in
    for name in common:
        mine, his = cache[name], their_cache[name]
        if name.endswith("attn_scores"):  # masked: -inf here, the lowest float in the raw bridge
            his = his.masked_fill(his <= torch.finfo(his.dtype).min, -torch.inf)
        torch.testing.assert_close(mine, his.expand_as(mine), atol=1e-4, rtol=0, msg=name)


def test_activations_are_the_raw_bridges(directory, ours, tokens):
    with torch.inference_mode():
        compare_caches(ours, bridge(directory), tokens)


def test_processed_activations_are_the_bridges_in_compatibility_mode(directory, ours, tokens):
    theirs = bridge(directory)
    theirs.enable_compatibility_mode()
    with torch.inference_mode():
        compare_caches(interp.process_weights(ours), theirs, tokens)


def test_protocol():
    model = random_model()
    assert isinstance(model, TransformerLensModel)
    assert isinstance(model, TransformerLensModelWithWeights)
    assert (model.cfg.n_layers, model.cfg.d_head, model.cfg.device) == (3, 8, "cpu")


def test_activation_cache_decomposes_the_stream(ours, tokens):
    _, cache = ours.run_with_cache(tokens)
    assert isinstance(cache, ActivationCache)
    accumulated, labels = cache.accumulated_resid(apply_ln=False, return_labels=True)
    assert labels == ["0_pre", "1_pre", "2_pre", "final_post"]
    torch.testing.assert_close(accumulated[-1], cache["resid_post", 2])
    torch.testing.assert_close(
        cache.decompose_resid().sum(0), cache["resid_post", 2], atol=1e-4, rtol=1e-4
    )
    heads = cache.stack_head_results()  # layer*head batch pos d
    attn_out = sum(cache["attn_out", layer] for layer in range(3))
    torch.testing.assert_close(heads.sum(0) + ours.b_O.sum(0), attn_out, atol=1e-4, rtol=1e-4)
    whole = cache.get_full_resid_decomposition(expand_neurons=False).sum(0)
    torch.testing.assert_close(whole, cache["resid_post", 2], atol=1e-4, rtol=1e-4)


def test_logit_attributions_sum_to_the_logit_difference(ours, tokens):
    simple = interp.process_weights(ours)  # layer norm folded: W_U is what logit_attrs multiplies
    logits, cache = simple.run_with_cache(tokens)
    answer, foil = tokens[:, 0], tokens[:, 1]
    parts = cache.logit_attrs(cache.decompose_resid(), answer, foil)[..., -1]  # part batch
    rows = torch.arange(3)
    expected = logits[rows, -1, answer] - logits[rows, -1, foil]
    bias = simple.b_U[answer] - simple.b_U[foil]
    torch.testing.assert_close(parts.sum(0) + bias, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    "sweep",
    [
        patching.get_act_patch_resid_pre,
        patching.get_act_patch_attn_head_out_all_pos,
        patching.get_act_patch_attn_head_q_all_pos,
        patching.get_act_patch_attn_head_pattern_all_pos,
        patching.get_act_patch_mlp_out,
    ],
)
def test_patching_gives_the_bridges_numbers(directory, ours, tokens, sweep):
    corrupted, theirs = tokens.roll(1, 0), bridge(directory)

    def metric(logits):
        return (logits[:, -1, 100] - logits[:, -1, 200]).mean()

    results = []
    with torch.inference_mode():
        for model in (ours, theirs):
            _, cache = model.run_with_cache(tokens)
            results.append(sweep(model, corrupted, cache, metric))
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)
    assert results[0].abs().max() > 0.01


def test_direct_path_patching_gives_the_bridges_numbers(directory, ours, tokens):
    corrupted = tokens.roll(1, 0)

    def metric(logits):
        return (logits[:, -1, 100] - logits[:, -1, 200]).mean()

    results = []
    with torch.inference_mode():
        for model in (ours, bridge(directory)):
            caches = [model.run_with_cache(t)[1] for t in (tokens, corrupted)]
            results.append(
                patching.get_act_patch_direct_path(
                    model, corrupted, *caches, metric, src_layer=0, src_head=1, verbose=False
                )
            )
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)
    assert results[0].abs().max() > 0.01


@pytest.mark.parametrize(
    "pattern", ["previous_token_head", "duplicate_token_head", "induction_head"]
)
def test_head_detector_gives_the_bridges_scores(directory, ours, pattern):
    text = "one two three one two three one two three"
    with torch.inference_mode():
        mine = head_detector.detect_head(ours, text, pattern)
        theirs = bridge(directory)
        theirs.cfg.default_prepend_bos = False
        his = head_detector.detect_head(theirs, text, pattern)
    torch.testing.assert_close(mine, his, atol=1e-5, rtol=0)
    assert mine.abs().max() > 0
