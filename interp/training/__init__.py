"""Next-token training: batches, schedule, loop, and loss."""

from interp.training.batches import Batches, pooled_ids, repeated_ids, returning_ids
from interp.training.train import (
    TrainingConfig,
    TrainingStep,
    learning_rate,
    make_optimizer,
    next_token_loss,
    train,
    validation_loss,
)

__all__ = [
    "Batches",
    "TrainingConfig",
    "TrainingStep",
    "learning_rate",
    "make_optimizer",
    "next_token_loss",
    "pooled_ids",
    "repeated_ids",
    "returning_ids",
    "train",
    "validation_loss",
]
