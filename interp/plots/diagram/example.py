"""The sentence of a circuit diagram, from a prompt of the task."""

from itertools import groupby

from interp.model import HookedGPT2
from interp.plots.diagram.shapes import Example
from interp.tasks import Task


def example_of(model: HookedGPT2, task: Task, *, prompt: int = 0) -> Example:
    """Cut a prompt into pieces, each with its role, for circuit diagrams.

    Args:
        model: the model, whose tokenizer writes the text
        task: prompts with roles
        prompt: index of the prompt whose clean text to use

    Returns:
        (text, role) of each piece; tokens between roles are joined, and their role is "". A token
        with several roles gets END, or else the last of them.

    Raises:
        IndexError: the task has no such prompt
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
