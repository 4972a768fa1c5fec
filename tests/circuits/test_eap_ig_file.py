"""Files of EAP-IG: a published one comes back as it was, and agrees with the paper's heads."""

import json

import numpy as np
import pytest

from interp.circuits import (
    EdgeCircuit,
    Graph,
    auc,
    head_scores,
    published_circuit,
    read_eap_ig,
    top_edges,
    write_eap_ig,
)
from interp.circuits.eap_ig_file import eap_ig_dumps, eap_ig_loads
from interp.parts import Head, Logits
from tests.circuits.test_edge_selection import random_scores, scores_of


def test_what_is_written_is_read(tmp_path):
    scores = scores_of(random_scores())
    circuit = top_edges(scores, 12)
    write_eap_ig(tmp_path / "new" / "a.json", scores, circuit, d_model=8)
    again, found = read_eap_ig(tmp_path / "new" / "a.json")
    assert np.array_equal(again.mean(), scores.mean()) and found == circuit
    plain = json.loads((tmp_path / "new" / "a.json").read_text())
    index = scores.graph.index("0.1 -> 1.0.q")
    assert plain["edges"]["a0.h1->a1.h0<q>"]["score"] == -scores.mean()[index]
    assert plain["cfg"]["d_model"] == 8
    other = json.loads(eap_ig_dumps(scores, circuit, helps="positive"))
    assert other["edges"]["m0->m1"]["score"] == scores.score("m0 -> m1")
    assert np.array_equal(eap_ig_loads(json.dumps(other))[0].mean(), -scores.mean())


def test_the_published_circuit_of_ioi(shared):
    path = shared / "gpt2-facts" / "ioi-eap-ig.json"
    if not path.exists():
        pytest.skip("needs shared/gpt2-facts/ioi-eap-ig.json")
    scores, circuit = read_eap_ig(path)
    assert json.loads(eap_ig_dumps(scores, circuit)) == json.loads(path.read_text())
    assert len(circuit) == 756 and circuit.pruned() == circuit
    assert scores.score("9.9 -> logits") == pytest.approx(0.28, abs=0.005)
    assert scores.score("10.7 -> logits") == pytest.approx(-0.20, abs=0.005)
    paper = published_circuit("ioi", "gpt2")
    inside = {member.part for member in paper.heads}
    for how, published in (("largest", 0.953), ("outgoing", 0.916)):
        by_head = head_scores(scores, how)
        truth = np.array([head in inside for head in by_head])
        assert auc(np.array(list(by_head.values())), truth) == pytest.approx(published, abs=5e-4)
    missing = {str(head) for head in inside - set(circuit.heads)}
    assert missing == {"4.11", "9.0", "11.9"}
    edges = list(scores.graph.edges())
    among = np.array(
        [
            isinstance(e.sender.part, Head) and isinstance(e.receiver.part, Head | Logits)
            for e in edges
        ]
    )
    assert among.sum() == 28_656
    truth = EdgeCircuit.of_circuit(Graph(12, 12), paper).kept
    found = auc(np.abs(scores.mean())[among], truth[among])
    assert found == pytest.approx(0.918, abs=5e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a file of EAP-IG"),
        ("[]", "expected a file of EAP-IG"),
        ('{"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {}}', "KeyError"),
    ],
)
def test_what_is_no_such_file(text, message):
    with pytest.raises(ValueError, match=message):
        eap_ig_loads(text)


def test_files_of_other_models_are_refused():
    data = json.loads(eap_ig_dumps(scores_of(random_scores()), EdgeCircuit.of(Graph(2, 2), [])))
    data["cfg"]["parallel_attn_mlp"] = True
    with pytest.raises(ValueError, match="with the MLP after the attention"):
        eap_ig_loads(json.dumps(data))
