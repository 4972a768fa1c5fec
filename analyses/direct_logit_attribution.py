"""Direct logit attribution: which parts of a GPT-2 write the answer?

The logit difference at the last token is the sum of what the embedding, every attention layer,
every MLP and the biases wrote. The analysis splits it by component, by head, by the token that the
strongest heads read from, and by neuron; and by head again in a model without some heads, to see
which heads write more in their absence.

    interp direct-logit-attribution --n 100 --without 4.1 --out out/direct_logit_attribution

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2022
(arXiv 2211.00593), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import interp
from analyses.common.choices import heads_of, names, words
from analyses.common.shell import Device, Model, N, Out, PromptsFile, Seed, bar, show, start
from analyses.common.study import Study, begin
from analyses.common.tables import effects_table
from interp.parts import Head
from interp.report import Figure, Report, Section

SHOWN = 6  # number of heads shown by the token that they read from
NEURONS = 12


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int = 100,
    seed: int = 0,
    out: str | Path | None = None,
    without: Sequence[str] | None = None,
    prompts: str | Path | None = None,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2
        seed: seed of the prompts
        out: folder for report.html, results.json, results.csv and prompts.csv; None writes nothing
        without: heads to mean-ablate in the last section, such as "9.9"; None for the one that
            writes most
        prompts: a JSON file of templates, names and nouns; None for interp's own
        device: where to run; None for where the model is

    Returns:
        The report.

    Raises:
        ValueError: a head is unknown, or as for `begin`
        OSError: `out` cannot be written to
    """
    gone = heads_of(without)
    study = begin(
        model, n, seed, "logit_diff", out, corruption="abc", prompts=prompts, device=device
    )
    interp.parts.require_in_model(study.model, gone or ())
    sections = [_components(study), _heads(study)]
    writers = interp.patching.strongest_heads(study.estimates["heads"], SHOWN)
    sections += [_sources(study, writers), _neurons(study), _without(study, gone or writers[:1])]
    parts = study.estimates["components"]["mean"]
    shares = {kind: float(parts[parts.kind == kind].sum()) for kind in ("attn", "mlp")}
    lead = (
        f"On {n} prompts of IOI in {study.model.name}, of the logit difference of "
        f"{float(parts.sum()):+.2f} the heads write {shares['attn']:+.2f} and the MLPs "
        f"{shares['mlp']:+.2f}; the strongest heads are {names(writers[:3])}."
    )
    return study.report(f"What writes the answer in {study.model.name}", lead, sections)


def _components(study: Study) -> Section:
    """Layers, embeddings and biases, and their running sum."""
    parts = interp.lens.direct_logit_attribution(
        study.model, study.task, progress=bar("components")
    )
    estimate = study.keep("components", parts)
    running = study.keep("accumulated", interp.lens.cumulative(parts))
    whole = interp.patching.measure(study.model, study.task, "logit_diff").logit_diff
    off = float(abs(parts.sum("component") - whole).max())
    return Section(
        "By component",
        "attn: the heads of a layer; mlp: its neurons; b_O and b_out: the biases of the two; "
        "ln_final.b and b_U: those of the final layer norm and of the unembedding. They add up to "
        f"the logit difference of every prompt, here to within {off:.0e}.",
        [
            Figure(
                interp.plots.attribution_bars(estimate),
                "Blue: toward the answer. Red: toward the foil.",
            ),
            Figure(
                interp.plots.lens_lines(running),
                "The same, accumulated from left to right, with the constants from the start: "
                "what the logit lens reads at the final scale.",
            ),
            effects_table(estimate),
        ],
    )


