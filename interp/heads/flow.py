"""Attention through all layers: which input tokens a later position can draw on.

In a late layer, attention goes to positions whose content is already a mixture. With A_l the
attention of layer l, averaged over heads, and half of each position's stream taken to stay in
place,

    M_l = (A_l + I) / 2
    rollout_l = M_l ... M_1 M_0
    flow_l(q, k) = maximum flow from q, above layer l, to k, below layer 0, where the edge from i
                   above a layer m to j below it carries at most M_m[i, j]

Rollout multiplies along each path and sums over paths, so each row sums to 1. Flow asks how much
fits through the narrowest places; each pair is solved separately, and rows do not sum to any
particular number. Both see attention only, not what values contain nor what MLPs and layer norms
do.

The flow network is a stack of layers, so all keys of a query are solved at once by pushing excess
down (Goldberg and Tarjan's preflow) along exact distances to the key, layer by layer; excess that
cannot move on is pushed back up and around.

Source: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers" (arXiv 2005.00928),
section 3.1 (rollout) and 3.2 (flow); Goldberg and Tarjan 1988 for the preflow.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.parts import require_once
from interp.runs.arguments import items, whole
from interp.runs.sides import Progress

_NOTHING = 1e-12
"""Capacities and excesses below this are rounding errors."""


def attention_rollout(patterns: xr.DataArray) -> xr.DataArray:
    """The share of each input token in each position after each layer, by products of attention.

    Args:
        patterns: what `attention_patterns` returns for one text, dims layer, head, query, key, or
            its mean over heads, dims layer, query, key; every layer, starting with the first

    Returns:
        Fractions, dims layer, query, key; each row sums to 1. Entry l of `layer` is after layer l.

    Raises:
        ValueError: the dims are others, the layers do not start at the first or skip one, queries
            and keys are not the same positions, or attention is not finite

    Source: Abnar and Zuidema 2020, section 3.1.
    """
    mixing = _mixing(patterns)
    reached = [mixing[0]]
    for matrix in mixing[1:]:
        reached.append(matrix @ reached[-1])
    return _result(patterns, np.stack(reached), "rollout", "Attention rollout")


def attention_flow(
    patterns: xr.DataArray,
    *,
    layers: Sequence[int] | None = None,
    queries: Sequence[int] | None = None,
    progress: Progress = iter,
) -> xr.DataArray:
    """The maximum flow from each position after each layer to each input token.

    Args:
        patterns: attention of one text, as `attention_rollout` takes it
        layers: layers after which to start; negative ones count from the end; by default all
        queries: positions from which to start, counted in the same way; by default all. Each pair
            of layer and query costs one maximum flow per key.
        progress: wraps the pairs, for a progress bar

    Returns:
        Fractions from 0 to 1, dims layer, query, key; 0 where the key comes after the query.

    Raises:
        ValueError: as for `attention_rollout`; or a layer or query does not exist or is given
            twice, a list is empty, or there is attention to later positions
        TypeError: `layers` or `queries` is not a list of integers

    Source: Abnar and Zuidema 2020, section 3.2.
    """
    mixing = _mixing(patterns)
    if np.triu(mixing, 1).any():
        raise ValueError("flow expects causal attention: zeros where the key comes after the query")
    depth, length, _ = mixing.shape
    rows, columns = (
        _chosen(layers, depth, "layers", "layer"),
        _chosen(queries, length, "queries", "query"),
    )
    values = np.zeros((len(rows), len(columns), length))
    for row, column in progress([*product(range(len(rows)), range(len(columns)))]):
        layer, query = rows[row], columns[column]
        below = mixing[: layer + 1, : query + 1, : query + 1]
        values[row, column, : query + 1] = _flows(below)
    chosen = patterns.isel(layer=rows, query=columns)
    return _result(chosen, values, "flow", "Attention flow")


def _chosen(given: Sequence[int] | None, size: int, what: str, one: str) -> list[int]:
    """Turn indices, some of them negative, into indices from 0."""
    if given is None:
        return list(range(size))
    indices = [whole(i, f"an index in {what}") for i in items(given, what, "[-1]")]
    wrong = [i for i in indices if not -size <= i < size]
    if wrong:
        raise ValueError(f"expected {what} from 0 to {size - 1}, got {wrong}")
    indices = [i % size for i in indices]
    require_once(indices, one)
    return indices


def _mixing(patterns: xr.DataArray) -> Float[np.ndarray, "layer query key"]:
    """Mean attention over heads, half of it replaced by the residual connection."""
    dims = {"layer", "query", "key"}
    if not dims <= set(patterns.dims) <= dims | {"head"}:
        raise ValueError(
            f"expected the dims layer, head, query, key, got {patterns.dims}; attention_patterns "
            "returns such an array for one text; of several texts, select one with "
            "patterns.isel(prompt=0)"
        )
    if "layer" in patterns.coords:
        layers = patterns["layer"].values.tolist()
        if layers != list(range(len(layers))):
            raise ValueError(
                "what a position draws on depends on every layer below: expected all layers from "
                f"0 on, in order; got {layers}"
            )
    if not np.array_equal(patterns["query"], patterns["key"]):
        raise ValueError("expected all positions of a prompt, both as queries and as keys")
    if "head" in patterns.dims:
        patterns = patterns.mean("head")
    attention = patterns.transpose("layer", "query", "key").values.astype(float)
    if not np.isfinite(attention).all():
        raise ValueError(
            "the attention holds NaN or infinity; of a shorter prompt among several, leave out the "
            "positions beyond its end"
        )
    return (attention + np.eye(attention.shape[-1])) / 2


def _flows(capacity: Float[np.ndarray, "layer pos pos"]) -> Float[np.ndarray, " pos"]:
    """Maximum flow from the last position at the top to every position at the bottom.

    Level l + 1 is above layer l; entry [key, l, i, j] is the edge from i above to j below it.
    """
    n_layers, n, _ = capacity.shape
    open_down = np.repeat(capacity[None], n, 0)  # key layer above below
    open_down[:, -1, :-1] = 0  # nothing else starts at the top
    open_down[:, 0] *= np.eye(n)[:, None]  # nothing ends anywhere but in the key
    open_up = np.zeros_like(open_down)  # flow that can be taken back
    excess = np.zeros((n, n_layers + 1, n))  # key level pos
    excess[:, -1, -1] = open_down[:, -1, -1].sum(-1)
    keys, flows = np.arange(n), np.zeros(n)
    while True:
        distance = _distances(open_down, open_up, keys)
        flows[keys] = excess[np.arange(len(keys)), 0, keys]
        moving = (excess[:, 1:] > _NOTHING) & np.isfinite(distance[:, 1:])  # key level pos
        alive = moving.any((1, 2))
        if not alive.any():
            return flows
        if not alive.all():
            keys, distance = keys[alive], distance[alive]
            open_down, open_up, excess = open_down[alive], open_up[alive], excess[alive]
        for layer in reversed(range(n_layers)):
            _push(open_down, open_up, excess, distance, layer, layer + 1, layer)
        up, down = open_up.swapaxes(-1, -2), open_down.swapaxes(-1, -2)
        for layer in range(1, n_layers):
            _push(up, down, excess, distance, layer, layer, layer + 1)


def _distances(
    open_down: np.ndarray, open_up: np.ndarray, keys: np.ndarray
) -> Float[np.ndarray, "key level pos"]:
    """Length of the shortest path to the key with remaining capacity; infinite if there is none."""
    n_layers, n = open_down.shape[1:3]
    distance = np.full((len(keys), n_layers + 1, n), np.inf)
    distance[np.arange(len(keys)), 0, keys] = 0
    down = np.where(open_down > _NOTHING, 1, np.inf)  # length of an edge
    up = np.where(open_up > _NOTHING, 1, np.inf)
    while True:
        before = distance.copy()
        for layer in range(n_layers):
            way = (down[:, layer] + distance[:, layer, None, :]).min(-1)
            distance[:, layer + 1] = np.minimum(distance[:, layer + 1], way)
        for layer in reversed(range(1, n_layers)):
            way = (up[:, layer] + distance[:, layer + 1, :, None]).min(-2)
            distance[:, layer] = np.minimum(distance[:, layer], way)
        if np.array_equal(before, distance):
            return distance


def _push(
    room: np.ndarray,
    back: np.ndarray,
    excess: np.ndarray,
    distance: np.ndarray,
    layer: int,
    start: int,
    end: int,
) -> None:
    """Push the excess of one level to the next, in place, along edges that bring it nearer."""
    nearer = distance[:, start, :, None] == distance[:, end, None, :] + 1  # inf is not inf + 1 ...
    nearer &= np.isfinite(distance[:, start, :, None])  # ... but numpy says so
    width = np.where(nearer, room[:, layer], 0)  # key from to
    earlier = width.cumsum(-1) - width
    pushed = np.clip(excess[:, start, :, None] - earlier, 0, width)
    room[:, layer] -= pushed
    back[:, layer] += pushed
    excess[:, start] -= pushed.sum(-1)
    excess[:, end] += pushed.sum(-2)


def _result(patterns: xr.DataArray, values: np.ndarray, name: str, title: str) -> xr.DataArray:
    """The values, with the positions, tokens and attrs of the patterns."""
    dims = ("layer", "query", "key")
    coords = {key: coord for key, coord in patterns.coords.items() if set(coord.dims) <= set(dims)}
    return xr.DataArray(
        values,
        coords,
        dims,
        name,
        patterns.attrs | {"title": title, "unit": "fraction", "technique": f"attention_{name}"},
    )
