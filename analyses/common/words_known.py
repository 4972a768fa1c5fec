"""Does the model's vocabulary have the words of a text?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from interp.model import HookedGPT2

_SHOWN = 3
_EXAMPLE = "When Mary and John went to the store, John gave a drink to"


def words_in_pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> dict[str, list[str]]:
    """Find the words of a text that the tokenizer spells out.

    Args:
        tokenizer: the tokenizer
        text: the text

    Returns:
        Each word of which a token is less than two letters on average -> its pieces; bytes that are
        no letter by themselves are shown as \N{REPLACEMENT CHARACTER}.
    """
    found = {}
    for word in re.findall(r"[^\W\d_]+", text):
        ids = tokenizer(f" {word}")["input_ids"]
        if len(ids) > max(1, len(word) / 2):
            found[word] = [tokenizer.decode([token]).strip() for token in ids]
    return found


def unknown_words(model: HookedGPT2, text: str) -> str:
    """Say that a text has words that the model does not know.

    Args:
        model: the model
        text: what it reads

    Returns:
        Sentences that begin with a space; "" if it knows most of the words.
    """
    from interp.model.hub import BUNDLED

    words = set(re.findall(r"[^\W\d_]+", text))
    pieces = words_in_pieces(model.tokenizer, text) if model.tokenizer is not None else {}
    if len(pieces) * 4 < len(words) or not pieces:
        return ""
    some = ", ".join(f"{word} as {'|'.join(of)}" for word, of in list(pieces.items())[:_SHOWN])
    more = ", \N{HORIZONTAL ELLIPSIS}" if len(pieces) > _SHOWN else ""
    said = (
        f" The vocabulary of {model.name} lacks {len(pieces)} of the text's {len(words)} words, "
        f"which it spells out ({some}{more}), so what it makes of them says little."
    )
    if model.name in BUNDLED:
        said += (
            f" It has {model.config.d_vocab:,} tokens and knows the sentences of a small grammar "
            f"of people, places and things, such as \u201c{_EXAMPLE}\u201d."
        )
    return said
