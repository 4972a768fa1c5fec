"""MLPs (appendix): does any MLP matter by itself?

Each MLP's output is set to its group mean at all positions (total effect), and its direct path to
the logits is patched; then all MLPs after the first are ablated together.
"""

import numpy as np
import xarray as xr

from analyses.common.shell import bar
from analyses.ioi.parts.setting import (
    Chapter,
    Claim,
    Measured,
    PaperPart,
    Results,
    Setting,
    titled,
    verdicts,
)
from interp.parts import MLP
from interp.patching import Ablation, Selection, ablate, effect, mean_effect, measure, path_patch
from interp.plots import effect_ranking
from interp.report import Figure, Section

HEADING = "MLPs (appendix)"


def collect(setting: Setting) -> Results:
    """Ablate every MLP alone, patch its direct path, and ablate all MLPs after the first.

    Args:
        setting: what the part works on

    Returns:
        `ablated`: the result of `ablate`; `direct`: the result of `path_patch`; `rest`:
            `logit_diff` with all MLPs after layer 0 ablated.
    """
    model, task = setting.model, setting.task
    rest = Ablation([MLP(i) for i in range(1, model.config.n_layers)], value="group mean")
    return {
        "ablated": ablate(model, task, "mlp_out", Selection(over=["layer"]), value="group mean",
                          progress=bar("MLPs")),
        "direct": path_patch(model, task, site="mlp_out", progress=bar("MLPs to the logits")),
        "rest": xr.Dataset({"logit_diff": measure(model, task, ablation=rest).logit_diff}),
    }  # fmt: skip


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section, the figures and the claims.
    """
    change = effect(found["ablated"])
    figures = [
        Measured.mean(f"mlp_{i}", f"Change without MLP {i}", change.sel(layer=i), "logits")
        for i in change["layer"].values
    ]
    label = "Logit difference without all MLPs after the first"
    figures.append(Measured.mean("without_mlps", label, found["rest"].logit_diff, "logits"))
    without = found["ablated"].logit_diff.sel(layer=0)
    figures.append(
        Measured.mean("without_mlp_0", "Logit difference without MLP 0", without, "logits")
    )
    strongest = int(np.abs(change.mean("prompt").values).argmax())
    claims = [
        Claim(
            "The MLP that matters most alone",
            "MLP 0",
            f"MLP {strongest}",
            "the same",
            not strongest,
        ),
        Claim(
            "Sign of the logit difference without MLP 0",
            "reversed",
            "reversed" if float(without.mean()) < 0 else "as it was",
            "the same",
            float(without.mean()) < 0,
        ),
    ]
    section = Section(
        HEADING,
        f"{setting.about()}\n\nThe output of one MLP is set to its mean at every position, or "
        "only its direct path to the logits is patched from the ABC partner. Left of zero: the "
        "logit difference falls without it.",
        [
            Figure(
                effect_ranking(titled(mean_effect(found["ablated"]), "Each MLP at its mean")),
                "One MLP ablated.",
            ),
            Figure(
                effect_ranking(
                    titled(mean_effect(found["direct"]), "Paths from MLPs to the logits")
                ),
                "Its direct path patched.",
            ),
            *verdicts(setting, figures, claims),
        ],
    )
    return Chapter(section, figures, claims)


PART = PaperPart("mlps", 1, collect, write)
