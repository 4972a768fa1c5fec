"""The models set by hand do their tasks, by their circuit and by nothing else."""

import pytest
import torch

from interp.circuits import faithfulness, known_circuit
from interp.circuits.known import KNOWN
from interp.circuits.known.byhand import BALLAST, Workbench, blur
from interp.circuits.known.words import word_tokenizer
from interp.parts import Input, Logits
from interp.patching import Ablation, ablate, effect, measure
from interp.tasks import ioi
from tests.naive import patching as naive


@pytest.fixture(scope="module", params=KNOWN)
def known(request):
    return known_circuit(request.param, n=60)


def heads_of(circuit):
    return sorted({member.part for member in circuit.heads})


def test_it_is_always_right(known):
    found = measure(known.model, known.task, ["accuracy", "probability", "rank"])
    assert float(found["accuracy"].min()) == 1.0
    assert float(found["rank"].max()) == 0.0
    assert float(found["probability"].min()) > 0.95


def test_the_circuit_alone_does_all_of_it(known):
    alone = faithfulness(known.model, known.task, known.circuit)
    means = alone["logit_diff"].mean("prompt")
    ratio = float(means.sel(run="circuit") / means.sel(run="full"))
    assert ratio == pytest.approx(1.0, abs=0.002)


def test_without_the_circuit_answer_and_foil_are_alike(known):
    out = Ablation(heads_of(known.circuit), value="group mean")
    gone = measure(known.model, known.task, ["logit_diff", "probability_diff"], ablation=out)
    whole = float(measure(known.model, known.task).logit_diff.mean())
    assert abs(float(gone["logit_diff"].mean())) < 0.05 * whole  # 0 but for which names were drawn
    assert abs(float(gone["probability_diff"].mean())) < 0.05


def test_faithfulness_is_that_of_a_naive_run():
    known = known_circuit("induction", n=10)
    alone = (
        faithfulness(known.model, known.task, known.circuit)["logit_diff"].sel(run="circuit").values
    )
    keep = [(*h.part, h.role) for h in known.circuit.heads]
    expected = naive.circuit_logit_diff(known.model, known.task, keep)
    torch.testing.assert_close(torch.tensor(alone), expected, atol=1e-4, rtol=0)


def test_heads_outside_do_nothing_for_the_answer_but_write(known):
    inside = heads_of(known.circuit)
    change = effect(ablate(known.model, known.task, value="resample")).mean("prompt")
    _, cache = known.model.run_with_cache(known.task.clean_tokens)
    writing = 0
    for layer in range(known.model.config.n_layers):
        for head in range(known.model.config.n_heads):
            size = abs(float(change.sel(layer=layer, head=head)))
            assert size > 0.05 if (layer, head) in inside else size < 0.01, (layer, head)
            writes = cache["z", layer][:, :, head] @ known.model.blocks[layer].attn.W_O[head]
            writing += (layer, head) not in inside and float(writes.norm(dim=-1).max()) > 0.2
    assert writing >= 3


def test_layer_norm_is_harmless(known):
    _, cache = known.model.run_with_cache(known.task.clean_tokens)
    stream = cache["resid_pre", known.model.config.n_layers - 1]
    normalized = known.model.ln_final.unhooked(stream)
    torch.testing.assert_close(normalized[..., 2:], stream[..., 2:], atol=5e-3, rtol=0)
    assert float(normalized[..., :2].abs().max()) == 0.0
    assert float(stream.sum(-1).abs().max()) < 1e-3 * BALLAST


def test_links_join_what_the_weights_join(known):
    """A link between heads needs an output that the input's weights read."""
    blocks = known.model.blocks
    for link in known.circuit.links:
        sender, receiver = link.sender.part, link.receiver.part
        if isinstance(sender, Input) or isinstance(receiver, Logits):
            continue
        (i, h), (j, g) = sender, receiver
        read = getattr(blocks[j].attn, f"W_{link.input.upper()}")[g]
        joint = blocks[i].attn.W_O[h] @ (read * BALLAST)
        assert float(joint.norm()) > 1.0, link


