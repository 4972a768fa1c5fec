"""A circuit as a graph, for other people's tools: networkx, DOT and GraphML.

A node is a head or an MLP at a position, a token that is read, or the logits. Links that were
measured are arrows as they are; of a circuit without any, a connection between classes is an arrow
from every head of the one to every head of the other that lies deeper.

Source: https://networkx.org, https://graphviz.org/doc/info/lang.html, http://graphml.graphdrawing.org
"""

import networkx as nx

from interp.circuits import Circuit, CircuitHead, Edge, Group, Node
from interp.circuits.links import INPUT, LOGITS
from interp.plots.diagram.shapes import title_of
from interp.plots.palette import MUTED, NODE_COLORS, PAPER, mix

_INPUT = f"{INPUT} at "


def to_networkx(circuit: Circuit) -> nx.DiGraph:
    """The circuit as a directed graph.

    Args:
        circuit: The heads and MLPs.

    Returns:
        Nodes named "9.6 at END", "m9 at END", "input at S2" or "logits", with the attributes
        `label` ("9.6"), `kind` (the class, "MLP", "input" or "logits"), `position`, and `layer` and
        `head` where they have one. Edges from what writes to what reads, with `inputs`: letters of
        "qkv", or "" for the logits and MLPs. The graph's attributes are `model` and `source`.

    Example:
        >>> from interp.circuits import published
        >>> graph = to_networkx(published("ioi", "gpt2"))
        >>> graph.edges["8.6 at END", "9.9 at END"]["inputs"]
        'q'
    """
    graph = nx.DiGraph(model=circuit.model, source=circuit.source)
    nodes = circuit.nodes()
    for group, members in nodes.items():
        for node in members:
            at = {"layer": node.layer}
            if isinstance(node, CircuitHead):
                at["head"] = node.head
            about = {"label": node.label, "kind": group.kind, "position": group.position}
            graph.add_node(_name(node), **about, **at)
    graph.add_node("logits", label="logits", kind="logits", position="END")
    arrows = _measured(circuit) if circuit.links else _between_classes(circuit)
    for (sender, receiver), inputs in arrows.items():
        if sender not in graph:
            position = sender.removeprefix(_INPUT)
            graph.add_node(sender, label=position, kind="input", position=position)
        graph.add_edge(sender, receiver, inputs=inputs)
    return graph


def circuit_graphml(circuit: Circuit) -> str:
    """The graph of `to_networkx` as GraphML, which Gephi, yEd and igraph read.

    Args:
        circuit: The heads and MLPs.

    Returns:
        The document.
    """
    return "\n".join(nx.generate_graphml(to_networkx(circuit))) + "\n"


def circuit_dot(circuit: Circuit) -> str:
    """The graph of `to_networkx` in the DOT language, which Graphviz draws.

    Args:
        circuit: The heads and MLPs.

    Returns:
        The text; a cluster is a class at a position.
    """
    graph = to_networkx(circuit)
    lines = [
        f"digraph {_quoted(circuit.model)} {{",
        "  rankdir=BT; compound=true;",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica"];',
    ]
    for i, (group, members) in enumerate(circuit.nodes().items()):
        color = NODE_COLORS[group.kind]
        title = f"{title_of(group)} at {group.position}"
        lines.append(f"  subgraph cluster_{i} {{")
        lines.append(f"    label={_quoted(title)}; color={_quoted(color)};")
        fill = mix(color, PAPER, 0.88)
        lines += [
            f"    {_quoted(_name(node))} [label={_quoted(node.label)}, color={_quoted(color)}, "
            f"fillcolor={_quoted(fill)}];"
            for node in members
        ]
        lines.append("  }")
    for name, about in graph.nodes(data=True):
        if about["kind"] in ("input", "logits"):
            look = f"label={_quoted(about['label'])}, color={_quoted(MUTED)}"
            lines.append(f"  {_quoted(name)} [{look}, fillcolor={_quoted(PAPER)}];")
    for sender, receiver, about in graph.edges(data=True):
        label = f" [label={_quoted(' '.join(about['inputs']))}]" if about["inputs"] else ""
        lines.append(f"  {_quoted(sender)} -> {_quoted(receiver)}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _measured(circuit: Circuit) -> dict[tuple[str, str], str]:
    """Sender and receiver of every link, and what is read into."""
    found: dict[tuple[str, str], str] = {}
    for link in circuit.links:
        sender = f"{link.sender} at {link.sent_from}"
        to_logits = link.receiver == LOGITS
        receiver = LOGITS if to_logits else f"{link.receiver} at {link.received_at}"
        letters = found.get((sender, receiver), "") + link.inputs
        found[sender, receiver] = "".join(letter for letter in "qkv" if letter in letters)
    return found


def _between_classes(circuit: Circuit) -> dict[tuple[str, str], str]:
    """The same of connections between classes."""
    nodes = circuit.nodes()
    return {pair: edge.inputs for edge in circuit.edges() for pair in _pairs(edge, nodes)}


def _name(node: Node) -> str:
    return f"{node.label} at {node.position}"


def _pairs(edge: Edge, nodes: dict[Group, tuple[Node, ...]]) -> list[tuple[str, str]]:
    """The names of every two nodes that a connection between classes can join."""
    receivers: tuple[Node, ...] = nodes.get(edge.receiver, ())
    if edge.sender.kind == "input":
        name = f"{_INPUT}{edge.sender.position}"
        return [(name, _name(node)) for node in receivers]
    senders = nodes[edge.sender]
    if edge.receiver.kind == "logits":
        return [(_name(node), "logits") for node in senders]
    return [
        (_name(sender), _name(receiver))
        for sender in senders
        for receiver in receivers
        if _comes_before(sender, receiver)
    ]


def _comes_before(sender: Node, receiver: Node) -> bool:
    """Whether a node's output reaches another; the MLP of a layer reads the layer's heads."""
    if sender.layer == receiver.layer:
        return isinstance(sender, CircuitHead) and not isinstance(receiver, CircuitHead)
    return sender.layer < receiver.layer


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
