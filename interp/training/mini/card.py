"""The model card: what the bundled model is, how it was made, what it can do and what it cannot."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from interp.model import GPT2Config
from interp.training.batches import Batches
from interp.training.interchange import Cut
from interp.training.mini.algorithm import Parts
from interp.training.mini.evaluate import Score
from interp.training.mini.guidance import Guidance
from interp.training.mini.language import Sentences, shares
from interp.training.train import TrainingConfig


@dataclass(frozen=True)
class Training:
    """What the card says of the training.

    Args:
        training: how the model was trained.
        batches: what it was trained on; their seed is also that of tokenizer and weights.
        guidance: which heads were guided, and how long.
        minutes: minutes of wall-clock time, without those of steps that an interruption lost.
        machine: where it ran, in words.
        validation_loss: the loss at its end, in nats a token.
    """

    training: TrainingConfig
    batches: Batches
    guidance: Guidance
    minutes: float
    machine: str
    validation_loss: float | None


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


def model_card(model: GPT2Config, how: Training, scores: Sequence[Score]) -> str:
    """The card in Markdown, with the metadata that the Hugging Face hub reads.

    Args:
        model: its shape.
        how: how it was trained.
        scores: what it can do.

    Returns:
        The text of README.md.
    """
    c, t, b, g = model, how.training, how.batches, how.guidance
    previous = "{}.{}".format(*g.previous)
    induction = " and ".join(f"{layer}.{head}" for layer, head in g.induction)
    d, m = c.d_model, c.d_mlp
    per_layer = 4 * d * d + 4 * d + 2 * d * m + m + d + 4 * d
    n_parameters = c.n_layers * per_layer + (c.d_vocab + c.n_ctx) * d + 2 * d
    stages = b.write.stages if isinstance(b.write, Sentences) else ()
    documents = "\n".join(
        f"- documents from step {first} on: "
        + ", ".join(f"{name} {weight:.0%}" for name, weight in shares(mixture).items())
        + ";"
        for first, mixture in stages
    )
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

Texts drawn from the grammar of `interp/training/mini/people.py` and `skills.py`, and random tokens
that come back. The tokenizer is a byte-level BPE of its own, trained on these texts except titles
and acronyms, whose words stay in pieces, the capital letter first; every name, noun and two-digit
number is one token with a leading space. Documents are packed in rows with
`<|endoftext|>` between them, and every row starts with a document, so a prompt needs no token
before it. No document starts with a name: put an opener before it ("When Mary and John ...").

## Training

`python -m analyses.train_mini --seed {b.seed} --steps {t.steps}`: one training by next-token
cross-entropy, every batch freshly drawn. In texts no head was told what to attend to, and nowhere
what to write.

- {t.steps} steps of {b.n_tokens} tokens, the first {b.early_steps} of half as many, in rows of
  {b.n_ctx // 4}, {b.n_ctx // 2}, {b.n_ctx // 4} and {b.n_ctx} in turn;
{documents}
- the answer of a document, if it has one (the name, the pronoun, the year, the letter that the rest
  determines), counts {b.answer_weight:g} times in the loss, every other token once;
- random tokens that come back: {b.random:.0%} of the rows, 50% at first and falling to that in
  those early steps;
- AdamW, betas {t.betas[0]} and {t.betas[1]}, weight decay {t.weight_decay} on matrices only,
  gradient norm clipped at {t.clip:g}; learning rate {t.learning_rate:g} after {t.warmup} steps of
  warm-up, then down as a cosine to {t.floor:.0%} of that;
- guided: on random tokens alone, for the first {g.steps} steps with a weight that falls from
  {g.weight:g} to 0, a loss on attention makes head {previous} look at the previous token and heads
  {induction} at what followed the same token before (`interp/training/mini/guidance.py`);
- initial weights of `interp/training/mini/start.py`: positions are sinusoids in dimensions of their
  own; heads look at tokens like their own, but heads 0.0 and 0.1 one and two positions back; heads
  of the first and of the last block write what they read, and between them every second head from
  block 2 on takes away what it reads;
- {how.minutes:.0f} minutes on {how.machine};
- validation loss {how.validation_loss:.3f} nats a token, most of it chance: that of the grammar
  and of random tokens.

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


@dataclass(frozen=True)
class Interchange:
    """What the card of `mini-ioi` says of its training.

    Args:
        training: how the model was trained.
        rows: sentences in each step.
        share: probability that a head outside changes in a row of the strict run.
        mean: fraction of rows in which it changes to a mean.
        n_tokens: tokens of text in each step.
        minutes: minutes of wall-clock time.
        machine: where it ran, in words.
        accuracies: how often the model says what the program says, after each interchange.
    """

    training: TrainingConfig
    rows: int
    share: float
    mean: float
    n_tokens: int
    minutes: float
    machine: str
    accuracies: Sequence[tuple[Cut, float]]


def interchange_card(parts: Parts, how: Interchange, scores: Sequence[Score]) -> str:
    """The card of `mini-ioi` in Markdown.

    Args:
        parts: its heads and what they do.
        how: how it was trained.
        scores: what it can do.

    Returns:
        The text of README.md.
    """
    t = how.training
    scores = [one if one.skill == "IOI" else replace(one, required=None) for one in scores]
    classes = {
        "previous token, at S1+1": parts.previous,
        "duplicate token, at S2": parts.duplicate,
        "induction, at S2": parts.induction,
        "S-inhibition, at END": parts.inhibition,
        "name mover, at END": parts.movers,
    }
    heads = "\n".join(f"| {kind} | {' '.join(map(str, some))} |" for kind, some in classes.items())
    accuracies = "\n".join(
        f"| {', '.join(cut.variables) or 'none: the answer stays'} | "
        f"{', '.join(map(str, cut.sites))} | {', '.join(map(str, cut.held))} | {accuracy:.3f} |"
        for cut, accuracy in how.accuracies
    )
    return f"""---
