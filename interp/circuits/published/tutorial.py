"""The eight standard IOI prompts of the field's tutorials, and GPT-2 small's answer to them.

Each of four texts is completed once with either name as the subject, after the end-of-text token;
since every text occurs with both answers, the corrupted prompts (the other subject) are the same
eight, and their logit difference is the negative.

Source: TransformerLens, "Exploratory Analysis Demo" (MIT): mean logit difference 3.5519.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2

_TEXTS = (
    ("When John and Mary went to the shops,{} gave the bag to", " John", " Mary"),
    ("When Tom and James went to the park,{} gave the ball to", " Tom", " James"),
    ("When Dan and Sid went to the shops,{} gave an apple to", " Dan", " Sid"),
    ("After Martin and Amy went to the park,{} gave a drink to", " Martin", " Amy"),
)

TUTORIAL_PROMPTS: tuple[tuple[str, str, str], ...] = tuple(
    (text.format(subject), answer, subject)
    for text, first, second in _TEXTS
    for answer, subject in ((first, second), (second, first))
)
"""Text, answer and foil of each prompt."""


@torch.inference_mode()
def tutorial_logit_diff(model: HookedGPT2) -> Float[Tensor, " prompt"]:
    """Logit of the indirect object minus logit of the subject on each of the eight prompts.

    Args:
        model: the model; the token before each prompt is its tokenizer's end of text

    Returns:
        The differences, in logits.

    Raises:
        ValueError: the model has no tokenizer, or a name is several tokens
    """
    if model.tokenizer is None:
        raise ValueError(f"{model.name} has no tokenizer, so it cannot read the prompts")
    found = []
    for text, *names in TUTORIAL_PROMPTS:
        ids = [model.tokenizer(name)["input_ids"] for name in names]
        if any(len(one) != 1 for one in ids):
            raise ValueError(
                f"expected names of one token, got {names[0]!r} and {names[1]!r} as "
                f"{len(ids[0])} and {len(ids[1])} tokens"
            )
        tokens = [model.tokenizer.eos_token_id, *model.tokenizer(text)["input_ids"]]
        logits = model(torch.tensor([tokens], device=model.device))[0, -1]
        found.append((logits[ids[0][0]] - logits[ids[1][0]]).float().cpu())
    return torch.stack(found)
