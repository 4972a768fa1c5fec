"""A first circuit for any model: the head outputs whose ablation matters, classed by attention.

An output is one head at one role's position. All outputs elsewhere are mean-ablated from the start.
Then, from the last layer to the first, each output is ablated in turn, on top of those that are
gone already; if the mean logit difference changes by less than `threshold` of the whole model's,
it stays ablated, else it belongs to the circuit. So what a head does through heads that step in for
each other counts as soon as the others are gone, which one ablation at a time would miss.

The class of a head follows from its direct effect on the logits and from where it looks:

    END    direct effect above the threshold: name mover (the answer loses without it) or
           negative name mover (gains); otherwise S-inhibition if it looks at S2 or S1 most
    S2     duplicate token if it looks at S1 most, induction if at S1+1 most
    S1+1   previous token if it looks at S1 most; likewise IO+1 and IO
    S2+1, S2+2   name mover if it looks at IO or IO+1 most, S-inhibition if at S2 or S1
    else   other

"Looks at most" means: more than at any other role, and with at least `min_attention` on average.

Source: pruning from the output to the input with a threshold as in Conmy et al. 2023 (ACDC,
arXiv 2304.14997), here on heads at positions, not on edges; mean ablation, classes and their
attention are those of Wang et al. 2022 (arXiv 2211.00593), sections 2 and 3.
"""

import torch
import xarray as xr

from interp.circuits.circuit import Circuit, CircuitHead
from interp.model import HookedGPT2
from interp.patching import Ablation, Keep, Progress, kept_outputs
from interp.patching.readout import logit_diff_of
from interp.patching.runs import at, batches
from interp.tasks import Task

_CLASS_BY_ATTENTION = {
    **{(step, key): "S-inhibition" for step in ("S2+1", "S2+2", "END") for key in ("S1", "S2")},
    **{(step, key): "name mover" for step in ("S2+1", "S2+2") for key in ("IO", "IO+1")},
    ("S2", "S1"): "duplicate token",
    ("S2", "S1+1"): "induction",
    ("S1+1", "S1"): "previous token",
    ("IO+1", "IO"): "previous token",
}


@torch.inference_mode()
def prune_heads(
    model: HookedGPT2, task: Task, *, threshold: float = 0.02, progress: Progress = iter
) -> list[Keep]:
    """The head outputs that the task needs, found by ablating from the last layer to the first.

    Args:
        model: the model.
        task: clean prompts, whose corrupted partners give the means.
        threshold: smallest change of the mean logit difference that keeps an output, as a fraction
            of the whole model's.
        progress: wraps the heads, for a progress bar.

    Returns:
        (layer, head, role) of each output in the circuit, by layer.

    Raises:
        ValueError: for a threshold that is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be a positive fraction, got {threshold}")
    n_layers, n_heads, roles = model.config.n_layers, model.config.n_heads, list(task.positions)
    keep = [(i, h, role) for i in range(n_layers) for h in range(n_heads) for role in roles]
    task = task.right_padded().to(model.device)
    ablated = Ablation(heads="all", keep=keep, value="group mean").prepare(model, task)

    def leave(layer: int, some: list[Keep]) -> None:
        """Ablate a layer's outputs but for some."""
        ablated.masks["z", layer].copy_(~kept_outputs(model, task, some)[layer])

    def run(starts: list[torch.Tensor], layer: int) -> float:
        """Mean logit difference of the ablated model, resumed at a layer."""
        values = []
        for rows, resid in zip(batches(task), starts, strict=True):
            with model.hooks(fwd_hooks=list(ablated.hooks(rows))):
                out = model(resid, start_at_layer=layer, stop_at_layer=n_layers)
            last = at(out, task.positions["END"][rows])
            values.append(logit_diff_of(model, last, task.answer[rows], task.foil[rows]))
        return float(torch.cat(values).mean())

    def streams(layer: int) -> list[torch.Tensor]:
        """The residual stream before a layer, one tensor a batch, the ablations before it done."""
        found = []
        for rows in batches(task):
            with model.hooks(fwd_hooks=list(ablated.hooks(rows))):
                found.append(model(task.clean_tokens[rows], stop_at_layer=layer))
        return found

    whole = streams(0)
    for layer in range(n_layers):
        ablated.masks["z", layer].fill_(False)
    smallest = threshold * abs(run(whole, 0))
    for layer in range(n_layers):
        leave(layer, keep)
    starts, at_layer, current = whole, 0, run(whole, 0)
    for layer, head in progress(
        [(i, h) for i in reversed(range(n_layers)) for h in range(n_heads)]
    ):
        if layer != at_layer:  # what lies before the layer stays as it is while it is pruned
            starts, at_layer = streams(layer), layer
        for drop in [roles, *([role] for role in roles)]:  # the whole head, else role by role
            trial = [entry for entry in keep if entry[:2] != (layer, head) or entry[2] not in drop]
            leave(layer, trial)
            value = run(starts, layer)
            if abs(value - current) < smallest:
                keep, current = trial, value
                if drop is roles:
                    break
        leave(layer, keep)
    return keep


def classify(
    keep: list[Keep],
    direct: xr.DataArray,
    attention: xr.DataArray,
    *,
    smallest: float,
    min_attention: float = 0.2,
    source: str = "",
) -> Circuit:
    """A circuit of the given head outputs, each head classed by its effect and its attention.

    Args:
        keep: (layer, head, role) of each head.
        direct: of `direct_effect`: dims layer, head, prompt, in logits.
        attention: of `attention_between`: dims layer, head, query, key, prompt, as a probability.
        smallest: smallest direct effect that makes a mover, in logits.
        min_attention: smallest mean attention that decides a class, as a probability.
        source: how the heads were found, for whoever reads the circuit.

    Returns:
        The circuit; a head at several positions is there once for each.
    """
    straight, looks = direct.mean("prompt"), attention.mean("prompt")
    heads = []
    for layer, head, role in keep:
        effect = float(straight.sel(layer=layer, head=head))
        if role == "END" and abs(effect) >= smallest:
            kind = "name mover" if effect < 0 else "negative name mover"
        else:
            here = looks.sel(layer=layer, head=head, query=role)
            kind = _class_of(role, here, min_attention)
        heads.append(CircuitHead(layer, head, kind, role))
    return Circuit(direct.attrs["model"], tuple(heads), source)


def _class_of(position: str, attention: xr.DataArray, min_attention: float) -> str:
    target = str(attention["key"][int(attention.values.argmax())].item())
    if float(attention.max()) < min_attention:
        return "other"
    return _CLASS_BY_ATTENTION.get((position, target), "other")
