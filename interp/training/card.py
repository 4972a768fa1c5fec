"""The model card: what the bundled model is, how it was made, what it can do and what it cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

from interp.model import GPT2Config
from interp.training.evaluate import Figure
from interp.training.language import MIXTURE
from interp.training.train import TrainingConfig


@dataclass(frozen=True)
class TrainingRun:
    """What the card says of the training.

    Args:
        model: the model's shape.
        training: how it was trained.
        batch_tokens: tokens in a batch.
        seed: of language, batches and weights.
        minutes: wall-clock time of the last unbroken stretch of training.
        machine: where it ran, in words.
        validation_loss: at the end, nats a token.
    """

    model: GPT2Config
    training: TrainingConfig
    batch_tokens: int
    seed: int
    minutes: float
    machine: str
    validation_loss: float | None


def figures_table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table.

    Args:
        figures: of `held_out_figures`.

    Returns:
        A row a figure: skill, what was held out, measure, value with its 95 % interval, number of
        prompts, what is required.
    """
    rows = [
        "| skill | held out of training | measure | value [95 % interval] | n | required |",
        "|---|---|---|---|---|---|",
    ]
    for f in figures:
        required = (
            "" if f.required is None else f"{'' if f.reached else 'MISSED '}>= {f.required:g}"
        )
        rows.append(
            f"| {f.skill} | {f.held_out} | {f.measure} | {f.estimate:.3f} | {f.n} | {required} |"
        )
    return "\n".join(rows)


def model_card(run: TrainingRun, figures: Sequence[Figure]) -> str:
    """The card in Markdown, with the metadata that the Hugging Face hub reads.

    Args:
        run: how the model was made.
        figures: what it can do.

    Returns:
        The text of README.md.
    """
    c, t = run.model, run.training
    d, m = c.d_model, c.d_mlp
    per_layer = 4 * d * d + 4 * d + 2 * d * m + m + d + 4 * d
    n_parameters = c.n_layers * per_layer + (c.d_vocab + c.n_ctx) * d + 2 * d
    mixture = ", ".join(f"{name} {weight:.0%}" for name, (weight, _) in MIXTURE.items())
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

Sentences drawn from the grammar of `interp/training/language.py`: {mixture}; and random tokens,
repeated. The tokenizer is a byte-level BPE of its own, trained on the same text; every name, noun
and two-digit number is one token with a leading space. Documents are packed in rows with
`<|endoftext|>` between them, and every row starts with a document, so a prompt needs no token
before it. No document starts with a name: put an opener before it ("When Mary and John ...").

## Training

`python -m analyses.train_mini --seed {run.seed}`:

- {t.steps} steps of {run.batch_tokens} tokens, next-token cross-entropy, every batch freshly drawn;
- AdamW, betas {t.betas[0]} and {t.betas[1]}, weight decay {t.weight_decay} on matrices only;
- learning rate {t.learning_rate:g} after {t.warmup} steps of warm-up, falling as a cosine to
  {t.floor:.0%} of it; gradient norm clipped at {t.clip:g};
- {run.minutes:.0f} minutes on {run.machine};
- validation loss {run.validation_loss:.3f} nats a token, most of it the chance in the grammar.

## Figures on held-out prompts

Prompts are those of `python -m analyses.evaluate_mini`; no name, pair, template, frame, subject,
fact or combination of century and year under "held out" was in the training text in that role.

{figures_table(figures)}

Accuracy compares the answer with the foil; top-1 with all tokens. The probability difference is
that of all later years minus that of all other years. p(A) + p(B) is the probability of the two
names of the first clause when a third person acts.

## Limits

It knows its grammar and nothing else: text outside it, other names, and facts not listed in
`interp/training/lexicon.py` give nonsense. What its circuits look like says how such a model can
do these tasks, not how GPT-2 small does them. Its text says nothing true about the world beyond
the few capitals, opposites and kinds of thing in its lexicon. Licence: MIT.
"""
