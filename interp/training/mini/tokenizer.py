"""The bundled model's own byte-level BPE, trained on its language.

GPT-2's recipe (Radford et al. 2019, section 2.2): GPT-2's pre-tokenizing pattern, bytes as the
alphabet, so that any text has tokens, and `<|endoftext|>` as the only special token. The vocabulary
is large enough for every word of the language to become one token with its leading space, which
circuit work on names, nouns and numbers relies on; `train_tokenizer` checks it.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Tokenizer, PreTrainedTokenizerBase

from interp.training.mini import lexicon

END_OF_TEXT = "<|endoftext|>"
MIN_FREQUENCY = 2


def single_token_words() -> tuple[str, ...]:
    """Every name, noun, place and two-digit number, which must each be one token.

    Returns:
        Words without their leading space.
    """
    return tuple(dict.fromkeys((*lexicon.NAMES, *lexicon.ODD_NAMES)))


def train_tokenizer(
    documents: Iterable[str], *, d_vocab: int, n_ctx: int, words: Iterable[str] = ()
) -> PreTrainedTokenizerBase:
    """Learn a byte-level BPE from documents.

    Args:
        documents: training text.
        d_vocab: largest number of tokens, with the 256 bytes and the special token.
        n_ctx: context length to write down as the model's, in tokens.
        words: words that have to come out as one token with a leading space.

    Returns:
        A GPT-2 tokenizer of transformers; `save_pretrained` writes tokenizer.json.

    Raises:
        ValueError: a word of `words` takes more than one token.

    Source: Radford et al. 2019, section 2.2. `words` count as documents too, so that a word that
    the documents happen to lack is learned all the same.
    """
    words = tuple(words)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab,
        min_frequency=MIN_FREQUENCY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    spaced = [f" {word}" for word in words] * MIN_FREQUENCY
    tokenizer.train_from_iterator([*documents, *spaced], trainer)
    for word in words:
        pieces = tokenizer.encode(f" {word}").tokens
        if len(pieces) != 1:
            raise ValueError(
                f"expected {word!r} with a leading space to be one token, but a vocabulary of "
                f"{d_vocab} leaves it in pieces {pieces}; raise d_vocab or give more text"
            )
    return GPT2Tokenizer(
        tokenizer_object=tokenizer,
        unk_token=END_OF_TEXT,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        model_max_length=n_ctx,
    )
