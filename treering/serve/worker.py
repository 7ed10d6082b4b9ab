"""One thread that owns the model, and the queue before it.

A place is taken before work is done on a request, and given back when its answer is there or its client has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .problems import Gone, Problem

Run = Callable[[Sequence[Any]], Sequence[Any]]
"""Tasks of one kind to their results, in order: what the worker does."""

_WEIGHT = 0.2  # of the last task in the mean of their seconds


class Place:
    """A place in the queue."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.task: Any = None
        self.future: asyncio.Future[Any] | None = None
        self.taken = True

    def put(self, task: Any) -> asyncio.Future[Any]:
        """Hand over a task; the future gets its result."""
        self.task, self.future = task, asyncio.get_running_loop().create_future()
        self.worker._put(self)
        return self.future

    def ahead(self) -> int | None:
        """How many are before this one; None where it is being worked on, or done."""
        return self.worker._ahead(self)

    def give_back(self) -> None:
        """Nobody waits any more: free the place, and do not begin the task.  Once is enough, more does no harm."""
        self.worker._free(self)


class Worker:
    """``run`` in a thread of its own, with at most ``places`` tasks taken; ``rows`` of one kind go together."""

    def __init__(self, run: Run, rows: int = 1, places: int = 64) -> None:
        self.run, self.rows, self.places = run, rows, places
        self.taken = 0
        self.seconds = 0.0  # of a task, on average; 0 before the first
        self.begun = self.skipped = 0
        self._queue: deque[Place] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="treering-worker", daemon=True)
        self._thread.start()

    def reserve(self, count: int = 1) -> list[Place]:
        """Take places, all or none; raises ``Problem`` 429 with a time after which to try again, 503 at the end."""
        with self._changed:
            if self._closing:
                raise Problem(503, "This server is stopping.")
            if self.taken + count > self.places:
                wait = max(1, round(self.taken * (self.seconds or 1.0)))
                raise Problem(429, f"The queue is full: try again in {wait} s.", retry=wait)
            self.taken += count
        return [Place(self) for _ in range(count)]

    def close(self) -> None:
        """Finish what was taken, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    # From the places

    def _put(self, place: Place) -> None:
        with self._changed:
            self._queue.append(place)
            self._changed.notify()

    def _ahead(self, place: Place) -> int | None:
        with self._changed:
            return self._queue.index(place) if place in self._queue else None

    def _free(self, place: Place) -> None:
        with self._changed:
            with contextlib.suppress(ValueError):
                self._queue.remove(place)
                self.skipped += 1
            self.taken -= place.taken
            place.taken = False

    # In the thread

    def _work(self) -> None:
        while batch := self._next():
            started = time.perf_counter()
            self._answer(batch)
            seconds = (time.perf_counter() - started) / len(batch)
            self.seconds = seconds if not self.seconds else (1 - _WEIGHT) * self.seconds + _WEIGHT * seconds

    def _next(self) -> list[Place]:
        """The first that waits, and those of its kind behind it; nothing at the end."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            batch = [self._queue.popleft()] if self._queue else []
            while self._queue and len(batch) < self.rows and type(self._queue[0].task) is type(batch[0].task):
                batch.append(self._queue.popleft())
            self.begun += len(batch)
            return batch

    def _answer(self, batch: list[Place]) -> None:
        try:
            results: Sequence[Any] = self.run([place.task for place in batch])
        except Exception as error:
            if len(batch) > 1:  # one of them is at fault, the others shall not suffer
                for place in batch:
                    self._answer([place])
                return
            results = [error]
        for place, result in zip(batch, results, strict=True):
            self._free(place)
            _resolve(place, result)


def _resolve(place: Place, result: Any) -> None:
    future = place.future
    if future is None:
        return

    def settle() -> None:
        if future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
        future.get_loop().call_soon_threadsafe(settle)


async def first(future: asyncio.Future[Any], gone: asyncio.Future[Any], until: float) -> Any:
    """What comes of a future; raises ``Gone`` if the client goes first, ``Problem`` 503 at the time ``until``."""
    left = max(0.0, until - asyncio.get_running_loop().time())
    done, _ = await asyncio.wait({future, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
    if future in done:
        return future.result()
    if gone in done:
        raise Gone
    raise Problem(503, "It took too long.", retry=5)
