"""The reference sample without each of its parts in turn, for the noise that it contributes."""

from interp.runs.stand_ins import Reference, Value, reference_task
from interp.tasks import Task
from interp.tasks.sampler import without_blocks


def require_blocks(blocks: int) -> None:
    """Refuse a number of parts that a jackknife cannot use.

    Args:
        blocks: the number of parts

    Raises:
        ValueError: it is negative, 1 or not an integer
    """
    if type(blocks) is not int or blocks < 0 or blocks == 1:
        raise ValueError(f"blocks must be 0 or a whole number from 2 up; it is {blocks!r}")


def reference_blocks(
    task: Task, value: Value, reference: Reference, blocks: int
) -> tuple[Task, ...]:
    """The reference without each of its parts in turn.

    Args:
        task: the prompts that are run
        value: the kind of stand-in
        reference: as in `Ablation`
        blocks: number of parts

    Returns:
        As many references; none if nothing is averaged, or if a group would be left without
        prompts.
    """
    if not blocks or value not in ("mean", "group mean"):
        return ()
    source = reference_task(task, value, reference)
    found = without_blocks(task if source is None else source, blocks)
    wanted = set(task.group) if value == "group mean" else set()
    if len(found) < 2 or any(wanted - set(some.group) for some in found):
        return ()
    return found
