"""What all techniques share: they refuse hooks, and what their results say of the question."""

import contextlib
import json

import pytest
import torch

import interp.patching
from interp.parts import Logits, Node, Port
from interp.patching import (
    Ablation,
    NodePaths,
    Receivers,
    Selection,
    ablate,
    attribution_patch,
    measure,
    patch,
    path_attention,
    path_patch,
    run_task,
    screen,
)
from interp.results import Question
from tests.helpers import make_runs_small, random_model, random_task

TECHNIQUES = {
    "ablate": lambda model, task: ablate(model, task),
    "attribution_patch": lambda model, task: attribution_patch(model, task, "z"),
    "measure": measure,
    "NodePaths": NodePaths,
    "patch": lambda model, task: patch(model, task, "z"),
    "path_attention": lambda model, task: path_attention(model, task, ["0.0"], ["1.0"]),
    "path_patch": path_patch,
    "run_task": run_task,
    "screen": lambda model, task: screen(model, task, "z"),
}
NO_TECHNIQUES = {
    "Ablation", "Receivers", "Selection", "agreement", "effect",
    "heads_in_order", "mean_effect", "mean_over_prompts", "normalized", "pairs", "strongest_heads",
}  # fmt: skip


def test_every_public_function_is_a_technique_here_or_runs_no_model():
    assert set(interp.patching.__all__) == set(TECHNIQUES) | NO_TECHNIQUES


def double(value, hook):
    return 2 * value


@contextlib.contextmanager
def hooked(model, how):
    """A model with hooks of the user's, and where they are."""
    name, block = "blocks.1.attn.hook_z", model.blocks[1]
    if how == "add_hook":
        model.add_hook(name, double)
        yield name
        model.reset_hooks()
    elif how == "permanent":
        model.add_hook(name, double, is_permanent=True)
        yield name
        model.reset_hooks(including_permanent=True)
    elif how == "with hooks":
        with model.hooks(fwd_hooks=[(name, double)]):
            yield name
    elif how == "backward":
        with model.hooks(bwd_hooks=[(name, lambda gradient, hook: None)]):
            yield name
    else:
        handle = block.register_forward_hook(lambda module, args, out: 2 * out)
        yield "blocks.1"
        handle.remove()


@pytest.mark.parametrize("how", ["add_hook", "permanent", "with hooks", "backward", "torch"])
@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_model_with_hooks_is_refused(name, how):
    model, task = random_model(), random_task(2)
    with (
        hooked(model, how) as where,
        pytest.raises(ValueError, match=rf"{name} needs a model without hooks.*{where}"),
    ):
        TECHNIQUES[name](model, task)
    TECHNIQUES[name](model, task)


