"""Metrics over the logits at END, one value per prompt.

    logit_diff        logit(answer) - logit(foil)                      logits
    probability       sum of softmax(logits) over the answer tokens    probability
    probability_diff  probability(answer) - probability(foil)          probability
    cutoff_sharpness  p(first answer) - p(second foil)                 probability
    answer_logit      logit(answer) - mean logit of the others         logits
    foil_logit        logit(foil) - mean logit of the others           logits
    kl_divergence     sum of p_ref (log p_ref - log p)                 nats
    accuracy          1 if the answer's logit is above the foil's      fraction
    top1              1 if the answer's logit is above all others'     fraction
    rank              how many tokens have a logit as high             count, 0 is the best

All but the last three are differentiable. Values have the precision of the logits, but at least
float32. A prompt with NaN among its logits has the value NaN; asking for its rank, a count, is an
error.

The others of `answer_logit` and `foil_logit` are the task's candidates that are neither answer nor
foil (`interp.tasks.candidates`); the first minus the second is the logit difference.

Answers and foils are token ids, one per prompt or a set of them [prompt option], padded with -1.
The logit of a set is the mean over its tokens (so that the logit difference stays linear in the
logits), its probability is the sum, and the model's choice is the highest.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.1, for the logit difference; Hanna et al.
2023 (arXiv 2305.00586), section 2, for the probability difference and the cutoff sharpness; Conmy
et al. 2023 (arXiv 2304.14997), section 3, for the divergence.

The file is longer than most, because the choice of metrics by name stands next to the metrics.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.tasks import Task
from interp.tasks.metric_names import BEHAVIOR, METRICS, did_you_mean
from interp.tasks.sides import Choice

__all__ = [
    "BEHAVIOR",
    "METRICS",
    "accuracy",
    "answer_logit",
    "cutoff_sharpness",
    "end_logits",
    "foil_logit",
    "kl_divergence",
    "logit_diff",
    "probability",
    "probability_diff",
    "rank",
    "top1",
]

MetricFunction = Callable[[Float[Tensor, "run d_vocab"], Task], Float[Tensor, " run"]]
"""A custom metric: the logits at END and the prompts they belong to -> one value per run."""

Metrics = (
    str | MetricFunction | Sequence[str | MetricFunction] | Mapping[str, MetricFunction | None]
)
"""One metric, several, or a mapping from names in the result to functions."""


def end_logits(
    logits: Float[Tensor, "prompt pos d_vocab"], task: Task
) -> Float[Tensor, "prompt d_vocab"]:
    """Take the logits at each prompt's last token.

    Args:
        logits: logits of a run on the task's tokens
        task: the task

    Returns:
        The logits at END.

    Raises:
        ValueError: the logits do not have the shape of the task's tokens
    """
    if logits.shape[:2] != task.clean_tokens.shape:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} do not belong to the task's tokens of shape "
            f"{tuple(task.clean_tokens.shape)}; pass the logits of a run on them"
        )
    prompts = torch.arange(len(task), device=logits.device)
    return logits[prompts, task.positions["END"].to(logits.device)]


def logit_diff(
    logits: Float[Tensor, "prompt d_vocab"],
    answer: Choice,
    foil: Choice,
) -> Float[Tensor, " prompt"]:
    """Logit of the answer minus logit of the foil.

    Args:
        logits: logits at END
        answer: token ids of the answers
        foil: token ids of the foils

    Returns:
        The difference, in logits; positive where the model prefers the answer.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary

    Example:
        >>> logit_diff(torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([1]), torch.tensor([0]))
        tensor([2.])
    """
    logits = _at_least_float32(logits)
    return _unless_nan(_mean(logits, answer) - _mean(logits, foil), logits)


def answer_logit(
    logits: Float[Tensor, "prompt d_vocab"], answer: Choice, others: Bool[Tensor, "prompt d_vocab"]
) -> Float[Tensor, " prompt"]:
    """Logit of the answer above the mean logit of the task's other candidates.

    Args:
        logits: logits at END
        answer: token ids of the answers
        others: True at the tokens to compare with, at least one per prompt;
            `interp.tasks.candidates.other_candidates` has a task's

    Returns:
        The difference, in logits; positive where the model prefers the answer to the others.

    Raises:
        ValueError: shapes differ, an id is outside the vocabulary, or a prompt has no others

    Example:
        >>> others = torch.tensor([[True, False, True]])
        >>> answer_logit(torch.tensor([[1.0, 5.0, 3.0]]), torch.tensor([1]), others)
        tensor([3.])
    """
    logits = _at_least_float32(logits)
    if others.shape != logits.shape or not bool(others.any(-1).all()):
        raise ValueError(
            f"the others must be a mask of the logits' shape, {tuple(logits.shape)}, with at least "
            f"one token per prompt; got {tuple(others.shape)}"
        )
    others = others.to(logits.device)
    mean = logits.masked_fill(~others, 0).sum(-1) / others.sum(-1)
    return _unless_nan(_mean(logits, answer) - mean, logits)


def foil_logit(
    logits: Float[Tensor, "prompt d_vocab"], foil: Choice, others: Bool[Tensor, "prompt d_vocab"]
) -> Float[Tensor, " prompt"]:
    """Logit of the foil above the mean logit of the task's other candidates.

    Args:
        logits: logits at END
        foil: token ids of the foils
        others: as for `answer_logit`

    Returns:
        The difference, in logits; positive where the model prefers the foil to the others.

    Raises:
        ValueError: as for `answer_logit`
    """
    return answer_logit(logits, foil, others)


def probability(
    logits: Float[Tensor, "prompt d_vocab"],
    answer: Choice | Bool[Tensor, "prompt d_vocab"],
) -> Float[Tensor, " prompt"]:
    """Probability of the answer, or of a set of answers.

    Args:
        logits: logits at END
        answer: token ids, one per prompt or a set; or a mask that is True at every token that
            counts as an answer

    Returns:
        The probability, from 0 to 1.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary
    """
    probs = _at_least_float32(logits).softmax(-1)
    if answer.dtype != torch.bool:
        taken, real = _take(probs, answer)
        return _unless_nan(taken.masked_fill(~real, 0).sum(-1), probs)
    if answer.shape != probs.shape:
        raise ValueError(
            f"a mask of answers must have the shape of the logits, {tuple(probs.shape)}; it has "
            f"{tuple(answer.shape)}"
        )
    return _unless_nan(probs.masked_fill(~answer.to(probs.device), 0).sum(-1), probs)


def probability_diff(
    logits: Float[Tensor, "prompt d_vocab"],
    answer: Choice | Bool[Tensor, "prompt d_vocab"],
    foil: Choice | Bool[Tensor, "prompt d_vocab"],
) -> Float[Tensor, " prompt"]:
    """Probability of the answers minus probability of the foils.

    Args:
        logits: logits at END
        answer: token ids, or a mask of all answers (for greater-than, the years above the start)
        foil: token ids, or a mask of all foils (the years up to the start)

    Returns:
        The difference, from -1 to 1; positive where the model prefers the answers.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary
    """
    return probability(logits, answer) - probability(logits, foil)


def cutoff_sharpness(
    logits: Float[Tensor, "prompt d_vocab"],
    answer: Int[Tensor, "prompt _"],
    foil: Int[Tensor, "prompt _"],
) -> Float[Tensor, " prompt"]:
    """How sharply the probability rises from the foils to the answers, one step to either side.

    For greater-than: the probability of the year after the start minus that of the year before it.

    Args:
        logits: logits at END
        answer: sets of token ids, the nearest to the cutoff first (the start + 1, + 2, ...)
        foil: sets in the same order (the start itself, then the start - 1, ...); the second counts

    Returns:
        The difference, from -1 to 1; positive where the step is upward.

    Raises:
        ValueError: answers or foils are not sets, a prompt has only one foil, or as for
            `probability`
    """
    require_cutoff(answer, foil)
    return probability_diff(logits, answer[:, 0], foil[:, 1])


def require_cutoff(answer: Choice, foil: Choice) -> None:
    """Check that answers and foils have a cutoff between them.

    Args:
        answer: token ids of the answers
        foil: token ids of the foils

    Raises:
        ValueError: they are not sets, or a prompt has only one foil
    """
    if answer.ndim != 2 or foil.ndim != 2 or foil.shape[1] < 2 or bool((foil[:, 1] < 0).any()):
        raise ValueError(
            "the cutoff sharpness needs sets of answers and foils in order, the nearest to the "
            "cutoff first, and two foils per prompt; interp.tasks.greater_than makes such a task"
        )


def kl_divergence(
    logits: Float[Tensor, "prompt d_vocab"], reference: Float[Tensor, "prompt d_vocab"]
) -> Float[Tensor, " prompt"]:
    """Kullback-Leibler divergence of a run's next-token distribution from a reference's.

    Args:
        logits: logits at END of the run in question, for instance a patched one
        reference: logits at END of the run it is compared with, for instance the clean one

    Returns:
        KL(reference || run), in nats; zero where the two distributions are the same.

    Raises:
        ValueError: shapes differ
    """
    if logits.shape != reference.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and reference {tuple(reference.shape)} must have the "
            "same shape"
        )
    log_p = _at_least_float32(reference).log_softmax(-1)
    log_q = _at_least_float32(logits).log_softmax(-1)
    # A token that the reference rules out (logit -inf) adds nothing, whatever the run says of it.
    gap = (log_p - log_q).masked_fill(log_p == -torch.inf, 0)
    return _unless_nan((log_p.exp() * gap).sum(-1), log_p)


def accuracy(
    logits: Float[Tensor, "prompt d_vocab"], answer: Choice, foil: Choice
) -> Float[Tensor, " prompt"]:
    """Whether the model prefers the answer to the foil.

    Args:
        logits: logits at END
        answer: token ids of the answers
        foil: token ids of the foils

    Returns:
        1 where the answer's logit is above the foil's, else 0; a tie gives 0. For a set, the
        highest logit counts.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary
    """
    logits = _at_least_float32(logits)
    right = _highest(logits, answer) > _highest(logits, foil)
    return _unless_nan(right.to(logits.dtype), logits)


def top1(logits: Float[Tensor, "prompt d_vocab"], answer: Choice) -> Float[Tensor, " prompt"]:
    """Whether the model's first choice among all tokens is the answer.

    Args:
        logits: logits at END
        answer: token ids of the answers

    Returns:
        1 where the answer's logit is above all others, else 0. A tie is 0. Of a set the highest
        logit counts.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary
    """
    logits = _at_least_float32(logits)
    return _unless_nan((_rivals(logits, answer) == 0).to(logits.dtype), logits)


def rank(logits: Float[Tensor, "prompt d_vocab"], answer: Choice) -> Int[Tensor, " prompt"]:
    """Rank of the answer, or of the best of a set of answers, among all tokens.

    Args:
        logits: logits at END
        answer: token ids of the answers

    Returns:
        The number of other tokens whose logit is at least as high; 0 is the model's first choice.

    Raises:
        ValueError: shapes differ, an id is outside the vocabulary, or a logit is NaN
    """
    rivals = _rivals(logits, answer)
    wrong = logits.isnan().any(-1)
    if bool(wrong.any()):
        raise ValueError(
            f"the logits of prompt {int(wrong.nonzero()[0])} are not all numbers (NaN), so its "
            "answer has no rank; look for NaN in the model's weights or in the values of an "
            "intervention"
        )
    return rivals


def _rivals(logits: Float[Tensor, "prompt d_vocab"], answer: Choice) -> Int[Tensor, " prompt"]:
    """How many other tokens have a logit at least as high."""
    return (logits >= _highest(logits, answer)[:, None]).sum(-1) - 1


def _unless_nan(
    values: Float[Tensor, " prompt"], logits: Float[Tensor, "prompt d_vocab"]
) -> Float[Tensor, " prompt"]:
    """The values, NaN where any of the logits is NaN, even one that they do not depend on."""
    return values.masked_fill(logits.isnan().any(-1), torch.nan)


def _at_least_float32(logits: Float[Tensor, "prompt d_vocab"]) -> Float[Tensor, "prompt d_vocab"]:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _mean(values: Tensor, tokens: Choice) -> Float[Tensor, " prompt"]:
    taken, real = _take(values, tokens)
    return taken.masked_fill(~real, 0).sum(-1) / real.sum(-1)


def _highest(values: Tensor, tokens: Choice) -> Float[Tensor, " prompt"]:
    taken, real = _take(values, tokens)
    return taken.masked_fill(~real, -torch.inf).amax(-1)


def _take(
    values: Tensor, tokens: Choice
) -> tuple[Float[Tensor, "prompt option"], Bool[Tensor, "prompt option"]]:
    """Take each prompt's values at its tokens, and a mask of the entries that are tokens."""
    if values.ndim != 2 or tokens.ndim not in (1, 2) or tokens.shape[0] != values.shape[0]:
        raise ValueError(
            "expected logits [prompt d_vocab] and token ids [prompt] or [prompt option]; got "
            f"{tuple(values.shape)} and {tuple(tokens.shape)}; end_logits takes the logits at END "
            "out of all positions"
        )
    single = tokens.ndim == 1
    tokens = tokens.long().to(values.device).view(len(tokens), -1)
    outside = (tokens < (0 if single else -1)) | (tokens >= values.shape[1])
    if bool(outside.any()):
        raise ValueError(
            f"token id {int(tokens[outside][0])} is outside a vocabulary of {values.shape[1]}; "
            "tokenize the task with the model's own tokenizer"
        )
    return values.gather(1, tokens.clamp(min=0)), tokens >= 0


