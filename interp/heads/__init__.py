"""What single heads do: where they look."""

from interp.heads.attention import attention_between

__all__ = ["attention_between"]
