"""Nodes and sets of nodes of a circuit, from any of the ways to name them."""

from collections.abc import Mapping, Sequence

from interp.circuits.circuit import Circuit
from interp.circuits.members import Member
from interp.parts import Node, NodeLike, as_node, require_once

Sets = Mapping[str, Sequence[Member | NodeLike]]
"""Name -> the nodes of a set K."""


def node_list(given: Sequence[Member | NodeLike]) -> list[Node]:
    """Turn any of the ways to name nodes into a list of nodes at roles.

    Args:
        given: members of a circuit, or anything that `as_node` takes

    Returns:
        The nodes.

    Raises:
        ValueError: a node occurs twice or has no role, or the words name no node
        TypeError: the argument is not a list of nodes
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"expected a list of nodes, such as ['9.6@END']; got {given!r}")
    nodes = [one.node if isinstance(one, Member) else as_node(one) for one in given]
    for node in nodes:
        if node.role is None:
            raise ValueError(f"the node {node} needs a role, such as '{node.part}@END'")
    require_once(nodes, "node")
    return nodes


def nodes_of_sets(circuit: Circuit, sets: Sets) -> dict[str, list[Node]]:
    """Turn sets into nodes, checked against the circuit.

    Args:
        circuit: the circuit
        sets: name -> nodes

    Returns:
        Name -> nodes.

    Raises:
        ValueError: the circuit lacks a node, or there are no sets
        TypeError: the sets are not a mapping to lists
    """
    if not isinstance(sets, Mapping):
        raise TypeError(
            "expected sets of nodes by name, such as {'K': ['9.6@END']}; "
            f"got {type(sets).__name__}"
        )
    if not sets:
        raise ValueError("no sets were given; expected at least one, such as {'none': []}")
    found = {name: node_list(nodes) for name, nodes in sets.items()}
    own = set(circuit.nodes)
    for name, nodes in found.items():
        for node in nodes:
            if node not in own:
                raise ValueError(
                    f"set {name!r} has {node}, which the circuit does not have; only nodes of the "
                    "circuit can be knocked out of it"
                )
    return found
