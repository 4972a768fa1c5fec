"""Pack the facts that lie beside the project into the small files that the package ships.

`python -m tests.circuits.pack_facts ../shared` writes the files; a test compares them with what is
packed afresh.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from interp.circuits.published.benchmark import ALPHABET, FLOOR, STEP, edge_rows
from interp.circuits.published.data import FOLDER
from interp.parts import Head

LOGITS = 20


def pack_activations(shared: Path) -> dict[str, Any]:
    """What `interp.circuits.published.activations` reads."""
    prompts = []
    for path in sorted(shared.glob("gpt2-facts/activations_*.npz")):
        with np.load(path) as kept:
            pattern, logits = kept["pattern"], kept["logits"].astype(float)
            best = np.argsort(-logits, kind="stable")[:LOGITS]
            n = len(kept["tokens"])
            rows = [
                " ".join(
                    str(round(1000 * float(head[q, k]))) for q in range(1, n) for k in range(q)
                )
                for layer in pattern
                for head in layer
            ]
            prompts.append(
                {
                    "prompt": str(kept["prompt"]),
                    "tokens": kept["tokens"].tolist(),
                    "best": best.tolist(),
                    "logits": [round(one, 2) for one in (logits[best] - logits.mean()).tolist()],
                    "pattern": rows,
                }
            )
    return {"prompts": prompts}


def pack_circuit(shared: Path) -> dict[str, Any]:
    """What `interp.circuits.published.benchmark` reads."""
    kept = json.loads((shared / "gpt2-facts" / "ioi-eap-ig.json").read_text())
    scores = {name: abs(edge["score"]) for name, edge in kept["edges"].items()}
    out, largest = ({name: 0.0 for name in kept["nodes"]} for _ in range(2))
    for edge, score in scores.items():
        sender, receiver = edge.split("->")
        out[sender] += score
        for node in (sender, receiver.split("<")[0]):
            largest[node] = max(largest[node], score)
    heads: dict[str, list[float]] = {}
    for layer in range(12):
        for head in range(12):
            name = f"a{layer}.h{head}"
            both = [float(f"{one:.4g}") for one in (largest[name], out[name])]
            heads[str(Head(layer, head))] = [*both, int(kept["nodes"][name]["in_graph"])]
    edges = {
        label: "".join(_letter(scores[f"a{s.layer}.h{s.head}->{receiver}"]) for s in senders)
        for label, receiver, senders in edge_rows()
    }
    return {"heads": heads, "edges": edges}


def _letter(score: float) -> str:
    step = round(math.log(max(score, FLOOR) / FLOOR) / math.log(STEP))
    return ALPHABET[min(step, len(ALPHABET) - 1)]


def write(shared: Path) -> None:
    """Write both files."""
    for name, facts in (
        ("gpt2_activations.json", pack_activations(shared)),
        ("ioi_eap_ig.json", pack_circuit(shared)),
    ):
        (FOLDER / name).write_text(json.dumps(facts, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
