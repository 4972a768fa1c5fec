"""HookedGPT2 against transformers' GPT-2 and against its own laws.

The file is longer than most: one model, with a law for each thing that a run can do.
"""

import pytest
import torch

import interp
from tests.helpers import pair, random_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return pair(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def tokens():
    return torch.randint(0, 50, (4, 12), generator=torch.Generator().manual_seed(1))


def log_probs(logits):
    return logits.log_softmax(-1)


def test_log_probabilities_are_hugging_faces(models, tokens):
    theirs, ours = models
    torch.testing.assert_close(
        log_probs(ours(tokens)), log_probs(theirs(tokens).logits), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("act_fn", ["gelu_new", "gelu", "relu"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_activation_and_unembedding(tmp_path, tokens, act_fn, tied):
    theirs, ours = pair(tmp_path, activation_function=act_fn, tie_word_embeddings=tied)
    assert ours.config.tied == tied
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [{"n_layer": 1}, {"n_head": 1}, {"n_inner": 24}])
def test_odd_shapes(tmp_path, tokens, sizes):
    theirs, ours = pair(tmp_path, **sizes)
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(
        ours(tokens[:1, :1]), theirs(tokens[:1, :1]).logits, atol=2e-5, rtol=1e-5
    )


def test_log_probabilities_at_gpt2_small_size(tmp_path, shared):
    sizes = {"n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50257, "n_positions": 1024}
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    theirs = GPT2LMHeadModel(GPT2Config(**sizes)).eval()
    theirs.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(shared / "gpt2-tokenizer").save_pretrained(tmp_path)
    ours = interp.load(tmp_path)
    text = "Yesterday Anna and Tom met at the market, and Tom handed a book to"
    with torch.inference_mode():
        expected = theirs(ours.to_tokens(text)).logits
        torch.testing.assert_close(log_probs(ours(text)), log_probs(expected), atol=2e-5, rtol=0)


def test_log_probabilities_on_mini():
    from transformers import AutoModelForCausalLM

    from interp.model.hub import locate

    ours = interp.load("mini")
    theirs = AutoModelForCausalLM.from_pretrained(locate("mini")).eval()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, ours.config.d_vocab, (8, 64), generator=generator)
    prompts = interp.tasks.ioi(ours.tokenizer, 100, seed=0)
    with torch.inference_mode():
        for batch in (
            tokens,
            *(prompts.clean_tokens[i : i + 1, :n] for i, n in enumerate(prompts.lengths)),
        ):
            expected = log_probs(theirs(batch).logits)
            torch.testing.assert_close(log_probs(ours(batch)), expected, atol=2e-5, rtol=0)


def test_gelu_is_the_same_function_in_both_forms():
    mlp = interp.load("mini").blocks[0].mlp
    x = torch.linspace(-8, 8, 1001)
    torch.testing.assert_close(mlp.fused_act(x), mlp.act(x), atol=1e-6, rtol=1e-6)
    assert (mlp.fused_act(x) != mlp.act(x)).any()  # they round apart


def test_gradients_are_hugging_faces(models, tokens):
    theirs, ours = models
    theirs.zero_grad()
    ours.zero_grad()
    loss = theirs(tokens, labels=tokens).loss
    loss.backward()
    our_loss = ours(tokens, return_type="loss")
    our_loss.backward()
    torch.testing.assert_close(our_loss, loss, atol=1e-5, rtol=1e-5)
    grads = {name: p.grad for name, p in theirs.transformer.named_parameters()}
    compared = {
        "embed.W_E": "wte.weight",
        "pos_embed.W_pos": "wpe.weight",
        "ln_final.b": "ln_f.bias",
        "blocks.1.ln1.w": "h.1.ln_1.weight",
        "blocks.1.attn.W_QKV": "h.1.attn.c_attn.weight",
        "blocks.2.attn.b_QKV": "h.2.attn.c_attn.bias",
        "blocks.0.attn.W_O": "h.0.attn.c_proj.weight",
        "blocks.0.mlp.W_in": "h.0.mlp.c_fc.weight",
        "blocks.2.mlp.W_out": "h.2.mlp.c_proj.weight",
    }
    for mine, his in compared.items():
        grad = ours.get_parameter(mine).grad
        torch.testing.assert_close(grad.reshape(grads[his].shape), grads[his], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_padding_changes_nothing(tokens, side):
    model = random_model()
    start, stop = {"left": (5, 12), "right": (0, 8), "both": (3, 9)}[side]
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[1, start:stop] = True
    mask[[0, 2, 3]] = True
    alone = model(tokens[1:2, start:stop])[0]
    _, cache = model.run_with_cache(tokens, mask)
    for logits in (model(tokens, mask), model(tokens, mask.long())):  # fused attention
        torch.testing.assert_close(logits[1, start:stop], alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits[[0, 2]], model(tokens)[[0, 2]], atol=1e-5, rtol=1e-5)
    pattern = cache["pattern", 2][1, :, start:stop]  # attention step by step
    assert pattern[..., :start].abs().max() == 0 if start else True
    torch.testing.assert_close(pattern.sum(-1), torch.ones(4, stop - start))


def test_padded_rows_hold_no_nan(tokens):
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[0, :6] = False
    _, cache = random_model().run_with_cache(tokens, mask)
    for name, value in cache.items():
        assert name.endswith("attn_scores") or value.isfinite().all(), name


def test_watching_changes_nothing(models, tokens):
    _, ours = models
    watched, _ = ours.run_with_cache(tokens, names_filter=lambda name: True)
    torch.testing.assert_close(watched, ours(tokens), atol=1e-5, rtol=1e-5)


def test_unasked_points_do_not_run(tokens):
    model = random_model()
    ran = []
    for name, point in model.hook_dict.items():
        point.register_forward_pre_hook(lambda module, args, name=name: ran.append(name))
    model(tokens)
    expensive = ("scores", "pattern", "result", "q_input", "k_input", "v_input")
    assert not [name for name in ran if name.endswith(expensive)]
    assert "blocks.1.attn.hook_z" in ran


def test_cache_leaves_out_per_head_results_unless_named(tokens):
    model = random_model()
    _, cache = model.run_with_cache(tokens)
    assert not [name for name in cache.keys() if name.endswith("result")]  # noqa: SIM118
    _, cache = model.run_with_cache(tokens, names_filter="blocks.1.attn.hook_result")
    assert cache["result", 1].shape == (4, 12, 4, 32)


def test_activations_add_up(tokens):
    model = random_model()
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: True)
    resid = cache["hook_embed"] + cache["hook_pos_embed"]
    for layer in range(3):
        torch.testing.assert_close(cache["resid_pre", layer], resid, atol=1e-5, rtol=1e-5)
        heads = cache["result", layer].sum(-2) + model.b_O[layer]
        torch.testing.assert_close(cache["attn_out", layer], heads, atol=1e-5, rtol=1e-5)
        resid = resid + cache["attn_out", layer] + cache["mlp_out", layer]
        torch.testing.assert_close(cache["resid_post", layer], resid, atol=1e-5, rtol=1e-5)
        z = torch.einsum("bhqk,bkhd->bqhd", cache["pattern", layer], cache["v", layer])
        torch.testing.assert_close(cache["z", layer], z, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            cache[f"blocks.{layer}.attn.hook_attn_scores"].softmax(-1),
            cache["pattern", layer],
        )


@pytest.mark.parametrize("letter", "qkv")
def test_per_head_inputs_feed_one_head_each(tokens, letter):
    model = random_model()
    clean = model.run_with_cache(tokens)[1]

    def push(per_head, hook):
        per_head = per_head.clone()
        per_head[:, :, 2] += torch.randn_like(per_head[:, :, 2])
        return per_head

    with model.hooks([(f"blocks.1.hook_{letter}_input", push)]):
        pushed = model.run_with_cache(tokens)[1]
    change = (pushed[letter, 1] - clean[letter, 1]).abs().amax((0, 1, 3))
    assert change[2] > 0.1
    assert change[[0, 1, 3]].max() < 1e-5
    for other in set("qkv") - {letter}:
        torch.testing.assert_close(pushed[other, 1], clean[other, 1])


def test_per_head_inputs_left_alone_change_nothing(tokens):
    model = random_model()
    names = [f"blocks.{i}.hook_{x}_input" for i in range(3) for x in "qkv"]
    logits = model.run_with_hooks(tokens, fwd_hooks=[(name, lambda x, hook: x) for name in names])
    torch.testing.assert_close(logits, model(tokens), atol=1e-5, rtol=1e-5)


def test_weight_views_compute_the_heads(tokens):
    model = random_model()
    _, cache = model.run_with_cache(tokens)
    block = model.blocks[1]
    x = cache["normalized", 1, "ln1"] * block.ln1.w + block.ln1.b
    q = torch.einsum("bpd,hdk->bphk", x, model.W_Q[1]) + model.b_Q[1]
    v = torch.einsum("bpd,hdk->bphk", x, model.W_V[1]) + model.b_V[1]
    torch.testing.assert_close(cache["q", 1], q, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cache["v", 1], v, atol=1e-5, rtol=1e-5)
    attn_out = torch.einsum("bphk,hkd->bpd", cache["z", 1], model.W_O[1]) + model.b_O[1]
    torch.testing.assert_close(cache["attn_out", 1], attn_out, atol=1e-5, rtol=1e-5)
    mlp_out = cache["post", 1] @ model.W_out[1] + model.b_out[1]
    torch.testing.assert_close(cache["mlp_out", 1], mlp_out, atol=1e-5, rtol=1e-5)
    shapes = {"W_Q": (3, 4, 32, 8), "W_K": (3, 4, 32, 8), "W_O": (3, 4, 8, 32), "b_K": (3, 4, 8)}
    shapes |= {"W_in": (3, 32, 64), "W_out": (3, 64, 32), "b_in": (3, 64), "b_out": (3, 32)}
    shapes |= {"W_E": (50, 32), "W_pos": (32, 32), "W_U": (32, 50), "b_U": (50,)}
    assert {name: tuple(getattr(model, name).shape) for name in shapes} == shapes


def test_head_weights_are_views():
    attn = random_model().blocks[0].attn
    assert attn.W_Q.untyped_storage().data_ptr() == attn.W_QKV.untyped_storage().data_ptr()


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_stop_and_start_meet(tokens, layer):
    model = random_model()
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[0, :4] = False
    resid = model(tokens, mask, stop_at_layer=layer)
    resumed = model(resid, mask, start_at_layer=layer)
    torch.testing.assert_close(resumed[mask], model(tokens, mask)[mask], atol=1e-5, rtol=1e-5)


def test_start_at_layer_skips_the_earlier_blocks(tokens):
    model = random_model()
    resid = model(tokens, stop_at_layer=2)
    ran = []
    model.run_with_hooks(
        resid,
        start_at_layer=2,
        fwd_hooks=[(lambda name: True, lambda x, hook: ran.append(hook.name))],
    )
    assert ran
    assert all(name.startswith(("blocks.2.", "ln_final")) for name in ran)


def test_past_keys_and_values_continue_the_run(tokens):
    model = random_model()
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[1, :3] = False
    whole = model(tokens, mask)
    past = interp.KeyValueCache()
    parts = [model(tokens[:, :5], mask[:, :5], past=past)]
    parts += [model(tokens[:, i : i + 1], mask[:, : i + 1], past=past) for i in range(5, 12)]
    assert past.length == 12
    torch.testing.assert_close(torch.cat(parts, 1)[mask], whole[mask], atol=1e-5, rtol=1e-5)


def test_backward_hooks_see_gradients(tokens):
    model = random_model()
    seen = {}
    with model.hooks(bwd_hooks=[("blocks.1.hook_resid_mid", lambda g, hook: seen.update(g=g))]):
        model(tokens, return_type="loss").backward()
    shift = torch.zeros(4, 12, 32, requires_grad=True)
    model.run_with_hooks(
        tokens,
        return_type="loss",
        fwd_hooks=[("blocks.1.hook_resid_mid", lambda x, hook: x + shift)],
    ).backward()
    torch.testing.assert_close(seen["g"], shift.grad)
    _, cache = model.run_with_cache(tokens, return_type="loss", incl_bwd=True)
    torch.testing.assert_close(cache["blocks.1.hook_resid_mid_grad"], shift.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes(tokens, dtype):
    model = random_model()
    exact = model(tokens).double()
    half = model.to(dtype)
    assert half.dtype == dtype
    assert half.run_with_cache(tokens)[0].dtype == dtype
    error = (half(tokens).double() - exact).abs().max() / exact.abs().max()
    assert error < {torch.float64: 1e-6, torch.float16: 1e-2, torch.bfloat16: 5e-2}[dtype]


def test_loss_counts_real_tokens_only(tokens):
    model = random_model()
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[1:] = False
    mask[1:, :7] = True
    rows = [model(tokens[:1]), *(model(tokens[i : i + 1, :7]) for i in (1, 2, 3))]
    nats = [
        torch.nn.functional.cross_entropy(row[0, :-1], tokens[i, 1 : row.shape[1]], reduction="sum")
        for i, row in enumerate(rows)
    ]
    expected = sum(nats) / (11 + 3 * 6)
    torch.testing.assert_close(model(tokens, mask, return_type="loss"), expected)
    logits, loss = model(tokens, mask, return_type="both")
    torch.testing.assert_close(loss, expected)
    assert logits.shape == (4, 12, 50)


def test_same_seed_same_weights():
    config = interp.GPT2Config(n_layers=1, n_heads=2, d_model=8, d_mlp=16, d_vocab=11)
    first, second, other = (interp.HookedGPT2(config, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.W_E, second.W_E)
    assert not torch.equal(first.W_E, other.W_E)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(torch.tensor([[1, 50]])), "0 to 49"),
        (lambda m: m(torch.tensor([[-1]])), "0 to 49"),
        (lambda m: m(torch.zeros(1, 33, dtype=torch.long)), "1 to 32 tokens"),
        (lambda m: m(torch.zeros(1, 0, dtype=torch.long)), "1 to 32 tokens"),
        (lambda m: m(torch.zeros(1, 3)), "integer tensor"),
        (lambda m: m(torch.zeros(1, 2, 3, dtype=torch.long)), "integer tensor"),
        (
            lambda m: m(torch.ones(1, 3, dtype=torch.long), torch.ones(1, 2).long()),
            "one entry per token",
        ),
        (lambda m: m(torch.ones(1, 3, dtype=torch.long), stop_at_layer=4), "<= 3"),
        (lambda m: m(torch.ones(1, 3, dtype=torch.long), start_at_layer=1), "residual stream"),
        (lambda m: m("text"), "no tokenizer"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call(random_model())


def test_unknown_hook_names_get_the_nearest():
    model, tokens = random_model(), torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(KeyError, match=r"blocks\.1\.attn\.hook_z"):
        model.run_with_cache(tokens, names_filter="blocks.1.attn.hook_zz")
    with pytest.raises(KeyError, match=r"nearest: blocks\.1\.hook_resid_pre"):
        model.run_with_hooks(tokens, fwd_hooks=[("blocks.1.hook_residpre", print)])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"n_layers": 0}, "n_layers"), ({"n_heads": 3}, "multiple"), ({"act_fn": "silu"}, "act_fn")],
)
def test_impossible_configs_are_refused(sizes, message):
    whole = {"n_layers": 1, "n_heads": 2, "d_model": 8, "d_mlp": 16, "d_vocab": 11}
    with pytest.raises(ValueError, match=message):
        interp.GPT2Config(**{**whole, **sizes})
