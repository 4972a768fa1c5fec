"""The record of a verification as one table."""

from __future__ import annotations

from rich.table import Table

from analyses.common.wording import minus
from analyses.verification.record import Record
from interp.circuits.published.claims import AGREES, DISAGREES

_STYLE = {AGREES: "green", DISAGREES: "bold red"}


def verdict_table(record: Record) -> Table:
    """One row for each claim, with a heading for each group.

    Args:
        record: the claims with their verdicts

    Returns:
        The table.
    """
    table = Table(show_lines=False, pad_edge=False, box=None, title_justify="left")
    table.add_column("claim", ratio=4)
    table.add_column("published")
    table.add_column("here", ratio=2)
    table.add_column("accepted")
    table.add_column("verdict", ratio=2)
    group = ""
    for one in record.outcomes:
        claim = one.claim
        if claim.group != group:
            group = claim.group
            table.add_row(group, style="bold", end_section=False)
        verdict = f"{one.verdict}: {one.note}" if one.note else one.verdict
        table.add_row(
            f"  {claim.what}",
            minus(claim.published),
            minus(one.measured) or "\N{EN DASH}",
            minus(claim.tolerance),
            verdict,
            style=_STYLE.get(one.verdict, "yellow") if one.verdict != AGREES else None,
        )
    return table
