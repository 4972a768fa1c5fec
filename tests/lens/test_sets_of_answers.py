"""Sets of answers and foils: attribution reads the metric that the logits have."""

from dataclasses import replace

from interp.lens import direct_logit_attribution
from tests.helpers import random_model, with_sets


def test_attribution_to_a_set_is_the_mean_over_its_pairs():
    model, task = random_model(), with_sets()
    task = replace(task, answer=task.answer[:, :2])
    pairs = [
        direct_logit_attribution(
            model,
            replace(task, answer=task.answer[:, a], foil=task.foil[:, f]),
            by="head",
        )
        for a in range(2)
        for f in range(3)
    ]
    whole = direct_logit_attribution(model, task, by="head")
    assert float(abs(whole - sum(pairs) / 6).max()) < 1e-5
