"""A circuit: heads and possibly MLPs, each with its class, at the role of a task where it matters.

When a circuit runs alone, it keeps the output of each of its heads at that head's role; the head's
output elsewhere and all other heads are ablated. Links are the connections that were measured
between its members; `Circuit.connections` groups them by class: which class writes, at which role,
into which class's queries, keys or values. What papers say about the connections between their
classes is in `interp.circuits.published`.

Members and links are sorted in the order of a forward pass, whatever order they are given in.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 and Figure 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import Any

from interp.circuits import files
from interp.circuits.classes import CLASSES, MLP_CLASS
from interp.circuits.links import Link, link_of
from interp.circuits.members import Connection, Group, Member, head_of, mlp_of
from interp.model import HookedGPT2
from interp.parts import MLP, QKV, Head, Input, Logits, Node, require_in_model, require_once

FORMAT = "interp.Circuit"


@dataclass(frozen=True, slots=True, init=False)
class Circuit:
    """The heads, and possibly MLPs, that do one task in one model.

    Args:
        model: name of the model
        members: the heads and MLPs; one that matters at several roles occurs once for each.
            Ablations of the circuit leave all MLPs alone.
        source: where the circuit comes from, for readers of the file
        links: the connections that were measured between its members, from the tokens, and to the
            logits
        weights: fingerprint of the weights that it was found in; "" if unknown
        task: name of the task that it does; "" if unknown

    Raises:
        ValueError: a member or a link occurs twice, or a link joins a node that is not in the
            circuit
        TypeError: a field has another type
    """

    model: str
    members: tuple[Member, ...]
    source: str
    links: tuple[Link, ...]
    weights: str
    task: str

    def __init__(
        self,
        model: str,
        members: Iterable[Member],
        source: str = "",
        links: Iterable[Link] = (),
        weights: str = "",
        task: str = "",
    ) -> None:
        texts = {"model": model, "source": source, "weights": weights, "task": task}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise TypeError(f"{name} of a circuit must be a string; got {type(text).__name__}")
            object.__setattr__(self, name, text)
        object.__setattr__(self, "members", tuple(sorted(_all(members, Member, "members"))))
        of_circuit = sorted(_all(links, Link, "links"), key=lambda link: link.edge)
        object.__setattr__(self, "links", tuple(of_circuit))
        nodes = self.nodes
        require_once(nodes, "member")
        require_once([link.edge for link in self.links], "link")
        for link in self.links:
            for end in (link.sender, link.receiver):
                if end not in nodes and not isinstance(end.part, Input | Logits):
                    raise ValueError(
                        f"the link {link} joins {end}, which is not in the circuit; add it as a "
                        "member or leave the link out"
                    )

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the members."""
        return tuple(member.node for member in self.members)

    @property
    def heads(self) -> tuple[Member, ...]:
        """The members that are heads."""
        return tuple(one for one in self.members if isinstance(one.part, Head))

    @property
    def mlps(self) -> tuple[Member, ...]:
        """The members that are MLPs."""
        return tuple(one for one in self.members if isinstance(one.part, MLP))

    def heads_of(self, kind: str) -> tuple[Member, ...]:
        """The heads of one class.

        Args:
            kind: the class, one of `CLASSES`

        Returns:
            The heads; none if the circuit has no head of that class.

        Raises:
            ValueError: the class is unknown
        """
        if kind not in CLASSES:
            raise ValueError(f"unknown class {kind!r}; expected one of {', '.join(CLASSES)}")
        return tuple(head for head in self.heads if head.kind == kind)

    def groups(self) -> dict[Group, tuple[Member, ...]]:
        """The members by class and role.

        Returns:
            Group -> its members, in the order of `CLASSES` and then of first occurrence; MLPs at
            the end.
        """
        order = [*CLASSES, MLP_CLASS]
        found = sorted(
            dict.fromkeys(one.group for one in self.members), key=lambda g: order.index(g.kind)
        )
        return {group: tuple(m for m in self.members if m.group == group) for group in found}

    def connections(self) -> tuple[Connection, ...]:
        """The links, grouped by class: several members or inputs make one connection.

        Returns:
            The connections, from the tokens to the logits; none for a circuit without links.
        """
        groups = {one.node: one.group for one in self.members}
        inputs: dict[tuple[Group, Group], set[str]] = {}
        for link in self.links:
            sender, receiver = (
                groups.get(end, Group(str(end.part), str(end.role)))
                for end in (link.sender, link.receiver)
            )
            inputs.setdefault((sender, receiver), set()).add(link.input)
        return tuple(
            Connection(*ends, "".join(letter for letter in QKV if letter in read))
            for ends, read in inputs.items()
        )

    def require_model(self, model: HookedGPT2) -> None:
        """Refuse a model other than the circuit's.

        Args:
            model: the model

        Raises:
            ValueError: the model has another name, has other weights (if the circuit knows its
                own), or lacks one of the members
        """
        on_purpose = (
            "; circuit.for_model(model) carries its members over to the other model on purpose"
        )
        if model.name != self.model:
            raise ValueError(
                f"the circuit belongs to the model {self.model!r}, and this is {model.name!r}"
                + on_purpose
            )
        if self.weights and (weights := model.fingerprint()) != self.weights:
            raise ValueError(
                f"the circuit was found in {self.model!r} with weights {self.weights}, and this "
                f"model of the same name has weights {weights}" + on_purpose
            )
        require_in_model(model, [one.part for one in self.members])

    def for_model(self, model: HookedGPT2) -> "Circuit":
        """Carry the members over to another model, on purpose.

        Args:
            model: the other model

        Returns:
            A circuit of that model. It has no links, because links were measured in the first
            model.

        Raises:
            ValueError: the model lacks one of the members
        """
        require_in_model(model, [one.part for one in self.members])
        source = f"{self.source or 'a circuit'}, carried over from {self.model}"
        return Circuit(model.name, self.members, source, (), model.fingerprint(), self.task)

    def records(self) -> list[dict[str, Any]]:
        """The heads as plain dictionaries.

        Returns:
            One `{layer, head, class, position}` per head; the position is its role.
        """
        return [
            {"layer": one.layer, "head": one.part.head, "class": one.kind, "position": one.role}
            for one in self.heads
            if isinstance(one.part, Head)
        ]

    def to_json(self) -> str:
        """Write the circuit as the text of a file.

        Returns:
            JSON with `model`, `source`, `weights`, `task`, `heads` (its `records`), and any `mlps`
            and `links`.
        """
        content: dict[str, Any] = {
            "model": self.model,
            "source": self.source,
            "weights": self.weights,
            "task": self.task,
            "heads": self.records(),
        }
        if self.mlps:
            content["mlps"] = [{"layer": one.layer, "position": one.role} for one in self.mlps]
        if self.links:
            content["links"] = [link.record() for link in self.links]
        return files.dumps(FORMAT, content)

    @classmethod
    def from_json(cls, text: str) -> "Circuit":
        """Read what `to_json` writes.

        Args:
            text: the text of a file

        Returns:
            The circuit.

        Raises:
            ValueError: the text is not JSON, of another format or version, lacks a field (the
                message names it), or holds no valid circuit
        """
        data = files.loads(FORMAT, text, ("model", "heads"))
        texts = {
            name: files.field(data, name, str, "the circuit")
            for name in ("model", "source", "weights", "task")
            if name in data
        }
        heads, mlps, links = (
            files.field(data, name, list, "the circuit") if name in data else []
            for name in ("heads", "mlps", "links")
        )
        return cls(
            members=(
                *(head_of(row, f"entry {i} of heads") for i, row in enumerate(heads)),
                *(mlp_of(row, f"entry {i} of mlps") for i, row in enumerate(mlps)),
            ),
            links=tuple(link_of(row, f"entry {i} of links") for i, row in enumerate(links)),
            **texts,
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the circuit to a JSON file.

        Args:
            path: the file; missing folders are created

        Raises:
            OSError: it cannot be written
        """
        files.write(path, self.to_json())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Circuit":
        """Read a file that `save` wrote.

        Args:
            path: the file

        Returns:
            The circuit.

        Raises:
            ValueError: the file holds no circuit; see `from_json`
            OSError: it cannot be read
        """
        return cls.from_json(files.read(path))


def _all(given: Any, kind: type, what: str) -> list[Any]:
    """Refuse members or links of another type."""
    some = list(given) if isinstance(given, Iterable) else [given]
    wrong = [one for one in some if not isinstance(one, kind)]
    if wrong:
        raise TypeError(f"{what} of a circuit must be {kind.__name__} objects; got {wrong[0]!r}")
    return some
