"""A circuit: attention heads, each with its class and the token position where it matters.

The classes are those of the indirect-object-identification circuit of GPT-2 small. When a circuit
runs alone, it keeps the output of each of its heads at that head's position; the same head's output
elsewhere, and every other head, is ablated. `Circuit.edges` gives the connections between classes:
which class writes, at which position, into which class's queries, keys or values: as published, or,
where the circuit carries links that were measured between its heads, as measured.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 and Figure 2.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from interp.circuits.links import INPUT, LOGITS, Link

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "previous token": "copy the token before",
        "duplicate token": "find the earlier copy",
        "induction": "find what followed before",
        "S-inhibition": "keep attention off S",
        "name mover": "bring IO to the logits",
        "backup name mover": "step in for name movers",
        "negative name mover": "write against IO",
        "mover": "carry what a token says",
        "backup mover": "step in for movers",
        "negative mover": "write against the answer",
        "other": "no class fits",
    }
)
"""Every class of heads, from the tokens to the logits, with what its heads do. The movers that move
no names are those of other tasks than the paper's."""

MLP = "MLP"
"""The kind of the MLPs of a circuit."""

ROLES: tuple[str, ...] = ("IO", "IO+1", "S1", "S1+1", "S2", "S2+1", "END-1", "END")
"""The positions of the task, in the order of the ABBA template."""

PAPER_ROLES: tuple[str, ...] = ("IO", "S1", "S1+1", "S2", "END")
"""Those that the paper has; the others serve models that move names in more steps."""

MOVERS: tuple[str, ...] = ("name mover", "backup name mover", "negative name mover")
"""The classes that write to the logits."""

_STEPS = ("S2+1", "END-1", "YY")  # what is written here is read at END
_STEP_KINDS = ("name mover", "S-inhibition")
# (sender class, its position or "" for any, receiver class, inputs of the receiver): "qkv" letters,
# "" for the logits. Of IO+1, S2+1 and END-1 the paper knows nothing: a model that copies as
# induction heads do moves the name to IO+1 first, and one that settles on the answer as soon as it
# has seen S2 moves it there before it moves it to END.
_CLASS_CONNECTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("previous token", "S1+1", "induction", "kv"),
    *(("previous token", "IO+1", mover, "kv") for mover in MOVERS),
    *((kind, at, mover, "kv") for kind in _STEP_KINDS for at in _STEPS[:2] for mover in MOVERS),
    ("duplicate token", "", "S-inhibition", "kv"),
    ("induction", "", "S-inhibition", "kv"),
    *(("S-inhibition", "", mover, "q") for mover in MOVERS),
    *((mover, "", "logits", "") for mover in MOVERS),
    # Greater-than (Hanna et al. 2023) and induction on random tokens (Olsson et al. 2022).
    ("mover", "YY", MLP, ""),
    (MLP, "YY", "mover", "v"),
    ("mover", "END", MLP, ""),
    *((kind, "END", "logits", "") for kind in ("mover", "negative mover", "induction", MLP)),
    ("previous token", "FIRST+1", "induction", "kv"),
)
# (receiver class and position, role of the token that is read, inputs of the receiver).
_TOKEN_CONNECTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("previous token", "S1+1", "S1", "kv"),
    ("previous token", "S1+1", "S1+1", "q"),
    ("previous token", "IO+1", "IO", "kv"),
    ("previous token", "IO+1", "IO+1", "q"),
    ("duplicate token", "S2", "S1", "kv"),
    ("duplicate token", "S2", "S2", "q"),
    ("S-inhibition", "END", "END", "q"),
    *((mover, "END", "IO", "kv") for mover in MOVERS),
    *(("name mover", step, "IO", "kv") for step in ("S2+1", "END-1")),
    ("mover", "YY", "YY", "qkv"),
    (MLP, "YY", "YY", ""),
    ("previous token", "FIRST+1", "FIRST", "kv"),
    ("previous token", "FIRST+1", "FIRST+1", "q"),
    ("induction", "END", "END", "q"),
    ("induction", "END", "FIRST+1", "kv"),
)


class Group(NamedTuple):
    """A node of the class-level graph: a class at a position.

    `kind` is a class of heads, "MLP", "input" (the token embedding) or "logits".
    """

    kind: str
    position: str


class Edge(NamedTuple):
    """A connection: `receiver` reads what `sender` writes.

    `inputs` names what is read into: some of the letters of "qkv", or "" for the logits and MLPs.
    """

    sender: Group
    receiver: Group
    inputs: str


