"""The canned IOI run, checked from its files alone with transformers' GPT-2.

The file is longer than most: all of it reads one run.
"""

import html
import json
import re
from collections import defaultdict

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

import interp
from analyses import ioi
from analyses.cli import app
from analyses.ioi import analysis
from analyses.ioi.parts import PARTS
from interp.circuits import Circuit, Member
from interp.model.hub import locate
from tests.analyses.sizes import SMALL

N = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run through the command line, as a user does it, but for smaller searches."""
    path = tmp_path_factory.mktemp("out") / "ioi"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(analysis, "USUAL_SIZE", SMALL)
        result = CliRunner().invoke(
            app, ["ioi", "--n", str(N), "--seed", "3", "--threshold", "0.1", "--out", str(path)]
        )
    assert result.exit_code == 0, result.output
    assert "report.html" in result.output
    return path


@pytest.fixture(scope="module")
def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def prompts(folder):
    return json.loads((folder / "prompts.json").read_text())


class Independent:
    """Transformers' GPT-2, with the input of each attention's output projection laid open."""

    def __init__(self):
        self.model = AutoModelForCausalLM.from_pretrained(locate("mini-ioi")).eval()
        self.n_heads = self.model.config.n_head

    @torch.inference_mode()
    def run(self, tokens, replace=None):
        """Logits at the last token and z [layer][pos, head, d_head]; `replace(layer, z)` edits."""
        seen, handles = [], []
        for layer, block in enumerate(self.model.transformer.h):

            def before(module, args, layer=layer):
                z = args[0].unflatten(-1, (self.n_heads, -1))
                if replace is not None:
                    z = replace(layer, z[0].clone())[None]
                seen.append(z[0].clone())
                return (z.flatten(-2),)

            handles.append(block.attn.c_proj.register_forward_pre_hook(before))
        logits = self.model(torch.tensor([tokens])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return logits, seen


@pytest.fixture(scope="module")
def independent():
    return Independent()


def test_the_files_are_there(folder):
    names = {"report.html", "results.json", "prompts.json", "circuit.json"}
    names |= {"circuit.html", "circuit.svg", "circuit.mmd"}
    assert names <= {path.name for path in folder.iterdir()}


def test_prompts_are_what_they_say(prompts):
    tokenizer = interp.load("mini").tokenizer
    assert len(prompts) == N
    for prompt in prompts:
        assert tokenizer.decode(prompt["clean_tokens"]) == prompt["clean"]
        assert tokenizer.decode(prompt["abc_tokens"]) == prompt["abc"]
        clean, abc, at = prompt["clean_tokens"], prompt["abc_tokens"], prompt["positions"]
        assert clean[at["IO"]] == prompt["answer"]
        assert clean[at["S1"]] == clean[at["S2"]] == prompt["foil"]
        assert at["S1+1"] == at["S1"] + 1
        assert at["END"] == len(clean) - 1 == len(abc) - 1
        assert (at["IO"] < at["S1"]) == (prompt["order"] == "ABBA")
        fresh = {abc[at[role]] for role in ("IO", "S1", "S2")}
        assert len(fresh) == 3
        assert not fresh & {prompt["answer"], prompt["foil"]}
        changed = [i for i in range(len(clean)) if clean[i] != abc[i]]
        assert changed == sorted(at[role] for role in ("IO", "S1", "S2"))


def test_behavior_is_transformers(results, prompts, independent):
    logits = [independent.run(prompt["clean_tokens"])[0] for prompt in prompts]
    pairs = list(zip(logits, prompts, strict=True))
    diff = torch.stack([row[p["answer"]] - row[p["foil"]] for row, p in pairs])
    probability = torch.stack([row.softmax(-1)[p["answer"]] for row, p in pairs])
    found = results["behaviour"]
    assert found["logit_diff"]["mean"] == pytest.approx(diff.mean().item(), abs=1e-3)
    assert found["accuracy"]["mean"] == pytest.approx((diff > 0).double().mean().item())
    assert found["io_probability"]["mean"] == pytest.approx(probability.mean().item(), abs=1e-4)
    for estimate in (found["logit_diff"], found["accuracy"], found["io_probability"]):
        assert estimate["low"] <= estimate["mean"] <= estimate["high"]
    orders = {p["order"] for p in prompts}
    assert set(found["by_order"]) == orders == {"ABBA", "BABA"}


def test_direct_effects_are_transformers(results, prompts, independent):
    effects = torch.tensor(results["direct_effect"])
    assert effects.shape == (5, 4)
    strongest = effects.abs().flatten().topk(2).indices.tolist()
    for layer, head in [divmod(i, 4) for i in strongest] + [(0, 0)]:
        changes = []
        for prompt in prompts:
            logits, clean = independent.run(prompt["clean_tokens"])
            _, abc = independent.run(prompt["abc_tokens"])

            def frozen(at, z, clean=clean, abc=abc, layer=layer, head=head):
                z = clean[at].clone()
                if at == layer:
                    z[:, head] = abc[at][:, head]
                return z

            patched, _ = independent.run(prompt["clean_tokens"], frozen)
            answer, foil = prompt["answer"], prompt["foil"]
            changes.append((patched[answer] - patched[foil]) - (logits[answer] - logits[foil]))
        expected = torch.stack(changes).mean().item()
        assert effects[layer, head].item() == pytest.approx(expected, abs=1e-3)
    assert effects.abs().max() > 0.1


def test_faithfulness_is_transformers(folder, results, prompts, independent):
    reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
    assert len(reference) == 500
    wanted = {(prompt["template"], prompt["order"]) for prompt in prompts}
    groups = defaultdict(list)
    for prompt in reference:
        key = prompt["template"], prompt["order"]
        if key in wanted:
            groups[key].append(independent.run(prompt["abc_tokens"])[1])
    averages = {
        key: [torch.stack(layer).mean(0) for layer in zip(*runs, strict=True)]
        for key, runs in groups.items()
    }
    means = [averages[prompt["template"], prompt["order"]] for prompt in prompts]
    full, alone = [], []
    for i, prompt in enumerate(prompts):

        def ablate(layer, z, i=i, prompt=prompt):
            mean = means[i][layer].clone()
            for entry in results["circuit"]:
                if entry["layer"] == layer:
                    at = prompt["positions"][entry["position"]]
                    mean[at, entry["head"]] = z[at, entry["head"]]
            return mean

        for values, replace in ((full, None), (alone, ablate)):
            logits, _ = independent.run(prompt["clean_tokens"], replace)
            values.append(logits)
    names = set(results["candidates"])
    assert {p["answer"] for p in reference} <= names and len(names) > 50
    for run, key in ((full, "F_M"), (alone, "F_C")):
        top = [float(z.argmax() == p["answer"]) for z, p in zip(run, prompts, strict=True)]
        prob = [z.softmax(-1)[p["answer"]].item() for z, p in zip(run, prompts, strict=True)]
        rank = [float((z > z[p["answer"]]).sum()) for z, p in zip(run, prompts, strict=True)]
        both = []
        for z, p in zip(run, prompts, strict=True):
            others = sorted(names - {p["answer"], p["foil"]})
            mean = z[others].mean()
            both.append([(z[p["answer"]] - mean).item(), (z[p["foil"]] - mean).item()])
        answer, foil = torch.tensor(both).mean(0).tolist()
        for name, value in (
            ("top1", sum(top) / N),
            ("probability", sum(prob) / N),
            ("rank", sum(rank) / N),
            ("answer_logit", answer),
            ("foil_logit", foil),
        ):
            found = results["faithfulness"][name][key]["mean"]
            assert found == pytest.approx(value, abs=2e-3), (name, key)
    full, alone = (
        [(z[p["answer"]] - z[p["foil"]]).item() for z, p in zip(run, prompts, strict=True)]
        for run in (full, alone)
    )
    f_m, f_c = sum(full) / N, sum(alone) / N
    found = results["faithfulness"]
    assert found["F_M"]["mean"] == pytest.approx(f_m, abs=1e-3)
    assert found["F_C"]["mean"] == pytest.approx(f_c, abs=1e-3)
    assert found["ratio"]["mean"] == pytest.approx(f_c / f_m, abs=1e-3)


def test_circuit_file_and_diagram(folder, results):
    circuit = Circuit.from_json((folder / "circuit.json").read_text())
    assert circuit.records() == results["circuit"]
    assert circuit.heads
    for name in ("circuit.svg", "circuit.html", "circuit.mmd"):
        text = (folder / name).read_text()
        assert all(head.label in text for head in circuit.heads), name


def test_all_parts_are_there(folder, results):
    assert list(results["parts"]) == list(PARTS)
    assert {f"{name}.npz" for name in PARTS} <= {p.name for p in (folder / "parts").iterdir()}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    path = tmp_path_factory.mktemp("quick")
    options = ["--quick", "--n", "6", "--seed", "3", "--threshold", "0.2", "--out", str(path)]
    result = CliRunner().invoke(app, ["ioi", *options])
    assert result.exit_code == 0, result.output
    return path


def test_quick_leaves_the_parts_out(quick):
    assert json.loads((quick / "results.json").read_text())["parts"] == {}


def test_report_needs_no_network(folder):
    page = (folder / "report.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)
    assert "Does the circuit do the task alone?" in page


def test_same_seed_same_files(quick, tmp_path):
    ioi.run(n=6, seed=3, threshold=0.2, out=tmp_path, parts=[])
    for file in ("results.json", "prompts.json", "circuit.json"):
        assert (quick / file).read_text() == (tmp_path / file).read_text()


@pytest.fixture(scope="module")
def small_gpt2():
    """Random weights in the shape and under the name of GPT-2 small, narrow."""
    mini = interp.load("mini")
    sizes = {"n_layers": 12, "n_heads": 12, "d_model": 96, "d_mlp": 96, "n_ctx": 128}
    config = interp.GPT2Config(d_vocab=mini.config.d_vocab, **sizes)
    return interp.HookedGPT2(config, mini.tokenizer, name="gpt2")


def test_gpt2_gets_the_papers_circuit_and_figures(small_gpt2, tmp_path):
    report = ioi.run(small_gpt2, n=20, out=tmp_path, parts=["signals"])
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["faithfulness"]["ratio"]["low"] is None  # of random weights; JSON has no infinity
    assert len(found["circuit"]) == 26
    assert {"layer": 9, "head": 6, "class": "name mover", "position": "END"} in found["circuit"]
    figures = {row["figure"]: row for row in found["paper"]}
    assert figures["Mean logit difference, IO minus S"]["paper"] == "3.56"
    assert not figures["Mean logit difference, IO minus S"]["agrees"]  # the weights are random
    assert "Do the paper's figures come out here?" in html.unescape(report.html())


def test_a_circuit_of_ones_own(small_gpt2):
    own = Circuit("gpt2", (Member("1.2@END", "other"),), "mine")
    assert "1.2" in ioi.run(small_gpt2, n=4, circuit=own, parts=[]).html()


def test_the_papers_own_prompts(shared, tmp_path):
    names = json.loads((shared / "ioi" / "paper_prompts.json").read_text())["names"]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared / "gpt2-tokenizer")
    sizes = {"n_layers": 2, "n_heads": 2, "d_model": 16, "d_mlp": 16, "n_ctx": 64}
    model = interp.HookedGPT2(interp.GPT2Config(d_vocab=50257, **sizes), tokenizer)
    ioi.run(model, n=8, prompts=shared / "ioi" / "paper_prompts.json", out=tmp_path, parts=[])
    for prompt in json.loads((tmp_path / "prompts.json").read_text()):
        assert tokenizer.decode(prompt["answer"]).strip() in names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gpt3"], "gpt2"),
        (["--n", "1"], "2"),
        (["--prompts", "nowhere.json"], "nowhere.json"),
        (["--circuit", "nowhere.json"], "nowhere.json"),
        (["--threshold", "-1"], "threshold"),
        (["--parts", "signal"], "signals"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, tmp_path):
    result = CliRunner().invoke(app, ["ioi", "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_folder_that_cannot_be_written_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr(interp, "load", lambda *args, **kwargs: pytest.fail("work was begun"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        ioi.run(out=tmp_path / "file" / "out")


def test_verify_command():
    result = CliRunner().invoke(app, ["verify", "mini"])
    assert result.exit_code == 0, result.output
    assert "blocks.4" in result.output
