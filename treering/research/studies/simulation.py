"""Where more workers stop to help: a simulation of a run with a detector of known cost.

Workers have tasks as the fleet gives them (five seconds, 512 pictures at most, smaller towards the end); the run
itself, which is one process, hands out a task and takes in a shard for a fixed cost a picture and a task.  All else is
free.  Deterministic: the detector's cost varies by a fixed pattern.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from ... import report
from ...batch.fleet import LARGEST, SECONDS

PICTURES, WORKERS = 10_000_000, (4, 16, 64, 256)
COSTS = (0.25, 0.02)
"""Seconds a picture: this project's on a core, and what a GPU may need."""

PER_TASK = 0.01
"""Seconds that the run needs for a task, whatever it holds: a shard read and removed, the journal synced."""

_SPREAD = 0.2  # tasks take up to so much more or less


def simulate(pictures: int, workers: int, cost: float, per_picture: float) -> tuple[float, float]:
    """Seconds until all is done and in the journal, and the share of them in which the run itself is busy.

    ``cost``: of the detector; ``per_picture``: of the run, both in seconds a picture.
    """
    left, clock, busy, number = pictures, 0.0, 0.0, 0
    ends: list[tuple[float, int, int]] = []
    size = max(1, min(LARGEST, int(SECONDS / cost)))
    for worker in range(workers):
        left, taken = _taken(left, size, workers)
        if taken:
            heapq.heappush(ends, (_length(taken, cost, worker), worker, taken))
    while ends:
        at, worker, done = heapq.heappop(ends)
        clock = max(clock, at)  # the run may be busy with another shard
        left, taken = _taken(left, size, workers)
        number += 1
        if taken:
            heapq.heappush(ends, (clock + _length(taken, cost, number), worker, taken))
        work = PER_TASK + done * per_picture
        clock, busy = clock + work, busy + work
    return clock, busy / clock


def _taken(left: int, size: int, workers: int) -> tuple[int, int]:
    taken = min(left, max(1, min(size, math.ceil(left / (2 * workers)))))
    return left - taken, taken


def _length(pictures: int, cost: float, number: int) -> float:
    return pictures * cost * (1 + _SPREAD * (2 * (number * 0.6180339887 % 1) - 1))


def rows(per_picture: float) -> Iterator[tuple[object, ...]]:
    """A row for each cost and number of workers."""
    for cost in COSTS:
        for workers in WORKERS:
            seconds, busy = simulate(PICTURES, workers, cost, per_picture)
            efficiency = PICTURES * cost / workers / seconds
            yield f"{cost:g}", workers, f"{seconds / 3600:.1f}", f"{efficiency:.2f}", f"{100 * busy:.0f} %"


def table(milliseconds: float) -> str:
    """The simulation with this cost of the run itself for each picture."""
    header = ("s a picture", "workers", "hours", "efficiency", "run busy")
    lines: str = report.markdown_table(header, list(rows(milliseconds / 1000)))
    note = f"{PICTURES} pictures, {milliseconds:g} ms a picture and {1000 * PER_TASK:g} ms a task in the run itself"
    return f"**Simulation: {note}**\n\n{lines}"
