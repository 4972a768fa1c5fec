"""The record of a verification as one table, with the reasons of what could not be measured."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from analyses.common.wording import minus
from analyses.verification.record import Record
from interp.circuits.published.claims import AGREES, DISAGREES

_STYLE = {AGREES: "", DISAGREES: "bold red"}


def show_record(console: Console, record: Record) -> None:
    """Print the table, the notes under it and the result in a sentence.

    Args:
        console: where to
        record: the claims with their verdicts
    """
    console.print(verdict_table(record))
    lines = [f"({i}) {note}" for i, note in enumerate(notes(record), 1)]
    for line in [*lines, record.sentence()]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def verdict_table(record: Record) -> Table:
    """One row for each claim, with a heading for each group.

    Args:
        record: the claims with their verdicts

    Returns:
        The table; numbers in brackets are those of `notes`.
    """
    table = Table(box=None, pad_edge=False)
    for name in ("claim", "published", "here", "accepted", "verdict"):
        table.add_column(name, overflow="fold")
    numbers = {note: i for i, note in enumerate(notes(record), 1)}
    group = ""
    for one in record.outcomes:
        claim = one.claim
        if claim.group != group:
            group = claim.group
            table.add_row(group, style="bold")
        table.add_row(
            f"  {claim.what}",
            minus(claim.published),
            minus(one.measured) or "\N{EN DASH}",
            minus(claim.tolerance),
            f"{one.verdict} ({numbers[one.note]})" if one.note else one.verdict,
            style=_STYLE.get(one.verdict, "yellow"),
        )
    return table


def notes(record: Record) -> list[str]:
    """Why claims could not be measured, each reason once, in the order of the claims."""
    return list(dict.fromkeys(one.note for one in record.outcomes if one.note))
