"""Token and position signals of S-inhibition (section 3.2, appendix A): who S is, and where.

The outputs of all S-inhibition heads (at END in the paper) are taken from each of the six texts of
`interp.tasks.signal_variants`, and the logit difference is fitted by

    position effect * S_pos + token effect * S_tok,   S_pos in {-1, 1}, S_tok in {-1, 0, 1}.

The fit goes through the origin, as in the paper's formula, and has an interval over prompts. The
resulting attention of the name movers is measured with the signals only on their way into the name
movers' queries (`interp.patching.path_attention`), whereas the paper patches the outputs.

If the position signal is relative (appendix A), taking the same outputs from the prompt itself
after another sentence should change nothing.

To find the origin of the position signal (section 3.3), the outputs of duplicate-token and
induction heads at S2 are taken from the same texts: the loss through them, over the loss through
S-inhibition heads.
"""

import numpy as np
import xarray as xr

from analyses.common.wording import text
from analyses.ioi.parts.setting import (
    Chapter,
    Claim,
    Measured,
    PaperPart,
    Results,
    Setting,
    labels,
    missing,
    verdicts,
)
from interp.patching import ablate, path_attention
from interp.plots import effect_heatmap
from interp.report import Figure, Item, Section, Table
from interp.statistics import Estimate, estimate_mean, estimate_ratio, interval
from interp.tasks import signal_variants, with_beginning

HEADING = "Two signals: which name is S, and where it stood (appendix A)"
_TOKENS = {1: "S2 names S", 0: "another name", -1: "S2 names IO"}
_POSITIONS = {1: "as at S1's place", -1: "as at IO's place"}
_LOOKS = {(0, 1): "another name, S1's place", (-1, -1): "IO, IO's place"}
_NAMES = ("IO", "S1", "S2")


def collect(setting: Setting) -> Results:
    """Measure the logit difference with outputs of S-inhibition or early heads from the six texts.

    Args:
        setting: what the part works on

    Returns:
        `signals`: `logit_diff`, dims token, position, prompt; `early`: the same for duplicate-token
            and induction heads at S2, if there are any; `longer`: `logit_diff` with S-inhibition
            outputs from the prompt after another sentence; `attention`: attention from END to the
            names as `path_attention` returns it, dims text, head, key, prompt, if there are name
            movers. Empty without S-inhibition heads.
    """
    model, task, circuit = setting.model, setting.task, setting.circuit
    heads = circuit.heads_of("S-inhibition")
    if not heads:
        return {}
    before = [
        h for kind in ("duplicate token", "induction") for h in circuit.heads_of(kind)
        if h.role == "S2"
    ]  # fmt: skip
    variants = signal_variants(task, model.tokenizer, seed=setting.seed)
    groups = {"signals": heads} | ({"early": before} if before else {})
    names = {(group, *signal): f"{group} {signal}" for group in groups for signal in variants}
    sets = {name: [head.node for head in groups[group]] for (group, *_), name in names.items()}
    texts = {name: variants[t, p] for (_, t, p), name in names.items()}
    values = ablate(model, task, sets, value="resample", reference=texts).logit_diff
    found = {
        group: xr.concat(
            [
                xr.concat(
                    [values.sel(set=names[group, t, p], drop=True) for p in _POSITIONS],
                    "position",
                )
                for t in _TOKENS
            ],
            "token",
        )
        .assign_coords(token=list(_TOKENS), position=list(_POSITIONS))
        .to_dataset()
        for group in groups
    }
    longer = with_beginning(task, model.tokenizer)
    own = {"longer": sets[names["signals", 1, 1]]}
    found["longer"] = ablate(model, task, own, value="resample", reference=longer)
    senders = setting.heads("S-inhibition", position="END")
    movers = setting.heads("name mover", position="END")
    if senders and movers:
        looks = [
            path_attention(model, variants[signal], senders, movers, keys=_NAMES)
            for signal in _LOOKS
        ]
        found["attention"] = xr.concat(looks, "text").assign_coords(text=list(_LOOKS.values()))
    return found


def fit(values: np.ndarray) -> tuple[float, float, float]:
    """Fit the two effects by least squares through the origin.

    Args:
        values: mean logit differences [token position] at signals (1, 0, -1) and (1, -1)

    Returns:
        The effect of the position, that of the token, and the mean absolute error as a fraction of
        the value at (1, 1).
    """
    token, position = np.meshgrid([1, 0, -1], [1, -1], indexing="ij")
    design = np.stack([position.ravel(), token.ravel()], -1)
    effects = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    error = np.abs(design @ effects - values.ravel()).mean() / abs(values[0, 0])
    return float(effects[0]), float(effects[1]), float(error)