def named_metrics(
    chosen: Metrics | None, task: Task | None = None
) -> dict[str, MetricFunction | None]:
    """Give each chosen metric the name that it has in a result.

    Args:
        chosen: a name from `METRICS`, a function of the logits at END and the task, a sequence of
            these, or a mapping from names to functions; None for the task's own metric
        task: the task, if known; its answers must then fit the metrics

    Returns:
        Name -> function, in the order chosen; None in place of a function for a name from
        `METRICS`. A function goes by its own name, a `functools.partial` by that of what it wraps,
        and a callable object by that of its class.

    Raises:
        TypeError: a metric is neither a name nor a function, or a key of a mapping is not a string
        ValueError: nothing is chosen, a name is unknown or occurs twice, a function has the name of
            a metric in `METRICS`, a function cannot be called with logits and a task, or the task
            has no cutoff for the cutoff sharpness

    Example:
        >>> named_metrics(["rank", "logit_diff"])
        {'rank': None, 'logit_diff': None}
    """
    if chosen is None:
        if task is None:
            raise ValueError(f"no metric is chosen; expected a metric among {', '.join(METRICS)}")
        chosen = task.metric
    named: dict[str, MetricFunction | None] = {}
    for name, function in _pairs(chosen):
        if name in named:
            raise ValueError(
                f"the metric {name!r} is chosen twice; choose it once"
                if function is None
                else f"two metrics are called {name!r}; pass a mapping from names to functions, "
                "such as {'first': f, 'second': g}"
            )
        named[name] = function
    if not named:
        raise ValueError(
            f"no metric is chosen; expected at least one among {', '.join(METRICS)}, or a function "
            "of the logits at END and the task"
        )
    if task is not None and "cutoff_sharpness" in named:
        require_cutoff(task.answer, task.foil)
    return named


