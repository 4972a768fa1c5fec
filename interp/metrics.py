"""Metrics over the logits at END, one value a prompt.

    logit_diff        logit(answer) - logit(foil)                      logits
    probability       sum of softmax(logits) over the answer tokens    probability
    probability_diff  probability(answer) - probability(foil)          probability
    kl_divergence     sum of p_ref (log p_ref - log p)                 nats
    accuracy          1 if the answer's logit is above the others'     fraction
    rank              how many tokens have a logit as high             count, 0 is the best

All but the last two can be differentiated. Probabilities are computed in float32 at least.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.1, for the logit difference; Hanna et al.
2023 (arXiv 2305.00586), section 2, for the probability difference; Conmy et al. 2023 (arXiv
2304.14997), section 3, for the divergence.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.tasks import Task


def end_logits(
    logits: Float[Tensor, "prompt pos d_vocab"], task: Task
) -> Float[Tensor, "prompt d_vocab"]:
    """Take the logits at each prompt's last token.

    Args:
        logits: logits of a run on the task's tokens.
        task: the task.

    Returns:
        The logits at END.

    Raises:
        ValueError: the logits are not of the task's tokens.
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
    answer: Int[Tensor, " prompt"],
    foil: Int[Tensor, " prompt"],
) -> Float[Tensor, " prompt"]:
    """Logit of the answer minus logit of the foil.

    Args:
        logits: logits at END.
        answer: token ids of the answers.
        foil: token ids of the foils.

    Returns:
        The difference, in logits; positive where the model prefers the answer.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary.

    Example:
        >>> logit_diff(torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([1]), torch.tensor([0]))
        tensor([2.])
    """
    logits = _at_least_float32(logits)
    return _take(logits, answer) - _take(logits, foil)


def probability(
    logits: Float[Tensor, "prompt d_vocab"],
    answer: Int[Tensor, " prompt"] | Bool[Tensor, "prompt d_vocab"],
) -> Float[Tensor, " prompt"]:
    """Probability of the answer, or of a set of answers.

    Args:
        logits: logits at END.
        answer: token ids, or a mask that is True at every token that counts as an answer.

    Returns:
        The probability, from 0 to 1.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary.
    """
    probs = _at_least_float32(logits).softmax(-1)
    if answer.dtype != torch.bool:
        return _take(probs, answer)
    if answer.shape != probs.shape:
        raise ValueError(
            f"a mask of answers must have the shape of the logits, {tuple(probs.shape)}; it has "
            f"{tuple(answer.shape)}"
        )
    return probs.masked_fill(~answer.to(probs.device), 0).sum(-1)


def probability_diff(
    logits: Float[Tensor, "prompt d_vocab"],
    answer: Int[Tensor, " prompt"] | Bool[Tensor, "prompt d_vocab"],
    foil: Int[Tensor, " prompt"] | Bool[Tensor, "prompt d_vocab"],
) -> Float[Tensor, " prompt"]:
    """Probability of the answers minus probability of the foils.

    Args:
        logits: logits at END.
        answer: token ids, or a mask of all answers (for greater-than, the years above the start).
        foil: token ids, or a mask of all foils (the years up to the start).

    Returns:
        The difference, from -1 to 1; positive where the model prefers the answers.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary.
    """
    return probability(logits, answer) - probability(logits, foil)


def kl_divergence(
    logits: Float[Tensor, "prompt d_vocab"], reference: Float[Tensor, "prompt d_vocab"]
) -> Float[Tensor, " prompt"]:
    """Kullback-Leibler divergence of a run's next-token distribution from a reference's.

    Args:
        logits: logits at END of the run in question, for instance a patched one.
        reference: logits at END of the run it is compared with, for instance the clean one.

    Returns:
        KL(reference || run), in nats; zero where the two distributions are the same.

    Raises:
        ValueError: shapes differ.
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
    return (log_p.exp() * gap).sum(-1)


def accuracy(
    logits: Float[Tensor, "prompt d_vocab"],
    answer: Int[Tensor, " prompt"],
    foil: Int[Tensor, " prompt"] | None = None,
) -> Float[Tensor, " prompt"]:
    """Whether the model's choice is the answer.

    Args:
        logits: logits at END.
        answer: token ids of the answers.
        foil: token ids of the foils; None for every other token.

    Returns:
        1 where the answer's logit is above the foil's (above all others'), else 0. A tie is 0.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary.
    """
    right = rank(logits, answer) == 0 if foil is None else logit_diff(logits, answer, foil) > 0
    return right.float()


def rank(
    logits: Float[Tensor, "prompt d_vocab"], answer: Int[Tensor, " prompt"]
) -> Int[Tensor, " prompt"]:
    """Rank of the answer among all tokens.

    Args:
        logits: logits at END.
        answer: token ids of the answers.

    Returns:
        The number of other tokens whose logit is at least as high; 0 is the model's first choice.

    Raises:
        ValueError: shapes differ, or an id is outside the vocabulary.
    """
    return (logits >= _take(logits, answer)[:, None]).sum(-1) - 1


def _at_least_float32(logits: Float[Tensor, "prompt d_vocab"]) -> Float[Tensor, "prompt d_vocab"]:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _take(values: Tensor, tokens: Tensor) -> Float[Tensor, " prompt"]:
    """Take each prompt's value at its token."""
    if values.ndim != 2 or tokens.shape != values.shape[:1]:
        raise ValueError(
            f"expected logits [prompt d_vocab] and token ids [prompt]; got {tuple(values.shape)} "
            f"and {tuple(tokens.shape)}; end_logits takes the logits at END out of all positions"
        )
    outside = (tokens < 0) | (tokens >= values.shape[1])
    if bool(outside.any()):
        raise ValueError(
            f"token id {int(tokens[outside][0])} is outside a vocabulary of {values.shape[1]}; "
            "tokenize the task with the model's own tokenizer"
        )
    return values.gather(1, tokens.long().to(values.device)[:, None])[:, 0]
