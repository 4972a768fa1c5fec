import os

# Before transformers and huggingface_hub read it: no test may reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections import Counter
from collections.abc import Callable
from functools import wraps
from itertools import count
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, get_args

import jaxtyping
import pytest
import torch
from beartype import BeartypeConf, beartype

# The models of the tests are tiny: a second thread costs more than it brings.
torch.set_num_threads(1)

_jaxtyped = jaxtyping.jaxtyped
_EVERY, _ONE_FUNCTION = 100, 20
_decorated: Counter[CodeType] = Counter()


def _checked(*, typechecker: Any) -> Callable[[Any], Any]:
    """Check shapes where there are some, and types alone elsewhere.

    jaxtyping decorates every function of the library, at 50 microseconds a call and 10 more for
    each array. Most functions know no shape; beartype alone costs next to nothing. What is called
    again and again, such as the layers of the model, is checked in its first `_EVERY` calls and
    then in one of ten; a function within another, which is decorated at every call of that one, in
    the first `_ONE_FUNCTION` of them.
    """

    def decorate(fn: Any) -> Any:
        if not isinstance(fn, FunctionType):
            return _jaxtyped(fn, typechecker=typechecker)
        _decorated[fn.__code__] += 1
        if _decorated[fn.__code__] > _ONE_FUNCTION:
            return fn
        hints = list(fn.__annotations__.values())
        if not any(map(_has_shape, hints)):
            return fn if any(isinstance(hint, str) for hint in hints) else _typed(fn)
        checked, calls = _jaxtyped(fn, typechecker=typechecker), count()

        @wraps(fn)
        def sometimes(*args: Any, **kwargs: Any) -> Any:
            call = next(calls)
            return (checked if call < _EVERY or call % 10 == 0 else fn)(*args, **kwargs)

        return sometimes

    return decorate


def _typed(fn: Any) -> Any:
    """Check types, except where the tests are `unchecked`; errors are of jaxtyping's kind."""
    checked = beartype(conf=BeartypeConf(violation_type=TypeError))(fn)

    @wraps(fn)
    def typed(*args: Any, **kwargs: Any) -> Any:
        return (fn if jaxtyping.config.jaxtyping_disable else checked)(*args, **kwargs)

    return typed


def _has_shape(hint: Any) -> bool:
    """Whether an annotation, or a part of it, is an array of some shape."""
    if isinstance(hint, str):
        return any(word in hint for word in ("Float[", "Int[", "Bool[", "Shaped["))
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_has_shape, get_args(hint)))


jaxtyping.jaxtyped = _checked  # before the library is imported

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository with GPT-2's real vocabulary and the paper's prompts."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder `shared` beside the repository, which is not there")
    return SHARED


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
