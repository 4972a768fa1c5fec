"""Rows and jobs: which rows there are, and how they are cut into runs."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.runs.rows import Jobs, chunks, in_order, jobs_of


def test_jobs_know_their_rows():
    jobs = Jobs(torch.tensor([0, 1, 2, 3]), torch.tensor([1, 1, 1, 3]),
                torch.tensor([2, 3, 3, 3]), 5)  # fmt: skip
    assert jobs.rows.job.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert jobs.rows.prompt.tolist() == jobs.rows.job.tolist()
    assert jobs.rows.pos.tolist() == [1, 2, 1, 2, 3, 1, 2, 3, 3]
    assert jobs.ends.pos.tolist() == [2, 3, 3, 3] and jobs.ends.prompt.tolist() == [0, 1, 2, 3]
    assert [(s.start, s.stop, s.jobs, s.rows) for s in jobs.segments] == [
        (1, 3, slice(0, 1), slice(0, 2)),
        (1, 4, slice(1, 3), slice(2, 8)),
        (3, 4, slice(3, 4), slice(8, 9)),
    ]


def test_jobs_of_the_same_positions_are_put_together():
    start, end = torch.tensor([2, 0, 2, 0, 2]), torch.tensor([4, 5, 3, 4, 4])
    assert in_order(start, end).tolist() == [3, 1, 2, 0, 4]


def test_chunks_hold_every_job_once_and_no_more_rows_than_asked():
    starts, ends = torch.tensor([0, 0, 2, 3, 9]), torch.tensor([9, 8, 9, 6, 9])
    assert list(chunks(starts, ends, 20)) == [slice(0, 2), slice(2, 5)]
    assert list(chunks(starts, ends, 19)) == [slice(0, 2), slice(2, 5)]
    assert list(chunks(starts, ends, 18)) == [slice(0, 1), slice(1, 3), slice(3, 5)]
    assert list(chunks(starts, ends, 1)) == [slice(i, i + 1) for i in range(5)]
    assert list(chunks(starts[:0], ends[:0], 20)) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=9), st.integers(1, 30))
def test_no_chunk_has_more_rows_than_asked_nor_room_for_the_next_job(jobs, n_rows):
    starts, more = (torch.tensor([job[i] for job in jobs], dtype=torch.long) for i in (0, 1))
    found = list(chunks(starts, starts + more, n_rows))
    assert [i for one in found for i in range(len(jobs))[one]] == list(range(len(jobs)))
    for one in found:
        assert one.stop == one.start + 1 or int((more[one] + 1).sum()) <= n_rows
        assert one.stop == len(jobs) or int((more[one.start : one.stop + 1] + 1).sum()) > n_rows


def test_jobs_start_where_their_cell_first_changes_something():
    active = torch.zeros(2, 1, 3, 4, dtype=torch.bool)  # cell place prompt pos
    active[0, 0, 0, [1, 3]] = True
    active[1, 0, 2, 0] = True
    active[1, 0, 0, 3] = True
    cell, place, prompt, start = jobs_of(active, torch.tensor([3, 2, 3]))
    assert list(zip(cell.tolist(), prompt.tolist(), start.tolist(), strict=True)) == [
        (1, 2, 0),
        (0, 0, 1),
        (1, 0, 3),
    ]
    assert not place.any()


def test_the_last_layer_has_rows_at_end_alone_but_for_what_attention_reads():
    jobs = Jobs(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([2, 3]), 4)
    for site in ("resid_pre", "k", "v"):
        assert jobs.rows_of(site, 2, 3).pos.tolist() == [1, 2, 2, 3]
    for site in ("q", "pattern", "z", "attn_out", "mlp_post", "resid_post"):
        assert jobs.rows_of(site, 2, 3).pos.tolist() == [2, 3]
        assert jobs.rows_of(site, 1, 3).pos.tolist() == [1, 2, 2, 3]
