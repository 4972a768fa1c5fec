"""The sentence under a circuit diagram, taken from a task."""

from transformers import PreTrainedTokenizerBase

from interp.plots.diagram.shapes import Example
from interp.tasks import Task


def example_of(task: Task, tokenizer: PreTrainedTokenizerBase, *, prompt: int = 0) -> Example:
    """A prompt in pieces with the roles of the task, as the diagrams take it.

    Tokens without a role are joined to one piece. A token with two roles goes by END, or else by
    the first of them.

    Args:
        task: The task.
        tokenizer: That of its tokens.
        prompt: Which prompt.

    Returns:
        (text, role) of each piece; the role is "" between the roles.

    Raises:
        IndexError: The task has no such prompt.
    """
    one = task[prompt].right_padded()
    ids = one.clean_tokens[0][one.attention_mask[0]].tolist()
    role_at: dict[int, str] = {}
    for role in ("END", *one.positions):
        role_at.setdefault(int(one.positions[role]), role)
    pieces: list[tuple[str, str]] = []
    for place, token in enumerate(ids):
        text, role = str(tokenizer.decode([token])), role_at.get(place, "")
        if not role and pieces and not pieces[-1][1]:
            pieces[-1] = (pieces[-1][0] + text, "")
        else:
            pieces.append((text, role))
    return tuple((text.strip(), role) for text, role in pieces)
