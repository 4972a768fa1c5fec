"""From text to token ids and back.

By default no token is put before the text: the IOI paper has none, and positions then are indices
into the text's own tokens. Texts of unequal length are padded with the end-of-text token, on the
right by default; `tokenize` also returns the mask of the real tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.model.checks import check_ids, check_whole

if TYPE_CHECKING:
    import pandas


class TextMethods:
    """Tokenization for a model with `tokenizer`, `config` and `device`."""

    tokenizer: Any
    config: Any
    device: Any

    def tokenize(
        self,
        text: str | Sequence[str],
        *,
        prepend_bos: bool = False,
        padding_side: str = "right",
    ) -> tuple[Int[Tensor, "batch pos"], Bool[Tensor, "batch pos"]]:
        """Tokenize one text or several.

        Args:
            text: a text or a list of texts, none of them empty
            prepend_bos: whether to put the end-of-text token, GPT-2's only special token, before
                each text
            padding_side: the side on which to pad shorter texts, "left" or "right"

        Returns:
            Token ids and mask (True at real tokens), both [batch pos].

        Raises:
            ValueError: there is no text, a text is empty or longer than n_ctx, the side is unknown,
                or the model has no tokenizer
            TypeError: `text` is neither a string nor a list of strings

        Example:
            >>> import interp
            >>> model = interp.load("mini")
            >>> tokens, mask = model.tokenize(["When Mary met", "When"])
            >>> mask.tolist()
            [[True, True, True], [True, False, False]]
        """
        if padding_side not in ("left", "right"):
            raise ValueError(f'padding_side must be "left" or "right", got {padding_side!r}')
        if isinstance(text, Tensor | bytes | Mapping) or not isinstance(text, Iterable):
            raise TypeError(f"expected a text or a list of texts, got {type(text).__name__}")
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise ValueError("expected at least one text, got an empty list")
        bos = [self._special_token()] if prepend_bos else []
        rows = [bos + self._encode(item, f"text {i}") for i, item in enumerate(texts)]
        width = max(map(len, rows))
        if width > self.config.n_ctx:
            i = max(range(len(rows)), key=lambda i: len(rows[i]))
            raise ValueError(
                f"text {i} has {width} tokens; the model takes at most {self.config.n_ctx} (n_ctx)"
            )
        pad = self._special_token() if min(map(len, rows)) < width else 0
        tokens = torch.full((len(rows), width), pad)
        mask = torch.zeros(tokens.shape, dtype=torch.bool)
        for i, row in enumerate(rows):
            here = slice(len(row)) if padding_side == "right" else slice(width - len(row), None)
            tokens[i, here], mask[i, here] = torch.tensor(row), True
        return tokens.to(self.device), mask.to(self.device)

    def to_tokens(
        self,
        text: str | Sequence[str],
        prepend_bos: bool = False,
        *,
        padding_side: str = "right",
    ) -> Int[Tensor, "batch pos"]:
        """The token ids of one text or several; see `tokenize`, which also returns the mask."""
        return self.tokenize(text, prepend_bos=prepend_bos, padding_side=padding_side)[0]

    def to_string(self, tokens: int | Sequence[int] | Int[Tensor, "..."]) -> Any:
        """Turn token ids into text.

        Args:
            tokens: one id, a row of ids, or a batch of rows

        Returns:
            A string, or a list of strings for a batch.

        Raises:
            ValueError: an id is outside the model's vocabulary
        """
        ids = torch.as_tensor(tokens)
        if ids.numel():
            check_ids(ids, self.config.d_vocab)
        if ids.ndim > 1:
            return [self.to_string(row) for row in ids]
        return self._require_tokenizer().decode(ids.reshape(-1).tolist())

    def to_str_tokens(
        self, text: str | Sequence[int] | Int[Tensor, "..."], prepend_bos: bool = False
    ) -> list[str]:
        """Cut one text into its tokens, each as a string.

        Args:
            text: a text, or the token ids of one prompt ([pos] or [1 pos])
            prepend_bos: whether to put the end-of-text token before the text

        Raises:
            ValueError: there are several prompts, or `prepend_bos` is used with ids
        """
        if prepend_bos and not isinstance(text, str):
            raise ValueError("prepend_bos goes with text; put the id before the ids yourself")
        ids = self.to_tokens(text, prepend_bos) if isinstance(text, str) else torch.as_tensor(text)
        if ids.ndim > 1 and ids.shape[0] != 1:
            raise ValueError(f"expected the tokens of one prompt, got shape {tuple(ids.shape)}")
        return [self.to_string(token) for token in ids.flatten().tolist()]

    def to_single_token(self, text: str) -> int:
        """The id of a text that is a single token.

        Args:
            text: the text; in GPT-2, most words are one token together with the space before them

        Raises:
            ValueError: the text is several tokens; the message shows them, and suggests the text
                with or without a leading space if that is a single token
            TypeError: `text` is not a string
        """
        ids = self._encode(text, "text")
        if len(ids) != 1:
            pieces = [self.to_string(token) for token in ids]
            other = text[1:] if text.startswith(" ") else f" {text}"
            is_one = bool(other) and len(self._encode(other, "text")) == 1
            hint = f"; did you mean {other!r}?" if is_one else ""
            raise ValueError(f"{text!r} is not a single token but {pieces}{hint}")
        return ids[0]

    def _encode(self, text: str, what: str) -> list[int]:
        if not isinstance(text, str):
            hint = "; give token ids as a tensor" if isinstance(text, int) else ""
            raise TypeError(f"{what} must be a string, got {type(text).__name__}{hint}")
        if not text:
            raise ValueError(f"{what} is empty; expected at least one character")
        return list(
            self._require_tokenizer()(text, add_special_tokens=False, verbose=False).input_ids
        )

    def _require_tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise ValueError(
                "this model has no tokenizer, so it takes token ids only; load it from a directory "
                "with a tokenizer.json, or set model.tokenizer"
            )
        return self.tokenizer

    def _special_token(self) -> int:
        token = self._require_tokenizer().eos_token_id
        return 0 if token is None else int(token)

    def _as_tokens(
        self, input: Any, mask: Tensor | None, prepend_bos: bool
    ) -> tuple[Int[Tensor, "batch pos"], Tensor | None]:
        """Turn the input of `forward` into a checked batch of token ids with its mask."""
        if not isinstance(input, Tensor):
            if mask is not None:
                raise ValueError("attention_mask goes with token ids; for text it is made here")
            return self.tokenize(input, prepend_bos=prepend_bos)
        if prepend_bos:
            raise ValueError("prepend_bos goes with text; put the id before the token ids yourself")
        tokens = input[None] if input.ndim == 1 else input
        if tokens.ndim != 2 or tokens.is_floating_point() or tokens.dtype == torch.bool:
            raise ValueError(
                "expected token ids, an integer tensor [batch pos] or [pos], got "
                f"{input.dtype} of shape {tuple(input.shape)}"
            )
        check_ids(tokens, self.config.d_vocab)
        return tokens.to(self.device).long(), mask


def next_tokens(model: Any, text: str, k: int = 10) -> "pandas.DataFrame":
    """The k tokens that the model finds most probable after a text.

    Args:
        model: a `HookedGPT2`
        text: the prompt
        k: number of tokens, the most probable first

    Returns:
        One row per token, indexed by rank from 0: `token` (its text), `id`, `logit`, `probability`.

    Raises:
        ValueError: the text is empty or longer than n_ctx, or k is not from 1 to d_vocab
        TypeError: `text` is not a single string

    Example:
        >>> import interp
        >>> model = interp.load("mini")
        >>> list(interp.next_tokens(model, "Mary and John", k=3).columns)
        ['token', 'id', 'logit', 'probability']
    """
    if not isinstance(text, str):
        raise TypeError(
            f"next_tokens takes one text, got {type(text).__name__}; call it for each text"
        )
    check_whole(k, "k", 1, model.config.d_vocab, note="(d_vocab)")
    with torch.inference_mode():
        logits = model(text)[0, -1]  # d_vocab
    logits = logits if logits.dtype == torch.float64 else logits.float()
    top = logits.topk(k)
    ids = top.indices.tolist()
    table = {
        "token": [model.to_string(i) for i in ids],
        "id": ids,
        "logit": top.values.tolist(),
        "probability": logits.softmax(-1)[top.indices].tolist(),
    }
    import pandas as pd  # takes half a second

    return pd.DataFrame(table, index=pd.RangeIndex(k, name="rank"))
