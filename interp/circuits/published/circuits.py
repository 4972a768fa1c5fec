"""Circuits from the literature, as data to check a run against."""

from collections.abc import Mapping
from typing import Any

from interp.circuits.circuit import Circuit
from interp.circuits.members import Member
from interp.circuits.published import ioi, others
from interp.parts import Node

_PUBLISHED: dict[tuple[str, str], tuple[Mapping[tuple[str, str], Any], str]] = {
    ("ioi", "gpt2"): (ioi.HEADS, ioi.SOURCE),
    ("ioi naive", "gpt2"): (ioi.NAIVE_HEADS, f"{ioi.SOURCE}: the naive circuit"),
    ("greater_than", "gpt2"): (others.GREATER_THAN, "Hanna et al. 2023, arXiv 2305.00586"),
    ("induction", "gpt2"): (
        others.INDUCTION,
        "scores on repeated random tokens; 4.11 by the composition of weights",
    ),
    ("acronym", "gpt2"): (others.ACRONYM, "Garc\u00eda-Carrasco et al. 2024, arXiv 2405.04156"),
}
_NOT_ESTABLISHED = ("pronoun", "agreement")


def published_circuit(task: str, model: str) -> Circuit:
    """Look up a published circuit.

    Args:
        task: name of the task, such as "ioi"; "ioi naive" for the smaller circuit of the same
            paper
        model: name of the model, such as "gpt2"

    Returns:
        The circuit. It records the name of its model, not the weights.

    Raises:
        KeyError: no circuit is stored for this task and model; the message lists those that are.
            For pronouns and agreement, the literature has no established list of heads.

    Example:
        >>> len(published_circuit("ioi", "gpt2").heads)
        26
    """
    if (task, model) not in _PUBLISHED:
        known = ", ".join(f"({t!r}, {m!r})" for t, m in _PUBLISHED)
        why = (
            f" No list of heads for {task!r} is established in the literature."
            if task in _NOT_ESTABLISHED
            else ""
        )
        raise KeyError(f"no published circuit for ({task!r}, {model!r}); there is {known}.{why}")
    parts, source = _PUBLISHED[task, model]
    members = tuple(
        Member(Node(part, role), kind) for (kind, role), some in parts.items() for part in some
    )
    return Circuit(model, members, source, task=task.removesuffix(" naive"))