def _fitted(grid: xr.DataArray, which: int) -> Estimate:
    """One number of the fit, with its interval over prompts."""

    def statistic(*means: np.ndarray) -> np.ndarray:
        return np.array([fit(np.array([each.mean() for each in means]).reshape(3, 2))[which]])

    samples = [grid.sel(token=t, position=p) for t in _TOKENS for p in _POSITIONS]
    return Estimate(*(float(end) for end in interval(statistic, *samples)))


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section and the figures.
    """
    if "signals" not in found:
        return missing(HEADING, "S-inhibition heads")
    grid = found["signals"].logit_diff.transpose("token", "position", "prompt")
    figures = [
        Measured(key, label, _fitted(grid, i), unit)
        for i, (key, label, unit) in enumerate(
            (
                ("signal_position", "Effect of the position signal", "logits"),
                ("signal_token", "Effect of the token signal", "logits"),
                ("signal_error", "Mean error of the fit, over the logit difference", "fraction"),
            )
        )
    ]
    figures += [
        Measured.mean(
            f"signal_{t}_{p}",
            f"Logit difference, {_TOKENS[t]}, {_POSITIONS[p]}",
            grid.sel(token=t, position=p),
            "logits",
        )
        for t in _TOKENS
        for p in _POSITIONS
    ]
    longer = found["longer"].logit_diff.sel(set="longer")
    label = "Logit difference, outputs from the prompt after another sentence"
    figures.append(Measured.mean("signal_longer", label, longer, "logits"))
    mean = grid.mean("prompt", keep_attrs=True).assign_attrs(
        title="Logit difference", unit="logits"
    )
    items: list[Item] = [
        Figure(
            effect_heatmap(
                mean,
                labels={
                    "token": [_TOKENS[int(t)] for t in mean["token"]],
                    "position": [_POSITIONS[int(p)] for p in mean["position"]],
                },
            ),
            "Mean logit difference for each of the six texts, in logits.",
        )
    ]
    claims = []
    if "attention" in found:
        looks = found["attention"].mean("head")
        items.append(_attention_table(looks))
        after = looks.patched.sel(text=_LOOKS[-1, -1]).mean("prompt")
        claims.append(
            Claim(
                "Where the name movers look with both signals reversed",
                "S1",
                str(after["key"].values[int(after.values.argmax())]),
                "S1, at least twice as much as IO",
                float(after.sel(key="S1")) >= 2 * float(after.sel(key="IO")),
            )
        )
    if "early" in found:
        figures += _located(grid, found["early"].logit_diff)
    section = Section(
        HEADING,
        f"{setting.about()}\n\nThe outputs of {labels(setting.heads('S-inhibition'))} are "
        "taken from texts in which S2 names the prompt's own S, an unrelated name or IO (token "
        "signal), and repeats the name at the place of S1 or at that of IO (position signal); "
        "everything else is the prompt's. Early heads are those at S2, duplicate-token and "
        "induction: if the position signal is theirs, their outputs from texts with another place "
        "do as much, and those from texts with another name alone do nothing (3.3).",
        [*items, *verdicts(setting, figures, claims)],
    )
    return Chapter(section, figures, claims)


def _attention_table(looks: xr.Dataset) -> Table:
    """What the name movers look at, in the prompt and with the signals of some texts."""
    clean = looks.clean.isel(text=0)
    sources = {"their own": clean} | {
        str(text): looks.patched.sel(text=text) for text in looks["text"].values
    }
    rows = [
        {"signals of": name} | {role: text(estimate_mean(values.sel(key=role))) for role in _NAMES}
        for name, values in sources.items()
    ]
    return Table(rows, "Mean attention of the name movers from END, a probability.")


def _located(grid: xr.DataArray, early: xr.DataArray) -> list[Measured]:
    """The loss through early heads over that through S-inhibition heads, by place and by name."""
    own = grid.sel(token=1, position=1)

    def share(token: int, position: int) -> Estimate:
        lost = [own - values.sel(token=token, position=position) for values in (early, grid)]
        return estimate_ratio(*lost)

    least = min((share(token, -1) for token in _TOKENS), key=lambda one: one.mean)
    about = "what early heads' outputs lose, over S-inhibition's"
    return [
        Measured("located_position", f"Another place: the least of {about}", least, "fraction"),
        Measured("located_token", f"Another name: {about}", share(0, 1), "fraction"),
    ]


PART = PaperPart("signals", 2, collect, write)
