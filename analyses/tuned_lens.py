"""Tuned lens: how early does a GPT-2 know what comes next, if each layer's stream is translated?

An affine translator for each layer is trained so that its stream, read with the model's own
unembedding, predicts the model's final output. On text held out of training, its distance to the
final prediction is compared with that of the plain logit lens, in nats per token.

    interp tuned-lens --steps 250 --out out/tuned_lens

Source: Belrose et al. 2023 (arXiv 2303.08112).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import interp
from analyses.common.choices import read_text, require_device, require_lens, require_model
from analyses.common.opening import open_model
from analyses.common.shell import Device, Model, Out, bar, prepare, show, start
from analyses.common.verdicts import answered
from analyses.logit_lens import TEXT
from interp.report import Download, Figure, Report, Section, Table

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor

    from interp.circuits import Verdict

BATCH_ROWS, LENGTH = 8, 128
OWN_ROWS = 160  # what a model writes for itself, 16 rows of it held out
DOWNLOADS = (
    Download("lens.safetensors", "The lens, for TunedLens.load and interp logit-lens --tuned."),
    Download("results.csv", "Nats of both lenses, one row per layer and row of text."),
    Download("results.json", "Their means with 95 % intervals, layer by layer."),
)


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    text: str | Path | None = None,
    lens: str | Path | None = None,
    steps: int = 250,
    learning_rate: float = 2e-3,
    seed: int = 0,
    out: str | Path | None = None,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        text: a text file to train on, of which the last tenth is held out; None for text in the
            language that `mini` was trained on or, for any other model, text that the model
            generates itself
        lens: path of a trained lens to evaluate; None to train one
        steps: number of training steps, each on up to 1,024 tokens, at least 1
        learning_rate: learning rate of the first step, above 0
        seed: seed of the generated text, or of the order of the file's rows
        out: folder for report.html and its files; None writes nothing
        device: where to run; None for where the model is

    Returns:
        The report.

    Raises:
        ValueError: a file does not exist or is not text, the text is too short, the lens belongs to
            another model, or an option is out of range
        OSError: `out` cannot be written to
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"expected learning_rate > 0, got {learning_rate}")
    written = None if text is None else read_text(text, "text file")
    require_lens(lens)
    require_model(model)
    require_device(device)
    folder = prepare(out)
    loaded = open_model(model, device)
    batches, held_out = _text(loaded, written, seed)
    if lens is None:
        tuned = interp.lens.tune(
            loaded, batches, steps=steps, learning_rate=learning_rate, progress=bar("training")
        )
    else:
        tuned = interp.lens.TunedLens.load(lens)
    found = interp.lens.compare_lenses(loaded, held_out, tuned)
    means = {
        name: interp.patching.mean_over_prompts(found[name])
        for name in ("logit_lens", "tuned_lens")
    }
    nats = {name: of["mean"] for name, of in means.items()}
    better = int((nats["tuned_lens"] <= nats["logit_lens"]).sum())
    pairs = zip(nats["tuned_lens"].values, nats["logit_lens"].values, strict=True)
    lead = (
        f"On {held_out.numel():,} held-out tokens the tuned lens of {loaded.name} is as near to "
        "the final prediction as the logit lens, or nearer, in "
        f"{better} of {nats['tuned_lens'].size} layers. "
        "Nats per token, tuned lens (logit lens), from layer 0 on: "
        f"{', '.join(f'{ours:.2f} ({theirs:.2f})' for ours, theirs in pairs)}."
    )
    origin = {"model": loaded.name, "text": str(text or "generated"), "seed": seed}
    origin |= {"steps": steps, "learning rate": learning_rate} if lens is None else {"lens": lens}
    title = f"Tuned lens of {loaded.name}"
    sections = [_nats(means), _reading(loaded, tuned)]
    report = Report(
        title, lead, sections, DOWNLOADS if folder else (), {**origin, **interp.results.versions()}
    )
    if folder is not None:
        tuned.save(folder / "lens.safetensors")
        found.to_dataframe().to_csv(folder / "results.csv")
        numbers = {
            name: {bound: of[bound].values.tolist() for bound in ("mean", "low", "high")}
            for name, of in means.items()
        }
        document = {
            **{k: str(v) for k, v in origin.items()},
            **interp.results.versions(),
            "nats": numbers,
        }
        (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        report.save(folder / "report.html")
    return report


def _text(
    model: interp.HookedGPT2, text: str | None, seed: int
) -> tuple[Callable[[int], Tensor], Tensor]:
    """Batches to train on, and rows that are in none of them."""
    import torch

    from interp.training.mini import Sentences

    length = min(LENGTH, model.config.n_ctx)
    if text is not None:
        return interp.lens.text_batches(model, text, length=length, rows=BATCH_ROWS, seed=seed)
    if model.name != "mini":
        return interp.lens.text_batches(
            model, _own_text(model, length, seed), rows=BATCH_ROWS, seed=seed
        )
    streams = [
        interp.training.Batches(
            model.tokenizer,
            length,
            BATCH_ROWS * length,
            seed,
            Sentences(),
            stream=name,
            random=0.0,
        )
        for name in ("tuned lens", "tuned lens, held out")
    ]
    # Every fourth batch has the long rows.
    return streams[0], torch.cat([streams[1](step) for step in (3, 7)])


def _own_text(model: interp.HookedGPT2, length: int, seed: int) -> Tensor:
    """Rows that the model generates after an end-of-text token, sampled at temperature 1."""
    import torch

    if model.tokenizer is None:
        raise ValueError("this model has no tokenizer, and so no end-of-text token to start from")
    start = torch.full((OWN_ROWS, 1), model.tokenizer.eos_token_id)
    rows = interp.generate(model, start, max_new_tokens=length - 1, temperature=1.0, seed=seed)
    return rows.cpu()


def _nats(means: dict[str, xr.Dataset]) -> Section:
    """Both lenses, layer by layer."""
    lines = {name.replace("_", " "): of for name, of in means.items()}
    figure = interp.plots.lens_lines(lines, log=True).update_layout(
        title_text="KL to the final prediction"
    )
    rows = [
        {"layer": int(layer)}
        | {f"{name} (nats)": of.sel(layer=layer)["mean"].item() for name, of in lines.items()}
        for layer in means["logit_lens"].layer.values
    ]
    return Section(
        "Is the tuned lens nearer to the final prediction than the logit lens?",
        f"{_nearer(means)}\n\n"
        "KL(final || lens) of the stream before each layer, averaged over the held-out text, with "
        "95 % intervals over its rows. Zero means that a layer already predicts what the last "
        "layer predicts.",
        [Figure(figure, "The axis is logarithmic: equal steps are equal ratios."),
         Table(rows, "Means.")],
    )  # fmt: skip


def _nearer(means: dict[str, xr.Dataset]) -> Verdict:
    """Whether the tuned lens is nearer in every layer, by its mean."""
    ours, theirs = (means[name]["mean"].values for name in ("tuned_lens", "logit_lens"))
    better = int((ours <= theirs).sum())
    figures = (
        f"in {better} of {ours.size} layers; over all layers {ours.mean():.2f} nats against "
        f"{theirs.mean():.2f}"
    )
    return answered("yes" if better == ours.size else "no", figures)


def _reading(model: interp.HookedGPT2, tuned: interp.lens.TunedLens) -> Section:
    """One text through both lenses."""
    plain = interp.lens.logit_lens(model, TEXT, site="resid_pre")
    through = interp.lens.logit_lens(model, TEXT, site="resid_pre", tuned=tuned)
    return Section(
        "One text",
        "The first choices before each layer: the tuned lens should arrive at the model's own "
        "earlier, and be less certain where the model is not.",
        [
            Figure(interp.plots.lens_heatmap(plain), "The logit lens."),
            Figure(interp.plots.lens_heatmap(through), "The tuned lens."),
        ],
    )


def main(
    model: Model = "mini",
    text: Annotated[
        Path | None, typer.Option(help="Text file; by default text that the model generates.")
    ] = None,
    lens: Annotated[Path | None, typer.Option(help="A saved lens to evaluate.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of training.", min=1)] = 250,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Seed of the text.")] = 0,
    out: Out = Path("out/tuned_lens"),
    device: Device = None,
) -> None:
    """Train a tuned lens and compare it with the logit lens on held-out text."""
    report = run(
        model, text=text, lens=lens, steps=steps, learning_rate=learning_rate, seed=seed,
        out=out, device=device,
    )  # fmt: skip
    show(report, out)


if __name__ == "__main__":
    start(main)
