"""The sentence of a circuit diagram, taken from a prompt of the task."""

from interp.model import HookedGPT2
from interp.plots.diagram.shapes import Example
from interp.tasks import Task


def example_of(model: HookedGPT2, task: Task, prompt: int = 0) -> Example:
    """A prompt in pieces, each with its role, for `circuit_svg`.

    Args:
        model: for its tokenizer.
        task: prompts with roles.
        prompt: which of them, by its clean text.

    Returns:
        (text, role) pairs; tokens between the roles are joined. Where roles share a token, the last
        of them has it.

    Raises:
        IndexError: there is no such prompt.
    """
    one = task[prompt].right_padded()
    role_at = {int(at): role for role, at in one.positions.items()}
    pieces: list[tuple[str, str]] = []
    for i, token in enumerate(one.clean_tokens[0][one.attention_mask[0]].tolist()):
        text, role = str(model.to_string(token)).strip(), role_at.get(i, "")
        if pieces and not role and not pieces[-1][1]:
            pieces[-1] = (f"{pieces[-1][0]} {text}", "")
        else:
            pieces.append((text, role))
    return tuple(pieces)
