"""Next-token training, and the generated language that the bundled model `mini` is trained on."""

from interp.training.batches import Batches, repeated_tokens, returning_tokens
from interp.training.evaluate import Figure, held_out_figures
from interp.training.guidance import guide_induction, guided_loss
from interp.training.language import Example, document
from interp.training.tokenizer import single_token_words, train_tokenizer
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
    "Example",
    "Figure",
    "Progress",
    "TrainingConfig",
    "document",
    "guide_induction",
    "guided_loss",
    "held_out_figures",
    "learning_rate",
    "make_optimizer",
    "next_token_loss",
    "repeated_tokens",
    "returning_tokens",
    "single_token_words",
    "train",
    "train_tokenizer",
    "validation_loss",
]
