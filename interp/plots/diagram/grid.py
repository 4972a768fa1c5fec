"""Rows, columns and boxes of a circuit diagram: what goes where, before any wires.

A row is a stage of the circuit, counted from the tokens up; a column is a token with a role. Boxes
in the same row and column stand side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import fmean

from interp.circuits import Circuit, Member
from interp.circuits.classes import MLP_CLASS
from interp.circuits.members import Connection, Group
from interp.circuits.published.connections import connections_of
from interp.plots.diagram.shapes import (
    NOTE_SIZE,
    TITLE_SIZE,
    Example,
    Rect,
    note_of,
    text_width,
    title_of,
)

MARGIN, GAP = 24.0, 16.0
_GUTTER, _LANE, _PORT = 20.0, 12.0, 40.0  # token wire to boxes; between lanes; arrow tips
_LOGITS_W = 220.0
_PILL_W, _PILL_H, _PILL_GAP = 46.0, 23.0, 5.0
_BOX_PAD, _BOX_HEAD = 11.0, 46.0
_STAGES = {"previous token": 0, "duplicate token": 0, "induction": 1, "S-inhibition": 2}
_STEP_STAGE, _TOP_STAGE = 3, 5  # of movers on the way, and of those at END; MLPs stand above them

LOGITS = Group("logits", "END")
Groups = Mapping[Group, tuple[Member, ...]]


@dataclass(frozen=True, slots=True)
class Column:
    """The x coordinates of one role.

    `rail` is the wire of the token, left of the boxes; `lanes` are the wires, right of the boxes,
    by which a class reaches a row further up than the next.
    """

    left: float
    rail: float
    boxes: float
    boxes_w: float
    lanes: Mapping[Group, float]
    right: float


@dataclass(frozen=True, slots=True)
class Placement:
    """The placement of everything, except y coordinates and wires.

    `pieces` has (x, width) of each piece of the sentence, `left` the left side of each box, and
    `sizes` the (width, height) of each box.
    """

    rows: Mapping[Group, int]
    columns: Mapping[str, Column]
    pieces: tuple[tuple[float, float], ...]
    left: Mapping[Group, float]
    sizes: Mapping[Group, tuple[float, float]]

    def center(self, group: Group) -> float:
        """X coordinate of the middle of a box."""
        return self.left[group] + self.sizes[group][0] / 2

    @property
    def top(self) -> int:
        """The row of the logits, above all others."""
        return max(self.rows.values(), default=-1) + 1

    def row(self, group: Group) -> int:
        """The row of a class or of the logits; -1 for tokens."""
        return self.top if group.kind == LOGITS.kind else self.rows.get(group, -1)

    def skips_row(self, edge: Connection) -> bool:
        """Whether what a class writes skips a row in between."""
        return edge.sender in self.rows and self.row(edge.receiver) > self.rows[edge.sender] + 1

    def is_straight(self, edge: Connection) -> bool:
        """Whether a connection runs straight up to the logits."""
        return self.row(edge.receiver) == self.top and self.rows.get(edge.sender) == self.top - 1


def make_grid(circuit: Circuit, example: Example, edges: tuple[Connection, ...]) -> Placement:
    """Choose rows, columns, and the sizes of boxes.

    Args:
        circuit: the circuit
        example: the sentence, which has every position of the circuit
        edges: the connections to draw, which need room for arrow tips and lanes

    Returns:
        The placement.
    """
    nodes = circuit.groups()
    sizes = {group: _box_size(group, len(nodes[group]), edges) for group in nodes}
    grid = Placement(rows_of(circuit), {}, (), {}, sizes)
    columns: dict[str, Column] = {}
    pieces: list[tuple[float, float]] = []
    sentence_end = columns_end = MARGIN
    for text, role in example:
        if not role:
            pieces.append((sentence_end, text_width(text, 15.0)))
        else:
            width = max(text_width(text, 15.0, bold=True), text_width(role, 13.0)) + 20
            pieces.append((max(sentence_end, columns_end), width))
            columns[role] = _column(grid, role, *pieces[-1], edges)
            columns_end = columns[role].right + GAP
        sentence_end = sum(pieces[-1]) + GAP
    return Placement(grid.rows, columns, tuple(pieces), _left_sides(grid, columns), sizes)


def place_pills(heads: tuple[Member, ...], box: Rect) -> tuple[tuple[Member, Rect], ...]:
    """Arrange the heads of a box in centered lines.

    Args:
        heads: the heads
        box: the box, of the size that `make_grid` chose

    Returns:
        Each head with its rectangle.
    """
    per_line, placed = _per_line(len(heads)), []
    for start in range(0, len(heads), per_line):
        line = heads[start : start + per_line]
        x = box.center - _line_width(len(line)) / 2
        y = box.y + _BOX_HEAD + start // per_line * (_PILL_H + _PILL_GAP)
        step = _PILL_W + _PILL_GAP
        placed += [(h, Rect(x + i * step, y, _PILL_W, _PILL_H)) for i, h in enumerate(line)]
    return tuple(placed)


def rows_of(circuit: Circuit) -> dict[Group, int]:
    """Assign each group to a row, from 0 at the bottom, without empty rows.

    Rows are the stages of the classes; heads of class "other" join the stage closest in depth. If a
    connection would then not lead upward, which can happen with measured ones, a group's row is
    instead the length of the longest path to it along connections that lead to later layers.

    Args:
        circuit: the heads and MLPs

    Returns:
        Group -> row.
    """
    nodes = circuit.groups()
    depth = {group: fmean(node.layer for node in nodes[group]) for group in nodes}
    stage = _by_class(nodes, depth)
    inner = [e for e in connections_of(circuit) if e.sender in nodes and e.receiver in nodes]
    if circuit.links or any(stage[edge.sender] >= stage[edge.receiver] for edge in inner):
        stage = _by_depth(inner, depth)
    order = sorted(set(stage.values()))
    return {group: order.index(stage[group]) for group in nodes}


def _by_class(nodes: Groups, depth: Mapping[Group, float]) -> dict[Group, int]:
    stage = {group: _stage(group) for group in nodes if group.kind != "other"}
    mean = {
        s: fmean(node.layer for g in stage if stage[g] == s for node in nodes[g])
        for s in sorted(set(stage.values()))
    }
    for group in nodes:
        if group.kind == "other":
            stage[group] = min(mean, key=lambda s: abs(mean[s] - depth[group]), default=0)
    return stage


def _by_depth(edges: list[Connection], depth: Mapping[Group, float]) -> dict[Group, int]:
    joined = {group for edge in edges for group in (edge.sender, edge.receiver)}
    level: dict[Group, int] = {}
    for group in sorted(depth, key=lambda g: depth[g]):
        below = [e.sender for e in edges if e.receiver == group and depth[e.sender] < depth[group]]
        level[group] = max((level[sender] + 1 for sender in below), default=0)
    for group in depth:
        if group not in joined and joined:
            nearest = min(sorted(joined), key=lambda g: abs(depth[g] - depth[group]))
            level[group] = level[nearest]
    return level


def _stage(group: Group) -> int:
    movers = _TOP_STAGE if group.role == "END" else _STEP_STAGE
    return movers + 1 if group.kind == MLP_CLASS else _STAGES.get(group.kind, movers)


def _per_line(count: int) -> int:
    """Number of heads side by side: all of up to four, else enough for a block wider than high."""
    return count if count <= 4 else max(4, ceil(sqrt(1.6 * count)))


def _line_width(count: int) -> float:
    return count * (_PILL_W + _PILL_GAP) - _PILL_GAP


def _box_size(group: Group, count: int, edges: tuple[Connection, ...]) -> tuple[float, float]:
    lines = ceil(count / _per_line(count))
    inner = max(
        _line_width(_per_line(count)),
        text_width(title_of(group), TITLE_SIZE, bold=True),
        text_width(note_of(group), NOTE_SIZE),
    )
    tips = sum(edge.receiver == group for edge in edges)
    width = max(inner + 2 * _BOX_PAD, _PORT * (tips + 1))
    return width, _BOX_HEAD + lines * (_PILL_H + _PILL_GAP) - _PILL_GAP + _BOX_PAD


def _column(
    grid: Placement, role: str, left: float, width: float, edges: tuple[Connection, ...]
) -> Column:
    mine = [g for g in grid.rows if g.role == role]
    rail = left + width / 2
    boxes = rail + _GUTTER
    boxes_w = max([_row_width(grid, role, row) for row in grid.rows.values()] + [0.0])
    if role == "END":
        boxes_w = max(boxes_w, _LOGITS_W)
    far = [g for g in mine if any(e.sender == g and grid.skips_row(e) for e in edges)]
    lanes = {g: boxes + boxes_w + _LANE * (i + 1) for i, g in enumerate(far)}
    right = max(left + width, boxes + boxes_w + _LANE * (len(far) + 1) if boxes_w else 0.0)
    return Column(left, rail, boxes, boxes_w, lanes, right)


def _row_width(grid: Placement, role: str, row: int) -> float:
    widths = [grid.sizes[g][0] for g, r in grid.rows.items() if r == row and g.role == role]
    return sum(widths) + GAP * (len(widths) - 1) if widths else 0.0


def _left_sides(grid: Placement, columns: Mapping[str, Column]) -> dict[Group, float]:
    """Place boxes side by side in their row, with the row centered in its column."""
    left: dict[Group, float] = {}
    next_x: dict[tuple[str, int], float] = {}
    for group, row in grid.rows.items():
        column, cell = columns[group.role], (group.role, row)
        start = column.boxes + (column.boxes_w - _row_width(grid, group.role, row)) / 2
        left[group] = next_x.get(cell, start)
        next_x[cell] = left[group] + grid.sizes[group][0] + GAP
    return left
