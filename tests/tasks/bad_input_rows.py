"""Calls that must fail with one clear error: tasks, metrics, statistics, results.

A row is its id, a call that takes the fixtures ("mini", "task", "tmp_path") as a dictionary, the
class of the error, and words of its message. Functions are unwrapped where the shape checker of the
tests would speak before them.

The file is longer than most, because it is a table.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from interp import metrics, statistics
from interp.results import Question, labeled, require_same
from interp.tasks import (
    acronym,
    agreement,
    from_table,
    greater_than,
    induction,
    ioi,
    named_again,
    pronoun,
    signal_variants,
    with_beginning,
)

Fixtures = dict[str, Any]
Row = tuple[str, Callable[[Fixtures], object], type[Exception], tuple[str, ...]]

_HEADER = "clean,corrupted,answer,foil\n"
_TEXTS = "When Mary and John went,When Anna and John went"
_ROW = f"{_TEXTS}, Mary, John\n"
_bare = inspect.unwrap


def _csv(content: str | bytes, **options: Any) -> Callable[[Fixtures], object]:
    """Read a CSV file of this content."""

    def call(f: Fixtures) -> object:
        file = f["tmp_path"] / "table.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return _bare(from_table)(f["mini"].tokenizer, file, **options)

    return call


def _make(make: Callable[..., object], *arguments: Any, **options: Any) -> Callable[..., object]:
    """Make a task with the model's tokenizer."""
    return lambda f: _bare(make)(f["mini"].tokenizer, *arguments, **options)


def _named(chosen: object) -> Callable[[Fixtures], object]:
    return lambda f: _bare(metrics.named_metrics)(chosen)


def _other_words(f: Fixtures) -> object:
    """The task as a tokenizer of other words would have made it."""
    task = f["task"]
    return replace(task, vocabulary=tuple((token, f"{word}?") for token, word in task.vocabulary))


def _longer(f: Fixtures) -> Any:
    """A task of more tokens than the model can read."""
    table = pd.DataFrame(
        {"clean": ["the" + " the" * 2000], "corrupted": ["the" + " the" * 1999 + " of"]}
        | {"answer": [" Mary"], "foil": [" John"]}
    )
    return from_table(f["mini"].tokenizer, table)


def _result(**question: object) -> xr.DataArray:
    class Model:
        name = "m"

    return labeled(
        torch.ones(2), ("x",), name="n", title="t", unit="u", model=Model(), question=question
    )


def _mine(logits: torch.Tensor, task: object) -> torch.Tensor:
    return logits[:, 0]


_MAKERS = (acronym, agreement, greater_than, induction, ioi, pronoun)
_LOGITS, _ID = torch.zeros(2, 5), torch.tensor([1, 2])

