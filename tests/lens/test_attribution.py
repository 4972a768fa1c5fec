"""The heads' attributions and the rest of the stream add up to the logit difference."""

import torch

from interp.lens import head_attribution
from tests.helpers import random_model, random_task


@torch.inference_mode()
def test_attributions_and_the_rest_make_the_logit_difference():
    model, task = random_model(), random_task()
    found = torch.tensor(head_attribution(model, task).values)  # layer head prompt
    logits, cache = model.run_with_cache(task.clean_tokens, task.attention_mask)
    rows, end = torch.arange(7), task.positions["END"]
    last = cache["resid_post", 2][rows, end]
    heads = sum(cache["attn_out", i][rows, end] - model.b_O[i] for i in range(3))
    direction = model.W_U[:, task.answer].T - model.W_U[:, task.foil].T  # prompt d
    rest = last - heads
    rest = (rest - rest.mean(-1, keepdim=True)) / (
        last.var(-1, correction=0, keepdim=True) + 1e-5
    ).sqrt()
    rest = ((rest * model.ln_final.w + model.ln_final.b) * direction).sum(-1)
    at_end = logits[rows, end]
    expected = at_end[rows, task.answer] - at_end[rows, task.foil]
    torch.testing.assert_close(found.sum((0, 1)) + rest, expected, atol=1e-4, rtol=1e-4)
    assert found.abs().max() > 0.1
