"""Rows and jobs: which prompts are run again, from where to where, and their layout in a matrix.

A *job* is one prompt with a change in it, from its first changed position to END. The rows of all
jobs of a chunk, one per position, lie end to end in one matrix, so that a projection or an MLP is
one matrix product whatever the jobs are:

    rows     x [row d_model]         position by position, job by job
    segment  jobs of the same positions: what attention takes together
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from interp.runs.sites import SITES


@dataclass(frozen=True)
class Rows:
    """The job, prompt and position of each row of a matrix of activations.

    Args:
        job: index of the job
        prompt: index of its prompt in the batch
        pos: position in that prompt
    """

    job: Int[Tensor, " row"]
    prompt: Int[Tensor, " row"]
    pos: Int[Tensor, " row"]

    def of(self, activation: Shaped[Tensor, "prompt pos ..."]) -> Shaped[Tensor, "row ..."]:
        """Take each row's value from a batch's activation."""
        return activation[self.prompt, self.pos]

    def take(self, index: Int[Tensor, " n"]) -> "Rows":
        """Select rows."""
        return Rows(self.job[index], self.prompt[index], self.pos[index])


@dataclass(frozen=True)
class Segment:
    """Jobs with the same positions, and where their rows lie.

    Args:
        start: their first position
        stop: the position after END
        jobs: slice of the jobs
        rows: slice of the rows: job by job, positions in order
    """

    start: int
    stop: int
    jobs: slice
    rows: slice


@dataclass(frozen=True)
class Jobs:
    """Prompts to run again, each from its own first position to its END.

    Jobs with the same start and END should be adjacent (`in_order`), so that they form one segment.

    Args:
        prompt: index of each job's prompt
        start: first position to compute in each job
        end: END of each job, its last position
        length: number of positions of the batch
    """

    prompt: Int[Tensor, " job"]
    start: Int[Tensor, " job"]
    end: Int[Tensor, " job"]
    length: int

    @cached_property
    def counts(self) -> Int[Tensor, " job"]:
        """Number of rows of each job."""
        return self.end - self.start + 1

    @cached_property
    def segments(self) -> list[Segment]:
        """The jobs, grouped by start and END."""
        segments, row, job = [], 0, 0
        both = torch.stack([self.start, self.end + 1], -1)  # job 2
        both, n_jobs = both.unique_consecutive(dim=0, return_counts=True)
        for (start, stop), count in zip(both.tolist(), n_jobs.tolist(), strict=True):
            n_rows = count * (stop - start)
            segments.append(Segment(start, stop, slice(job, job + count), slice(row, row + n_rows)))
            row, job = row + n_rows, job + count
        return segments

    @cached_property
    def rows(self) -> Rows:
        """Every row that is computed."""
        job = torch.arange(len(self.counts), device=self.counts.device)
        job = job.repeat_interleave(self.counts)
        before = self.counts.cumsum(0) - self.counts  # number of rows before each job's first row
        pos = torch.arange(len(job), device=job.device) - before[job] + self.start[job]
        return Rows(job, self.prompt[job], pos)

    @cached_property
    def end_row(self) -> Int[Tensor, " job"]:
        """Index of each job's END in `rows`."""
        return self.counts.cumsum(0) - 1

    @cached_property
    def ends(self) -> Rows:
        """The rows at END, one per job."""
        return self.rows.take(self.end_row)

    def rows_of(self, site: str, layer: int, n_layers: int) -> Rows:
        """The rows needed at a site: in the last layer, mostly END alone."""
        only_end = layer == n_layers - 1 and not SITES[site].everywhere
        return self.ends if only_end else self.rows


def jobs_of(
    active: Bool[Tensor, "cell place prompt pos"], end: Int[Tensor, " prompt"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """List the jobs, with those that have the same positions together.

    Args:
        active: True where a cell at a place changes something
        end: END of each prompt

    Returns:
        Cell, place, prompt and first position of every job.
    """
    cell, place, prompt = active.any(-1).nonzero(as_tuple=True)
    start = active[cell, place, prompt].int().argmax(-1)  # job
    order = in_order(start, end[prompt])
    return cell[order], place[order], prompt[order], start[order]


def in_order(start: Int[Tensor, " job"], end: Int[Tensor, " job"]) -> Int[Tensor, " job"]:
    """The order of jobs by start and END, the earliest first."""
    by_end = end.argsort(stable=True)
    return by_end[start[by_end].argsort(stable=True)]


def chunks(starts: Int[Tensor, " job"], ends: Int[Tensor, " job"], n_rows: int) -> Iterator[slice]:
    """Cut jobs into chunks of at most `n_rows` rows, but at least one job.

    Args:
        starts: first position of each job
        ends: END of each job
        n_rows: largest number of rows in a chunk

    Yields:
        Slices of the jobs.
    """
    first, rows = 0, 0
    for job, count in enumerate((ends - starts + 1).tolist()):
        if rows and rows + count > n_rows:
            yield slice(first, job)
            first, rows = job, 0
        rows += count
    if rows:
        yield slice(first, len(starts))