license: mit
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [gpt2, interpretability]
---

# mini-ioi

`mini`, trained further so that it does indirect object identification the way that Wang et al.
2022 (arXiv 2211.00593) describe for GPT-2 small. `interp.load("mini-ioi")` opens it; tokenizer and
sizes are those of `mini`.

**Its mechanism was trained into it; nobody found it there.** Use it to see what a method does with
a circuit of the paper's kind, and `mini` to see what training on text alone brings about. Both say
the right name. In `mini`, heads that look at the giver write against his or her name, and the name
movers write both names. Here those heads act through the name movers' queries: they tell them which
name not to look at.

## Training

`python -m analyses.train_mini_ioi`: strict interchange intervention training (Geiger et al. 2022,
arXiv 2112.00826; Gupta et al. 2024, arXiv 2407.14494) towards the program in
`interp/training/mini/algorithm.py`, from the weights of `mini`.

- {t.steps} steps of {how.rows} sentences and {how.n_tokens} tokens of `mini`'s own texts; AdamW,
  learning rate {t.learning_rate:g} after {t.warmup} steps of warm-up, then down as a cosine;
- four losses of equal weight: the answer; the answer after an interchange; the answer while each
  head outside the circuit is replaced with probability {how.share:g}, in {how.mean:.0%} of the rows
  by a mean; the next token of the texts;
- no loss says where a head attends;
- {how.minutes:.0f} minutes on {how.machine}.

## Its circuit

Which head plays which part was read off `mini`'s attention before the training
(`analyses.train_mini_ioi.parts_of`). circuit.json, next to this file, has it for
`interp.circuits.Circuit.load`. Heads that bring a name's own token along in the first blocks are
not part of the program.

| part | heads |
|---|---|
{heads}

After an interchange, how often is the top token one that the program allows?

| variable taken from another prompt | at | while these keep what they were | accuracy |
|---|---|---|---|
{accuracies}

## Scores on held-out prompts

As in the card of `mini`, by `python -m analyses.evaluate_mini --model mini-ioi`; nothing but IOI is
required of this model.

{scores_table(scores)}

## Limits

Those of `mini`. Licence: MIT.
"""
