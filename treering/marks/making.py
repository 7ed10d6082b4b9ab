"""The rows of a large table of marks, made by several processes.

Each process makes a share of the rows and writes them to its standard output, from where they go straight to their
place in the table.  **Nothing secret is in names, arguments or environment of a process**: all of it comes through its
standard input.  A process is a fresh interpreter that imports numpy and what draws values, and not the caller's
program; it looks for modules where this one does and nowhere else.  Rows are the same to the last bit,
whoever makes them; those of a process that fails are made here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import IO

import numpy as np
from numpy.typing import NDArray

from . import keys as streams

BLOCK = 1 << 11
"""Marks that are made together: their values stay in the processor's cache."""

ALONE = 1 << 16
"""Marks up to which a second process would hardly have begun before they are made."""

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    f"from {__name__} import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
)

Rows = NDArray[np.int8]


@dataclass(frozen=True)
class Job:
    """Rows ``first`` to ``last`` (left out) of a table: all ``nonces`` of each of ``classes`` int64 ``[K]`` in turn.

    ``places``: of the values, int64 ``[D, 3]``, see :data:`treering.marks.keys.Places`.  ``width``: bytes of a row, D
    or 2 D.
    """

    secret: bytes = field(repr=False)
    classes: NDArray[np.int64]
    nonces: int
    places: streams.Places
    width: int
    first: int
    last: int

    def blocks(self) -> Iterator[Rows]:
        """The rows, a few at a time: int8 ``[R, width]``."""
        for start in range(self.first, self.last, BLOCK):
            marks = [self._mark(row) for row in range(start, min(start + BLOCK, self.last))]
            drawn = streams.draw_coarse(streams.mark_seeds(self.secret, marks), self.places)
            yield np.ascontiguousarray(drawn[:, : self.width])

    def _mark(self, row: int) -> tuple[int, int]:
        place, nonce = divmod(row, self.nonces)
        return int(self.classes[place]), nonce

    def part(self, first: int, last: int) -> Job:
        """Some of the rows, with the classes that they need alone, counted from the first of these."""
        start = first // self.nonces
        classes, less = self.classes[start : -(-last // self.nonces)], start * self.nonces
        return replace(self, classes=classes, first=first - less, last=last - less)

    def write(self, pipe: IO[bytes]) -> None:
        """For :func:`serve`: where modules are, what is to be made, and then the numbers."""
        head = {name: getattr(self, name) for name in ("nonces", "width", "first", "last")}
        head |= {"classes": len(self.classes), "places": len(self.places)}
        for line in (sys.path, head):
            pipe.write(json.dumps(line).encode() + b"\n")
        pipe.write(self.secret)
        for numbers in (self.classes, self.places):
            pipe.write(np.ascontiguousarray(numbers, "<i8").data)
        pipe.close()


def serve(given: IO[bytes], taken: IO[bytes]) -> None:
    """What a process does: read a job, write its rows."""
    head = json.loads(given.readline())
    secret = given.read(streams.SECRET_BYTES)
    classes = np.frombuffer(given.read(8 * head.pop("classes")), "<i8").astype(np.int64)
    places = np.frombuffer(given.read(24 * head.pop("places")), "<i8").astype(np.int64).reshape(-1, 3)
    for block in Job(secret, classes, places=places, **head).blocks():
        taken.write(block.data)
    taken.flush()


def fill(rows: Rows, job: Job, processes: int | None = None) -> None:
    """Make all rows of a job: int8 ``[R, width]``, row 0 being its first.

    ``processes``: None for one a core, and none where the rows are few.
    """
    count = (_cores() if job.last - job.first > ALONE else 1) if processes is None else processes
    if count == 1:
        return _here(rows, job)
    edges = [(job.last - job.first) * i // count for i in range(count + 1)]
    parts = [(rows[a:b], job.part(job.first + a, job.first + b)) for a, b in pairwise(edges)]
    running: list[subprocess.Popen[bytes]] = []
    try:
        with ThreadPoolExecutor(count, "treering-table") as pool:
            try:
                done = list(pool.map(lambda part: _there(part[0], part[1], running), parts))
            finally:
                _end(running)  # the threads wait for their pipes
    finally:
        _end(running)
    for whole, part in zip(done, parts, strict=True):
        if not whole:
            _here(*part)


def _here(rows: Rows, job: Job) -> None:
    start = 0
    for block in job.blocks():
        rows[start : start + len(block)] = block
        start += len(block)


def _there(rows: Rows, job: Job, running: list[subprocess.Popen[bytes]]) -> bool:
    """Have a process make the rows; whether it did."""
    command = [sys.executable, "-I", "-c", _PROGRAM]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with suppress(OSError, ValueError):  # no interpreter, no memory, a process that was ended
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, env=_environment()) as process:
            running.append(process)
            assert process.stdin is not None
            assert process.stdout is not None
            job.write(process.stdin)
            whole = _received(process.stdout, rows)
        return whole and process.returncode == 0
    return False


def _received(pipe: IO[bytes], rows: Rows) -> bool:
    """Whether all bytes came."""
    rest = rows.reshape(-1).view(np.uint8).data
    while rest and (count := pipe.readinto(rest)):  # type: ignore[attr-defined]
        rest = rest[count:]
    return not rest


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    """End processes that still run."""
    for process in running:
        if process.poll() is None:
            process.kill()


def _environment() -> dict[str, str]:
    """One thread a process, as there is a process a core."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _cores() -> int:
    """Cores that this process may use; 1 for a program whose interpreter is itself."""
    if getattr(sys, "frozen", False):
        return 1
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
