"""Next-token training: batches, schedule, loop, and loss."""

from interp.training.batches import Batches, repeated_tokens, returning_tokens
from interp.training.train import (
    Progress,
    TrainingConfig,
    learning_rate,
    make_optimizer,
    next_token_loss,
    train,
    validation_loss,
)

__all__ = [
    "Batches",
    "Progress",
    "TrainingConfig",
    "learning_rate",
    "make_optimizer",
    "next_token_loss",
    "repeated_tokens",
    "returning_tokens",
    "train",
    "validation_loss",
]
