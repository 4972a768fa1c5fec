"""Composition: which heads of a GPT-2 read each other, and what is its position embedding like?

From the weights alone: how much of what an earlier head writes lies where a later head's queries,
keys or values read, beyond what randomly rotated matrices score; and the waves that make up the
position embedding. This needs neither token embedding nor MLPs, so a checkpoint with only the
attention weights is enough:

    interp composition --attention-only DIRECTORY --receivers 5.5,6.9 --out out/composition

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Vaswani et al. 2017
(arXiv 1706.03762), section 3.5, for the sinusoids.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import interp
from analyses.common.choices import INPUTS, heads_of, require_model, words
from analyses.common.shell import Model, Out, prepare, show, start
from interp.report import Download, Figure, Report, Section, Table

if TYPE_CHECKING:
    import xarray as xr

TOP = 15
"""Number of pairs that the page shows."""

DOWNLOADS = (
    Download("results.json", "The strongest pairs, the random baseline, the spectrum."),
    Download("composition.csv", "The score of every pair of heads, one row each."),
    Download("senders.csv", "The strongest sender into every head, and the runner-up."),
)


def run(
    model: str | Path | interp.HookedGPT2 | interp.AttentionWeights = "mini",
    *,
    attention_only: str | Path | None = None,
    receivers: Sequence[str] | None = None,
    samples: int = 2,
    seed: int = 0,
    out: str | Path | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load_attention`, a model, or attention weights
        attention_only: a directory to load instead of `model`, which needs only attention weights,
            layer norms and position embedding
        receivers: heads whose strongest senders to show, such as "5.5"; None for those of the
            strongest pairs
        samples: number of random rotations for the baseline, at least 1
        seed: seed of the rotations
        out: folder for report.html, results.json and two tables; None writes nothing

    Returns:
        The report.

    Raises:
        ValueError: the checkpoint cannot be read, a receiver is unknown or has no earlier head, or
            `samples` is below 1
        OSError: `out` cannot be written to
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1 random rotation, got {samples}")
    wanted = heads_of(receivers)
    given = model if attention_only is None else attention_only
    require_model(given)
    folder = prepare(out)
    weights = interp.load_attention(given) if isinstance(given, str | Path) else given
    scores = interp.heads.composition_scores(weights)
    random = interp.heads.random_composition(weights, samples=samples, seed=seed)
    pairs, senders = (
        interp.heads.composition_pairs(scores, random=random, n=TOP),
        interp.heads.strongest_senders(scores),
    )
    shown = list(dict.fromkeys(pairs["receiver"])) if wanted is None else list(map(str, wanted))
    unknown = [head for head in shown if head not in set(senders["receiver"])]
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)}: no head of {weights.name} with earlier ones; receivers are "
            "written layer.head, such as 5.5, from layer 1 on"
        )
    other_dims = [dim for dim in random.dims if dim != "kind"]
    typical, highest = random.mean(other_dims), random.max(other_dims)
    excess = (scores - typical).assign_attrs(scores.attrs)
    above = ((scores > highest).sum() / scores.notnull().sum()).item()
    first = pairs.iloc[0]
    lead = (
        f"In the weights of {weights.name} {above:.1%} of all pairs of heads compose more than any "
        f"pair turned at random; most {first['receiver']}, whose {INPUTS[first['kind']]} read "
        f"{first['sender']} (score {first['score']:.2f}, at random {first['random']:.2f})."
    )
    similarity, spectrum = (
        interp.heads.position_similarity(weights),
        interp.heads.position_spectrum(weights),
    )
    sections = [
        Section(
            "Who reads whom",
            "Each cell is a pair: the earlier head (down) writes what the later head (across) "
            "reads. Scores are ratios of Frobenius norms, minus their mean with the earlier "
            "heads' outputs rotated at random. Blue: more than at random. Red: less, as when a "
            "head avoids what was written.",
            [
                Figure(
                    interp.plots.composition_heatmap(_titled(excess, kind)),
                    f"Into {what}, above chance.",
                )
                for kind, what in INPUTS.items()
            ]
            + [Table(pairs, "The strongest pairs by their excess over the random mean.")],
        ),
        Section(
            "Strongest senders",
            "The earlier head that each head reads most, and the runner-up. The layer norm is "
            "folded into the weights.",
            [Table(senders[senders["receiver"].isin(shown)], "Scores, nothing subtracted.")],
        ),
        Section(
            "Positions",
            "The position embedding that the model learned, next to the sinusoids of the first "
            "transformer, of the same shape.",
            [
                *(
                    Figure(interp.plots.similarity_heatmap(x), "Cosine of positions.")
                    for x in similarity.values()
                ),
                Figure(
                    interp.plots.spectrum_lines(spectrum),
                    "Power at each period. Slow waves on the left.",
                ),
            ],
        ),
    ]
    origin = {"model": weights.name, "samples": samples, "seed": seed, **interp.results.versions()}
    downloads = DOWNLOADS if folder is not None else ()
    report = Report(f"Composition in {weights.name}", lead, sections, downloads, origin)
    if folder is not None:
        scores.to_series().dropna().to_csv(folder / "composition.csv")
        senders.to_csv(folder / "senders.csv", index=False)
        found = {
            "pairs": pairs.to_dict("records"),
            "random": dict(zip(INPUTS, typical.values.tolist(), strict=True)),
            "above_random": above,
            "spectrum": {str(name): line.values.tolist() for name, line in spectrum.items()},
        }
        text = json.dumps(origin | found, indent=1, allow_nan=False)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        report.save(folder / "report.html")
    return report


def _titled(excess: xr.DataArray, kind: str) -> xr.DataArray:
    title = f"Composition of earlier heads' outputs with {INPUTS[kind]}"
    return excess.sel(kind=kind).assign_attrs(title=title)


def main(
    model: Model = "mini",
    attention_only: Annotated[
        Path | None,
        typer.Option(help="Directory with only attention weights, instead of the model."),
    ] = None,
    receivers: Annotated[
        str | None, typer.Option(help="Heads whose senders to show, such as 5.5,6.9.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Random rotations of the baseline.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the rotations.")] = 0,
    out: Out = Path("out/composition"),
) -> None:
    """Which heads read which, and the position embedding, from the weights alone."""
    report = run(
        model,
        attention_only=attention_only,
        receivers=words(receivers, "head"),
        samples=samples,
        seed=seed,
        out=out,
    )
    show(report, out)


if __name__ == "__main__":
    start(main)
