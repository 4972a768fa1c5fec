"""What circuits are made of: heads and MLPs at roles, with their class; the graph of classes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from interp.circuits.classes import CLASSES, MLP_CLASS
from interp.circuits.files import field
from interp.parts import MLP, Head, Node, NodeLike, Part, as_node


class Group(NamedTuple):
    """A node of the class-level graph: a class at a role.

    Args:
        kind: a class of heads, "MLP", "input" (the token embedding) or "logits"
        role: the role
    """

    kind: str
    role: str


class Connection(NamedTuple):
    """An arrow of the class-level graph: `receiver` reads what `sender` writes.

    Args:
        sender: the group that writes
        receiver: the group that reads
        inputs: the inputs that read: some of the letters "qkv", or "" for the logits and MLPs
    """

    sender: Group
    receiver: Group
    inputs: str


@dataclass(frozen=True, slots=True, order=True, init=False)
class Member:
    """A head or an MLP of a circuit, at the role where it does its work.

    Args:
        node: the head or MLP at a role, such as "9.6@END"
        kind: class of a head, one of `CLASSES`; "MLP" for an MLP

    Raises:
        ValueError: the node has no role or is neither a head nor an MLP, or the class is unknown
        TypeError: `node` is not a node

    Example:
        >>> Member("9.6@END", "name mover").label
        '9.6'
    """

    node: Node
    kind: str

    def __init__(self, node: NodeLike, kind: str = MLP_CLASS) -> None:
        node = as_node(node)
        object.__setattr__(self, "node", node)
        object.__setattr__(self, "kind", kind)
        if not isinstance(node.part, Head | MLP) or not node.role:
            raise ValueError(
                f"a member of a circuit is a head or an MLP at a role, such as '9.6@END' or "
                f"'m9@END'; got {str(node)!r}"
            )
        numbers = node.part if isinstance(node.part, Head) else (node.part.layer,)
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
            raise ValueError(f"layers and heads are whole numbers from 0; got {node.part!r}")
        known = CLASSES if isinstance(node.part, Head) else (MLP_CLASS,)
        if kind not in known:
            raise ValueError(
                f"{node} has the unknown class {kind!r}; expected one of "
                + ", ".join(known)
                + (' ("other" fits any head)' if known is CLASSES else "")
            )

    def __str__(self) -> str:
        return str(self.node)

    @property
    def part(self) -> Part:
        """The head or the MLP."""
        return self.node.part

    @property
    def role(self) -> str:
        """The role at which it works."""
        return str(self.node.role)

    @property
    def layer(self) -> int:
        """Index of its block, from 0."""
        return self.node.layer

    @property
    def label(self) -> str:
        """The part, as the literature writes it: "9.6" or "m9"."""
        return str(self.part)

    @property
    def group(self) -> Group:
        """Its node in the class-level graph."""
        return Group(self.kind, self.role)


def head_of(row: Any, what: str) -> Member:
    """Read a head from a row of a file; errors call the row `what`."""
    layer, head = (field(row, name, int, what) for name in ("layer", "head"))
    kind, role = (field(row, name, str, what) for name in ("class", "position"))
    return Member(Node(Head(layer, head), role), kind)


def mlp_of(row: Any, what: str) -> Member:
    """Read an MLP from a row of a file; errors call the row `what`."""
    layer, role = field(row, "layer", int, what), field(row, "position", str, what)
    return Member(Node(MLP(layer), role))
