"""Reading the residual stream: what each component writes toward the answer."""

from interp.lens.attribution import head_attribution

__all__ = ["head_attribution"]