def _pairs(chosen: Any) -> list[tuple[str, MetricFunction | None]]:
    """The name and the function of each chosen metric."""
    if isinstance(chosen, Mapping):
        return [_keyed(name, function) for name, function in chosen.items()]
    if isinstance(chosen, str) or callable(chosen):
        return [_unkeyed(chosen)]
    if not isinstance(chosen, Iterable):
        raise TypeError(_expected(chosen))
    return [_unkeyed(one) for one in chosen]


def _expected(came: Any) -> str:
    return (
        f"expected a metric among {', '.join(METRICS)}, or a function of the logits at END and the "
        f"task; got {came!r}"
    )


def _keyed(name: Any, function: Any) -> tuple[str, MetricFunction | None]:
    if not isinstance(name, str):
        raise TypeError(
            f"the keys of a mapping of metrics are their names, strings; got the key {name!r}"
        )
    if not name:
        raise ValueError("the name of a metric is empty; give it a name")
    if name in METRICS and (function is None or function is globals()[name]):
        return name, None
    if not callable(function):
        builtin = isinstance(function, str) and function in METRICS
        hint = f"; choose {function!r} by its name, outside a mapping" if builtin else ""
        raise TypeError(
            f"metric {name!r} must be a function of the logits at END and the task; got "
            f"{function!r}{hint}"
        )
    _require_function(name, function)
    return name, function


def _unkeyed(one: Any) -> tuple[str, MetricFunction | None]:
    if isinstance(one, str):
        if one not in METRICS:
            raise ValueError(_expected(one) + did_you_mean(one, METRICS))
        return one, None
    if not callable(one):
        raise TypeError(_expected(one))
    name = _own_name(one)
    if name in METRICS and one is globals()[name]:
        return name, None
    _require_function(name, one)
    return name, one


def _own_name(function: Any) -> str:
    """The name of a function; of the wrapped function, or of the class, if it has none."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _require_function(name: str, function: Callable[..., Any]) -> None:
    """Refuse a function with the name of a built-in metric, or one that takes other arguments."""
    if name in METRICS:
        raise ValueError(
            f"a function called {name!r} would be taken for the metric of that name; pass it under "
            f"another, such as {{'my_{name}': function}}"
        )
    for known in METRICS:
        if function is globals()[known]:
            raise ValueError(
                f"interp.metrics.{known} does not take a task; choose {known!r} by its name, or "
                f"pass a function of the logits at END and the task that calls it"
            )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have none
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise ValueError(
            f"metric {name!r} must take two arguments, the logits at END and the task; it is "
            f"{name}{signature}"
        ) from error
