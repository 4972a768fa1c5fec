"""The section on heads that matter to the model and are not in its circuit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analyses.common.verdicts import answered, opening
from analyses.common.wording import text
from interp.circuits import why_left_out
from interp.circuits.left_out import EVERYWHERE
from interp.report import Section, Table
from interp.statistics import estimate_mean, estimate_ratio

if TYPE_CHECKING:
    import xarray as xr


def heads_left_out(found: xr.Dataset, roles: Sequence[str]) -> Section:
    """Explain every head whose knock-out matters and that is not in the circuit.

    Args:
        found: the result of `interp.circuits.left_out`
        roles: the roles of the task

    Returns:
        The section.
    """
    share, mattering = found.attrs["share"], int(found.attrs["mattering"])
    unit, shown = found.loss.attrs.get("unit", ""), found.sizes["head"]
    rule = (
        f"alone ablated everywhere, the head costs more than {share:.0%} of "
        f"{float(found.whole.mean()):.2f} {unit}, by the lower end of its interval"
    )
    rows: list[dict[str, Any]] = []
    for head in map(str, found["head"].values):
        lost = found.loss.sel(head=head, where=EVERYWHERE)
        rows.append(
            {
                "head": head,
                f"costs ({unit})": text(estimate_mean(lost), 2),
                "of the whole": text(estimate_ratio(lost, found.whole), 2),
                "where it acts, and why it is not in the circuit": why_left_out(found, head, roles),
            }
        )
    if mattering:
        verdict = answered("no", f"{mattering} heads outside it matter ({rule})")
    else:
        verdict = answered(
            "yes", f"of the {found.attrs['outside']} heads outside none matters ({rule})"
        )
    more = f" The {shown} strongest of {mattering} are shown." if mattering > shown else ""
    return Section(
        "Is every head that matters in the circuit?",
        opening(
            verdict,
            "Each head is set to its mean at every position, in the whole model. A circuit "
            "holds heads at the roles of the task, chosen by what they say of the difference "
            "between a prompt and its partner; a head can matter in other ways."
            if mattering
            else "",
        ),
        [
            Table(
                rows,
                "Heads that matter and are not in the circuit: what is lost without each, with "
                f"95 % intervals; positive: the head helps.{more}",
            )
        ]
        if rows
        else [],
    )
