"""A run in this process: pictures are read ahead in threads and detected in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

from .ahead import ahead
from .book import Book, Clock, Known
from .items import Detect
from .lines import Loaded, Size, frames_for, lines, load


class Inline:
    """One pass over the pictures.  ``size`` and ``strict`` as for :func:`~.lines.load`."""

    def __init__(self, book: Book, detect: Detect, size: Size | Sequence[Size] | None, strict: bool) -> None:
        self.book, self.detect, self.size, self.strict = book, detect, size, strict
        self._waiting: list[tuple[Known, Loaded]] = []  # read and not yet detected: one batch at most

    def all(self, pictures: Iterable[Known]) -> None:
        """Check every picture; what is known is on the disk also when this ends with an exception."""
        self.book.tell()
        try:
            with closing(ahead(self._load, pictures, self.book.batch)) as loaded:
                for one in loaded:
                    self._take(*one)
                    if len(self._waiting) >= self.book.batch:
                        self._detect()
            self._detect()
        finally:
            self.book.write()

    def _load(self, one: Known) -> tuple[Known, Loaded]:
        item, token = one
        loaded = load(item, self.size, self.book.results.keys, self.strict, frames_for(self.detect))
        return (loaded.item, token if item.address is None else None), loaded  # a stamp of its own is in the line

    def _take(self, known: Known, one: Loaded) -> None:
        if one.error is not None or one.digest is None:
            (line,) = lines([one], self.detect, self.book.results.settings)
            return self.book.fail(one.item.name, line)
        if any(one.digest == other.digest for _, other in self._waiting):  # a copy: its result is known in a moment
            self._detect()
        if one.digest in self.book.results.keys:
            return self.book.resume(known, one.digest)
        self._waiting.append((known, one))

    def _detect(self) -> None:
        """Detect what waits and write the results."""
        waiting, self._waiting = self._waiting, []
        self.book.write()
        if not waiting:
            return
        with Clock(self.book):
            known = lines([one for _, one in waiting], self.detect, self.book.results.settings)
        self.book.check([picture for picture, _ in waiting], known)
