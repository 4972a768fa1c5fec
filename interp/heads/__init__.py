"""What single heads do, and what their weights say: attention, copying, OV / QK, composition."""

from interp.heads.attention import attention_between
from interp.heads.composition import (
    composition_pairs,
    composition_scores,
    random_composition,
    strongest_senders,
)
from interp.heads.copying import copy_scores, eigenvalue_scores, ov_ranks
from interp.heads.flow import attention_flow, attention_rollout
from interp.heads.patterns import attention_patterns, sharpest_heads, value_weighted
from interp.heads.positions import position_similarity, position_spectrum
from interp.heads.products import ov_directions, ov_matrices, qk_directions, qk_matrices
from interp.heads.projection import attention_projection, correlation, next_token_projection
from interp.heads.scores import attention_scores, repeated_random_tokens
from interp.heads.table import head_table, ranked

__all__ = [
    "attention_between",
    "attention_flow",
    "attention_patterns",
    "attention_projection",
    "attention_rollout",
    "attention_scores",
    "composition_pairs",
    "composition_scores",
    "copy_scores",
    "correlation",
    "eigenvalue_scores",
    "head_table",
    "next_token_projection",
    "ov_directions",
    "ov_matrices",
    "ov_ranks",
    "position_similarity",
    "position_spectrum",
    "qk_directions",
    "qk_matrices",
    "random_composition",
    "ranked",
    "repeated_random_tokens",
    "sharpest_heads",
    "strongest_senders",
    "value_weighted",
]
