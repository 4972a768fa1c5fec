"""The resumed forward is the hooked model's, entered anywhere, for any rows."""

import pytest
import torch

from interp.runs.forward import resume
from interp.runs.rows import Jobs
from interp.runs.sites import SITES, hook_name
from tests.helpers import random_model, random_task

SHAPES = [{}, {"n_layers": 1}, {"n_heads": 1}, {"n_layers": 1, "n_heads": 1, "d_mlp": 8}]


def kept(model, task):
    """Every activation of the clean runs, and the stream after the last block at END."""
    n = model.config.n_layers
    resid, cache = model.run_with_cache(task.clean_tokens, task.attention_mask, stop_at_layer=n)
    base = {(s, i): cache[hook_name(s, i)] for i in range(n) for s in SITES}
    for key in base:
        if key[0] == "pattern":
            base[key] = base[key].transpose(1, 2)
    return base, resid[torch.arange(len(task)), task.positions["END"]]


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("task", [random_task(), random_task(1, (6,)), random_task(3, (1, 7))])
@pytest.mark.parametrize("edited", [False, True])
@torch.inference_mode()
def test_entered_at_any_site_it_ends_where_the_hooked_model_does(sizes, task, edited):
    model = random_model(**sizes)
    n, length = model.config.n_layers, task.clean_tokens.shape[1]
    base, expected = kept(model, task)
    prompt = torch.arange(len(task)).repeat(3)
    start = torch.tensor([0, 0, min(int(task.lengths.min()) - 1, 3)]).repeat_interleave(len(task))
    jobs = Jobs(prompt, start, task.positions["END"][prompt], length)
    seen = []

    def look(rows, value):
        seen.append(len(value))
        return value

    edits = {(site, i): look for site in SITES for i in range(n)} if edited else None
    for layer in range(n):
        for site in SITES:
            value = jobs.rows_of(site, layer, n).of(base[site, layer])
            found = resume(model, base, jobs, layer, {site: value}, edits)
            torch.testing.assert_close(found, expected[prompt], atol=2e-5, rtol=1e-5)
    assert bool(seen) == edited


@torch.inference_mode()
def test_an_edit_changes_what_follows_as_a_hook_does():
    model, task = random_model(), random_task(4, (6,))
    base, _ = kept(model, task)
    jobs = Jobs(torch.arange(4), torch.full((4,), 2), task.positions["END"], 6)
    start = jobs.rows_of("resid_pre", 0, 3).of(base["resid_pre", 0])
    for site in SITES:
        name = hook_name(site, 1)

        def double(value, hook):
            value = value.clone()
            at = (slice(None),) * (2 if site == "pattern" else 1) + (slice(2, None),)  # noqa: B023
            value[at] *= 2
            return value

        with model.hooks(fwd_hooks=[(name, double)]):
            expected = model(task.clean_tokens, stop_at_layer=3)[:, -1]
        edits = {(site, 1): lambda rows, value: 2 * value}
        found = resume(model, base, jobs, 0, {"resid_pre": start}, edits)
        torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
@torch.inference_mode()
def test_rows_that_are_said_not_to_change_are_not_projected_again(layer):
    model, task = random_model(), random_task(4, (6,))
    base, _ = kept(model, task)
    jobs = Jobs(torch.arange(4), torch.tensor([0, 1, 2, 2]), task.positions["END"], 6)
    start = jobs.rows.of(base["resid_pre", layer])
    changed = jobs.rows.pos == jobs.start[jobs.rows.job]
    start[changed] *= -1
    expected = resume(model, base, jobs, layer, {"resid_pre": start})
    found = resume(model, base, jobs, layer, {"resid_pre": start}, changed=changed)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    wrong = resume(model, base, jobs, layer, {"resid_pre": start}, changed=~changed)
    assert (wrong - expected).abs().max() > 1e-2  # it does rest on what is said
