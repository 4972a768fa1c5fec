"""The sentence of a circuit diagram, taken from a prompt of the task."""

from itertools import groupby

from interp.model import HookedGPT2
from interp.plots.diagram.shapes import Example
from interp.tasks import Task


def example_of(model: HookedGPT2, task: Task, *, prompt: int = 0) -> Example:
    """A prompt in pieces, each with its role, as the diagrams take it.

    Args:
        model: the model, whose tokenizer writes the text.
        task: prompts with roles.
        prompt: which of them, by its clean text.

    Returns:
        (text, role) of each piece; tokens between the roles are joined, and their role is "". A
        token with several roles goes by END, or else by the last of them.

    Raises:
        IndexError: the task has no such prompt.
    """
    one = task[prompt].right_padded()
    ids = one.clean_tokens[0][one.attention_mask[0]].tolist()
    role_at = {int(one.positions[role]): role for role in (*one.positions, "END")}
    key = [(role_at.get(i, ""), i if i in role_at else -1) for i in range(len(ids))]
    pieces = groupby(zip(key, ids, strict=True), lambda pair: pair[0])
    return tuple(
        (model.to_string([token for _, token in piece]).strip(), role)
        for (role, _), piece in pieces
    )
