"""Heads on repeated random tokens (section 3.3, appendix): do the classes hold outside the task?

Sequences of random tokens, repeated once; nothing but the repetition tells a head where to look.
The paper's have 100 tokens; where the context is shorter, as many as fit.
"""

from analyses.ioi_parts.setting import (
    Claim,
    Found,
    Measured,
    Part,
    Setting,
    Told,
    labels,
    order,
    pick,
    verdicts,
)
from analyses.shell import bar
from interp.heads import attention_scores, repeated_tokens
from interp.plots import head_heatmap
from interp.report import Figure, Item, Section

HEADING = "The same heads on repeated random tokens (3.3)"
_SCORES = (
    ("previous_token", "previous token", {(2, 2), (4, 11)}, 2),
    ("duplicate_token", "duplicate token", {(3, 0), (0, 1)}, 3),
    ("induction", "induction", {(5, 5), (6, 9)}, 5),
)


def measure(setting: Setting) -> Found:
    """Attention scores of all heads on random tokens.

    Args:
        setting: what to work on.

    Returns:
        `scores`: of `attention_scores`.
    """
    tokens = repeated_tokens(setting.model, n=setting.size.sequences, seed=setting.seed)
    return {"scores": attention_scores(setting.model, tokens, progress=bar("random tokens"))}


def tell(setting: Setting, found: Found) -> Told:
    """What they say.

    Args:
        setting: what they were measured on.
        found: of `measure`.

    Returns:
        Section, figures and claims.
    """
    items: list[Item] = []
    figures, claims = [], []
    for name, kind, wanted, n in _SCORES:
        score = found["scores"][name]
        highest = order(-score)[:n]
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
                f"{kind.capitalize()} score: mean attention, a probability.",
            )
        )
    section = Section(
        HEADING,
        f"{found['scores'].sizes['prompt']} sequences of random tokens, each repeated once; the "
        "intervals are over sequences. A head of a class should look where its class looks on any "
        "text, not on IOI prompts alone.",
        [*items, *verdicts(setting, figures, claims)],
    )
    return Told(section, figures, claims)


PART = Part("random-tokens", 1, measure, tell)
