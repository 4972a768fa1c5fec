"""Tuned lens: an affine translator for each layer, after which its stream reads like the last one.

    lens_l(x) = logits(x + x A_l + b_l)    for the stream x before layer l,

where A_l and b_l start at zero, so training starts from the logit lens; see `interp.lens.tuning`.

Source: Belrose et al. 2023, "Eliciting Latent Predictions from Transformers with the Tuned Lens"
(arXiv 2303.08112), section 3; the residual form is that of the authors' code.
"""

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from interp.model import HookedGPT2


@dataclass(frozen=True, eq=False)
class TunedLens:
    """One translator for the stream before each layer; the last stream needs none.

    Args:
        weight: the matrices A; x A is added to x
        bias: the vectors b, added too
        metadata: where the lens comes from: `model` (a name), `unembedding` (a fingerprint of the
            unembedding matrix that it was trained for), and how it was trained

    Example:
        >>> import interp
        >>> lens = TunedLens.identity(interp.load("mini"))
        >>> tuple(lens.weight.shape)
        (5, 128, 128)
    """

    weight: Float[Tensor, "layer d_model d_model"]
    bias: Float[Tensor, "layer d_model"]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def identity(cls, model: HookedGPT2) -> "TunedLens":
        """The logit lens as a tuned lens: translators that change nothing."""
        c = model.config
        # Training accumulates small steps, for which half precision is too coarse.
        kind = {"device": model.device, "dtype": torch.promote_types(model.dtype, torch.float32)}
        return cls(
            torch.zeros(c.n_layers, c.d_model, c.d_model, **kind),
            torch.zeros(c.n_layers, c.d_model, **kind),
            {"model": model.name, "unembedding": fingerprint(model)},
        )

    def __call__(self, x: Float[Tensor, "... d_model"], layer: int) -> Float[Tensor, "... d_model"]:
        """Translate the stream before a layer.

        Args:
            x: the stream
            layer: the layer that the stream comes before; n_layers for the last stream, which is
                returned unchanged

        Returns:
            The stream, to be read like the last one.
        """
        if layer == len(self.weight):
            return x
        return translated(x, self.weight[layer], self.bias[layer])

    def to(self, device: str | torch.device) -> "TunedLens":
        """Move the lens to a device.

        Args:
            device: the device, such as "cuda" or `model.device`

        Returns:
            The lens there.
        """
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device))

    def require(self, model: HookedGPT2) -> None:
        """Refuse a model that the lens does not belong to.

        Args:
            model: the model

        Raises:
            ValueError: the lens has other sizes, was trained for other weights, or is not finite
        """
        c = model.config
        if tuple(self.weight.shape) != (c.n_layers, c.d_model, c.d_model):
            raise ValueError(
                f"the tuned lens has {self.weight.shape[0]} translators of {self.weight.shape[-1]} "
                f"dimensions; {model.name} has {c.n_layers} layers of {c.d_model}"
            )
        if not all(bool(part.isfinite().all()) for part in (self.weight, self.bias)):
            raise ValueError(
                "the tuned lens holds NaN or infinity; train it again, with a lower "
                "learning rate if it diverged"
            )
        trained_for = self.metadata.get("unembedding")
        if trained_for is not None and trained_for != fingerprint(model):
            raise ValueError(
                f"the tuned lens was trained for other weights (of {self.metadata.get('model')!r}) "
                f"than those of {model.name!r}; train one for this model with interp.lens.tune"
            )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the lens to a safetensors file, with the metadata in its header.

        Args:
            path: the file

        Raises:
            OSError: it cannot be written
        """
        tensors = {name: getattr(self, name).cpu().contiguous() for name in ("weight", "bias")}
        try:
            save_file(tensors, Path(path), metadata={"format": "pt", **self.metadata})
        except SafetensorError as error:
            raise OSError(f"could not write the tuned lens to {path}: {error}") from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "TunedLens":
        """Read a lens from a file.

        Args:
            path: a file written by `save`, or a directory in the format of the authors'
                `tuned-lens` package (config.json, and params.pt, from which only tensors are read)

        Returns:
            The lens, on the CPU. A published lens does not record its weights in a form that can be
            checked here; use it with the unprocessed model that it names.

        Raises:
            FileNotFoundError: there is no such file or directory
            ValueError: the file holds something else
        """
        path = Path(path)
        if path.is_dir():
            return cls(*_published(path))
        if not path.exists():
            raise FileNotFoundError(f"there is no tuned lens at {path}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = {k: v for k, v in (file.metadata() or {}).items() if k != "format"}
                return cls(file.get_tensor("weight"), file.get_tensor("bias"), metadata)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a tuned lens as TunedLens.save writes it") from error


def translated(
    x: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "d_model d_model"],
    bias: Float[Tensor, " d_model"],
) -> Float[Tensor, "... d_model"]:
    """The stream x + x A + b."""
    return x + x @ weight.to(x.dtype) + bias.to(x.dtype)


def fingerprint(model: HookedGPT2) -> str:
    """Fingerprint the unembedding matrix that a lens is trained for.

    Args:
        model: the model

    Returns:
        The SHA-256 of the matrix in float32, in hexadecimal.
    """
    weight = model.unembed.weight.detach().float().cpu().contiguous()
    return hashlib.sha256(memoryview(weight.numpy()).cast("B")).hexdigest()


def _published(directory: Path) -> tuple[Tensor, Tensor, dict[str, str]]:
    """Read a lens of the package `tuned-lens`: a state dict with one torch Linear per layer."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        n_layers, d_model = int(config["num_hidden_layers"]), int(config["d_model"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{directory / 'config.json'} does not belong to a lens: it must be JSON with "
            "num_hidden_layers and d_model"
        ) from error
    try:
        state = torch.load(directory / "params.pt", map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{directory / 'params.pt'} holds more than tensors and is not opened: a pickle of "
            "anything else can run any code"
        ) from error
    bias = {f"{i}.bias": (d_model,) for i in range(n_layers)} if config.get("bias", True) else {}
    expected = bias | {f"{i}.weight": (d_model, d_model) for i in range(n_layers)}
    found = {}
    if isinstance(state, dict):
        found = {name: tuple(x.shape) for name, x in state.items() if isinstance(x, Tensor)}
    if found != expected:
        raise ValueError(
            f"{directory} does not hold the {n_layers} translators of {d_model} dimensions that "
            f"its config.json names; it has {sorted(found)[:4]} ..."
        )
    weight = torch.stack([state[f"{i}.weight"].T for i in range(n_layers)]).float()
    zero = torch.zeros(d_model)
    biases = torch.stack([state.get(f"{i}.bias", zero) for i in range(n_layers)]).float()
    return weight, biases, {"model": str(config.get("base_model_name_or_path", ""))}