@pytest.mark.parametrize("how", ["add_hook", "with hooks", "torch"])
def test_hooks_that_come_between_the_runs_of_node_paths_are_refused(how):
    model, task = random_model(), random_task(2)
    paths = NodePaths(model, task)
    sent = paths.send(["0.0@END"])
    end = [Port(Node(Logits(), "END"))]
    with hooked(model, how), pytest.raises(ValueError, match="needs a model without hooks"):
        paths.send(["m0@END"])
    with hooked(model, how), pytest.raises(ValueError, match="needs a model without hooks"):
        paths.receive(sent, end)
    paths.receive(paths.send(["m0@END"]), end)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_task_that_does_not_fit_is_refused_before_any_work(name):
    model, task = random_model(n_ctx=8), random_task(2)
    with pytest.raises(ValueError, match="takes at most 8"):
        TECHNIQUES[name](model, task)
    with pytest.raises(ValueError, match="has 40 tokens, so the task is of another tokenizer"):
        TECHNIQUES[name](random_model(d_vocab=40), task)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_model_and_task_are_left_as_they_were(name):
    model, task = random_model(), random_task(2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    prompts = task.fingerprint
    TECHNIQUES[name](model, task)
    assert not model.user_hooks() and task.fingerprint == prompts
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


GONE = Ablation(["0.1@END", "m1"], value="zero")
SOME = Selection(layers=[1], positions=["END"])
ASKED = {
    "ablate": [
        lambda m, t: ablate(m, t),
        lambda m, t: ablate(m, t, "mlp_out"),
        lambda m, t: ablate(m, t, "z", SOME),
        lambda m, t: ablate(m, t, "z", value="resample"),
        lambda m, t: ablate(m, t, reference=random_task(2, seed=5)),
        lambda m, t: ablate(m, t, ablation=GONE),
        lambda m, t: ablate(m, t, metrics="probability"),
        lambda m, t: ablate(m, t, {"a": ["0.0"]}),
        lambda m, t: ablate(m, t, {"a": ["0.1"]}),
        lambda m, t: ablate(m, t, {"a": ["0.1"]}, Selection(positions=["END"])),
        lambda m, t: ablate(m, random_task(2, seed=7)),
        lambda m, t: ablate(random_model(seed=3), t),
    ],
    "attribution_patch": [
        lambda m, t: attribution_patch(m, t, "z"),
        lambda m, t: attribution_patch(m, t, "q"),
        lambda m, t: attribution_patch(m, t, "q", fixes=["qk"]),
        lambda m, t: attribution_patch(m, t, "z", direction="noising"),
        lambda m, t: attribution_patch(m, t, "z", dtype=torch.bfloat16),
        lambda m, t: attribution_patch(m, t, "z", SOME),
        lambda m, t: attribution_patch(m, t, "z", ablation=GONE),
        lambda m, t: attribution_patch(m, t, "z", metric="probability"),
    ],
    "measure": [
        lambda m, t: measure(m, t),
        lambda m, t: measure(m, t, side="corrupted"),
        lambda m, t: measure(m, t, ablation=GONE),
        lambda m, t: measure(m, t, ablation=Ablation(["0.1@END", "m1"])),
        lambda m, t: measure(m, t, ablation=Ablation("heads", value="zero")),
        lambda m, t: measure(m, t, ablation=Ablation("heads", value="zero", keep=["0.1@END"])),
        lambda m, t: measure(m, t, "rank"),
    ],
    "patch": [
        lambda m, t: patch(m, t, "z"),
        lambda m, t: patch(m, t, "v"),
        lambda m, t: patch(m, t, "z", Selection(over=())),
        lambda m, t: patch(m, t, "z", Selection(over=["layer"])),
        lambda m, t: patch(m, t, "z", Selection(except_positions=["END"])),
        lambda m, t: patch(m, t, "z", Selection(positions=["END"])),
        lambda m, t: patch(m, t, "z", direction="noising"),
        lambda m, t: patch(m, t, "z", ablation=GONE),
        lambda m, t: patch(m, t, "z", metrics="kl_divergence"),
    ],
    "path_attention": [
        lambda m, t: path_attention(m, t, ["0.0"], ["1.0"]),
        lambda m, t: path_attention(m, t, ["0.1"], ["1.0"]),
        lambda m, t: path_attention(m, t, ["0.0"], ["2.0"]),
        lambda m, t: path_attention(m, t, ["0.0"], ["1.0"], keys=["END"]),
    ],
    "path_patch": [
        lambda m, t: path_patch(m, t),
        lambda m, t: path_patch(m, t, Receivers("q", heads=["2.0"])),
        lambda m, t: path_patch(m, t, Receivers("q", heads=["2.1"])),
        lambda m, t: path_patch(m, t, Receivers("k", heads=["2.1"])),
        lambda m, t: path_patch(m, t, Receivers("q", heads=["2.1"], positions=["END"])),
        lambda m, t: path_patch(m, t, Receivers("mlp_in", layers=[2])),
        lambda m, t: path_patch(m, t, mlps="frozen"),
        lambda m, t: path_patch(m, t, direction="denoising"),
        lambda m, t: path_patch(m, t, site="mlp_out"),
        lambda m, t: path_patch(m, t, selection=SOME),
        lambda m, t: path_patch(m, t, ablation=GONE),
    ],
    "screen": [
        lambda m, t: screen(m, t, "z", top=2),
        lambda m, t: screen(m, t, "z", top=3),
        lambda m, t: screen(m, t, "z", top=2, fixes=["grad_drop"]),
    ],
}


@pytest.mark.parametrize("name", ASKED)
def test_results_carry_their_whole_question(name):
    """Whatever changes a number changes the question; and the question is all there."""
    model, task = random_model(), random_task(2)
    plain = Question.of(TECHNIQUES[name](model, task))
    assert plain.ablation == plain.reference == plain.selection == ""
    questions = []
    for call in ASKED[name]:
        result = call(model, task)
        whole = Question.of(result)
        assert whole.technique == name
        assert whole.model == "untrained" and whole.task == "random" and whole.prompts
        assert len(whole.model_fingerprint) >= 16 and "torch" in json.loads(whole.versions)
        first = result[next(iter(result.data_vars))]
        for field in ("model_fingerprint", "prompts", "site", "selection", "ablation", "metric"):
            assert getattr(Question.of(first), field) == getattr(whole, field) or name == "screen"
        questions.append(whole.fingerprint)
        assert Question.of(call(model, task)).fingerprint == whole.fingerprint
    assert len(set(questions)) == len(questions)


@pytest.mark.parametrize("name", sorted(TECHNIQUES.keys() - {"NodePaths"}))
def test_progress_sees_every_step_of_a_run(name, monkeypatch):
    """It is given the steps as a list, and the work goes through what it gives back."""
    make_runs_small(monkeypatch, memory=1 << 14)
    model, task = random_model(), random_task(5)
    seen = []

    def count(steps):
        for step in steps:
            seen.append(step)
            yield step

    def stop(steps):
        raise InterruptedError(f"{len(steps)} steps")

    call = PROGRESSING[name]
    call(model, task, count)
    assert len(seen) > 1  # batches of the five prompts
    with pytest.raises(InterruptedError, match="[1-9] steps"):
        call(model, task, stop)


PROGRESSING = {
    "ablate": lambda m, t, p: ablate(m, t, progress=p),
    "attribution_patch": lambda m, t, p: attribution_patch(m, t, "z", progress=p),
    "measure": lambda m, t, p: measure(m, t, progress=p),
    "patch": lambda m, t, p: patch(m, t, "z", progress=p),
    "path_attention": lambda m, t, p: path_attention(m, t, ["0.0"], ["1.0"], progress=p),
    "path_patch": lambda m, t, p: path_patch(m, t, progress=p),
    "run_task": lambda m, t, p: run_task(m, t, progress=p),
    "screen": lambda m, t, p: screen(m, t, "z", progress=p),
}


def test_titles_say_what_was_done():
    """In the words of the question: the site, the direction or the side, what stands in."""
    model, task = random_model(), random_task(2)
    titles = {
        "Noising q": patch(model, task, "q", direction="noising"),
        "Denoising mlp_post, estimated": attribution_patch(model, task, "mlp_post"),
        "Paths from mlp_out to v": path_patch(
            model, task, Receivers("v", heads=["2.0"]), site="mlp_out"
        ),
        "Group mean ablation of mlp_out": ablate(model, task, "mlp_out", value="group mean"),
        "Zero ablation of sets": ablate(model, task, {"a": ["0.0"]}, value="zero"),
        "Corrupted run": measure(model, task, side="corrupted"),
        "Denoising k": screen(model, task, "k"),
    }
    for title, result in titles.items():
        assert result.logit_diff.attrs["title"] == title
    sizes = attribution_patch(model, task, "z", fixes=["grad_drop"]).logit_diff_grad_drop
    assert sizes.attrs["title"] == "Size of the effect of z, GradDrop"
    assert sizes.attrs["unit"] == "logits"
    of_sets = titles["Zero ablation of sets"]
    assert Question.of(of_sets).site == "" and Question.of(of_sets.logit_diff).site == ""
    looks = path_attention(model, task, ["0.0"], ["1.0"])
    assert looks.clean.attrs["title"] == "Attention from END"
    assert looks.patched.attrs["title"] == "The same, paths from the senders patched"


def test_units_are_those_of_the_metrics_and_none_of_a_function_of_ones_own():
    def first(logits, some):
        return logits[:, 0]

    model, task, some = random_model(), random_task(2), Selection(layers=[0], heads=[1])
    metrics = ["probability", "logit_diff", first]
    results = [
        patch(model, task, "z", some, metrics=metrics),
        path_patch(model, task, selection=some, metrics=metrics),
        ablate(model, task, "z", some, metrics=metrics),
        ablate(model, task, {"a": ["0.1"]}, metrics=metrics),
        measure(model, task, metrics),
    ]
    for result in results:
        units = {
            name: result[name].attrs["unit"] for name in ("probability", "logit_diff", "first")
        }
        assert units == {"probability": "probability", "logit_diff": "logits", "first": ""}
    assert attribution_patch(model, task, "z", some, metric=first)["first"].attrs["unit"] == ""