@dataclass(frozen=True, slots=True, order=True)
class CircuitHead:
    """One attention head of a circuit.

    Args:
        layer: Index of the block, from 0.
        head: Index within the block, from 0.
        kind: Class, one of `KINDS`.
        position: Role of the token position where its output is kept, such as "END".

    Raises:
        ValueError: An index is not a whole number from 0, the class is unknown, or the position
            is empty.

    >>> CircuitHead(9, 6, "name mover", "END").label
    '9.6'
    """

    layer: int
    head: int
    kind: str
    position: str

    def __post_init__(self) -> None:
        for name, index in (("layer", self.layer), ("head", self.head)):
            if not isinstance(index, int) or isinstance(index, bool) or index < 0:
                raise ValueError(f"{name} must be a whole number from 0, not {index!r}.")
        if self.kind not in KINDS:
            raise ValueError(
                f"Head {self.label} has the unknown class {self.kind!r}; "
                f'use one of {", ".join(KINDS)} ("other" fits any head).'
            )
        if not self.position:
            raise ValueError(f"Head {self.label} needs a position: a role such as 'S2' or 'END'.")

    @property
    def label(self) -> str:
        """The head as the field writes it, `layer.head`."""
        return f"{self.layer}.{self.head}"

    @property
    def group(self) -> Group:
        """Its node in the class-level graph."""
        return Group(self.kind, self.position)


@dataclass(frozen=True, slots=True, order=True)
class CircuitMLP:
    """The MLP of one layer, at the position where it works for the circuit.

    Args:
        layer: Index of the block, from 0.
        position: Role of the token position, such as "END".

    Raises:
        ValueError: The layer is not a whole number from 0, or the position is empty.

    >>> CircuitMLP(9, "END").label
    'm9'
    """

    layer: int
    position: str

    def __post_init__(self) -> None:
        if not isinstance(self.layer, int) or isinstance(self.layer, bool) or self.layer < 0:
            raise ValueError(f"layer must be a whole number from 0, not {self.layer!r}.")
        if not self.position:
            raise ValueError(f"{self.label} needs a position: a role such as 'END'.")

    @property
    def label(self) -> str:
        """The MLP as the field writes it, `m` and the layer."""
        return f"m{self.layer}"

    @property
    def kind(self) -> str:
        """`MLP`, in the place of a head's class."""
        return MLP

    @property
    def group(self) -> Group:
        """Its node in the class-level graph."""
        return Group(MLP, self.position)