ROWS: list[Row] = [
    *[(f"{m.__name__}-n-0", _make(m, 0), ValueError, ("at least 1", "0")) for m in _MAKERS],
    *[(f"{m.__name__}-n-negative", _make(m, -3), ValueError, ("at least 1",)) for m in _MAKERS],
    *[(f"{m.__name__}-n-bool", _make(m, True), TypeError, ("whole number",)) for m in _MAKERS],
    *[(f"{m.__name__}-n-float", _make(m, 2.0), TypeError, ("whole number",)) for m in _MAKERS],
    ("ioi-n-text", _make(ioi, "10"), TypeError, ("n must be a whole number", "'10'")),
    (
        "ioi-corruption",
        _make(ioi, corruption="ABC"),
        ValueError,
        ("corruption must be one of", "'abc'"),
    ),
    ("ioi-order", _make(ioi, order="abab"), ValueError, ("order must be one of", "did you mean")),
    ("ioi-one-template", _make(ioi, templates="So [B]"), TypeError, ("list of strings",)),
    ("ioi-no-template", _make(ioi, templates=[]), ValueError, ("templates is empty",)),
    (
        "ioi-unknown-slot",
        _make(ioi, templates=["So [B] and [A] met [C], and [B] saw [A]"]),
        ValueError,
        ("unknown slot [C]",),
    ),
    ("ioi-one-name", _make(ioi, names="Mary"), TypeError, ("names must be a list",)),
    ("ioi-name-3", _make(ioi, names=["Mary", 3]), TypeError, ("it holds 3",)),
    ("ioi-name-empty", _make(ioi, names=["Mary", ""]), ValueError, ("at least one letter",)),
    ("ioi-name-space", _make(ioi, names=[" Mary", "John"]), ValueError, ("no space before",)),
    ("ioi-name-twice", _make(ioi, names=["Mary", "Mary"]), ValueError, ("more than once",)),
    (
        "ioi-name-split",
        _make(ioi, names=["Mary", "Wolfeschlegelstein"]),
        ValueError,
        ("not single tokens", "drop_split_words=True"),
    ),
    ("ioi-few-names", _make(ioi, names=["Mary", "John"]), ValueError, ("5 names are needed",)),
    ("ioi-no-file", _make(ioi, prompts="none.json"), FileNotFoundError, ("no prompt file",)),
    ("agreement-distractor", _make(agreement, distractor="none"), ValueError, ("one of",)),
    ("acronym-corruption", _make(acronym, corruption="wrod"), ValueError, ("did you mean 'word'",)),
    ("acronym-words", _make(acronym, words="Bank"), TypeError, ("list of strings",)),
    ("induction-length", _make(induction, length=3.0), TypeError, ("length must be a whole",)),
    ("induction-repeated", _make(induction, repeated=99), ValueError, ("from 1 to length - 2",)),
    (
        "signals-of-a-set",
        lambda f: _bare(signal_variants)(
            replace(f["task"], answer=f["task"].answer[:, None]), f["mini"].tokenizer
        ),
        ValueError,
        ("one answer and one foil",),
    ),
    (
        "signals-of-another-task",
        lambda f: _bare(signal_variants)(pronoun(f["mini"].tokenizer, 8), f["mini"].tokenizer),
        ValueError,
        ("roles IO, S1 and S2",),
    ),
    (
        "named-again-role",
        lambda f: _bare(named_again)(f["task"], f["mini"].tokenizer, "S2"),
        ValueError,
        ("IO or S1", "'S2'"),
    ),
    (
        "beginning-empty",
        lambda f: _bare(with_beginning)(f["task"], f["mini"].tokenizer, sentence=""),
        ValueError,
        ("sentence", "empty"),
    ),
    ("table-missing", _make(from_table, "none.csv"), FileNotFoundError, ("no table",)),
    ("table-list", _make(from_table, [["a", "b"]]), TypeError, ("DataFrame or the path",)),
    ("table-empty-file", _csv(""), ValueError, ("is empty", "'clean'")),
    ("table-header-alone", _csv(_HEADER), ValueError, ("no rows",)),
    (
        "table-latin-1",
        _csv((_HEADER + "Café,Cafe, Mary, John\n").encode("latin-1")),
        ValueError,
        ("not UTF-8", "encoding='latin-1'"),
    ),
    ("table-utf-16", _csv((_HEADER + _ROW).encode("utf-16")), ValueError, ("not UTF-8",)),
    ("table-semicolons", _csv((_HEADER + _ROW).replace(",", ";")), ValueError, ("by commas",)),
    ("table-tabs", _csv((_HEADER + _ROW).replace(",", "\t")), ValueError, ("by commas",)),
    (
        "table-no-foil",
        _csv("clean,corrupted,answer\na,b, Mary\n"),
        ValueError,
        ("no column 'foil",),
    ),
    (
        "table-capital-header",
        _csv((_HEADER + _ROW).replace("answer", "Answer")),
        ValueError,
        ("no column 'answer'", "did you mean 'Answer'"),
    ),
    (
        "table-header-twice",
        _csv(f"clean,corrupted,answer,foil,foil\n{_TEXTS}, Mary, John, John\n"),
        ValueError,
        ("'foil' more than once",),
    ),
    (
        "table-comma-in-a-text",
        _csv(f"{_HEADER}When Mary, who left,{_ROW}"),
        ValueError,
        ("row 0", "double quotes"),
    ),
    ("table-few-cells", _csv(f"{_HEADER}{_TEXTS}, Mary\n"), ValueError, ("row 0", "3 cells")),
    ("table-open-quote", _csv(f'{_HEADER}"{_ROW}'), ValueError, ("not well-formed",)),
    ("table-empty-cell", _csv(f"{_HEADER}{_TEXTS},, John\n"), ValueError, ("row 0: answer",)),
    ("table-empty-text", _csv(f"{_HEADER},b, Mary, John\n"), ValueError, ("row 0: clean",)),
    (
        "table-unequal-pair",
        _csv(f"{_HEADER}When Mary went,When Mary and John went, Mary, John\n"),
        ValueError,
        ("row 0", "tokens", "reword"),
    ),
    (
        "table-answer-of-several-tokens",
        _csv(f"{_HEADER}{_TEXTS}, Mary went, John\n"),
        ValueError,
        ("row 0", "not a single token"),
    ),
    (
        "table-answer-is-foil",
        _csv(f"{_HEADER}{_TEXTS}, Mary, Mary\n"),
        ValueError,
        ("answer and foil are both",),
    ),
    (
        "table-answer-without-its-space",
        _csv(f"{_HEADER}{_TEXTS},Mary, John\n"),
        ValueError,
        ("row 0", "leading_space=True"),
    ),
    (
        "table-leading-space",
        _csv(_HEADER + _ROW, leading_space="yes"),
        ValueError,
        ("True, False",),
    ),
    ("table-roles-text", _csv(_HEADER + _ROW, roles="S"), TypeError, ("pass ['S']",)),
    ("table-role-missing", _csv(_HEADER + _ROW, roles=["S"]), ValueError, ("no column 'S'",)),
    (
        "table-role-answer",
        _csv(_HEADER + _ROW, roles=["answer"]),
        ValueError,
        ("cannot be a role",),
    ),
    ("table-role-twice", _csv(_HEADER + _ROW, roles=["S", "S"]), ValueError, ("given twice",)),
    (
        "table-role-outside",
        _csv(f"{_HEADER[:-1]},S\n{_ROW[:-1]},9\n", roles=["S"]),
        ValueError,
        ("row 0", "role 'S'", "from 0 to 4"),
    ),
    (
        "table-end-elsewhere",
        _csv(f"{_HEADER[:-1]},END\n{_ROW[:-1]},2\n", roles=["END"]),
        ValueError,
        ("row 0", "'END' is the last token, at 4"),
    ),
    (
        "table-roles-contradict",
        _csv(f"{_HEADER[:-1]},S,S+1\n{_ROW[:-1]},1,3\n", roles=["S", "S+1"]),
        ValueError,
        ("row 0", "contradict", "should be at 2"),
    ),
    (
        "task-side",
        lambda f: _bare(type(f["task"]).roles)(f["task"], "corupted"),
        ValueError,
        ("side",),
    ),
    (
        "task-index-text",
        lambda f: _bare(type(f["task"]).subset)(f["task"], ["a"]),
        TypeError,
        ("'a'",),
    ),
    (
        "task-index-bools",
        lambda f: _bare(type(f["task"]).subset)(f["task"], [True, False]),
        TypeError,
        ("numbers, from 0", "True"),
    ),
    ("task-index-outside", lambda f: f["task"][999], IndexError, ("no prompt 999",)),
    ("task-no-prompts", lambda f: f["task"][:0], ValueError, ("at least one prompt",)),
    (
        "task-metric",
        lambda f: replace(f["task"], metric="logits"),
        ValueError,
        ("one of logit_diff",),
    ),
    (
        "task-of-another-tokenizer",
        lambda f: _other_words(f).require_fits(f["mini"]),  # type: ignore[attr-defined]
        ValueError,
        ("another tokenizer", "model.tokenizer"),
    ),
    (
        "task-outside-the-vocabulary",
        lambda f: replace(f["task"], foil=f["task"].foil + 10**6).require_fits(f["mini"]),
        ValueError,
        ("prompt 0", "in its foil", "another tokenizer"),
    ),
    (
        "task-longer-than-the-context",
        lambda f: _longer(f).require_fits(f["mini"]),
        ValueError,
        ("prompt 0", "2001 tokens", "n_ctx"),
    ),
    ("metric-unknown", _named("logitdiff"), ValueError, ("did you mean 'logit_diff'?",)),
    ("metric-number", _named(3), TypeError, ("expected a metric among", "3")),
    ("metric-none", _named(None), ValueError, ("no metric is chosen",)),
    ("metrics-none", _named([]), ValueError, ("no metric is chosen",)),
    ("metrics-empty-mapping", _named({}), ValueError, ("no metric is chosen",)),
    ("metrics-twice", _named(["rank", "rank"]), ValueError, ("chosen twice",)),
    (
        "metrics-two-lambdas",
        _named([lambda z, t: z[:, 0], lambda z, t: z[:, 1]]),
        ValueError,
        ("<lambda>", "pass a mapping"),
    ),
    (
        "metrics-partial-twice",
        _named([_mine, functools.partial(_mine)]),
        ValueError,
        ("two metrics are called '_mine'",),
    ),
    ("metrics-builtin-key", _named({"rank": _mine}), ValueError, ("taken for the metric",)),
    ("metrics-key-number", _named({1: _mine}), TypeError, ("strings", "1")),
    ("metrics-value-number", _named({"mine": 3}), TypeError, ("must be a function",)),
    ("metrics-arguments", _named(lambda logits: logits), ValueError, ("two arguments",)),
    (
        "metrics-builtin-renamed",
        _named({"mine": metrics.logit_diff}),
        ValueError,
        ("does not take a task", "by its name"),
    ),
    (
        "metrics-cutoff",
        lambda f: metrics.named_metrics("cutoff_sharpness", f["task"]),
        ValueError,
        ("needs sets",),
    ),
    (
        "rank-of-nan",
        lambda f: metrics.rank(torch.full((2, 5), math.nan), _ID),
        ValueError,
        ("prompt 0", "NaN"),
    ),
    (
        "metric-id-outside",
        lambda f: metrics.probability(_LOGITS, _ID + 5),
        ValueError,
        ("token id 6 is outside a vocabulary of 5",),
    ),
    (
        "metric-of-all-positions",
        lambda f: _bare(metrics._take)(torch.zeros(2, 3, 5), _ID),
        ValueError,
        ("end_logits",),
    ),
    (
        "end-logits-of-another-task",
        lambda f: _bare(metrics.end_logits)(torch.zeros(1, 2, 5), f["task"]),
        ValueError,
        ("do not belong",),
    ),
    (
        "interval-unknown",
        lambda f: _bare(statistics.interval)("maen", np.ones(3)),
        ValueError,
        ("statistic must be one of", "did you mean 'mean'"),
    ),
    (
        "interval-samples",
        lambda f: _bare(statistics.interval)("ratio", np.ones(3)),
        ValueError,
        ("2 samples; got 1",),
    ),
    (
        "interval-level",
        lambda f: statistics.estimate_mean(np.ones(3), level=95.0),
        ValueError,
        ("level must be between 0 and 1",),
    ),
    (
        "interval-of-nothing",
        lambda f: statistics.estimate_mean(np.ones(0)),
        ValueError,
        ("at least 1 prompt",),
    ),
    (
        "interval-of-nan",
        lambda f: statistics.estimate_mean(np.array([1.0, math.nan])),
        ValueError,
        ("value of prompt 1 is not finite",),
    ),
    (
        "interval-groups",
        lambda f: statistics.estimate_mean(np.ones(3), groups=["a", "b"]),
        ValueError,
        ("3 prompts and 2 groups",),
    ),
    (
        "ratio-of-other-prompts",
        lambda f: _bare(statistics.estimate_ratio)(np.ones(3), np.ones(4)),
        ValueError,
        ("for the same prompts",),
    ),
    (
        "ratio-over-zero",
        lambda f: statistics.estimate_ratio(np.ones(2), np.zeros(2)),
        ValueError,
        ("denominator's mean is zero",),
    ),
    ("question-field", lambda f: _result(sight="z"), ValueError, ("no field 'sight'", "options")),
    (
        "question-differs",
        lambda f: require_same(_result(site="z"), _result(site="q")),
        ValueError,
        ("site 'z'", "'q'", "same question"),
    ),
    (
        "question-compared-by",
        lambda f: require_same(Question(), Question(), fields=["sight"]),
        ValueError,
        ("no field 'sight'",),
    ),
]
