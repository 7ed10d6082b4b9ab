"""Work that is done in threads before it is asked for, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = 2
"""Pictures decoded at a time: enough to keep networks busy, few enough for the memory of the largest pictures."""

A = TypeVar("A")
B = TypeVar("B")


def ahead(work: Callable[[A], B], items: Iterable[A], window: int) -> Generator[B, None, None]:
    """``work`` of every item, in order, begun in threads up to ``window`` items before it is asked for.

    What ``work`` raises is raised in its turn.  Closing the iterator ends the threads; what was not begun is not.
    """
    pool = ThreadPoolExecutor(THREADS, "treering-read")
    try:
        waiting = deque[Future[B]]()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
