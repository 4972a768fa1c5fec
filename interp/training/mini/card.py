"""The model card: what the bundled model is, how it was made, what it can do and what it cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

from interp.model import GPT2Config
from interp.training.batches import Batches
from interp.training.mini.evaluate import Score
from interp.training.mini.language import Sentences
from interp.training.train import TrainingConfig


@dataclass(frozen=True)
class TrainingPart:
    """What the card says of one part of the training.

    Args:
        training: how it was trained.
        batches: on what; their seed is also that of tokenizer and weights.
        minutes: minutes of wall-clock time, without those of steps that an interruption lost.
        machine: where it ran, in words.
        validation_loss: at its end, nats a token.
        guiding_steps: steps of `guide_induction` before it, of as many tokens; 0 for none.
    """

    training: TrainingConfig
    batches: Batches
    minutes: float
    machine: str
    validation_loss: float | None
    guiding_steps: int = 0


def scores_table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table.

    Args:
        scores: what `held_out_scores` measured.

    Returns:
        A row a score: skill, what was held out, measure, value with its 95 % interval, number of
        prompts, what is required.
    """
    rows = [
        "| skill | held out of training | measure | value [95 % interval] | n | required |",
        "|---|---|---|---|---|---|",
    ]
    for f in scores:
        required = (
            "" if f.required is None else f"{'' if f.reached else 'MISSED '}>= {f.required:g}"
        )
        rows.append(
            f"| {f.skill} | {f.held_out} | {f.metric} | {f.estimate:.3f} | {f.n} | {required} |"
        )
    return "\n".join(rows)


def model_card(model: GPT2Config, parts: Sequence[TrainingPart], scores: Sequence[Score]) -> str:
    """The card in Markdown, with the metadata that the Hugging Face hub reads.

    Args:
        model: its shape.
        parts: how it was trained, one part after the other.
        scores: what it can do.

    Returns:
        The text of README.md.
    """
    c, adam = model, parts[0].training
    d, m = c.d_model, c.d_mlp
    per_layer = 4 * d * d + 4 * d + 2 * d * m + m + d + 4 * d
    n_parameters = c.n_layers * per_layer + (c.d_vocab + c.n_ctx) * d + 2 * d
    steps = " ".join(str(part.training.steps) for part in parts)
    described = "\n\n".join(f"Part {i}. {_part(part)}" for i, part in enumerate(parts, 1))
    return f"""---
license: mit
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [gpt2, interpretability]
---

# mini

A small GPT-2, trained from scratch by the `interp` project on generated English-like text, so that
there is a real model with real circuits to open without a network. It is what `interp.load("mini")`
opens; transformers' Auto classes read it too.

## Sizes

{c.n_layers} layers, {c.n_heads} heads of {c.d_head} dimensions, d_model {d}, d_mlp {m},
{c.d_vocab} tokens, context {c.n_ctx}, tied embeddings, {n_parameters:,} parameters in float32.
The architecture is GPT-2's in every detail (Radford et al. 2019).

## Language and tokenizer

Sentences drawn from the grammar of `interp/training/mini/language.py`, and random tokens, repeated.
The tokenizer is a byte-level BPE of its own, trained on the text of the first part; every name,
noun and two-digit number is one token with a leading space. Documents are packed in rows with
`<|endoftext|>` between them, and every row starts with a document, so a prompt needs no token
before it. No document starts with a name: put an opener before it ("When Mary and John ...").

## Training

`python -m analyses.train_mini --seed {parts[0].batches.seed} --steps {steps}`: next-token
cross-entropy, every batch freshly drawn; AdamW, betas {adam.betas[0]} and {adam.betas[1]}, weight
decay {adam.weight_decay} on matrices only, with fresh moments in each part; the learning rate
rises linearly and falls as a cosine; gradient norm clipped at {adam.clip:g}.

{described}

## Scores on held-out prompts

Prompts are those of `python -m analyses.evaluate_mini`; no name, pair, template, frame, subject,
fact or combination of century and year under "held out" was in the training text in that role.

{scores_table(scores)}

Accuracy compares the answer with the foil; top-1 with all tokens. The probability difference is
that of all later years minus that of all other years. p(A) + p(B) is the probability of the two
names of the first clause when a third person acts. Induction after other tokens shows whether
copying depends on where a sequence starts.

## Limits

It knows its grammar and nothing else: text outside it, other names, and facts not listed in
`interp/training/mini/lexicon.py` give nonsense. What its circuits look like says how such a model
can do these tasks, not how GPT-2 small does them. Its text says nothing true about the world beyond
the few capitals, opposites and kinds of thing in its lexicon. Licence: MIT.
"""


def _part(part: TrainingPart) -> str:
    t, b = part.training, part.batches
    kinds = b.write.mixture.items() if isinstance(b.write, Sentences) else ()
    mixture = ", ".join(f"{name} {weight:.0%}" for name, (weight, _) in kinds)
    copying = (
        f", 100% at first and falling by 1/{b.copying_steps} a step to that"
        if b.copying_steps
        else ""
    )
    guided = (
        f"\n- before it, in {part.guiding_steps} steps, one head of the first block guided to the"
        "\n  previous token and heads of the second to what followed the same token before, by a"
        "\n  loss on their attention alone (`interp/training/mini/guidance.py`);"
        if part.guiding_steps
        else ""
    )
    returning = (
        f"\n- one batch in {b.returning_every} is random tokens that come back anywhere, on which"
        "\n  the guided heads' loss on attention is added to the next-token loss;"
        if b.returning_every
        else ""
    )
    return f"""{t.steps} steps of {b.n_tokens} tokens:

- sentences: {mixture};
- random tokens, repeated: {b.repeated:.0%} of the documents{copying};{guided}{returning}
- one batch in {b.long_every} has rows of {b.n_ctx} tokens, the others of {b.n_ctx // 4};
- learning rate {t.learning_rate:g} after {t.warmup} steps of warm-up, then down to {t.floor:.0%};
- {part.minutes:.0f} minutes on {part.machine};
- validation loss {part.validation_loss:.3f} nats a token, most of it chance: that of the grammar
  and of random tokens."""
