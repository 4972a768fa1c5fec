"""The position embedding: which positions are alike, and which waves it is made of.

Every result has two parts: the table that the model `learned`, and the fixed `sinusoidal` table of
the same shape that the first transformer used instead,

    P[pos, 2i] = sin(pos / 10000^(2i / d_model)),   P[pos, 2i + 1] = cos(the same)

The spectrum comes from the discrete Fourier transform along positions, after subtracting the mean
of each dimension: the power of all dimensions at a frequency, as a fraction of the total power.

Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.5.
"""

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.heads.products import Weights, weights_of
from interp.results import labeled
from interp.runs.question import question


def sinusoidal(n_ctx: int, d_model: int) -> Float[Tensor, "n_ctx d_model"]:
    """The position embedding of Vaswani et al. 2017: alternating sines and cosines.

    Args:
        n_ctx: number of positions
        d_model: width, an even number

    Returns:
        The table, with values from -1 to 1.

    Raises:
        ValueError: the width is odd

    Example:
        >>> sinusoidal(2, 2)
        tensor([[0.0000, 1.0000],
                [0.8415, 0.5403]])
    """
    if d_model % 2:
        raise ValueError(f"d_model must be even, a sine and a cosine each; got {d_model}")
    rates = 10000 ** -(torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(n_ctx)[:, None] * rates  # pos d/2
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)  # pos d


@torch.inference_mode()
def position_similarity(model: Weights) -> xr.Dataset:
    """The cosine between the embeddings of every two positions.

    Args:
        model: a model, or the weights of `interp.load_attention`

    Returns:
        `learned` and `sinusoidal`, dims pos, other, from -1 to 1.
    """

    def cosines(table: Tensor) -> Tensor:
        unit = table / table.norm(dim=-1, keepdim=True)
        return unit @ unit.T

    tables = _tables(model)
    return xr.Dataset(
        {
            name: labeled(
                cosines(table),
                ("pos", "other"),
                name=name,
                title=f"Similarity of positions, {name}",
                unit="cosine",
                model=model,
                question=question("position_similarity"),
            )
            for name, table in tables.items()
        }
    )


@torch.inference_mode()
def position_spectrum(model: Weights) -> xr.Dataset:
    """The frequencies that the position embedding is made of.

    Args:
        model: a model, or the weights of `interp.load_attention`

    Returns:
        `learned` and `sinusoidal`, fractions of the power that sum to 1; dim frequency, in whole
        cycles over the table from 1 to n_ctx / 2, with the coordinate `period` in tokens.
    """
    found = {}
    for name, table in _tables(model).items():
        waves = torch.fft.rfft(table - table.mean(0), dim=0)[1:]  # frequency d
        power = waves.abs().pow(2).sum(-1)
        if len(table) % 2 == 0:
            power[-1] /= 2  # every other frequency stands for two terms of the transform
        frequency = range(1, len(power) + 1)
        found[name] = labeled(
            power / power.sum(),
            ("frequency",),
            name=name,
            title="Waves in the position embedding",
            unit="fraction",
            model=model,
            question=question("position_spectrum"),
            coords={
                "frequency": list(frequency),
                "period": ("frequency", [len(table) / f for f in frequency]),
            },
        )
    return xr.Dataset(found)


def _tables(model: Weights) -> dict[str, Float[Tensor, "n_ctx d_model"]]:
    W_pos = weights_of(model, fold_layer_norm=False).W_pos
    return {"learned": W_pos, "sinusoidal": sinusoidal(*W_pos.shape).to(W_pos)}
