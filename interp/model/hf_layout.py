"""GPT-2 as Hugging Face stores it: the fields of config.json, and the names of the tensors.

Our parameters have the same memory layout as Hugging Face's; only the names differ, and the view of
`W_O` as [n_heads d_head d_model]. One table of names serves both loading and saving.

Source: transformers `models/gpt2/configuration_gpt2.py` and `modeling_gpt2.py`.
"""

from collections.abc import Mapping
from typing import Any

from interp.model.config import ACTIVATIONS, GPT2Config

WEIGHTS = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)

# Switches of GPT2Config that change what the model computes, with the value that GPT-2 has.
# (`reorder_and_upcast_attn` only orders the same float32 arithmetic differently.)
_FIXED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
_SIZES = {
    "n_layers": "n_layer",
    "n_heads": "n_head",
    "d_model": "n_embd",
    "d_mlp": "n_inner",
    "d_vocab": "vocab_size",
    "n_ctx": "n_positions",
}


class CheckpointError(ValueError):
    """The checkpoint is not a GPT-2 that we can read or write; the message says why."""


def parse_config(fields: Mapping[str, Any]) -> GPT2Config:
    """Turn the fields of a Hugging Face config.json into our config.

    Args:
        fields: the JSON object

    Raises:
        CheckpointError: the architecture is another, a size is missing or impossible, or the
            activation or the kind of attention is not one that `HookedGPT2` computes
    """
    model_type = fields.get("model_type")
    if model_type != "gpt2":
        raise CheckpointError(
            f"expected a GPT-2 (model_type 'gpt2' in config.json), got model_type {model_type!r}; "
            "other architectures are not supported"
        )
    for switch, value in _FIXED.items():
        if fields.get(switch, value) is not value:
            raise CheckpointError(
                f"config.json sets {switch}={fields[switch]!r}; only {value} is supported"
            )
    activation = fields.get("activation_function", "gelu_new")
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"config.json sets activation_function={activation!r}; supported are "
            f"{', '.join(ACTIVATIONS)}"
        )
    fields = dict(fields)
    if fields.get("n_inner") is None and type(fields.get("n_embd")) is int:
        fields["n_inner"] = 4 * fields["n_embd"]
    sizes = {ours: fields.get(theirs) for ours, theirs in _SIZES.items()}
    for ours, size in sizes.items():
        if type(size) is not int:
            raise CheckpointError(
                f"config.json must give {_SIZES[ours]} as a whole number, got {size!r}"
            )
    eps = fields.get("layer_norm_epsilon", 1e-5)
    if isinstance(eps, bool) or not isinstance(eps, int | float):
        raise CheckpointError(f"config.json must give layer_norm_epsilon as a number, got {eps!r}")
    try:
        return GPT2Config(
            **sizes,  # type: ignore[arg-type]  # checked above
            eps=float(eps),
            act_fn=activation,
            tied=bool(fields.get("tie_word_embeddings", True)),
        )
    except ValueError as error:
        raise CheckpointError(f"config.json does not describe a GPT-2: {error}") from error


def config_fields(config: GPT2Config) -> dict[str, Any]:
    """The fields of config.json that `parse_config` turns back into `config`."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{theirs: getattr(config, ours) for ours, theirs in _SIZES.items()},
        "activation_function": config.act_fn,
        "layer_norm_epsilon": config.eps,
        "tie_word_embeddings": config.tied,
        **_FIXED,
    }


def tensor_table(config: GPT2Config) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Map our name of each stored tensor to Hugging Face's name and shape.

    Hugging Face's names are given without the prefix `transformer.`, which some checkpoints lack. A
    tied unembedding is not stored, nor is `unembed.b_U`, which is zero in every GPT-2.

    Args:
        config: the model's shape

    Example:
        >>> config = GPT2Config(n_layers=1, n_heads=2, d_model=4, d_mlp=16, d_vocab=9, n_ctx=8)
        >>> tensor_table(config)["blocks.0.attn.W_O"]
        ('h.0.attn.c_proj.weight', (4, 4))
    """
    d, m = config.d_model, config.d_mlp
    block = {
        "ln1.w": ("ln_1.weight", (d,)),
        "ln1.b": ("ln_1.bias", (d,)),
        "attn.W_QKV": ("attn.c_attn.weight", (d, 3 * d)),
        "attn.b_QKV": ("attn.c_attn.bias", (3 * d,)),
        "attn.W_O": ("attn.c_proj.weight", (d, d)),
        "attn.b_O": ("attn.c_proj.bias", (d,)),
        "ln2.w": ("ln_2.weight", (d,)),
        "ln2.b": ("ln_2.bias", (d,)),
        "mlp.W_in": ("mlp.c_fc.weight", (d, m)),
        "mlp.b_in": ("mlp.c_fc.bias", (m,)),
        "mlp.W_out": ("mlp.c_proj.weight", (m, d)),
        "mlp.b_out": ("mlp.c_proj.bias", (d,)),
    }
    table: dict[str, tuple[str, tuple[int, ...]]] = {
        "embed.W_E": ("wte.weight", (config.d_vocab, d)),
        "pos_embed.W_pos": ("wpe.weight", (config.n_ctx, d)),
        "ln_final.w": ("ln_f.weight", (d,)),
        "ln_final.b": ("ln_f.bias", (d,)),
    }
    for layer in range(config.n_layers):
        for ours, (theirs, shape) in block.items():
            table[f"blocks.{layer}.{ours}"] = (f"h.{layer}.{theirs}", shape)
    if not config.tied:
        table["unembed.weight"] = ("lm_head.weight", (config.d_vocab, d))
    return table
