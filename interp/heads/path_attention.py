"""What heads tell other heads to look at: attention with queries along patched paths.

The senders' outputs at END are those of the corrupted run, all other heads write what they write in
the clean run, MLPs and layer norms are recomputed; the receivers' queries that come of it meet the
clean keys:

    attention'   softmax(q' k / sqrt(d_head))   at END.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.2 (what S-inhibition heads do to the name
movers' attention); path patching as in `interp.patching.path`.
"""

import math
from collections.abc import Sequence

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching import Ablation, Progress
from interp.results import labelled
from interp.runs.sides import at, batches, run_side
from interp.tasks import Task

_Head = tuple[int, int]


@torch.inference_mode()
def path_attention(
    model: HookedGPT2,
    task: Task,
    senders: Sequence[_Head],
    receivers: Sequence[_Head],
    *,
    keys: Sequence[str] | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Attention from END of some heads, before and after the paths from others are patched.

    Args:
        model: the model.
        task: clean prompts with corrupted partners at the same positions.
        senders: (layer, head) pairs whose paths are patched, all at once.
        receivers: (layer, head) pairs whose queries they lead into.
        keys: roles that are looked at; by default all.
        progress: wraps the batches, for a progress bar.

    Returns:
        `clean` and `patched`, dims head (label), key, prompt, as a probability.

    Raises:
        ValueError: for no receivers, a head or role that there is not, or prompts whose END is
            elsewhere in their partners.
    """
    task = task.right_padded().to(model.device)
    keys = list(keys or task.positions)
    unknown = [role for role in keys if role not in task.positions]
    if unknown or not receivers:
        what = f"the task has no role {unknown[0]!r}" if unknown else "there are no receivers"
        raise ValueError(f"{what}; roles are {list(task.positions)}")
    Ablation(heads=[*senders, *receivers]).check(model, task)
    if not torch.equal(task.positions["END"], task.roles("corrupted")["END"]):
        raise ValueError("the prompts and their partners must end at the same position")
    into = sorted({layer for layer, _ in receivers})
    before = range(into[-1])
    parts: dict[str, list[Tensor]] = {"clean": [], "patched": []}
    for rows in batches(task, progress):
        length = int(task.positions["END"][rows].max()) + 1
        end = task.positions["END"][rows]
        wanted = [("z", i) for i in before] + [(s, i) for i in into for s in ("q", "k")]
        _, kept = run_side(model, task, rows, "clean", wanted, length=length)
        sent = [("z", i) for i in sorted({i for i, _ in senders}) if i in before]
        _, new = run_side(model, task, rows, "corrupted", sent, length=length)
        frozen = {i: kept["z", i].clone() for i in before}
        prompt = torch.arange(len(end), device=end.device)
        for layer, head in senders:
            if layer in before:
                frozen[layer][prompt, end, head] = new["z", layer][prompt, end, head]
        hooks = [
            (f"blocks.{i}.attn.hook_z", lambda z, hook, new=new: new) for i, new in frozen.items()
        ]
        queries = [("q", i) for i in into]
        _, got = run_side(model, task, rows, "clean", queries, length=length, hooks=hooks)
        where = torch.stack([task.positions[role][rows] for role in keys])  # key prompt
        for name, source in (("clean", kept), ("patched", got)):
            looks = [
                _pattern(at(source["q", i], end)[:, h], kept["k", i][:, :, h], end)
                for i, h in receivers
            ]
            parts[name].append(torch.stack([one[prompt, where] for one in looks]))
    titles = {"clean": "Attention from END", "patched": "The same, paths from the senders patched"}
    return xr.Dataset(
        {
            name: labelled(
                torch.cat(found, -1),
                ("head", "key", "prompt"),
                name=name,
                title=titles[name],
                unit="probability",
                model=model,
                task=task,
                coords={"head": [f"{i}.{h}" for i, h in receivers], "key": keys},
            )
            for name, found in parts.items()
        }
    )


def _pattern(
    q: Float[Tensor, "b d_head"], k: Float[Tensor, "b pos d_head"], end: Tensor
) -> Float[Tensor, "b pos"]:
    """Attention of one query at END."""
    scores = (k @ q[:, :, None])[..., 0] / math.sqrt(q.shape[-1])
    later = torch.arange(k.shape[1], device=end.device) > end[:, None]
    return scores.masked_fill(later, -math.inf).softmax(-1)
