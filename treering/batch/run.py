"""Many pictures checked, with a run that can be stopped at any moment and goes on where it was.

Results are one JSON line a picture in ``results.jsonl``, appended as they are known.  What a picture
is, is its bytes: a result is found again by the SHA-256 of the file and a hash of the settings, so a
file that was moved or copied is not detected twice.  Only digests and results are held in memory, and as
many pictures as two batches have: one that is detected while the next is read and decoded.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError
from . import alike
from .ahead import ahead
from .items import FIGURE, RESULTS, Detect, Item, Label, Line
from .journal import Results, found, is_ours, settings_id
from .lines import Loaded, lines, load
from .summary import Pairs, Summary, confusion, counts, publish


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    ``done`` of ``total`` pictures; of those done, ``resumed`` had a result already and ``failed`` could
    not be read.  ``rate``: pictures really detected a second, 0 before the first.  ``remaining``:
    seconds to the end if every picture that is left must be detected; None before the first.
    """

    done: int
    total: int
    resumed: int
    failed: int
    rate: float
    remaining: float | None


class _Run:
    """One pass over the items."""

    def __init__(
        self,
        results: Results,
        detect: Detect,
        total: int,
        batch: int,
        size: tuple[int, int] | None,
        strict: bool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.results, self.detect, self.total = results, detect, total
        self.batch, self.size, self.strict, self.progress = batch, size, strict, progress
        self.checked = self.resumed = self.copies = 0
        self.failed: list[tuple[str, str]] = []
        self.pairs: Pairs = Counter()
        self._busy = 0.0  # seconds of detection
        self._waiting: list[Loaded] = []  # read and not yet detected: one batch at most
        self._lines: list[Line] = []  # known and not yet written

    def all(self, items: Iterable[Item]) -> None:
        """Check every item; what is known is on the disk also when this ends with an exception."""
        self._tell()
        read = partial(load, size=self.size, known=self.results.keys, strict=self.strict)
        try:
            with closing(ahead(read, items, self.batch)) as loaded:
                for one in loaded:
                    self._take(one)
                    if len(self._waiting) >= self.batch:
                        self._detect()
            self._detect()
        finally:
            self._write()

    def _take(self, one: Loaded) -> None:
        if one.error is not None or one.digest is None:
            return self._fail(one)
        if any(one.digest == other.digest for other in self._waiting):  # a copy: its result is known in a moment
            self._detect()
        if one.digest in self.results.keys:
            return self._resume(one.item, one.digest)
        self._waiting.append(one)

    def _fail(self, one: Loaded) -> None:
        (line,) = lines([one], self.detect, self.results.settings)
        self.failed.append((one.item.name, line["error"]))
        if not self.results.has(one.item.name, one.digest, one.error):
            self._put(line)
        self._tell()

    def _resume(self, item: Item, digest: str) -> None:
        if self.results.is_earlier(digest):
            self.resumed += 1
        else:
            self.copies += 1
        self._count(item.label, digest)
        if not self.results.has(item.name, digest):
            first = self.results.first(digest)
            notes = [*(first.get("notes") or []), f"Taken over from {first['file']}, which has the same bytes."]
            self._put({**first, "file": item.name, "notes": notes})
        self._tell()

    def _count(self, label: Label, digest: str) -> None:
        self.pairs[label, self.results.keys[digest]] += 1

    def _detect(self) -> None:
        """Detect what waits and write the results."""
        waiting, self._waiting = self._waiting, []
        self._write()
        if not waiting:
            return
        started = time.perf_counter()
        known = lines(waiting, self.detect, self.results.settings)
        self._busy += time.perf_counter() - started
        self.results.append(known)
        self.checked += len(known)
        self.pairs.update((one.item.label, found(line)) for one, line in zip(waiting, known, strict=True))
        self._tell()

    def _put(self, line: Line) -> None:
        self._lines.append(line)
        if len(self._lines) >= self.batch:
            self._write()

    def _write(self) -> None:
        lines, self._lines = self._lines, []  # first, so that nothing follows a write that failed
        self.results.append(lines)

    def _tell(self) -> None:
        if self.progress:
            self.progress(self._progress())

    def _progress(self) -> Progress:
        taken = self.resumed + self.copies
        done = self.checked + taken + len(self.failed)
        rate = self.checked / self._busy if self._busy else 0.0
        remaining = (self.total - done) / rate if rate else None
        return Progress(done, self.total, taken, len(self.failed), rate, remaining)


def verify(
    items: Sequence[Item],
    detect: Detect,
    output: Path,
    settings: Mapping[str, Any],
    batch: int = 8,
    size: tuple[int, int] | None = None,
    progress: Callable[[Progress], None] | None = None,
    strict: bool = False,
) -> Summary:
    """Check the pictures; what an earlier run in ``output`` has found out is not found out again.

    ``settings``: all that a result depends on besides the picture, for JSON; with ``size`` they decide
    which earlier results count.  ``batch``: pictures a call of ``detect`` at most; as many again are read meanwhile.
    ``size``: (height, width) to which pictures are brought; None: as they are.  ``strict``: damaged files are failed
    lines.  Writes ``results.jsonl`` as it goes and, at the end, ``summary.json`` and, if labels are known,
    ``confusion.md`` and ``confusion.png``.  A picture that cannot be read is a line with an error, not an end.  Raises
    ``InputError`` if ``output`` cannot be used; what ``detect`` raises is not caught.
    """
    started = time.perf_counter()
    if batch < 1:
        raise InputError("A batch has at least one picture.")
    whole = {"settings": dict(settings), "size": size}
    _keep_apart(items, output)
    with _opened(output) as journal:
        run = _Run(Results(journal, settings_id(whole)), detect, len(items), batch, size, strict, progress)
        run.all(items)
        same = alike.notes(
            output / RESULTS, run.results.settings, _nonces(settings), {item.name: item.path for item in items}.get
        )
        return publish(_summary(run, time.perf_counter() - started, same), output, whole)


def _nonces(settings: Mapping[str, Any]) -> int:
    """Nonces of a class, as the settings tell; 1 where they do not."""
    keyring = settings.get("keyring")
    return int(keyring.get("nonces", 1)) if isinstance(keyring, Mapping) else 1


@contextlib.contextmanager
def _opened(output: Path) -> Iterator[files.Journal]:
    """The journal of a results folder, for this process alone; raises ``InputError``."""
    busy = f"Another verification is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / RESULTS, is_ours) as journal:
        yield journal


def check_output(output: Path) -> None:
    """Refuse, before anything is loaded, a folder that is there and cannot be used; raises ``InputError``."""
    if os.path.lexists(output):
        with _opened(output):
            return


def _keep_apart(items: Iterable[Item], output: Path) -> None:
    """Refuse an output whose figure would replace one of the pictures."""
    figure = os.path.realpath(output / FIGURE)
    for item in items:
        if item.path.name == FIGURE and os.path.realpath(item.path) == figure:
            raise InputError(f"The results would replace the picture {item.path}; choose another folder for them.")


def _summary(run: _Run, seconds: float, more: Sequence[str] = ()) -> Summary:
    matrix, notes = confusion(run.pairs)
    return Summary(
        total=run.total,
        checked=run.checked,
        resumed=run.resumed,
        copies=run.copies,
        failed=tuple(run.failed),
        found=counts(run.pairs),
        confusion=matrix,
        settings=run.results.settings,
        seconds=seconds,
        notes=(*run.results.notes, *notes, *more),
    )
