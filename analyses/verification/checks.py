"""Checks of a GPT-2 small: each measures some published claims in one go, and may fail alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import interp
from interp.circuits.published import facts
from interp.circuits.published.activations import (
    PromptActivations,
    run_activations,
    stored_activations,
)
from interp.circuits.published.claims import Answer, Claim, Outcome, Value, judge, unmeasured
from interp.circuits.published.tutorial import tutorial_logit_diff
from interp.heads import attention_scores, repeated_random_tokens
from interp.model import AttentionWeights, HookedGPT2
from interp.parts import Head
from interp.patching import heads_in_order, measure
from interp.statistics import estimate_mean

SEQUENCES = 10
"""Number of sequences of random tokens."""

_INDUCTION = (Head(5, 1), Head(5, 5), Head(6, 9), Head(7, 2), Head(7, 10))


@dataclass(frozen=True)
class Check:
    """Some claims that are measured together.

    Args:
        name: short name, for progress and for kept results
        claims: the claims
        measure: returns the measurement of each claim, by key
        fixed: cost that does not depend on the number of prompts, in prompts run once
        each: cost of each prompt, in prompts run once
    """

    name: str
    claims: tuple[Claim, ...]
    measure: Callable[[], Mapping[str, Value]]
    fixed: float = 0.0
    each: float = 0.0

    def cost(self, n: int) -> float:
        """How many prompts could be run once in the time that the check takes for n prompts."""
        return self.fixed + n * self.each

    def outcomes(self, found: Mapping[str, Value]) -> list[Outcome]:
        """Judge every claim; one that was not measured says so."""
        return [
            judge(claim, found[claim.key])
            if claim.key in found
            else unmeasured(claim, f"{self.name} did not measure it")
            for claim in self.claims
        ]


@dataclass
class Subject:
    """The checkpoint under test, which may hold attention weights alone.

    Args:
        path: name or directory of the checkpoint
        model: the model; None if the checkpoint is not whole
        weights: its attention weights
        lacks: why there is no model; "" if there is one
    """

    path: str | Path
    model: HookedGPT2 | None
    weights: AttentionWeights
    lacks: str = ""

    def require_model(self) -> HookedGPT2:
        """The model, or an error that says why there is none."""
        if self.model is None:
            raise ValueError(f"the checkpoint is not whole: {self.lacks}")
        return self.model

    @cached_property
    def activations(self) -> tuple[PromptActivations, ...]:
        """What the model computes on the stored prompts."""
        return run_activations(self.require_model(), stored_activations())


PARITY = Claim(
    "hugging_face", "Hugging Face", "Largest relative difference from transformers' GPT-2", "0",
    "transformers, GPT2LMHeadModel (eager, float32)", "at most 1e-05",
    "float32 rounds; both read the same file", "interp.verify: every layer, three paddings",
    0.0, 1e-5,
)  # fmt: skip

TUTORIAL = Claim(
    "tutorial", "The tutorials' prompts", "Mean logit difference on the eight prompts", "3.5519",
    "TransformerLens, Exploratory Analysis Demo", "within 0.005 logits",
    "the prompts are the same; processed weights and other devices round differently",
    "tutorial_logit_diff, after the end-of-text token", 3.5469, 3.5569,
)  # fmt: skip

GREATER_THAN = (
    Claim(
        "greater_than", "Greater-than", "Probability difference, years above less years below",
        "0.817", "Hanna et al. 2023 (arXiv 2305.00586), section 2", "0.65 to 0.95 probability",
        "the sentences are ours", "measure(probability_diff) on our own prompts", 0.65, 0.95,
    ),
    Claim(
        "cutoff_sharpness", "Greater-than", "Cutoff sharpness", "0.060",
        "Hanna et al. 2023 (arXiv 2305.00586), section 2", "0.02 to 0.12 probability",
        "the sentences are ours", "measure(cutoff_sharpness) on our own prompts", 0.02, 0.12,
    ),
)  # fmt: skip

INDUCTION = Claim(
    "induction_heads", "Where named heads look",
    "Induction heads among the ten highest induction scores", "5.1 5.5 6.9 7.2 7.10",
    "published scores on repeated random tokens", "all five", "the random tokens are ours",
    f"attention_scores on {SEQUENCES} sequences of 100 random tokens, repeated",
)  # fmt: skip


def model_checks(subject: Subject, n: int, seed: int) -> list[Check]:
    """List the checks that are not about the IOI paper's figures.

    Args:
        subject: the checkpoint
        n: number of prompts of tasks
        seed: seed of prompts and random tokens

    Returns:
        The checks, the quickest first.
    """
    return [
        Check("circuit", facts.CIRCUIT_CLAIMS, facts.measure_circuit),
        Check("weights", facts.WEIGHT_CLAIMS, lambda: facts.measure_weights(subject.weights), 8),
        Check("hugging-face", (PARITY,), lambda: _parity(subject), 60),
        Check(
            "activations",
            facts.ACTIVATION_CLAIMS,
            lambda: facts.measure_activations(subject.activations),
            2,
        ),
        Check("heads", facts.HEAD_CLAIMS, lambda: facts.measure_heads(subject.activations)),
        Check("tutorial", (TUTORIAL,), lambda: _tutorial(subject), 8),
        Check("greater-than", GREATER_THAN, lambda: _greater_than(subject, n, seed), 0, 1),
        Check("induction", (INDUCTION,), lambda: _induction(subject, seed), 12 * SEQUENCES),
    ]


def _parity(subject: Subject) -> Mapping[str, Value]:
    subject.require_model()
    report = interp.verify(subject.path)
    return {"hugging_face": max(row.relative for row in report.layers)}


def _tutorial(subject: Subject) -> Mapping[str, Value]:
    return {"tutorial": float(tutorial_logit_diff(subject.require_model()).mean())}


def _greater_than(subject: Subject, n: int, seed: int) -> Mapping[str, Value]:
    model = subject.require_model()
    task = interp.tasks.greater_than(model.tokenizer, n, seed=seed)
    found = measure(model, task, ["probability_diff", "cutoff_sharpness"])
    return {
        "greater_than": estimate_mean(found.probability_diff),
        "cutoff_sharpness": estimate_mean(found.cutoff_sharpness),
    }


def _induction(subject: Subject, seed: int) -> Mapping[str, Value]:
    model = subject.require_model()
    tokens = repeated_random_tokens(model, n=SEQUENCES, seed=seed)
    highest = heads_in_order(-attention_scores(model, tokens).induction)[:10]
    found = [head for head in _INDUCTION if head in highest]
    return {
        "induction_heads": Answer(" ".join(map(str, highest)), len(found) == len(_INDUCTION)),
    }
