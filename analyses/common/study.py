"""Studies: what analyses of interventions share: prompts, results by name, estimates, files.

A study keeps each result under a name and writes three files to the report's folder: results.json,
the means with intervals; results.csv, every value of every prompt; and prompts.csv, the prompts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import interp
from analyses.common.choices import (
    CORRUPTIONS,
    METRICS,
    among,
    require_device,
    require_json,
    require_model,
    require_prompts,
)
from analyses.common.opening import open_model
from analyses.common.shell import prepare
from interp.report import Download, Report, Section

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from interp.statistics import Estimate
    from interp.tasks import Task

DOWNLOADS = (
    Download("results.json", "Means of every effect on this page, with 95 % intervals."),
    Download("results.csv", "The metric of every run of every prompt, one row each."),
    Download("prompts.csv", "The prompts and their partners, with the positions of roles."),
)


@dataclass(frozen=True)
class Study:
    """Interventions on one model and one task, read with one metric.

    Args:
        model: the model
        task: the prompts
        seed: seed that the prompts were drawn with
        metric: a name from `interp.metrics.METRICS`
        folder: folder for files; None for none
        options: the caller's other choices, for the report
        draw: function that makes other prompts with the same seed, corruption and file; it takes
            the arguments of the task's function
        results: name -> a dataset of metrics, or an array of effects, for every prompt
        estimates: name -> mean effects with intervals
        tasks: name -> the prompts of a result on prompts other than `task`
        figures: name -> another number with its interval
    """

    model: interp.HookedGPT2
    task: Task
    seed: int
    metric: str
    folder: Path | None
    options: Mapping[str, object]
    draw: Callable[..., Task]
    results: dict[str, xr.Dataset | xr.DataArray] = field(default_factory=dict)
    estimates: dict[str, xr.Dataset] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    figures: dict[str, Estimate] = field(default_factory=dict)

    def keep(self, name: str, result: xr.Dataset | xr.DataArray) -> xr.Dataset:
        """Store a result for the files.

        Args:
            name: its name there
            result: metrics of runs, or effects on every prompt

        Returns:
            The mean effect, with its interval.
        """
        import xarray as xr

        if isinstance(result, xr.Dataset):
            estimate = interp.patching.mean_effect(result, self.metric)
        else:
            estimate = interp.patching.mean_over_prompts(result)
        self.results[name], self.estimates[name] = result, estimate
        return estimate

    def report(
        self, title: str, lead: str, sections: Sequence[Section], more: Sequence[Download] = ()
    ) -> Report:
        """Make the report, and write it with its files if there is a folder.

        Args:
            title: its title
            lead: the main result in a few sentences
            sections: its parts
            more: further files, besides those that every study writes

        Returns:
            The page.
        """
        origin = {"model": self.model.name, "prompts": len(self.task), "seed": self.seed}
        page = Report(
            title,
            lead,
            sections,
            (*DOWNLOADS, *more) if self.folder else (),
            {**origin, "metric": self.metric, **self.options, **interp.results.versions()},
        )
        if self.folder is not None:
            page.save(self.folder / "report.html")
            text = json.dumps(self._numbers(), indent=1, allow_nan=False)
            (self.folder / "results.json").write_text(text + "\n", encoding="utf-8")
            self._values().to_csv(self.folder / "results.csv", index=False)
            self._prompts().to_csv(self.folder / "prompts.csv", index=False)
        return page

    def _numbers(self) -> dict[str, Any]:
        """For each result, its dims, their values, and nested lists of mean, low and high."""
        import xarray as xr

        found = {}
        for name, result in self.results.items():
            means = self.estimates[name]
            one: dict[str, Any] = {key: means.attrs[key] for key in ("title", "unit")}
            one["dims"] = list(means["mean"].dims)
            one |= {dim: means[dim].values.tolist() for dim in one["dims"]}
            one |= _lists(means)
            if isinstance(result, xr.Dataset) and f"{self.metric}_corrupted" in result:
                one["normalized"] = _lists(interp.patching.normalized(result, self.metric))
            found[name] = one
        figures = {
            name: {key: end if isfinite(end) else None for key, end in asdict(figure).items()}
            for name, figure in self.figures.items()
        }
        return {
            "model": self.model.name,
            "n": len(self.task),
            "seed": self.seed,
            "metric": self.metric,
            "options": {key: str(value) for key, value in self.options.items()},
            "versions": interp.results.versions(),
            "results": found,
            **({"figures": figures} if figures else {}),
        }

    def _values(self) -> pd.DataFrame:
        """One row per value: the result, the metric, where, which prompt, how much."""
        import pandas as pd
        import xarray as xr

        tables = []
        for name, result in self.results.items():
            arrays = result.data_vars.values() if isinstance(result, xr.Dataset) else [result]
            for array in arrays:
                table = array.to_dataframe(name="value").reset_index()
                table.insert(0, "metric", str(array.name))
                table.insert(0, "result", name)
                tables.append(table.dropna(subset="value"))
        joined = pd.concat(tables, ignore_index=True)
        where = [c for c in joined if c not in ("result", "metric", "prompt", "value")]
        whole = {c: "Int64" for c in where if pd.api.types.is_numeric_dtype(joined[c])}
        return joined.astype(whole)[["result", "metric", *where, "prompt", "value"]]

    def _prompts(self) -> pd.DataFrame:
        """The prompts of every result; an empty name stands for results on the study's own prompts.

        Returns:
            A table with the columns `result`, `prompt` and those of `Task.to_dataframe`.
        """
        import pandas as pd

        tokenizer = self.model.tokenizer
        return pd.concat(
            [
                task.to_dataframe(tokenizer).rename_axis("prompt").reset_index().assign(result=name)
                for name, task in {"": self.task, **self.tasks}.items()
            ],
            ignore_index=True,
        )


def begin(
    model: str | Path | interp.HookedGPT2,
    n: int,
    seed: int,
    metric: str,
    out: str | Path | None,
    *,
    corruption: str,
    prompts: str | Path | None,
    device: str | None,
    **options: object,
) -> Study:
    """Check the arguments, load the model and make the IOI prompts.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2
        seed: seed of the prompts
        metric: a name from `interp.metrics.METRICS`
        out: folder for the files; None for none
        corruption: how the partner of a prompt differs from it, see `interp.tasks.ioi`
        prompts: a JSON file of templates, names and nouns; None for interp's own
        device: where to run; None for where the model is
        options: the caller's other choices

    Returns:
        The study, without results.

    Raises:
        ValueError: there are fewer than 2 prompts; the metric, corruption, model or device is
            unknown; or the model does not fit the prompts
        OSError: `out` cannot be written to
    """
    require_prompts(n)
    among("metric", [metric], METRICS)
    among("corruption", [corruption], CORRUPTIONS)
    require_json(prompts, "prompts file")
    require_model(model)
    require_device(device)
    folder = prepare(out)
    loaded = open_model(model, device)
    make: Callable[..., Task] = interp.tasks.ioi
    draw = partial(make, loaded.tokenizer, seed=seed, prompts=prompts, corruption=corruption)
    task = draw(n)
    task.require_fits(loaded)
    chosen = {"corruption": corruption, **options}
    return Study(loaded, task, seed, metric, folder, chosen, draw)


def _lists(estimate: xr.Dataset) -> dict[str, Any]:
    """The three arrays as nested lists; JSON has neither NaN nor infinity."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return value if isfinite(value) else None

    return {key: plain(estimate[key].values.tolist()) for key in ("mean", "low", "high")}