def _heads(study: Study) -> Section:
    """Every head."""
    import xarray as xr

    found = interp.lens.direct_logit_attribution(
        study.model, study.task, by="head", progress=bar("heads")
    )
    estimate = study.keep("heads", found)
    bounds = xr.concat([estimate["low"], estimate["high"]], "bound").assign_coords(
        bound=["low", "high"]
    )
    return Section(
        "By head",
        "The direct path from each head's output at END to the logits.",
        [
            Figure(
                interp.plots.head_heatmap(estimate["mean"], interval=bounds),
                "Blue: writes the answer. Red: writes the foil, or against the answer.",
            ),
            Figure(interp.plots.effect_ranking(estimate), "The strongest, with 95 % intervals."),
        ],
    )


def _sources(study: Study, writers: Sequence[Head]) -> Section:
    """The tokens that the strongest heads read from, by role."""
    import xarray as xr

    found = interp.lens.direct_logit_attribution(
        study.model, study.task, by="source_role", progress=bar("sources")
    )
    rows = [found.sel(layer=layer, head=head, drop=True) for layer, head in writers]
    chosen = xr.concat(rows, "writer").assign_coords(writer=[names([one]) for one in writers])
    estimate = study.keep("sources", chosen.assign_attrs(found.attrs))
    return Section(
        "By the token that is read",
        "A head's output is a sum over the tokens that it attends to. Only some of them have "
        "roles, so a row need not add up to the head's total.",
        [
            Figure(
                interp.plots.effect_heatmap(estimate, annotate=2 * len(writers)),
                "Rows: the strongest heads. Columns: the token whose value they carry to END.",
            )
        ],
    )


def _neurons(study: Study) -> Section:
    """The strongest neurons of all layers."""
    import numpy as np
    import xarray as xr

    found = interp.lens.direct_logit_attribution(
        study.model, study.task, by="neuron", progress=bar("neurons")
    )
    mean = found.mean("prompt").values
    order = np.argsort(-np.abs(mean), axis=None, kind="stable")[:NEURONS]
    layers, units = np.unravel_index(order, mean.shape)
    which = {
        "layer": xr.DataArray(layers, dims="neuron"),
        "neuron": xr.DataArray(units, dims="neuron"),
    }
    labels = [f"{layer}.{unit}" for layer, unit in zip(layers, units, strict=True)]
    chosen = found.isel(which).drop_vars("layer").assign_coords(neuron=labels)
    estimate = study.keep("neurons", chosen)
    return Section(
        "By neuron",
        "A neuron's activation at END times what its output weights write for the two names; the "
        f"{len(labels)} strongest of {mean.size} neurons, labeled layer.neuron.",
        [Figure(interp.plots.effect_ranking(estimate, n=NEURONS), "With 95 % intervals.")],
    )


def _without(study: Study, gone: Sequence[Head]) -> Section:
    """Every head again, in a model without some heads."""
    name = f"without {names(gone)}"
    left = interp.lens.direct_logit_attribution(
        study.model,
        study.task,
        by="head",
        ablation=interp.patching.Ablation(gone),
        progress=bar(name),
    )
    estimate = study.keep(f"heads {name}", left)
    return Section(
        f"Without {names(gone)}",
        f"The output of {names(gone)} at every token is replaced by its mean over the corrupted "
        "prompts. A head that writes more than before stands in for them.",
        [
            Figure(
                interp.plots.effect_ranking(
                    {"whole model": study.estimates["heads"], name: estimate}
                ),
                "Each head before and after.",
            )
        ],
    )


def main(
    model: Model = "mini",
    n: N = 100,
    seed: Seed = 0,
    out: Out = Path("out/direct_logit_attribution"),
    without: Annotated[
        str | None, typer.Option(help="Heads such as 9.9,9.6 to ablate for the last section.")
    ] = None,
    prompts: PromptsFile = None,
    device: Device = None,
) -> None:
    """What every component, head, token and neuron writes toward the answer."""
    report = run(
        model,
        n=n,
        seed=seed,
        out=out,
        without=words(without, "head"),
        prompts=prompts,
        device=device,
    )
    show(report, out)


if __name__ == "__main__":
    start(main)
