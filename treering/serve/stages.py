"""What is being done with a picture, told by the worker's thread as it happens, and said for people."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from ..reading.stages import CONFIRM

_WORDS = (
    (CONFIRM, "Putting the picture right and looking again…"),
    ("pose", "Searching for a pose: turned, mirrored, cropped, moved…"),
    ("trimmed", "Looking inside its borders…"),
    ("encoder", "A first glance…"),
    ("decoder inversion", "Reading it more exactly…"),
    ("as given", "Reading it as given…"),
)
"""By what a stage's name has in it; the first that fits."""


def words(stage: str) -> str:
    """What a stage does, for people.

    >>> words("pose, confirm"), words("encoder, 2 steps")
    ('Putting the picture right and looking again…', 'A first glance…')
    """
    return next((text for name, text in _WORDS if name in stage), "Reading…")


class Stages:
    """Is told the stages of one picture, in the worker's thread; gives them as events, in the loop's."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._told: deque[str] = deque()
        self._last = ""

    def __call__(self, stage: str) -> None:
        """A stage begins."""
        if stage == self._last:
            return
        self._last = stage
        self._told.append(stage)
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody watches
            self._loop.call_soon_threadsafe(self.changed.set)

    def news(self) -> list[dict[str, Any]]:
        """What was told since this was last asked."""
        self.changed.clear()
        told = [self._told.popleft() for _ in range(len(self._told))]
        return [{"stage": stage, "says": words(stage)} for stage in told]
