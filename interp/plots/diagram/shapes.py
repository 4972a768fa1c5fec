"""The parts of a circuit diagram: rectangles, boxes of heads, wires, tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from interp.circuits import CLASSES, Member
from interp.circuits.classes import MLP_CLASS
from interp.circuits.members import Connection, Group

Example = Sequence[tuple[str, str]]
"""A sentence in pieces, each (text, role); the role is "" for text between roles."""

EXAMPLE: Example = (
    ("When", ""),
    ("Alice", "IO"),
    ("and", "IO+1"),
    ("Bob", "S1"),
    ("left", "S1+1"),
    ("the office,", ""),
    ("Bob", "S2"),
    ("gave", "S2+1"),
    ("a", ""),
    ("key", "END-1"),
    ("to", "END"),
)

TITLE_SIZE, NOTE_SIZE = 13.0, 11.0
"""Font sizes in a box: of its heading, and of the note on what its heads do."""

_WIDTHS = dict.fromkeys("ijl.,:;'|", 0.28) | dict.fromkeys("frt -()I", 0.38) | {"m": 0.92, "w": 0.8}


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle: its top left corner and its size, in pixels, y downward."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """X coordinate of the right side."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """Y coordinate of the lower side."""
        return self.y + self.h

    @property
    def center(self) -> float:
        """X coordinate of the middle."""
        return self.x + self.w / 2


@dataclass(frozen=True, slots=True)
class Box:
    """The heads of one class, or the MLPs, at one position."""

    group: Group
    rect: Rect
    pills: tuple[tuple[Member, Rect], ...]


@dataclass(frozen=True, slots=True)
class Wire:
    """The path of one connection, corner by corner, from the sender to the receiver."""

    edge: Connection
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the sentence; the role is "" for text between roles."""

    text: str
    role: str
    rect: Rect


@dataclass(frozen=True, slots=True)
class Layout:
    """A complete diagram, with every shape in its place."""

    width: float
    height: float
    columns: tuple[Rect, ...]
    tokens: tuple[Piece, ...]
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    logits: Rect


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """A width that the text fits into, in the usual sans-serif fonts.

    Args:
        text: one line
        size: font size, pixels
        bold: whether it is bold

    Returns:
        Pixels.
    """
    units = sum(_WIDTHS.get(letter, 0.78 if letter.isupper() else 0.6) for letter in text)
    return units * size * (1.08 if bold else 1.0)


def title_of(group: Group) -> str:
    """The heading of a box: "Name mover heads"."""
    if group.kind == MLP_CLASS:
        return "MLPs"
    return f"{group.kind[0].upper()}{group.kind[1:]} heads"


def note_of(group: Group) -> str:
    """The note below a box's heading, on what its heads do."""
    return CLASSES.get(group.kind, "work on what is at the token")
