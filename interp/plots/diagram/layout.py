"""The layout of a circuit diagram: tokens along x, depth upward, the logits on top.

Each token with a role gets a column; each class of heads gets a box in its column, in the row of
its stage. Wires run at right angles: vertically in the gutters beside the boxes, horizontally in
the channels below the rows, and they enter boxes from below. Boxes stay in rows and columns, so no
wire crosses a box, whatever the circuit.

    logits
    row 3      name movers, backup name movers, negative name movers
    channel 3  ------ tracks, one a sender; the one that comes from furthest left is the highest
    row 2      S-inhibition
    ...
    channel 0  ------
    tokens     IO     S1     S1+1     S2     END
"""

from collections.abc import Mapping
from dataclasses import dataclass

from interp.circuits import Circuit
from interp.circuits.members import Connection, Group
from interp.circuits.published.connections import connections_of
from interp.circuits.published.ioi import IOI_PAPER_ROLES, IOI_ROLES
from interp.plots.diagram.grid import MARGIN, Placement, make_grid, place_pills, rows_of
from interp.plots.diagram.shapes import EXAMPLE, Box, Example, Layout, Piece, Rect, Wire

_TIP, _STEP, _EXIT = 32.0, 12.0, 16.0  # of a channel: arrow tips, between tracks, below them
_HEADING, _LOGITS_H, _LOGITS_GAP, _TOKEN_H, _FOOT = 44.0, 34.0, 46.0, 30.0, 40.0


@dataclass(frozen=True, slots=True)
class _Routes:
    """The x of each arrow tip and each box's exit, and each channel's senders, highest first."""

    ports: Mapping[Connection, float]
    exits: Mapping[Group, float]
    tracks: Mapping[int, list[Group]]


def layout(circuit: Circuit, *, example: Example = EXAMPLE) -> Layout:
    """Lay out a circuit over a sentence.

    Args:
        circuit: the circuit, with any number of heads
        example: the sentence, whose roles are the columns. Connections from roles that it lacks,
            and measured ones that do not lead to a higher row, are left out.

    Returns:
        The diagram.

    Raises:
        ValueError: the sentence lacks END or the position of a head, or repeats a role
    """
    example = _without_idle(circuit, example)
    _check_roles(circuit, example)
    edges = _drawable(circuit, example)
    grid = make_grid(circuit, example, edges)
    routes = _route(grid, edges)

    floors = {grid.top: _HEADING + _LOGITS_H}  # y of the lower side of each row
    y = floors[grid.top] + _LOGITS_GAP
    if grid.top in routes.tracks:
        y += len(routes.tracks[grid.top]) * _STEP
    for row in reversed(range(grid.top)):
        floors[row] = y + max(grid.sizes[g][1] for g, r in grid.rows.items() if r == row)
        y = floors[row] + _TIP + max(len(routes.tracks.get(row, ())) - 1, 0) * _STEP + _EXIT
    boxes = {
        group: Rect(grid.left[group], floors[row] - grid.sizes[group][1], *grid.sizes[group])
        for group, row in grid.rows.items()
    }
    end = grid.columns["END"]
    logits = Rect(end.boxes, _HEADING, end.boxes_w, _LOGITS_H)
    tokens = tuple(
        Piece(text, role, Rect(x, y, width, _TOKEN_H))
        for (text, role), (x, width) in zip(example, grid.pieces, strict=True)
    )
    nodes = circuit.groups()
    ends = [token.rect.right for token in tokens] + [c.right for c in grid.columns.values()]
    return Layout(
        width=max(ends) + MARGIN,
        height=y + _TOKEN_H + _FOOT,
        columns=tuple(
            Rect(c.left - 6, _HEADING - 10, c.right - c.left + 12, y + _TOKEN_H + 36 - _HEADING)
            for c in grid.columns.values()
        ),
        tokens=tokens,
        boxes=tuple(Box(g, boxes[g], place_pills(nodes[g], boxes[g])) for g in boxes),
        wires=tuple(_wire(edge, grid, routes, boxes, floors, y) for edge in edges),
        logits=logits,
    )


def _without_idle(circuit: Circuit, example: Example) -> Example:
    """The sentence without roles that are neither in the paper nor used by the circuit."""
    shown = {*IOI_PAPER_ROLES, *(group.role for group in circuit.groups())}
    shown |= {str(link.sender.role) for link in circuit.links}
    idle = {role for role in IOI_ROLES if role not in shown}
    return tuple((text, "" if role in idle else role) for text, role in example)


