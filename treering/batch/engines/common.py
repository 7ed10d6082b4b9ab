"""What engines have in common: the recipe of a worker, tasks as plain data, and events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any

from ...errors import InputError
from ...settings import ENGINES

STARTS = 3
"""So often a worker may die before it is ready, one time after the other."""

Plain = dict[str, Any]
"""Data that JSON can hold: all that travels between a run and its workers.  Paths travel, never pixels or secrets."""


@dataclass(frozen=True)
class Recipe:
    """How a worker makes its detector: a function of no module but treering's or the caller's, and its arguments.

    ``function``: ``package.module:name``; called once in each worker with ``arguments``, which JSON can hold, it gives
    a :class:`~.worker.Work`.  A secret is never among them: name the file that holds it.
    """

    function: str
    arguments: Mapping[str, Any]

    def call(self) -> Any:
        """What the function gives."""
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)(**self.arguments)

    def as_dict(self) -> Plain:
        """For JSON."""
        return {"function": self.function, "arguments": dict(self.arguments)}


@dataclass(frozen=True)
class Event:
    """What became of a worker.

    ``about``: what it says of its detector, once it is ready; ``shard``: the name of the shard that its task became;
    ``error``: a sentence that ends the run; none of them: the worker is gone, with the ``reason`` if there is one.
    """

    worker: int
    about: Plain | None = None
    shard: str | None = None
    seconds: float = 0.0
    error: str | None = None
    reason: str = ""


class Engine(ABC):
    """Workers 0 to ``workers`` - 1, each with a detector of its own that is made once.

    Used as a context.  ``begin`` starts the first worker alone, so that its ``about`` is known before anything is
    written; ``start`` the others.  A worker has one task at a time.
    """

    def __init__(self, recipe: Recipe, workers: int) -> None:
        if workers < 1:
            raise InputError("A run has at least one worker.")
        self.recipe, self.workers = recipe, workers
        self.about: Plain = {}

    def __enter__(self) -> Engine:
        try:
            self.begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> None:
        """Start the first worker and learn what its detector is; raises ``InputError`` where that fails."""
        for _ in range(STARTS):
            self.start(0)
            event = self.wait()
            if event.about is not None:
                self.about = event.about
                return
            if event.error:
                break
        raise InputError(event.error or f"A worker ended before it was ready{_because(event.reason)}.")

    @abstractmethod
    def start(self, worker: int) -> None:
        """Start a worker, also in the place of one that is gone."""

    @abstractmethod
    def submit(self, worker: int, task: Plain) -> None:
        """Give a worker its next task."""

    @abstractmethod
    def wait(self) -> Event:
        """The next thing that happens to any worker."""

    @abstractmethod
    def close(self) -> None:
        """End all workers."""


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def get(name: str, recipe: Recipe, workers: int) -> Engine:
    """The engine with this name; raises ``InputError``, also where what it needs is not installed."""
    if name not in ENGINES:
        raise InputError(f"There is no engine {name!r}: use one of {', '.join(ENGINES)}.")
    if name == ENGINES[0]:
        from .local import Local

        return Local(recipe, workers)
    from .on_ray import OnRay

    return OnRay(recipe, workers)
