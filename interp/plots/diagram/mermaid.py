"""The circuit diagram as Mermaid text, for Markdown pages that render it.

Source: https://mermaid.js.org/syntax/flowchart.html
"""

from interp.circuits import Circuit
from interp.circuits.members import Group
from interp.circuits.published.connections import connections_of
from interp.circuits.published.ioi import IOI_ROLES
from interp.plots.diagram.shapes import title_of
from interp.plots.palette import MUTED, NODE_COLORS, PAPER, mix


def circuit_mermaid(circuit: Circuit) -> str:
    """Write a circuit as a Mermaid flowchart, from the tokens to the logits.

    A subgraph is a class at a position, and a node is a head. The label of an arrow is the input
    that reads (q; k v), or the sign toward the logit difference (+; minus).

    Args:
        circuit: the heads

    Returns:
        The text of the flowchart, ending with a line break.
    """
    edges = connections_of(circuit)
    read = dict.fromkeys(edge.sender for edge in edges if edge.sender.kind == "input")
    order = {role: i for i, role in enumerate(IOI_ROLES)}
    tokens = sorted(read, key=lambda token: (order.get(token.role, -1), token.role))
    lines = ["flowchart BT"]
    lines += [f'  {_id(token)}["{_quoted(token.role)}"]' for token in tokens]
    for group, heads in circuit.groups().items():
        lines.append(f'  subgraph {_id(group)}["{title_of(group)} at {_quoted(group.role)}"]')
        lines += [f'    {_id(group)}_{h.label.replace(".", "_")}(["{h.label}"])' for h in heads]
        lines.append("  end")
    lines.append(f'  {_id(Group("logits", "END"))}[["logits"]]')
    for sender, receiver, inputs in edges:
        label = " ".join(inputs)
        if receiver.kind == "logits":
            label = "\N{MINUS SIGN}" if sender.kind.startswith("negative") else "+"
        arrow = f'-- "{label}" -->' if label else "-->"
        lines.append(f"  {_id(sender)} {arrow} {_id(receiver)}")
    for group in circuit.groups():
        color = NODE_COLORS[group.kind]
        lines.append(f"  style {_id(group)} fill:{mix(color, PAPER, 0.88)},stroke:{color}")
    lines += [f"  style {_id(token)} fill:{PAPER},stroke:{MUTED}" for token in tokens]
    return "\n".join(lines) + "\n"


def _id(group: Group) -> str:
    """A name that Mermaid accepts: letters, digits and underscores, but no reserved words."""
    plain = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c)}_" for c in group.role)
    return f"{group.kind.replace(' ', '_').replace('-', '_')}__{plain}"


def _quoted(text: str) -> str:
    """Text for use in quotes, with entities for what Mermaid or HTML would read as markup."""
    return "".join(c if c.isalnum() or c in " +-.," else f"#{ord(c)};" for c in text)
