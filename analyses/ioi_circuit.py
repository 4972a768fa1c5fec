"""Where the circuit of the IOI analysis comes from, if none is given."""

import xarray as xr

import interp
from analyses.ioi_parts.store import Shelf
from analyses.shell import bar
from interp.circuits import Circuit, classify, prune_heads, published
from interp.tasks import Task


def find_circuit(
    model: interp.HookedGPT2,
    task: Task,
    behavior: xr.Dataset,
    heads: xr.Dataset,
    threshold: float,
) -> Circuit:
    """The paper's circuit for its model; for any other the heads whose effects are large.

    Args:
        model: the model.
        task: IOI prompts with ABC partners.
        behavior: with `logit_diff` of the whole model.
        heads: with `direct` effects and `attention` between roles.
        threshold: smallest effect of a head, as a fraction of the mean logit difference.

    Returns:
        The circuit.
    """
    if model.name == "gpt2":
        return published("ioi", "gpt2")
    keep = prune_heads(model, task, threshold=threshold, progress=bar("circuit"))
    return classify(
        keep,
        heads.direct,
        heads.attention,
        smallest=threshold * abs(float(behavior["logit_diff"].mean())),
        source=f"pruned from the last layer to the first, threshold {threshold:.1%} of F(M)",
    )


def kept_circuit(
    shelf: Shelf,
    model: interp.HookedGPT2,
    task: Task,
    behavior: xr.Dataset,
    heads: xr.Dataset,
    threshold: float,
) -> Circuit:
    """The same, or the circuit that an earlier run of the same kind found.

    Args:
        shelf: of the run.
        model: as in `find_circuit`, and all after it.
        task: the prompts.
        behavior: of the whole model.
        heads: direct effects and attention.
        threshold: smallest effect.

    Returns:
        The circuit.
    """

    def find() -> dict[str, xr.Dataset]:
        circuit = find_circuit(model, task, behavior, heads, threshold)
        return {"circuit": xr.Dataset(attrs={"json": circuit.to_json()})}

    return Circuit.from_json(shelf("circuit", find, 1, threshold)["circuit"].attrs["json"])