Node = CircuitHead | CircuitMLP
"""What a circuit is made of."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """A set of attention heads, and maybe MLPs, that does one task in one model.

    Args:
        model: Name of the model.
        heads: The heads; one that matters at several positions is there once for each.
        source: Where the circuit comes from, for whoever reads the file.
        mlps: The MLPs that the literature counts in. Ablations of the circuit leave all MLPs alone.
        links: Connections that were measured, between the heads and from the tokens to the logits.

    Raises:
        ValueError: A head or an MLP occurs twice at a position, or a link joins what is not in the
            circuit.
    """

    model: str
    heads: tuple[CircuitHead, ...]
    source: str = ""
    links: tuple[Link, ...] = ()
    mlps: tuple[CircuitMLP, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(self.heads))
        object.__setattr__(self, "mlps", tuple(self.mlps))
        nodes: tuple[Node, ...] = (*self.heads, *self.mlps)
        counts = Counter((node.label, node.position) for node in nodes)
        repeated = [f"{head} at {where}" for (head, where), n in counts.items() if n > 1]
        if repeated:
            raise ValueError(
                f"Heads occur more than once: {', '.join(repeated)}. "
                "A circuit holds a head once for each position; drop the repeats."
            )
        object.__setattr__(self, "links", tuple(self.links))
        for link in self.links:
            sender, receiver = (link.sender, link.sent_from), (link.receiver, link.received_at)
            if (link.sender != INPUT and sender not in counts) or (
                link.receiver != LOGITS and receiver not in counts
            ):
                raise ValueError(
                    f"The link {link} joins a head that the circuit does not have at that "
                    "position; add the head or drop the link."
                )

    def heads_of(self, kind: str) -> tuple[CircuitHead, ...]:
        """The heads of one class, in the circuit's order.

        Args:
            kind: Class, one of `KINDS`.

        Returns:
            The heads; empty if the circuit has none of that class.

        Raises:
            KeyError: The class is unknown.
        """
        if kind not in KINDS:
            raise KeyError(f"Unknown class {kind!r}; use one of {', '.join(KINDS)}.")
        return tuple(head for head in self.heads if head.kind == kind)

    def groups(self) -> dict[Group, tuple[CircuitHead, ...]]:
        """The heads by class and position.

        Returns:
            Group to heads, in the order of `KINDS`, then of first occurrence.
        """
        order = list(KINDS)
        found = sorted({h.group: None for h in self.heads}, key=lambda g: order.index(g.kind))
        return {group: tuple(h for h in self.heads if h.group == group) for group in found}

    def nodes(self) -> dict[Group, tuple[Node, ...]]:
        """The heads by class and position, and after them the MLPs by position.

        Returns:
            Group to its heads or MLPs.
        """
        at = dict.fromkeys(mlp.group for mlp in self.mlps)
        return {**self.groups(), **{g: tuple(m for m in self.mlps if m.group == g) for g in at}}

    def edges(self) -> tuple[Edge, ...]:
        """The connections between the classes that the circuit has: measured, or else published.

        A circuit with links has those; several heads or inputs of a class make one edge. Of the
        published ones, queries and the logits read at the receiver's own position (the logits at
        END), keys and values also at earlier ones. Where heads act at S2+1 or END-1, the movers at
        END read these and not the name itself. Classes away from their published positions read no
        tokens, and heads of class "other" have no connections.

        Returns:
            Edges from the tokens to the logits.

        Source: Wang et al. 2022, Figure 2 and appendix A.
        """
        if self.links:
            return self._measured_edges()
        groups = self.nodes()
        positions = {position for _, position in groups}
        stepwise = any(kind in _STEP_KINDS and position in _STEPS for kind, position in groups)
        edges = [
            Edge(Group("input", role), Group(kind, position), inputs)
            for kind, position, role, inputs in _TOKEN_CONNECTIONS
            if (kind, position) in groups
            and not (stepwise and (role, position) == ("IO", "END"))
            and (role in ROLES or position not in ROLES or role in positions)
        ]
        receivers = [*groups, Group("logits", "END")]
        edges += [
            Edge(sender, receiver, inputs)
            for sender_kind, position, receiver_kind, inputs in _CLASS_CONNECTIONS
            for sender in groups
            for receiver in receivers
            if (sender.kind, receiver.kind) == (sender_kind, receiver_kind)
            and position in ("", sender.position)
            and (receiver.position == "END" or position not in _STEPS or not inputs)
        ]
        return tuple(edge for edge in edges if _can_flow(edge))

    def _measured_edges(self) -> tuple[Edge, ...]:
        """The links, gathered by class."""
        groups = {(head.label, head.position): head.group for head in self.heads}
        inputs: dict[tuple[Group, Group], set[str]] = {}
        for link in self.links:
            sent, received = (link.sender, link.sent_from), (link.receiver, link.received_at)
            ends = groups.get(sent, Group(*sent)), groups.get(received, Group(*received))
            inputs.setdefault(ends, set()).update(link.inputs)
        return tuple(
            Edge(*ends, "".join(letter for letter in "qkv" if letter in read))
            for ends, read in inputs.items()
        )

    def records(self) -> list[dict[str, Any]]:
        """The heads as plain rows.

        Returns:
            One `{layer, head, class, position}` a head.
        """
        return [
            {"layer": h.layer, "head": h.head, "class": h.kind, "position": h.position}
            for h in self.heads
        ]

    def to_json(self) -> str:
        """As JSON text: `model`, `source`, `heads` (its `records`) and any `links` and `mlps`."""
        found = {"model": self.model, "source": self.source, "heads": self.records()}
        if self.links:
            found["links"] = [link.record() for link in self.links]
        if self.mlps:
            found["mlps"] = [{"layer": m.layer, "position": m.position} for m in self.mlps]
        return json.dumps(found, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Circuit":
        """Read what `to_json` writes.

        Args:
            text: JSON text.

        Returns:
            The circuit.

        Raises:
            ValueError: The text is not JSON, or lacks a field (the message names the head), or a
                head is not valid.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"A circuit file holds JSON, and this text is not: {error}."
            ) from error
        if not isinstance(data, dict) or not {"model", "heads"} <= data.keys():
            raise ValueError('A circuit file holds {"model": ..., "heads": [...]}.')
        return cls(
            model=data["model"],
            heads=tuple(_head(number, row) for number, row in enumerate(data["heads"])),
            source=data.get("source", ""),
            mlps=tuple(_mlp(number, row) for number, row in enumerate(data.get("mlps", ()))),
            links=tuple(Link.of(row) for row in data.get("links", ())),
        )


def _head(number: int, row: Any) -> CircuitHead:
    wanted = ("layer", "head", "class", "position")
    missing = [key for key in wanted if not isinstance(row, dict) or key not in row]
    if missing:
        raise ValueError(f"Entry {number} of heads lacks {', '.join(missing)}: {row!r}.")
    return CircuitHead(*(row[key] for key in wanted))


def _mlp(number: int, row: Any) -> CircuitMLP:
    if not isinstance(row, dict) or not {"layer", "position"} <= row.keys():
        raise ValueError(f"Entry {number} of mlps needs layer and position: {row!r}.")
    return CircuitMLP(row["layer"], row["position"])


def _can_flow(edge: Edge) -> bool:
    """Whether causal attention lets the sender reach the receiver."""
    sender, receiver = edge.sender.position, edge.receiver.position
    if edge.inputs in ("q", ""):
        return sender == receiver
    if sender in ROLES and receiver in ROLES:
        return ROLES.index(sender) <= ROLES.index(receiver)
    return True
