"""What a GPT-2 is made of, in the words of every other module: parts, nodes, and edges.

    part   Head(9, 6)   MLP(9)   Neuron(9, 17)   Input()   Logits()
           "9.6"        "m9"     "m9.17"         "input"   "logits"
    node   a part at one role of a task, or (without a role) at all positions
           "9.6@END"    "m9@END" "input@IO"      "logits@END"
    edge   a sender's path into a receiver: into the queries, keys or values of a head, or into the
           one input that any other part has
           "9.6@END -> 10.0.q@END"   "5.5@S2 -> m7@S2"   "input@IO -> 9.6.v@END"

This is the one place that reads and prints these words: `str` prints them, `parse` reads them, and
functions of the toolkit take either the types or the words.

Parts sort in the order in which a forward pass computes them: the input, then layer by layer the
heads, the neurons and the MLP, and finally the logits.

The file is longer than most, because the types and what reads and prints them belong together.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, Literal, NamedTuple

__all__ = [
    "MLP",
    "Edge",
    "Head",
    "Input",
    "Logits",
    "Neuron",
    "Node",
    "Port",
    "parse",
]

QKV = ("q", "k", "v")
"""The inputs of a head."""


class Head(NamedTuple):
    """An attention head.

    Args:
        layer: index of its block, from 0
        head: index within the block, from 0

    Example:
        >>> str(Head(9, 6))
        '9.6'
    """

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True, slots=True)
class MLP:
    """The MLP of a layer.

    Args:
        layer: index of its block, from 0

    Example:
        >>> str(MLP(9))
        'm9'
    """

    layer: int

    def __str__(self) -> str:
        return f"m{self.layer}"


@dataclass(frozen=True, slots=True)
class Neuron:
    """A neuron of an MLP, after its activation function.

    Args:
        layer: index of its block, from 0
        neuron: index within the MLP, from 0

    Example:
        >>> str(Neuron(9, 17))
        'm9.17'
    """

    layer: int
    neuron: int

    def __str__(self) -> str:
        return f"m{self.layer}.{self.neuron}"


@dataclass(frozen=True, slots=True)
class Input:
    """The token embedding, where every path begins."""

    def __str__(self) -> str:
        return "input"


@dataclass(frozen=True, slots=True)
class Logits:
    """The logits, where every path ends."""

    def __str__(self) -> str:
        return "logits"


Part = Head | MLP | Neuron | Input | Logits


@total_ordering
@dataclass(frozen=True, slots=True)
class Node:
    """A part at one role, or at all positions.

    Args:
        part: the part
        role: role of the token position, such as "END"; None for all positions

    Example:
        >>> str(Node(Head(9, 6), "END"))
        '9.6@END'
    """

    part: Part
    role: str | None = None

    def __str__(self) -> str:
        return f"{self.part}" if self.role is None else f"{self.part}@{self.role}"

    def __lt__(self, other: "Node") -> bool:
        return self._order < other._order

    @property
    def layer(self) -> int:
        """Layer of the part: -1 for the input, 2**31 for the logits."""
        return layer_of(self.part)

    @property
    def _order(self) -> tuple:
        return (*part_order(self.part), self.role or "")


@total_ordering
@dataclass(frozen=True, slots=True)
class Edge:
    """A path from what one node writes into what another one reads.

    Args:
        sender: the node that writes: the input, a head, or an MLP
        receiver: the node that reads: a head, an MLP, or the logits
        input: "q", "k" or "v" for a head; "" for everything that the receiver reads

    Raises:
        ValueError: the receiver has no such input, or does not come after the sender

    Example:
        >>> str(Edge(Node(Head(9, 6), "END"), Node(Head(10, 0), "END"), "q"))
        '9.6@END -> 10.0.q@END'
    """

    sender: Node
    receiver: Node
    input: Literal["q", "k", "v", ""] = ""

    def __post_init__(self) -> None:
        inputs = (*QKV, "") if isinstance(self.receiver.part, Head) else ("",)
        if self.input not in inputs:
            raise ValueError(
                f"{self.receiver} has no input {self.input!r}; expected one of {list(inputs)}"
            )
        if not can_send(self.sender.part, self.receiver.part):
            raise ValueError(
                f"{self.sender} does not write into {self.receiver}: a path leads from the input, "
                "a head or an MLP to a head, an MLP or the logits that come later"
            )

    def __str__(self) -> str:
        return f"{self.sender} -> {self.port}"

    @property
    def port(self) -> "Port":
        """Where the edge ends."""
        return Port(self.receiver, self.input)

    def __lt__(self, other: "Edge") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple:
        return (*self.sender._order, *self.receiver._order, self.input)


class Port(NamedTuple):
    """What a node reads: one end of an edge.

    Args:
        node: a head, an MLP, or the logits
        input: for a head, those of the letters "qkv" that read together; "" for everything that the
            node reads

    Example:
        >>> str(Port(Node(Head(10, 0), "END"), "q"))
        '10.0.q@END'
    """

    node: Node
    input: str = ""

    def __str__(self) -> str:
        part = f"{self.node.part}.{self.input}" if self.input else f"{self.node.part}"
        return part if self.node.role is None else f"{part}@{self.node.role}"


NodeLike = Node | Part | str | tuple
"""A node in any form that functions accept: a `Node`, a part (at all positions), its words, or a
tuple (layer, head) or (layer, head, role)."""

_PART = (
    r"(?:(?P<layer>\d+)\.(?P<head>\d+)|m(?P<mlp>\d+)(?:\.(?P<neuron>\d+))?|(?P<end>input|logits))"
)
_NODE = re.compile(rf"\s*{_PART}(?:\.(?P<input>[qkv]))?(?:@(?P<role>\S+))?\s*")
_EXAMPLES = "'9.6', '9.6@END', 'm9', 'm9.17', 'input@IO', 'logits' or '9.6 -> 10.0.q'"


def parse(text: str) -> Part | Node | Edge:
    """Read the words that parts, nodes and edges print.

    Args:
        text: such as "9.6", "m9@END" or "9.6@END -> 10.0.q@END"

    Returns:
        An edge where there is an arrow, a node where there is a role, else a part.

    Raises:
        ValueError: the text is none of these

    Example:
        >>> parse("9.6@END")
        Node(part=Head(layer=9, head=6), role='END')
    """
    if not isinstance(text, str):
        raise TypeError(f"expected text such as {_EXAMPLES}; got {text!r}")
    if "->" in text:
        sender, _, receiver = text.partition("->")
        (part, no_input), (end, into) = _node(sender, text), _node(receiver, text)
        if no_input:
            raise ValueError(f"{text!r} sends from an input; only receivers have inputs")
        return Edge(part, end, into)  # type: ignore[arg-type]
    node, into = _node(text, text)
    if into:
        raise ValueError(f"{text!r} names an input, which only the receiver of an edge has")
    return node.part if node.role is None else node


def _node(text: str, whole: str) -> tuple[Node, str]:
    """A node and the input that is named with it."""
    found = _NODE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{whole!r} names no part, node or edge; expected, for instance, {_EXAMPLES}"
        )
    part: Part
    if found["layer"]:
        part = Head(int(found["layer"]), int(found["head"]))
    elif found["neuron"]:
        part = Neuron(int(found["mlp"]), int(found["neuron"]))
    elif found["mlp"]:
        part = MLP(int(found["mlp"]))
    else:
        part = Input() if found["end"] == "input" else Logits()
    return Node(part, found["role"]), found["input"] or ""


def as_node(given: NodeLike) -> Node:
    """Turn any of the ways to name a node into a node.

    Args:
        given: see `NodeLike`

    Returns:
        The node; without a role it is the part at all positions.

    Raises:
        ValueError: the words name no node
        TypeError: the argument is of another type
    """
    if isinstance(given, Node):
        return given
    if isinstance(given, Head | MLP | Neuron | Input | Logits):
        return Node(given)
    if isinstance(given, str):
        found = parse(given)
        if isinstance(found, Edge):
            raise ValueError(f"{given!r} is an edge; expected one node, such as '9.6@END'")
        return found if isinstance(found, Node) else Node(found)
    if isinstance(given, tuple) and len(given) in (2, 3) and all(map(_whole, given[:2])):
        role = given[2] if len(given) == 3 else None
        if role is None or isinstance(role, str):
            return Node(Head(*given[:2]), role)
    raise TypeError(
        f"expected a node, such as Node(Head(9, 6), 'END'), '9.6@END', 'm9' or (9, 6); "
        f"got {given!r}"
    )


def as_head(given: Any) -> Head:
    """Turn `Head(9, 6)`, (9, 6) or "9.6" into a head.

    Args:
        given: the head

    Returns:
        The head.

    Raises:
        ValueError: the words name no head
        TypeError: the argument is of another type
    """
    if not isinstance(given, Head | tuple | str):
        raise TypeError(f"expected a head, such as (9, 6) or '9.6'; got {given!r}")
    node = as_node(given)
    if not isinstance(node.part, Head) or node.role is not None:
        raise ValueError(f"expected a head, such as (9, 6) or '9.6'; got {given!r}")
    return node.part


def as_heads(given: Iterable[Any]) -> list[Head]:
    """Turn any of the ways to name heads into a list of heads.

    Args:
        given: the heads, each as `as_head` takes it

    Returns:
        The heads, in the order given.

    Raises:
        ValueError: a head is named twice, or as for `as_head`
        TypeError: the argument is not a sequence of heads
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"expected a list of heads, such as [(9, 6), (9, 9)]; got {given!r}")
    heads = [as_head(one) for one in given]
    require_once(heads, "head")
    return heads


