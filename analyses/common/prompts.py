"""Which prompts an analysis runs on: a task by name, a file of your own prompts, or a Task.

Every analysis that runs on prompts takes the same arguments, listed once in `Given`; `command`
makes the same options of them:

    --task NAME     a task in `TASKS`, by default ioi
    --csv FILE      your own prompts, one row each
    --json FILE     the same as a list of records, or as JSON Lines
    --roles A,B     the columns of the file that are roles, by default all that can be

What needs no tokenizer is checked before torch is imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import typer

import interp
from analyses.common.choices import CORRUPTIONS, among, require_json, require_prompts, words
from interp.table_files import Rows, read_rows, require_columns, role_columns

if TYPE_CHECKING:
    from interp.tasks import Task

TASKS = ("ioi", "greater-than", "induction", "pronoun", "agreement", "acronym")


class File(TypedDict, total=False):
    """A file of prompts, as arguments of `run`.

    Args:
        csv: a CSV file, see `interp.tasks.from_table`
        json: a JSON file with the same columns
        roles: the columns that are roles, as a list or separated by commas; by default every column
            that has no other meaning
    """

    csv: str | Path | None
    json: str | Path | None
    roles: str | Sequence[str] | None


class Given(File, total=False):
    """The prompts of an analysis, as arguments of `run`: a task, or a file.

    Args:
        task: a name in `TASKS`, or a `Task` of which the first `n` prompts are taken; by default
            "ioi"
    """

    task: str | Task | None


OPTIONS: dict[str, Any] = {
    "task": Annotated[
        str | None, typer.Option(help=f"Prompts: {', '.join(TASKS)}; by default ioi.")
    ],
    "csv": Annotated[
        Path | None, typer.Option(help="CSV file of your own prompts: clean,corrupted,answer,foil.")
    ],
    "json": Annotated[
        Path | None, typer.Option(help="The same as JSON: a list of records, or JSON Lines.")
    ],
    "roles": Annotated[
        str | None,
        typer.Option(
            help="Columns of the file that are roles, such as S,V; by default all others."
        ),
    ],
}
"""The options of the shell for the arguments in `Given`."""


@dataclass(frozen=True)
class Asked:
    """Prompts that were asked for, checked as far as a file or a name can be.

    Args:
        about: what to call them: "IOI", the name of another task, or of a file
        name: a task in `TASKS`; None for other prompts
        rows: the rows of a file; None for other prompts
        roles: the columns of the file that are roles
        task: the prompts themselves, if they are given
        n: number of prompts; None for all
        seed: seed of prompts that are drawn
        options: further arguments of the task's function
    """

    about: str
    name: str | None
    rows: Rows | None
    roles: Sequence[str]
    task: Task | None
    n: int | None
    seed: int
    options: dict[str, Any]

    @property
    def is_ioi(self) -> bool:
        """Whether the prompts are drawn from the templates of IOI."""
        return self.name == "ioi"

    def drawing(self, tokenizer: Any) -> Callable[..., Task]:
        """The function that draws prompts of the task, given their number.

        Args:
            tokenizer: the model's tokenizer

        Returns:
            The task's function, with everything but the number of prompts.
        """
        assert self.name is not None
        function = getattr(interp.tasks, self.name.replace("-", "_"))
        return partial(function, tokenizer, seed=self.seed, **self.options)

    def prompts(self, model: interp.HookedGPT2) -> Task:
        """Make the prompts.

        Args:
            model: the model that reads them

        Returns:
            The task.

        Raises:
            ValueError: a row does not fit the tokenizer, or the model does not fit the prompts
        """
        if self.rows is not None:
            import pandas as pd

            columns, cells = self.rows
            task = interp.tasks.from_table(
                model.tokenizer,
                pd.DataFrame(cells, columns=columns, dtype=object),
                name=Path(self.about).stem,
                roles=self.roles,
            )
        elif self.task is not None:
            task = self.task if self.n is None else self.task[: self.n]
        else:
            assert self.n is not None
            task = self.drawing(model.tokenizer)(self.n)
        task.require_fits(model)
        return task


def asked_for(
    given: Given,
    n: int | None,
    *,
    default_n: int,
    seed: int = 0,
    corruption: str | None = None,
    prompts: str | Path | None = None,
    none: bool = False,
) -> Asked | None:
    """Check which prompts are asked for, before any work.

    Args:
        given: a task or a file
        n: number of prompts, or of the first rows of a file; None for `default_n`, or all rows
        default_n: number of prompts of a task that is drawn, if `n` is None
        seed: seed of prompts that are drawn
        corruption: how the partner of an IOI prompt differs from it; other prompts have their own
            partners
        prompts: a JSON file of templates, names and nouns for IOI
        none: whether `n` may be 0, for no prompts

    Returns:
        The prompts, to be made once the model is there; None for no prompts.

    Raises:
        ValueError: there is more than one of task, CSV file and JSON file; the task or corruption
            is unknown; the file is missing, not well-formed, lacks a column or has fewer than `n`
            rows; or roles or templates are given for prompts that have none
        TypeError: an argument is of another type
    """
    values: dict[str, Any] = dict(given)
    unknown = [name for name in values if name not in OPTIONS]
    if unknown:
        raise TypeError(f"there is no argument {unknown[0]!r}; expected {', '.join(OPTIONS)}")
    require_prompts(default_n if n is None else n, none=none)
    chosen = [name for name in ("task", "csv", "json") if values.get(name) is not None]
    if len(chosen) > 1:
        raise ValueError(
            f"{' and '.join(chosen)} each say which prompts to use; give one of task, csv and json"
        )
    if corruption is not None:
        among("corruption", [corruption], CORRUPTIONS)
    require_json(prompts, "prompts file")
    kind = chosen[0] if chosen else "task"
    value = values.get(kind)
    found = Asked("", None, None, (), None, n, seed, {})
    if kind == "task":
        task = "ioi" if value is None else value
        if values.get("roles") is not None:
            raise ValueError(
                "roles are columns of a file; give a file as csv or json, or leave roles out"
            )
        if task != "ioi" and prompts is not None:
            raise ValueError("prompts are templates and names of IOI; leave them out, or the task")
        if n == 0:
            return None
        if not isinstance(task, str):
            return _of_task(task, found)
        among("task", [task], TASKS)
        count = default_n if n is None else n
        options = {"prompts": prompts, "corruption": corruption} if task == "ioi" else {}
        options = {name: option for name, option in options.items() if option is not None}
        about = "IOI" if task == "ioi" else task
        return Asked(about, task, None, (), None, count, seed, options)
    if prompts is not None:
        raise ValueError(
            f"prompts are templates and names of IOI, and {kind} is a file of whole prompts; give "
            "one of the two"
        )
    if n == 0:
        raise ValueError(f"n 0 leaves out all prompts, and {kind} is a file of them; leave one out")
    return _of_file(kind, value, values.get("roles"), n, seed)


def _of_task(task: Any, found: Asked) -> Asked:
    """Prompts that are there already."""
    import interp.tasks

    if not isinstance(task, interp.tasks.Task):
        raise TypeError(f"expected the name of a task, such as 'ioi', or a Task; got {task!r:.60}")
    if found.n is not None and len(task) < found.n:
        raise ValueError(f"n is {found.n}, and the task has {len(task)} prompts; give a smaller n")
    if len(task) < 2:
        raise ValueError("the task has 1 prompt; an interval needs at least 2")
    return Asked(task.name, None, None, (), task, found.n, found.seed, {})


def _of_file(kind: str, path: Any, roles: Any, n: int | None, seed: int) -> Asked:
    """Prompts of a file, read but not tokenized."""
    if not isinstance(path, str | Path):
        raise TypeError(f"{kind} must be the path of a file; got {path!r:.60}")
    named: Literal["csv", "json"] = "csv" if kind == "csv" else "json"
    table = read_rows(path, named)
    among_roles = words(roles, "role") if isinstance(roles, str) else roles
    chosen = role_columns(table.columns) if among_roles is None else list(among_roles)
    require_columns(table.columns, chosen)
    there, file = len(table.rows), Path(path).name
    if not there:
        raise ValueError(f"{file} has no rows; an analysis needs at least 2 prompts")
    if n is not None and there < n:
        raise ValueError(
            f"n is {n}, and {file} has {there} row{'s' * (there > 1)}; leave n out for all of them"
        )
    if there < 2:
        raise ValueError(f"{file} has 1 row; an interval needs at least 2 prompts")
    return Asked(file, None, Rows(table.columns, table.rows[:n]), chosen, None, n, seed, {})


def same_places(task: Task) -> Task:
    """The prompts that have the same length, group and roles' positions as the first.

    Args:
        task: the prompts

    Returns:
        Those prompts, whose positions can be compared one by one.
    """
    first = {role: int(at[0]) for role, at in task.positions.items()}
    return task.subset(
        [
            i
            for i in range(len(task))
            if task.group[i] == task.group[0]
            and all(int(task.positions[role][i]) == at for role, at in first.items())
        ]
    )


def warn_without_roles(task: Task, what: str) -> None:
    """Warn of prompts that have no roles besides END.

    Args:
        task: the prompts
        what: what of the page they leave empty

    Warns:
        RolesWarning: the prompts have no other role
    """
    if set(task.positions) == {"END"}:
        warnings.warn(
            f"the task {task.name!r} has no roles besides END, so {what} covers the last token "
            "alone; give roles to the tokens that matter, as columns of the file",
            interp.circuits.RolesWarning,
            stacklevel=3,
        )
