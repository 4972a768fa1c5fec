"""The sections of the report on the logit lens: a text, prompts with an answer, and the lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import interp
from analyses.common.verdicts import answered, is_above
from interp.report import Figure, Section, Table

if TYPE_CHECKING:
    import xarray as xr

    from interp.circuits import Verdict
    from interp.tasks import Task

HEADINGS = {
    "logit_diff": "answer over foil (logits)",
    "probability": "probability of the answer",
    "rank": "its rank",
    "entropy": "entropy (nats)",
    "kl_divergence": "KL to the final prediction (nats)",
}


def settled(model: interp.HookedGPT2, reading: xr.Dataset) -> str:
    """A sentence on the layer from which the first choice no longer changes."""
    import numpy as np

    first = reading.top_id.isel(top=0).transpose("layer", "position").values
    changes = first[1:] != first[:-1]  # layer position
    starts = [layers.nonzero()[0].max(initial=-1) + 1 for layers in changes.T]
    layer = reading.layer.values[int(np.ceil(np.median(starts)))]
    return (
        f"At half or more of the {len(starts)} tokens of the text, the first choice of "
        f"{model.name} no longer changes from layer {layer} on."
    )


def overtakes(diff: xr.Dataset, about: str) -> str:
    """Sentences on when the answer overtakes the foil."""
    ends = float(diff["mean"][-1])
    end = f" On prompts of {about} the answer ends {ends:+.2f} logits from the foil"
    above = diff.layer.values[(diff["low"] > 0).values]
    if not len(above):
        return f"{end}; the interval lies above zero after no layer."
    return f"{end}; the first layer after which the interval lies above zero is {above[0]}."


def _ends_above(diff: xr.Dataset) -> Verdict:
    """Whether the answer ends above the foil."""
    last = diff.isel(layer=-1)
    end = interp.statistics.Estimate(*(float(last[key]) for key in ("mean", "low", "high")))
    above = diff.layer.values[(diff["low"] > 0).values]
    said = is_above(end, "after the last layer it is ahead by", unit="logits")
    figures = said.text.partition(": ")[2].removesuffix(".")
    if len(above):
        figures += f"; the first layer after which the interval lies above zero is {above[0]}"
    return answered(said.answer, figures)


def of_text(name: str, reading: xr.Dataset) -> Section:
    """The text at every layer."""
    return Section(
        f"{name} of the text",
        "Under each column is the token that is read; its cells have, from the bottom up, the "
        "word that would come next if the model stopped there. Point at a cell for the runners-up.",
        [
            Figure(
                interp.plots.lens_heatmap(reading),
                "Dark: the first choice is nearly certain; a probability from 0 (white) to 1.",
            ),
            Figure(
                interp.plots.lens_heatmap(reading, color="kl_divergence"),
                "Dark: far from the final prediction, KL(final || layer) in nats. White: as good "
                "as the final prediction.",
            ),
        ],
    )


def of_task(task: Task, means: dict[str, dict[str, xr.Dataset]], about: str) -> Section:
    """The lens at the last token of prompts with an answer."""

    def lines(title: str, **shown: xr.Dataset) -> Any:
        return interp.plots.lens_lines(
            {name.replace("_", " "): of for name, of in shown.items()}
        ).update_layout(title_text=title)

    post, mid = means["resid_post"], means["resid_mid"]
    rows = [
        {"after layer": int(layer)}
        | {HEADINGS[name]: float(post[name]["mean"].sel(layer=layer)) for name in HEADINGS}
        for layer in post["logit_diff"].layer.values
    ]
    return Section(
        f"Does the answer overtake the foil, read at the last token of {about}?",
        f"{_ends_above(post['logit_diff'])}\n\n"
        f"Means over {len(task)} prompts with 95 % intervals; for example \u201c{task.clean[0]} "
        "\u2026\u201d. The logit difference is the answer's logit minus the foil's.",
        [
            Figure(
                lines(
                    "Answer over foil, read in the stream",
                    after_attention=mid["logit_diff"],
                    after_the_MLP=post["logit_diff"],
                ),
                "Above zero: if it stopped there, the model would prefer the answer.",
            ),
            Figure(
                lines(
                    "Answer over foil, written by each layer",
                    attention=means["attn_out"]["logit_diff"],
                    MLP=means["mlp_out"]["logit_diff"],
                ),
                "Each layer's own output at the final scale: its direct share in the result.",
            ),
            Figure(
                lines(
                    "How sure, and how far from the end",
                    entropy=post["entropy"],
                    KL_to_the_final_prediction=post["kl_divergence"],
                ),
                "Read after each layer. A layer can be certain and wrong, with low entropy but "
                "far from the final prediction.",
            ),
            Table(rows, "Means at resid_post. Rank 0: the answer is the first choice of all."),
        ],
    )
