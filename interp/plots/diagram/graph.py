"""A circuit as a graph for other tools: networkx, DOT and GraphML.

A node is a head or an MLP at a position, a token that is read, or the logits. Measured links become
edges. If a circuit has none, a connection between two classes becomes edges from every head of the
first to every head of the second in a later layer.

Source: https://networkx.org, https://graphviz.org/doc/info/lang.html, http://graphml.graphdrawing.org
"""

from collections.abc import Mapping, Sequence

import networkx as nx

from interp.circuits import Circuit, Member
from interp.circuits.members import Connection, Group
from interp.circuits.published import published_connections
from interp.parts import QKV, Head, Input, Logits, Node, Part, can_send, unit_of
from interp.plots.diagram.shapes import title_of
from interp.plots.palette import MUTED, NODE_COLORS, PAPER, mix

_LOGITS = "logits"


def to_networkx(circuit: Circuit) -> nx.DiGraph:
    """Turn a circuit into a directed graph.

    Args:
        circuit: the heads and MLPs

    Returns:
        Nodes named "9.6@END", "m9@END", "input@S2" or "logits", with the attributes
        `label` ("9.6"), `kind` (the class, "MLP", "input" or "logits"), `position`, and `layer` and
        `head` where they have one. Edges go from what writes to what reads and have the attribute
        `inputs`: letters of "qkv", or "" for the logits and MLPs. The graph's attributes are
        `model` and `source`.

    Example:
        >>> from interp.circuits import published_circuit
        >>> graph = to_networkx(published_circuit("ioi", "gpt2"))
        >>> graph.edges["8.6@END", "9.9@END"]["inputs"]
        'q'
    """
    graph = nx.DiGraph(model=circuit.model, source=circuit.source)
    for group, members in circuit.groups().items():
        for one in members:
            at = {"layer": one.layer}
            if isinstance(one.part, Head):
                at["head"] = unit_of(one.part)
            about = {"label": one.label, "kind": group.kind, "position": group.role}
            graph.add_node(str(one), **about, **at)
    graph.add_node(_LOGITS, label=_LOGITS, kind=_LOGITS, position="END")
    arrows = _measured(circuit) if circuit.links else _between_classes(circuit)
    for (sender, receiver), inputs in arrows.items():
        if isinstance(sender.part, Input) and str(sender) not in graph:
            graph.add_node(str(sender), label=sender.role, kind="input", position=sender.role)
        graph.add_edge(_name(sender), _name(receiver), inputs=inputs)
    return graph


def circuit_graphml(circuit: Circuit) -> str:
    """Write the graph of `to_networkx` as GraphML, which Gephi, yEd and igraph read.

    Args:
        circuit: the heads and MLPs

    Returns:
        The document.
    """
    return "\n".join(nx.generate_graphml(to_networkx(circuit))) + "\n"


def circuit_dot(circuit: Circuit) -> str:
    """Write the graph of `to_networkx` in the DOT language, which Graphviz draws.

    Args:
        circuit: the heads and MLPs

    Returns:
        The text; a cluster is a class at a position.
    """
    graph = to_networkx(circuit)
    lines = [
        f"digraph {_quoted(circuit.model)} {{",
        "  rankdir=BT; compound=true;",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica"];',
    ]
    for i, (group, members) in enumerate(circuit.groups().items()):
        color = NODE_COLORS[group.kind]
        title = f"{title_of(group)} at {group.role}"
        lines.append(f"  subgraph cluster_{i} {{")
        lines.append(f"    label={_quoted(title)}; color={_quoted(color)};")
        fill = mix(color, PAPER, 0.88)
        lines += [
            f"    {_quoted(str(one))} [label={_quoted(one.label)}, color={_quoted(color)}, "
            f"fillcolor={_quoted(fill)}];"
            for one in members
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


def _measured(circuit: Circuit) -> dict[tuple[Node, Node], str]:
    """Sender, receiver and inputs of every link."""
    found: dict[tuple[Node, Node], str] = {}
    for link in circuit.links:
        ends = link.sender, link.receiver
        letters = found.get(ends, "") + link.input
        found[ends] = "".join(letter for letter in QKV if letter in letters)
    return found


def _between_classes(circuit: Circuit) -> dict[tuple[Node, Node], str]:
    """The same for connections between classes."""
    groups = circuit.groups()
    return {
        pair: one.inputs for one in published_connections(circuit) for pair in _pairs(one, groups)
    }


def _name(node: Node) -> str:
    return _LOGITS if isinstance(node.part, Logits) else str(node)


def _pairs(one: Connection, groups: Mapping[Group, Sequence[Member]]) -> list[tuple[Node, Node]]:
    """All pairs of nodes that a connection between classes can join."""

    def nodes(group: Group) -> list[Node]:
        ends: dict[str, Part] = {"input": Input(), _LOGITS: Logits()}
        if group.kind in ends:
            return [Node(ends[group.kind], group.role)]
        return [member.node for member in groups.get(group, ())]

    return [
        (sender, receiver)
        for sender in nodes(one.sender)
        for receiver in nodes(one.receiver)
        if can_send(sender.part, receiver.part)
    ]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
