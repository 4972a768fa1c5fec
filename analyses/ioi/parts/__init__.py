"""The later sections of Wang et al. 2022: each is a part of `interp ioi` that can be run alone.

A part measures something on every prompt (`collect(setting)`) and writes its chapter of the page
(`write(setting, found)`: a section, figures with intervals, and claims about heads). In a notebook:

    setting = Setting.of(model, task, circuit)
    found = signals.PART.collect(setting)
    signals.PART.write(setting, found).section
"""

from analyses.ioi.parts import (
    adversarial,
    backups,
    completeness,
    derivation,
    early_heads,
    minimality,
    mlps,
    name_movers,
    random_tokens,
    s_inhibition,
    signals,
)
from analyses.ioi.parts.setting import Chapter, Claim, Measured, PaperPart, Setting
from analyses.ioi.size import Size

PARTS: dict[str, PaperPart] = {
    module.PART.name: module.PART
    for module in (
        name_movers,
        s_inhibition,
        signals,
        early_heads,
        random_tokens,
        backups,
        mlps,
        derivation,
        completeness,
        minimality,
        adversarial,
    )
}
"""Name -> part, in the order of the page."""

__all__ = ["PARTS", "Chapter", "Claim", "Measured", "PaperPart", "Setting", "Size"]
