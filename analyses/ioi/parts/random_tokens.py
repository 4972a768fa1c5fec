"""Heads on repeated random tokens (section 3.3, appendix): do the classes hold outside the task?

Sequences of random tokens are repeated once, so nothing but the repetition tells a head where to
look or what to write (appendix H: induction heads write the next token). The paper's sequences have
100 tokens; ours have as many as fit, if the context is shorter.
"""

from functools import reduce

from analyses.common.shell import bar
from analyses.common.verdicts import both, is_above, not_measured
from analyses.ioi.parts.setting import (
    Chapter,
    Claim,
    Measured,
    PaperPart,
    Results,
    Setting,
    labels,
    pick,
    verdicts,
)
from interp.circuits import Verdict
from interp.heads import attention_scores, next_token_projection, repeated_random_tokens
from interp.patching import heads_in_order
from interp.plots import head_heatmap
from interp.report import Figure, Item, Section
from interp.statistics import estimate_mean

HEADING = "Do the heads look the same way on repeated random tokens? (3.3)"
_SCORES = (
    ("previous_token", "previous token", {(2, 2), (4, 11)}, 2),
    ("duplicate_token", "duplicate token", {(3, 0), (0, 1)}, 3),
    ("induction", "induction", {(5, 5), (6, 9)}, 5),
)


def collect(setting: Setting) -> Results:
    """Measure attention scores on random tokens, and what heads write for the next token.

    Args:
        setting: what the part works on

    Returns:
        `scores`: the result of `attention_scores`; `writes`: the result of `next_token_projection`.
    """
    tokens = repeated_random_tokens(setting.model, n=setting.size.sequences, seed=setting.seed)
    writes = next_token_projection(setting.model, tokens)
    return {
        "scores": attention_scores(setting.model, tokens, progress=bar("random tokens")),
        "writes": writes.to_dataset(),
    }


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section, the figures and the claims.
    """
    items: list[Item] = []
    figures, claims = [], []
    for name, kind, wanted, n in _SCORES:
        score = found["scores"][name]
        highest = heads_in_order(-score)[:n]
        claims.append(
            Claim(
                f"The {n} heads with the highest {kind} score",
                labels(sorted(wanted)),
                labels(highest),
                f"among our {n}",
                wanted <= set(highest),
            )
        )
        heads = setting.heads(kind)
        if heads:
            label = f"Mean {kind} score of the {kind} heads ({labels(heads)})"
            own = pick(score, heads).mean("node")
            figures.append(Measured.mean(f"random_{kind}", label, own, "probability"))
        label = f"Mean {kind} score of an average head"
        every = score.mean(["layer", "head"])
        figures.append(Measured.mean(f"random_{kind}_average", label, every, "probability"))
        items.append(
            Figure(
                head_heatmap(score.mean("prompt", keep_attrs=True)),
                f"{kind.capitalize()} score: mean attention, a probability from 0 (white) to 1.",
            )
        )
    writes = found["writes"].next_token
    most = heads_in_order(-writes)
    for kind in ("induction", "name mover", "negative name mover"):
        heads = setting.heads(kind)
        if heads:
            label = f"Written for the next token by {kind} heads ({labels(heads)})"
            own = pick(writes, heads).mean("node")
            figures.append(Measured.mean(f"random_writes_{kind}", label, own, "logits"))
    claims += [
        Claim(
            "Place of the induction heads among those that write most for the next token",
            "5.5 6.9 among 20",
            " ".join(f"{most.index(head) + 1}" for head in ((5, 5), (6, 9)) if head in most),
            "both among our 20",
            {(5, 5), (6, 9)} <= set(most[:20]),
        ),
        Claim(
            "Heads of the ten that write most against the next token",
            "10.7 11.10",
            labels(most[::-1][:10]),
            "both",
            {(10, 7), (11, 10)} <= set(most[::-1][:10]),
        ),
    ]
    items.append(
        Figure(
            head_heatmap(writes.mean("prompt", keep_attrs=True)),
            "What each head writes for the token that comes next, where the sequence repeats "
            "itself, in logits above the mean token's. Green: for it. Purple: against it.",
        )
    )
    section = Section(
        HEADING,
        f"{_same(setting, found)}\n\n"
        f"{found['scores'].sizes['prompt']} sequences of random tokens, each repeated once; the "
        "intervals are over sequences. A head of a class should look where its class looks on any "
        "text, not on IOI prompts alone; and an induction head should write what came next.",
        [*items, *verdicts(setting, figures, claims)],
    )
    return Chapter(section, figures, claims)


def _same(setting: Setting, found: Results) -> Verdict:
    """Whether heads of each class look where their class looks more than an average head does."""
    parts = []
    for name, kind, *_ in _SCORES:
        heads = setting.heads(kind)
        if heads:
            score = found["scores"][name]
            more = pick(score, heads).mean("node") - score.mean(["layer", "head"])
            what = f"the {kind} heads have {_a(kind)} score above the average head's by"
            parts.append(is_above(estimate_mean(more), what))
    if not parts:
        return not_measured("the circuit has no head of these classes")
    return reduce(both, parts[1:], parts[0])


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


PART = PaperPart("random-tokens", 2, collect, write)
