"""The bundled model `mini`: its language, tokenizer, guidance, figures, and card."""

from interp.training.mini.evaluate import Figure, held_out_figures
from interp.training.mini.guidance import guide_induction, guided_loss
from interp.training.mini.language import Example, Sentences, document
from interp.training.mini.tokenizer import single_token_words, train_tokenizer

__all__ = [
    "Example",
    "Figure",
    "Sentences",
    "document",
    "guide_induction",
    "guided_loss",
    "held_out_figures",
    "single_token_words",
    "train_tokenizer",
]