def test_seeds_turn_the_weights_and_not_the_model():
    one, other = (known_circuit("ioi", n=8, seed=seed) for seed in (0, 1))
    assert heads_of(one.circuit) != heads_of(other.circuit)
    assert not torch.allclose(one.model.unembed.weight, other.model.unembed.weight)
    tokens = one.task.clean_tokens
    with torch.inference_mode():
        torch.testing.assert_close(one.model(tokens), other.model(tokens), atol=5e-3, rtol=0)


def test_noise_reaches_every_matrix():
    plain, noisy = (known_circuit("induction", n=4, noise=noise) for noise in (0.0, 0.1))
    changes = {
        name: (new - old).std().item()
        for (name, old), new in zip(
            plain.model.named_parameters(), noisy.model.parameters(), strict=True
        )
        if old.ndim > 1
    }
    size = 0.1 / plain.model.config.d_model**0.5
    assert all(change == pytest.approx(size, rel=0.2) for change in changes.values()), changes
    assert noisy.circuit == plain.circuit


def test_its_tokenizer_makes_more_prompts():
    known = known_circuit("ioi", n=4)
    template = "Today [B] and [A] ate , then [B] lent the salt to [A]"
    task = ioi(
        known.model.tokenizer, 30, templates=[template], names=["Ada", "Dan", "Eve", "Gail", "Hugo"]
    )
    assert float(measure(known.model, task, "accuracy")["accuracy"].mean()) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "bigram"}, "expected one of induction, duplicate, ioi"),
        ({"name": "ioi", "n": 0}, "at least 1 prompt"),
        ({"name": "ioi", "noise": -0.1}, "at least 0 and finite"),
    ],
)
def test_what_is_not_known(arguments, message):
    with pytest.raises(ValueError, match=message):
        known_circuit(**arguments)


def bench(**sizes):
    tokenizer = word_tokenizer(["a", "b", "c"])
    arguments = {"n_layers": 1, "n_heads": 2, "d_head": 8, "n_ctx": 6, **sizes}
    made = Workbench("by hand", tokenizer, {"letter": 3, "out": 3}, **arguments, seed=0)
    for i in range(3):
        made.embed(i + 2, "letter", i)
    return made


def test_clauses_give_the_scores_that_they_say():
    made = bench()
    head = made.head(0).match("letter", "letter", 5.0).look("letter", 2.0, at=1)
    scores = {}

    def read(value, hook):
        scores["all"] = value[0, head.head]

    made.model.run_with_hooks(
        torch.tensor([[2, 3, 2]]), fwd_hooks=[("blocks.0.attn.hook_attn_scores", read)]
    )
    expected = torch.tensor([5.0, 2.0, 5.0])  # of the last token: a matches a; b is looked at
    torch.testing.assert_close(scores["all"][2], expected, atol=1e-2, rtol=0)


def test_raise_all_adds_to_all_alike():
    made = bench()
    made.head(0).raise_all("out", 0.5)
    for i in range(3):
        made.unembed(i + 2, "out", i, 2.0)
    with torch.inference_mode():
        logits = made.model(torch.tensor([[3, 4]]))[0, 1]
    torch.testing.assert_close(logits[2:], torch.ones(3), atol=5e-3, rtol=0)


def test_move_adds_what_is_attended_to():
    made = bench()
    made.head(0).match("position", "position", 30.0, back=1).move("letter", "out", 0.5)
    for i in range(3):
        made.unembed(i + 2, "out", i, 2.0)
    with torch.inference_mode():
        logits = made.model(torch.tensor([[3, 4]]))[0, 1]
    torch.testing.assert_close(logits[2:], torch.tensor([0.0, 1.0, 0.0]), atol=5e-3, rtol=0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="12 directions do not fit: 2 heads of 4 leave 5"):
        bench(d_head=4)
    with pytest.raises(ValueError, match="too narrow: it needs 9 dimensions"):
        bench().head(0).match("letter", "letter", 1.0).match("position", "position", 1.0)
    with pytest.raises(ValueError, match="each word once"):
        word_tokenizer(["a", "a"])
    with pytest.raises(ValueError, match="at least 0 and finite"):
        blur(bench().model, float("inf"), 0)
