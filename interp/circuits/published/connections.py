"""How papers connect their classes of heads, for circuits without measured links.

Queries, MLPs and the logits read at the receiver's own role (the logits at END); keys and values
also read at earlier roles. If there are heads at S2+1 or END-1, the movers at END read from there
instead of from the name itself. Classes at other than their published roles read no tokens, and
heads of class "other" have no connections.

Source: Wang et al. 2022 (arXiv 2211.00593), figure 2 and appendix A; Hanna et al. 2023 (arXiv
2305.00586) for greater-than; Olsson et al. 2022 (arXiv 2209.11895) for induction.
"""

from interp.circuits.circuit import Circuit
from interp.circuits.members import Connection, Group
from interp.circuits.published import ioi, others

_OF_CLASSES = ioi.CLASS_CONNECTIONS + others.CLASS_CONNECTIONS
_OF_TOKENS = ioi.TOKEN_CONNECTIONS + others.TOKEN_CONNECTIONS
_STEPS = (*ioi.STEPS, "YY")  # END reads what is written here


def published_connections(circuit: Circuit) -> tuple[Connection, ...]:
    """The connections between the classes of a circuit, according to papers.

    Args:
        circuit: the circuit

    Returns:
        Connections from the tokens to the logits, whatever links the circuit has.
    """
    groups = circuit.groups()
    roles = {group.role for group in groups}
    stepwise = any(kind in ioi.STEP_CLASSES and role in _STEPS for kind, role in groups)
    found = [
        Connection(Group("input", read), Group(kind, role), inputs)
        for kind, role, read, inputs in _OF_TOKENS
        if (kind, role) in groups
        and not (stepwise and (read, role) == ("IO", "END"))
        and (read in ioi.IOI_ROLES or role not in ioi.IOI_ROLES or read in roles)
    ]
    receivers = [*groups, Group("logits", "END")]
    found += [
        Connection(sender, receiver, inputs)
        for sender_kind, role, receiver_kind, inputs in _OF_CLASSES
        for sender in groups
        for receiver in receivers
        if (sender.kind, receiver.kind) == (sender_kind, receiver_kind)
        and role in ("", sender.role)
        and (receiver.role == "END" or role not in _STEPS or not inputs)
    ]
    return tuple(one for one in found if _can_flow(one))


def connections_of(circuit: Circuit) -> tuple[Connection, ...]:
    """The connections of a circuit: the measured ones, or the papers' if there are no links.

    Args:
        circuit: the circuit

    Returns:
        Connections from the tokens to the logits.
    """
    return circuit.connections() or published_connections(circuit)


def _can_flow(one: Connection) -> bool:
    """Whether the sender can reach the receiver through causal attention."""
    sender, receiver = one.sender.role, one.receiver.role
    if one.inputs in ("q", ""):
        return sender == receiver
    if sender in ioi.IOI_ROLES and receiver in ioi.IOI_ROLES:
        return ioi.IOI_ROLES.index(sender) <= ioi.IOI_ROLES.index(receiver)
    return True
