"""Reading the residual stream: what it predicts at each layer, and which parts wrote the answer."""

from interp.lens.attribution import cumulative, direct_logit_attribution
from interp.lens.logit_lens import logit_lens
from interp.lens.tuned import TunedLens
from interp.lens.tuning import compare_lenses, text_batches, tune

__all__ = [
    "TunedLens",
    "compare_lenses",
    "cumulative",
    "direct_logit_attribution",
    "logit_lens",
    "text_batches",
    "tune",
]
