"""What a run keeps while it goes on: counts, and the lines on their way to the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import stamps
from .items import Item, Line
from .journal import Results, found
from .tally import Pairs

KEPT = 1000
"""Failures whose sentences are kept for the summary; the journal has all of them."""

Known = tuple[Item, bytes | None]
"""A picture and its token: name and stamp in 16 bytes, by which it need not be read again."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    ``done`` of ``total`` pictures; of those done, ``resumed`` had a result already and ``failed`` could
    not be read.  ``rate``: pictures really detected a second, 0 before the first.  ``remaining``:
    seconds to the end if every picture that is left must be detected; None before the first.  ``marked``: pictures
    so far in which a mark was found.
    """

    done: int
    total: int
    resumed: int
    failed: int
    rate: float
    remaining: float | None
    marked: int = 0


@dataclass
class Book:
    """The state of one run.  ``batch``: lines that are held back at most."""

    results: Results
    total: int
    batch: int
    progress: Callable[[Progress], None] | None = None
    checked: int = 0
    resumed: int = 0
    copies: int = 0
    failures: int = 0
    marked: int = 0
    busy: float = 0.0  # seconds of detection
    failed: list[tuple[str, str]] = field(default_factory=list)
    pairs: Pairs = field(default_factory=Pairs)
    _lines: list[Line] = field(default_factory=list)  # known and not yet written
    _seen: list[tuple[bytes | None, str]] = field(default_factory=list)
    _told: float = 0.0

    def known(self, pairs: Pairs) -> None:
        """Pictures that were not even read, because an earlier run has."""
        self.pairs.update(pairs)
        self.resumed += pairs.total()
        self.marked += sum(count for (_, answer), count in pairs.items() if answer is not None)
        self.tell()

    def fail(self, name: str, line: Line) -> None:
        """A picture that could not be read."""
        self.failures += 1
        if len(self.failed) < KEPT:
            self.failed.append((name, line["error"]))
        if not self.results.has(name, line["sha256"], line["error"]):
            self._put(line)
        self.tell()

    def resume(self, one: Known, digest: str) -> None:
        """A picture whose bytes have a result already."""
        item, token = one
        if self.results.is_earlier(digest):
            self.resumed += 1
        else:
            self.copies += 1
        self._count(item, self.results.keys[digest])
        self._seen.append((stamps.token(item) if item.stamp else token, digest))
        if not self.results.has(item.name, digest):
            first = self.results.first(digest)
            notes = [*(first.get("notes") or []), f"Taken over from {first['file']}, which has the same bytes."]
            stamp = {"stamp": item.stamp} if item.stamp else {}
            first.pop("stamp", None)
            self._put({**first, "file": item.name, "notes": notes, **stamp})
        self.tell()

    def check(self, pictures: Sequence[Known], lines: Sequence[Line]) -> None:
        """Pictures that were detected now: their results are on the disk after this."""
        self.write()
        self.results.append(lines)
        self.results.see((token, line["sha256"]) for (_, token), line in zip(pictures, lines, strict=True))
        for (item, _), line in zip(pictures, lines, strict=True):
            self._count(item, found(line))
        self.checked += len(lines)
        self.tell()

    def _count(self, item: Item, answer: object) -> None:
        self.pairs[item.label, answer] += 1  # type: ignore[index]
        self.marked += answer is not None

    def _put(self, line: Line) -> None:
        self._lines.append(line)
        if len(self._lines) >= self.batch:
            self.write()

    def write(self) -> None:
        """Put what is held back on the disk."""
        lines, self._lines = self._lines, []  # first, so that nothing follows a write that failed
        seen, self._seen = self._seen, []
        self.results.append(lines)
        self.results.see(seen)

    def tell(self) -> None:
        """Say how far it is."""
        if self.progress:
            self.progress(self._progress())

    def _progress(self) -> Progress:
        taken = self.resumed + self.copies
        done = self.checked + taken + self.failures
        rate = self.checked / self.busy if self.busy else 0.0
        remaining = (self.total - done) / rate if rate else None
        return Progress(done, self.total, taken, self.failures, rate, remaining, self.marked)


class Clock:
    """Adds the seconds between its beginning and its end to the busy seconds of a book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._book.busy += time.perf_counter() - self._started