def _check_roles(circuit: Circuit, example: Example) -> None:
    roles = [role for _, role in example if role]
    if len(set(roles)) < len(roles):
        raise ValueError(f"the example sentence has a role twice: {', '.join(roles)}")
    missing = sorted(({group.role for group in circuit.groups()} | {"END"}) - set(roles))
    if missing:
        raise ValueError(
            f"the example sentence has the roles {', '.join(roles) or 'none'} and lacks "
            f"{', '.join(missing)}; pass example=[(text, role), ...] with every position"
        )


def _drawable(circuit: Circuit, example: Example) -> tuple[Connection, ...]:
    """The connections that lead upward and start at a role of the sentence."""
    roles, rows = {role for _, role in example}, rows_of(circuit)
    top = len(rows)
    return tuple(
        edge
        for edge in connections_of(circuit)
        if edge.sender.role in roles and rows.get(edge.sender, -1) < rows.get(edge.receiver, top)
    )


def _route(grid: Placement, edges: tuple[Connection, ...]) -> _Routes:
    """Assign a track to every sender in each of its channels, and an arrow tip to every connection.

    The sender from the farthest left takes the highest track and the leftmost tip, so wires that
    come from the left do not cross.
    """
    channels: dict[int, dict[Group, float]] = {}  # channel -> sender -> x where it comes up
    for edge in edges:
        sender = edge.sender
        if grid.is_straight(edge):
            continue
        column, target = grid.columns[sender.role], grid.row(edge.receiver)
        if sender.kind == "input":
            channels.setdefault(target, {})[sender] = column.rail
            continue
        channels.setdefault(grid.rows[sender] + 1, {})[sender] = grid.center(sender)
        if grid.skips_row(edge):
            channels.setdefault(target, {})[sender] = column.lanes[sender]

    ports: dict[Connection, float] = {}
    for group, row in grid.rows.items():
        arriving = [edge for edge in edges if edge.receiver == group]
        arriving.sort(key=lambda edge: channels[row][edge.sender])
        step = grid.sizes[group][0] / (len(arriving) + 1)
        ports |= {edge: grid.left[group] + step * (i + 1) for i, edge in enumerate(arriving)}

    exits: dict[Group, float] = {}
    for group, row in grid.rows.items():
        above = [x for edge, x in ports.items() if grid.row(edge.receiver) == row + 1]
        exits[group] = grid.center(group)
        while any(abs(exits[group] - x) < 9 for x in above):
            exits[group] += 7  # an exit in line with an arrow tip would look like one wire
    ports |= _at_logits(grid, edges, exits, channels.get(grid.top, {}))
    tracks = {row: sorted(found, key=lambda g: found[g]) for row, found in channels.items()}
    return _Routes(ports, exits, tracks)


def _at_logits(
    grid: Placement,
    edges: tuple[Connection, ...],
    exits: Mapping[Group, float],
    senders: Mapping[Group, float],
) -> dict[Connection, float]:
    """An arrow tip at the logits for each connection that uses a track, clear of the others."""
    end = grid.columns["END"]
    taken = [exits[edge.sender] for edge in edges if grid.is_straight(edge)]
    places = [end.boxes + 14 + i * 9 for i in range(int((end.boxes_w - 28) // 9) + 1)]
    coming = [e for e in edges if grid.row(e.receiver) == grid.top and not grid.is_straight(e)]
    ports: dict[Connection, float] = {}
    for edge in sorted(coming, key=lambda e: senders[e.sender], reverse=True):
        x = max(
            places, key=lambda place: (min((abs(place - t) for t in taken), default=99) > 20, place)
        )
        ports[edge] = x
        taken.append(x)
    return ports


def _wire(
    edge: Connection,
    grid: Placement,
    routes: _Routes,
    boxes: Mapping[Group, Rect],
    floors: Mapping[int, float],
    tokens: float,
) -> Wire:
    """The corners of one connection; `tokens` is the y of the tokens."""
    sender = edge.sender

    def track(row: int) -> float:
        return floors[row] + _TIP + routes.tracks[row].index(sender) * _STEP

    if sender.kind == "input":
        x, y = grid.columns[sender.role].rail, tokens
    else:
        x, y = routes.exits[sender], boxes[sender].y
    points = [(x, y)]
    row = grid.row(edge.receiver)
    if grid.is_straight(edge):
        return Wire(edge, (*points, (x, floors[row])))
    if grid.skips_row(edge):
        first, lane = track(grid.rows[sender] + 1), grid.columns[sender.role].lanes[sender]
        points += [(x, first), (lane, first)]
        x = lane
    tip = routes.ports[edge]
    points += [(x, track(row)), (tip, track(row)), (tip, floors[row])]
    return Wire(edge, tuple(points))
