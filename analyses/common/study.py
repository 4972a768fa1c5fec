"""What the analyses of interventions share: prompts, results by name, estimates, files.

A study keeps each result under a name and writes three files beside the report: results.json, the
means with intervals; results.csv, every value of every prompt; prompts.csv, the prompts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import xarray as xr

import interp
from analyses.common.choices import among
from analyses.common.shell import prepare
from analyses.common.wording import text
from interp.circuits import Derivation
from interp.patching import METRICS, mean_effect, mean_over_prompts, normalized
from interp.plots.labels import cell_labels
from interp.report import Download, Report, Section, Table
from interp.results import versions
from interp.statistics import Estimate, bootstrap_mean
from interp.tasks import Task, ioi
from interp.tasks.ioi import Corruption

DOWNLOADS = (
    Download("results.json", "Means of every effect on this page, with 95 % intervals."),
    Download("results.csv", "The metric of every run of every prompt, one row each."),
    Download("prompts.csv", "The prompts and their partners, with the positions of roles."),
)


@dataclass(frozen=True)
class Study:
    """Interventions on one model, on the IOI task, read with one metric.

    Args:
        model: the model.
        task: the prompts.
        seed: they were drawn with.
        metric: a name of `METRICS`.
        folder: where files go; None for nowhere.
        options: what else the caller chose, for the report.
        draw: makes other prompts with the same seed, corruption and file; arguments of `ioi`.
        results: by name: datasets of metrics, or arrays of effects, per prompt.
        estimates: their mean effects with intervals, by the same names.
        tasks: the prompts of results on others than `task`, by the result's name.
        figures: other numbers with their intervals, by name.
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
        """Keep a result for the files.

        Args:
            name: what it is called there.
            result: metrics of runs, or values of prompts that are effects already.

        Returns:
            Its mean effect with the interval.
        """
        if isinstance(result, xr.Dataset):
            estimate = mean_effect(result, self.metric)
        else:
            estimate = mean_over_prompts(result)
        self.results[name], self.estimates[name] = result, estimate
        return estimate

    def report(
        self, title: str, lead: str, sections: Sequence[Section], more: Sequence[Download] = ()
    ) -> Report:
        """Make the page and write it and its files, if there is a folder; `more` lists others."""
        origin = {"model": self.model.name, "prompts": len(self.task), "seed": self.seed}
        page = Report(
            title,
            lead,
            sections,
            (*DOWNLOADS, *more) if self.folder else (),
            {**origin, "metric": self.metric, **self.options, **versions()},
        )
        if self.folder is not None:
            page.save(self.folder / "report.html")
            text = json.dumps(self._numbers(), indent=1, allow_nan=False)
            (self.folder / "results.json").write_text(text + "\n", encoding="utf-8")
            self._values().to_csv(self.folder / "results.csv", index=False)
            self._prompts().to_csv(self.folder / "prompts.csv", index=False)
        return page

    def _numbers(self) -> dict[str, Any]:
        """For each result its dims, their values, and nested lists of mean, low and high."""
        found = {}
        for name, result in self.results.items():
            means = self.estimates[name]
            one: dict[str, Any] = {key: means.attrs[key] for key in ("title", "unit")}
            one["dims"] = list(means["mean"].dims)
            one |= {dim: means[dim].values.tolist() for dim in one["dims"]}
            one |= _lists(means)
            if isinstance(result, xr.Dataset) and f"{self.metric}_corrupted" in result:
                one["normalized"] = _lists(normalized(result, self.metric))
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
            "versions": versions(),
            "results": found,
            **({"figures": figures} if figures else {}),
        }

    def _values(self) -> pd.DataFrame:
        """One row a value: the result, the metric, where, which prompt, how much."""
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
        """The prompts of every result; an empty name stands for those that have none of their own.

        Returns:
            Columns `result`, `prompt` and those of `Task.to_dataframe`.
        """
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
    """Check what was asked for, load the model and make the prompts.

    Args:
        model: a name or directory for `interp.load`, or a loaded model.
        n: number of prompts, at least 2.
        seed: of the prompts.
        metric: a name of `METRICS`.
        out: folder for the files; None for none.
        corruption: of `interp.tasks.ioi`.
        prompts: a JSON file of templates, names and nouns; None for interp's own.
        device: where to run; None for where the model is.
        options: what else the caller chose.

    Returns:
        The study, without results.

    Raises:
        ValueError: for fewer than 2 prompts, an unknown metric or corruption, or prompts that the
            model does not fit.
        OSError: when `out` cannot be written to.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 for an interval, got {n}")
    among("metric", [metric], METRICS)
    among("corruption", [corruption], get_args(Corruption))
    folder = None if out is None else prepare(out)
    loaded = model if isinstance(model, interp.HookedGPT2) else interp.load(model)
    if device is not None:
        loaded.to(device)
    draw: Callable[..., Task] = partial(ioi, loaded.tokenizer, seed=seed, prompts=prompts)
    draw = partial(draw, corruption=corruption)
    chosen = {"corruption": corruption, **options}
    return Study(loaded, draw(n), seed, metric, folder, chosen, draw)


def behavior(study: Study) -> Table:
    """The metric of the runs that nothing was done to.

    Args:
        study: with at least one result.

    Returns:
        One row a run, with intervals.
    """
    result = next(iter(study.results.values()))
    unit = METRICS[study.metric]
    rows = [
        {"run": side, f"{study.metric} ({unit})": text(bootstrap_mean(result[name]))}
        for side in ("clean", "corrupted")
        if (name := f"{study.metric}_{side}") in result
    ]
    return Table(rows, "Means over prompts with 95 % bootstrap intervals.")


def effects_table(effects: xr.Dataset, fractions: xr.Dataset | None = None, *, n: int = 6) -> Table:
    """The strongest cells of a sweep with their intervals.

    Args:
        effects: of `mean_effect`.
        fractions: of `normalized`, for a second column.
        n: how many.

    Returns:
        One row a cell, the strongest first.
    """
    labels, mean = cell_labels(effects["mean"]), effects["mean"].values.ravel()
    order = np.argsort(-np.nan_to_num(np.abs(mean), nan=-1.0), kind="stable")[:n]
    columns = {f"effect ({effects.attrs['unit']})": effects}
    if fractions is not None:
        columns["normalized"] = fractions
    rows = [
        {"where": labels[i], **{name: _interval(one, int(i)) for name, one in columns.items()}}
        for i in order
    ]
    about = " Normalized: 0 is the corrupted run, 1 the clean one." if fractions is not None else ""
    return Table(rows, f"The {len(rows)} strongest, with 95 % bootstrap intervals.{about}")


def _interval(estimate: xr.Dataset, cell: int) -> str:
    ends = (float(estimate[key].values.ravel()[cell]) for key in ("mean", "low", "high"))
    return text(Estimate(*ends))


def _lists(estimate: xr.Dataset) -> dict[str, Any]:
    """The three arrays as nested lists; JSON knows neither NaN nor infinity."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return value if isfinite(value) else None

    return {key: plain(estimate[key].values.tolist()) for key in ("mean", "low", "high")}


def derivation_tables(found: Derivation) -> list[Table]:
    """The evidence for the heads and the links of a derived circuit.

    Args:
        found: of `derive`.

    Returns:
        A table of each that there are any of.
    """
    tables = []
    behavior = [str(name) for name in found.behavior if name != "anti_copy"]
    if found.circuit.heads:
        tables.append(
            Table(
                _with_intervals(found.heads().drop(columns="anti_copy")),
                "Heads: effect of all paths into the later heads of the circuit and the logits "
                "(logits; negative: they speak for the answer) with 95 % interval, q value, mean "
                "attention from its position, copying, receivers.",
                {"q_value": ".1g", **dict.fromkeys(behavior, ".2f")},
            )
        )
    if found.circuit.links:
        tables.append(
            Table(
                _with_intervals(found.links()),
                "Links: mean effect of the path alone, in logits, with 95 % interval, q value.",
                {"q_value": ".1g"},
            )
        )
    return tables


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Effects with their intervals in one column."""
    ends = zip(table["effect"], table["low"], table["high"], strict=True)
    effects = [text(Estimate(*each)) for each in ends]
    return table.assign(effect=effects).drop(columns=["low", "high"])
