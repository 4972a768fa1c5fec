"""Let only one thread at a time use a model.

Hooks belong to the model, not to the thread that set them, so a run in one thread would meet the
hooks of another. A thread that runs the model therefore waits for its turn. A user's block (`with
model.hooks(...):`) may last arbitrarily long, and may even wait for the very thread that wants to
run the model; there, to avoid a deadlock, the other thread gets an error instead.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Turn:
    """The turn to use a model: `with turn:` waits for it, and the same thread may take it again.

    A copied or unpickled turn is a new one that no thread holds.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: threading.Thread | None = None
        self._depth = 0
        self._in_block = False

    def _take(self, *, block: bool) -> None:
        me = threading.current_thread()
        with self._changed:
            while self._depth and self._owner is not me:
                if self._in_block:
                    owner = self._owner.name if self._owner else "another thread"
                    raise RuntimeError(
                        f"the model has hooks of another thread on it ({owner}, in a `with "
                        "model.hooks(...)` block), which this thread's run would meet. Give each "
                        "thread a model of its own (copy.deepcopy(model)), or use "
                        "model.run_with_hooks or run_with_cache, for which threads wait"
                    )
                self._changed.wait()
            if not self._depth:
                self._in_block = block
            self._owner, self._depth = me, self._depth + 1

    def _give_back(self) -> None:
        with self._changed:
            self._depth -= 1
            if not self._depth:
                self._owner = None
                self._changed.notify_all()

    def __enter__(self) -> None:
        self._take(block=False)

    def __exit__(self, *error: object) -> None:
        self._give_back()

    @contextmanager
    def block(self) -> Iterator[None]:
        """Take the turn for a user's block, during which other threads get an error."""
        self._take(block=True)
        try:
            yield
        finally:
            self._give_back()

    def __deepcopy__(self, memo: Any) -> "Turn":
        return Turn()

    def __reduce__(self) -> tuple[type["Turn"], tuple[()]]:
        return Turn, ()
