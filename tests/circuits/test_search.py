"""Hand-made searches: what cannot be told from zero is no node, no receiver and no link."""

from dataclasses import replace

import numpy as np
import pytest

from interp.circuits import search
from interp.circuits.discoveries import effect_p_values
from interp.circuits.search import Search
from interp.parts import Logits, as_node
from interp.patching.node_paths import NodePaths, Sent
from tests.helpers import random_model, random_task

N, FDR = 20, 0.2
SPREAD = np.linspace(-1.0, 1.0, N)
SPREAD = SPREAD / SPREAD.std(ddof=1)


def clear(mean):
    """Effects far from zero, for their size."""
    return mean + 0.02 * abs(mean) * SPREAD


def doubtful(mean):
    """Effects that pass the test at `FDR`, while their 95 % interval includes zero."""
    return mean + abs(mean) * np.sqrt(N) / 1.85 * SPREAD


class Paths(NodePaths):
    """Paths with given effects: (sender, receivers) -> effect on each prompt, else zero."""

    base = {"m": np.ones(N)}  # noqa: RUF012

    def __init__(self, effects):
        self.effects = effects

    def send(self, senders):
        return Sent(sorted(map(as_node, senders)), [])

    def receive(self, sent, ports):
        into = " ".join(
            "logits" if isinstance(node.part, Logits) else f"{node}.{letters}"
            for node, letters in ports
        )
        rows = [self.effects.get((str(one), into), np.zeros(N)) for one in sent.senders]
        return {"m": np.stack(rows)}


def searched(monkeypatch, effects, *, n_layers=1, known=None, smallest=0.02):
    """A search with one head a layer, at END alone, and a test that accepts much."""
    monkeypatch.setattr(search, "NodePaths", lambda *_, **__: Paths(effects))
    task = random_task(N, lengths=(9,))
    task = replace(task, positions={"END": task.positions["END"]})
    model = random_model(n_layers=n_layers, n_heads=1)
    found = Search(model, task, None, smallest, FDR)
    if known is None:
        found._test(found.paths, [as_node("0.0@END")])
    else:
        found.take([as_node(one) for one in known])
    return found


def test_a_node_whose_interval_includes_zero_is_not_found(monkeypatch):
    assert effect_p_values(doubtful(-0.1)[None], smallest=0.0001) < FDR  # the test alone would
    options = {"smallest": 0.0001}
    assert not searched(monkeypatch, {("0.0@END", "logits"): doubtful(-0.1)}, **options).found
    assert searched(monkeypatch, {("0.0@END", "logits"): clear(-0.1)}, **options).found


@pytest.mark.parametrize(("own", "receives"), [(clear, True), (doubtful, False)])
def test_a_known_node_is_a_receiver_only_if_its_effect_is_told(monkeypatch, own, receives):
    effects = {
        ("1.0@END", "logits"): own(-0.5),
        ("0.0@END", "1.0@END.qkv logits"): clear(-0.4),
        ("0.0@END", "logits"): clear(-0.4),
        ("0.0@END", "1.0@END.v"): clear(-0.3),
    }
    found = searched(monkeypatch, effects, n_layers=2, known=["0.0@END", "1.0@END"])
    links, _ = found.links()
    assert len(found.found) == 2  # known nodes are kept, whatever their effect
    assert any(str(link.receiver) == "1.0@END" for link in links) is receives


def test_a_link_whose_interval_includes_zero_is_not_chosen(monkeypatch):
    effects = {
        ("1.0@END", "logits"): clear(-0.5),
        ("0.0@END", "1.0@END.qkv logits"): clear(-0.4),
        ("0.0@END", "logits"): clear(-0.4),
        ("0.0@END", "1.0@END.v"): doubtful(-0.3),
    }
    links, _ = searched(
        monkeypatch, effects, n_layers=2, known=["0.0@END", "1.0@END"], smallest=0.001
    ).links()
    assert [str(link) for link in links] == ["0.0@END -> logits@END", "1.0@END -> logits@END"]


def test_a_node_without_a_link_keeps_its_strongest_one(monkeypatch):
    """Each single path is below the threshold, all of them together are not."""
    effects = {
        ("1.0@END", "logits"): clear(-0.5),
        ("0.0@END", "1.0@END.qkv logits"): clear(-0.03),
        ("0.0@END", "logits"): clear(-0.015),
        ("0.0@END", "1.0@END.v"): clear(-0.009),
    }
    found = searched(monkeypatch, effects, n_layers=2, known=["0.0@END", "1.0@END"])
    links, values = found.links()
    weak = [link for link in links if str(link.sender) == "0.0@END"]
    assert [str(link) for link in weak] == ["0.0@END -> logits@END"]
    assert weak[0].q_value > found.fdr and weak[0].effect == pytest.approx(-0.015)
    np.testing.assert_allclose(values["m"].mean(-1), [link.effect for link in links])


def test_a_node_without_any_path_has_no_link(monkeypatch):
    effects = {("0.0@END", "logits"): doubtful(-0.01)}
    links, _ = searched(monkeypatch, effects, known=["0.0@END"]).links()
    assert links == ()
