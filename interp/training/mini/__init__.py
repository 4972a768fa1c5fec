"""The bundled model `mini`: its language, tokenizer, start, guidance, scores, and card."""

from interp.training.mini.cloze import Cloze
from interp.training.mini.evaluate import Score, held_out_scores
from interp.training.mini.guidance import Guidance, guided_loss
from interp.training.mini.language import Sentences, document
from interp.training.mini.start import start
from interp.training.mini.tokenizer import single_token_words, train_tokenizer

__all__ = [
    "Cloze",
    "Guidance",
    "Score",
    "Sentences",
    "document",
    "guided_loss",
    "held_out_scores",
    "single_token_words",
    "start",
    "train_tokenizer",
]
