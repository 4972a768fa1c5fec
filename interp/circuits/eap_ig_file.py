"""The JSON files of circuits of edges that EAP-IG and MIB write.

    {"cfg": {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": false, "d_model": 768},
     "nodes": {"a9.h6": {"in_graph": true}, ...},
     "edges": {"a9.h6->a10.h0<q>": {"score": -0.1, "in_graph": true}, ...}}

The sign in such files depends on the metric that was given to their code. With a loss, or with the
logit difference in older releases, a negative score helps the task; here a positive one does
(`interp.circuits.edge_scores`), so say which it is: `helps`.

Source: Hanna et al. 2024 (arXiv 2403.17806), the authors' code; Mueller et al. 2025 (arXiv
2504.13151).
"""

import json
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from interp.circuits import files
from interp.circuits.edge_circuit import EdgeCircuit
from interp.circuits.edge_scores import EdgeScores
from interp.parts import Head, Logits, Part
from interp.runs.graph import Graph

Helps = Literal["negative", "positive"]


def eap_ig_loads(text: str, *, helps: Helps = "negative") -> tuple[EdgeScores, EdgeCircuit]:
    """Read the text of a file of EAP-IG.

    Args:
        text: the text
        helps: whether a "negative" or a "positive" score in the file helps the task

    Returns:
        The scores, without prompts and with unknown unit, and the edges that are in the file's
        graph.

    Raises:
        ValueError: the text is no such file
    """
    sign = _sign(helps)
    try:
        data = json.loads(text)
        cfg, edges = data["cfg"], data["edges"]
        graph = Graph(int(cfg["n_layers"]), int(cfg["n_heads"]))
        values, kept = np.zeros(graph.n_edges), np.zeros(graph.n_edges, dtype=bool)
        names = [_edge_name(graph, i) for i in range(graph.n_edges)]
        for i, name in enumerate(names):
            values[i] = sign * float(edges[name]["score"])
            kept[i] = bool(edges[name]["in_graph"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            'expected a file of EAP-IG, JSON with "cfg", "nodes", and in "edges" every edge of the '
            f"graph with its score and in_graph: {type(error).__name__} {error}"
        ) from error
    if len(edges) != graph.n_edges or cfg.get("parallel_attn_mlp"):
        raise ValueError(
            f"a GPT-2 of {graph.n_layers} layers and {graph.n_heads} heads has {graph.n_edges} "
            f"edges, with the MLP after the attention; this file has {len(edges)} edges, and "
            f"parallel_attn_mlp {cfg.get('parallel_attn_mlp')}"
        )
    array = xr.DataArray(
        np.full(graph.exists.shape, np.nan),
        dims=("sender", "receiver"),
        coords={"sender": list(graph.sender_names), "receiver": list(graph.receiver_names)},
        attrs={
            "title": "Scores of a file of EAP-IG",
            "positive": "helps the task",
            "d_model": int(cfg.get("d_model", 0)),
        },
    )
    array.values[graph.sender, graph.receiver] = values + 0.0  # no -0
    scores = EdgeScores(graph, xr.Dataset({"score": array}))
    return scores, EdgeCircuit(graph, kept, "a file of EAP-IG")


def eap_ig_dumps(
    scores: EdgeScores,
    circuit: EdgeCircuit,
    *,
    metric: str | None = None,
    helps: Helps = "negative",
    d_model: int | None = None,
) -> str:
    """Write scores and a circuit as the text of a file of EAP-IG.

    Args:
        scores: the scores; their means over prompts are written
        circuit: the edges that are in the graph; its parts are the nodes that are
        metric: metric of the scores; None for the first
        helps: whether a "negative" or a "positive" score in the file shall help the task
        d_model: width of the model; None for that of the file that the scores came from

    Returns:
        JSON text.

    Raises:
        ValueError: scores and circuit are of different graphs
    """
    graph = scores.graph
    if circuit.graph != graph:
        raise ValueError(
            f"the scores are of {graph} and the circuit of {circuit.graph}; give both of one graph"
        )
    values = _sign(helps) * scores.mean(metric)
    parts = set(circuit.parts)
    width = int(scores.of(metric).attrs.get("d_model", 0)) if d_model is None else d_model
    content = {
        "cfg": {
            "n_layers": graph.n_layers,
            "n_heads": graph.n_heads,
            "parallel_attn_mlp": False,
            "d_model": width,
        },
        "nodes": {
            _node_name(part): {"in_graph": part in parts or isinstance(part, Logits)}
            for part in (*graph.senders, Logits())
        },
        "edges": {
            _edge_name(graph, i): {"score": float(values[i]), "in_graph": bool(circuit.kept[i])}
            for i in range(graph.n_edges)
        },
    }
    return json.dumps(content)


def read_eap_ig(
    path: str | PathLike[str], *, helps: Helps = "negative"
) -> tuple[EdgeScores, EdgeCircuit]:
    """Read a file of EAP-IG.

    Args:
        path: the file
        helps: as in `eap_ig_loads`

    Returns:
        The scores and the circuit.

    Raises:
        ValueError: it is no such file
        OSError: it cannot be read
    """
    return eap_ig_loads(files.read(path), helps=helps)


def write_eap_ig(
    path: str | PathLike[str], scores: EdgeScores, circuit: EdgeCircuit, **options: Any
) -> None:
    """Write a file of EAP-IG.

    Args:
        path: the file; missing folders are created
        scores: the scores
        circuit: the edges that are in the graph
        options: as in `eap_ig_dumps`

    Raises:
        OSError: it cannot be written
    """
    files.write(path, eap_ig_dumps(scores, circuit, **options))


def _sign(helps: str) -> int:
    if helps not in get_args(Helps):
        raise ValueError(f"expected helps 'negative' or 'positive', got {helps!r}")
    return -1 if helps == "negative" else 1


def _node_name(part: Part) -> str:
    """The name of a part in such files: "a9.h6" for a head."""
    return f"a{part.layer}.h{part.head}" if isinstance(part, Head) else str(part)


def _edge_name(graph: Graph, index: int) -> str:
    sender = graph.senders[graph.sender[index]]
    port = graph.receivers[graph.receiver[index]]
    letter = f"<{port.input}>" if port.input else ""
    return f"{_node_name(sender)}->{_node_name(port.node.part)}{letter}"