def require_once(parts: Iterable[Any], what: str) -> None:
    """Refuse items that are given twice.

    Args:
        parts: the items
        what: what an error calls an item, such as "head"

    Raises:
        ValueError: an item occurs twice
    """
    seen = set()
    for one in parts:
        if one in seen:
            raise ValueError(f"{what} {one} is given twice; give each {what} once")
        seen.add(one)


def require_in_model(model: Any, parts: Iterable[Part]) -> None:
    """Refuse parts that a model does not have.

    Args:
        model: the model
        parts: the parts

    Raises:
        ValueError: a layer, head or neuron is outside the model
    """
    c = model.config
    for part in parts:
        if isinstance(part, Input | Logits):
            continue
        widths = {Head: (c.n_heads, " of {} heads"), Neuron: (c.d_mlp, " of {} neurons")}
        width, each = widths.get(type(part), (1, ""))
        if not 0 <= part.layer < c.n_layers or not 0 <= unit_of(part) < width:
            raise ValueError(
                f"{model.name} has no {type(part).__name__} {part}: it has {c.n_layers} layers"
                f"{each.format(width)}, counted from 0"
            )


def layer_of(part: Part) -> int:
    """The layer of a part: -1 for the input, 2**31 for the logits."""
    if isinstance(part, Input):
        return -1
    return 2**31 if isinstance(part, Logits) else part.layer


def unit_of(part: Part) -> int:
    """Index of a head or neuron within its layer; 0 for any other part."""
    if isinstance(part, Head):
        return part.head
    return part.neuron if isinstance(part, Neuron) else 0


def part_order(part: Part) -> tuple[int, int, int]:
    """A key that sorts parts in the order of a forward pass."""
    place = {Input: 0, Head: 0, Neuron: 1, MLP: 2, Logits: 0}[type(part)]
    return layer_of(part), place, unit_of(part)


def can_send(sender: Part, receiver: Part) -> bool:
    """Whether one part reads what another writes.

    Args:
        sender: the part that writes
        receiver: the part that reads

    Returns:
        True if the sender is the input, a head, a neuron or an MLP and the receiver comes later: a
        head of a later layer, the MLP of a head's own layer or of a later one, the logits.
    """
    if isinstance(sender, Logits) or isinstance(receiver, Input | Neuron):
        return False
    if isinstance(sender, Head) and isinstance(receiver, MLP):
        return sender.layer <= receiver.layer
    return layer_of(sender) < layer_of(receiver)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
