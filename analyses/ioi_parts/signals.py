"""Token and position signal of S-inhibition (section 3.2, appendix A): who S is, and where.

The outputs of all S-inhibition heads (at END in the paper) are taken from each of the six texts of
`interp.tasks.signal_variants`, and the logit difference is fitted by

    position effect * S_pos + token effect * S_tok,   S_pos in {-1, 1}, S_tok in {-1, 0, 1}.

Here the fit goes through the origin as the paper's formula does, and is done anew in each bootstrap
resample of the prompts.
"""

import numpy as np
import xarray as xr

from analyses.ioi_parts.setting import (
    Found,
    Measured,
    Part,
    Setting,
    Told,
    labels,
    missing,
    verdicts,
)
from interp.patching import ablate_nodes
from interp.plots import effect_heatmap
from interp.report import Figure, Section
from interp.statistics import Estimate
from interp.tasks import signal_variants

HEADING = "Two signals: which name is S, and where it stood (appendix A)"


def measure(setting: Setting) -> Found:
    """The logit difference with S-inhibition outputs of each of the six texts.

    Args:
        setting: what to work on.

    Returns:
        `signals`: `logit_diff`, dims token, position, prompt; nothing without S-inhibition heads.
    """
    heads = setting.circuit.heads_of("S-inhibition")
    if not heads:
        return {}
    said = [(h.layer, h.head, h.position) for h in heads]
    variants = signal_variants(setting.task, setting.model.tokenizer, seed=setting.seed)
    texts = {f"{token} {position}": one for (token, position), one in variants.items()}
    found = ablate_nodes(
        setting.model, setting.task, dict.fromkeys(texts, said), value="resample", reference=texts
    ).logit_diff
    tokens, positions = (1, 0, -1), (1, -1)
    grid = xr.concat(
        [
            xr.concat([found.sel(set=f"{t} {p}", drop=True) for p in positions], "position")
            for t in tokens
        ],
        "token",
    )
    return {
        "signals": grid.assign_coords(token=list(tokens), position=list(positions)).to_dataset()
    }


def fit(values: np.ndarray) -> tuple[float, float, float]:
    """Least squares through the origin.

    Args:
        values: mean logit differences [token position] at signals (1, 0, -1) and (1, -1).

    Returns:
        Effect of the position, of the token, and the mean absolute error as a fraction of the
        value at (1, 1).
    """
    token, position = np.meshgrid([1, 0, -1], [1, -1], indexing="ij")
    design = np.stack([position.ravel(), token.ravel()], -1)
    effects = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    error = np.abs(design @ effects - values.ravel()).mean() / abs(values[0, 0])
    return float(effects[0]), float(effects[1]), float(error)


def tell(setting: Setting, found: Found) -> Told:
    """What they say.

    Args:
        setting: what they were measured on.
        found: of `measure`.

    Returns:
        Section and figures.
    """
    if "signals" not in found:
        return missing(HEADING, "S-inhibition heads")
    grid = found["signals"].logit_diff.transpose("token", "position", "prompt")
    values = grid.values
    whole = fit(values.mean(-1))
    rng = np.random.default_rng(setting.seed)
    n = values.shape[-1]
    draws = [fit(values[..., rng.integers(n, size=n)].mean(-1)) for _ in range(1000)]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    figures = [
        Measured(key, label, Estimate(whole[i], float(low[i]), float(high[i])), unit)
        for i, (key, label, unit) in enumerate(
            (
                ("signal_position", "Effect of the position signal", "logits"),
                ("signal_token", "Effect of the token signal", "logits"),
                ("signal_error", "Mean error of the fit, over the logit difference", "fraction"),
            )
        )
    ]
    mean = grid.mean("prompt", keep_attrs=True).assign_attrs(
        title="Logit difference", unit="logits"
    )
    tokens = {1: "S2 names S", 0: "another name", -1: "S2 names IO"}
    places = {1: "as at S1's place", -1: "as at IO's place"}
    section = Section(
        HEADING,
        f"{setting.about()}\n\nThe outputs of {labels(setting.heads('S-inhibition'))} are "
        "taken from texts in which S2 names the prompt's own S, an unrelated name or IO (token "
        "signal), and repeats the name at the place of S1 or at that of IO (position signal); "
        "everything else is the prompt's.",
        [
            Figure(
                effect_heatmap(
                    mean,
                    labels={
                        "token": [tokens[int(t)] for t in mean["token"]],
                        "position": [places[int(p)] for p in mean["position"]],
                    },
                ),
                "Mean logit difference for each of the six texts, in logits.",
            ),
            *verdicts(setting, figures, ()),
        ],
    )
    return Told(section, figures)


PART = Part("signals", 1, measure, tell)
