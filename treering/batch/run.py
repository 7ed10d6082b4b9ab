"""Many pictures checked, with a run that can be stopped at any moment and goes on where it was.

Results are one JSON line a picture in ``results.jsonl``, appended as they are known.  What a picture
is, is its bytes: a result is found again by the SHA-256 of the file and a hash of the settings, so a
file that was moved or copied is not detected twice.  Only digests and results are held in memory.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import files, report
from ..errors import ImageError, InputError
from ..pictures import images
from ..statistics import OTHERS, Confusion
from ..types import Answer, Detection, Found

RESULTS, SUMMARY, TABLE, FIGURE = "results.jsonl", "summary.json", "confusion.md", "confusion.png"
"""The files of a results folder."""


class Unknown(Enum):
    """The type of ``UNKNOWN``."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
"""The label of a picture of which it is not known whether it is marked; None is the label of an unmarked one."""

Label = int | None | Unknown
Detect = Callable[[NDArray[np.uint8], Sequence[tuple[str, ...]]], list[Detection]]
"""Pictures uint8 ``[B, H, W, 3]`` and notes on each, to one result each; a ``Detector`` is one."""


@dataclass(frozen=True)
class Item:
    """A picture to check: where it is, what results call it, and its true class."""

    path: Path
    name: str
    label: Label = UNKNOWN


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


@dataclass(frozen=True)
class Summary:
    """What came out of a run.

    ``checked``: pictures detected now; ``resumed``: those with a result already; ``failed``: (file,
    sentence) of those that could not be read; together ``total``.  ``found``: pictures for every class
    found, None last.  ``confusion``: of pictures with a known label and a result; None if no label is
    known.  ``settings``: their hash, as in the lines.  ``notes``: sentences on what else to know.
    """

    total: int
    checked: int
    resumed: int
    failed: tuple[tuple[str, str], ...]
    found: Mapping[Found, int]
    confusion: Confusion | None
    settings: str
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def not_assessable(self) -> int:
        """Pictures that were read and of which nothing can be said."""
        return self.found.get(Answer.NOT_ASSESSABLE, 0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "total": self.total,
            "checked": self.checked,
            "resumed": self.resumed,
            "failed": [{"file": name, "error": sentence} for name, sentence in self.failed],
            "found": {report.name(key): count for key, count in self.found.items()},
            "confusion": self.confusion and self.confusion.as_dict(),
            "settings": self.settings,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }


# Which pictures


def find(folder: Path) -> list[Item]:
    """All pictures in a folder and the folders in it, sorted by name, without labels.

    Hidden files and folders are left out, and so is the figure of an earlier verification.  Links to
    folders are followed, but no folder is looked into twice.  Raises ``InputError`` if a folder cannot
    be read.
    """
    items = [
        Item(path, path.relative_to(folder).as_posix())
        for path in _walk(folder)
        if path.suffix.lower() in images.SUFFIXES and not _is_own_figure(path)
    ]
    return sorted(items, key=lambda item: item.name)


def _walk(top: Path) -> Iterator[Path]:
    """Every file of every folder, links to folders last, so that a picture is named by its own folder.

    Pipes and devices are left out; links that lead nowhere are not, and are reported when they are read.
    """
    own, links = [top], list[Path]()
    seen = set[tuple[int, int]]()
    while own or links:
        folder = own.pop() if own else links.pop(0)
        if not _is_new(folder, seen):
            continue
        for entry in _entries(folder):
            if os.path.isdir(entry.path):
                (links if entry.is_symlink() else own).append(Path(entry.path))
            elif os.path.isfile(entry.path) or not os.path.exists(entry.path):
                yield Path(entry.path)


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether this folder, whatever its name, was not seen before; now it is."""
    try:
        status = os.stat(folder)
    except OSError:
        return True  # what is wrong with it comes out when it is read
    place = (status.st_dev, status.st_ino)
    if place in seen and status.st_ino:  # 0 where folders have no numbers
        return False
    seen.add(place)
    return True


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise InputError(f"There is no folder {folder}.") from None
    except NotADirectoryError:
        raise InputError(f"{folder} is not a folder.") from None
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    return sorted(visible, key=lambda entry: entry.name)


def _is_own_figure(path: Path) -> bool:
    return path.name == FIGURE and path.with_name(RESULTS).exists()


# Labels

_LABEL = re.compile(r"(?:(?:key|class)[-_ ]?)?([0-9]{1,15})", re.IGNORECASE)
_UNMARKED = ("none", "unmarked")


def _label(text: str) -> Label:
    """The class that a word names (``2``, ``key-2``, ``none``, ``unmarked``), or ``UNKNOWN``."""
    if text.lower() in _UNMARKED:
        return None
    match = _LABEL.fullmatch(text)
    return int(match[1]) if match else UNKNOWN


def labels_from_folders(items: Iterable[Item]) -> list[Item]:
    """The items, labelled by the nearest folder named ``2``, ``key-2``, ``none`` or ``unmarked``.

    Only folders below the one that was searched count.
    """
    return [replace(item, label=_folder_label(item.name)) for item in items]


def _folder_label(name: str) -> Label:
    labels = (_label(part) for part in reversed(name.split("/")[:-1]))
    return next((label for label in labels if label is not UNKNOWN), UNKNOWN)


def labels_from_manifest(path: Path, items: Iterable[Item] | None = None) -> list[Item]:
    """The pictures that a manifest names, labelled; or the given items, labelled by it.

    A manifest is a CSV file with the columns ``file``, relative to the manifest, and ``key``: a class,
    or ``none`` or nothing for an unmarked picture.  Items that it does not name stay ``UNKNOWN``.
    Raises ``InputError`` for whatever is wrong in it, with the line, and if it names none of the items.
    """
    named = list(_manifest(path))
    if items is None:
        return named
    labels = {os.path.realpath(item.path): item.label for item in named}
    labelled = [replace(item, label=labels.get(os.path.realpath(item.path), UNKNOWN)) for item in items]
    if labelled and all(item.label is UNKNOWN for item in labelled):
        raise InputError(f"The manifest {path} names none of the pictures; its paths are relative to its own folder.")
    return labelled


def _manifest(path: Path) -> Iterator[Item]:
    rows = _rows(path)
    line, header = next(rows, (1, []))
    columns = [name.strip().lower() for name in header]
    for name in ("file", "key"):
        if columns.count(name) != 1:
            raise InputError(f"{path}, line {line}: the header must have one column {name!r}, as in: file,key")
    lines: dict[str, int] = {}
    for line, row in rows:
        if len(row) != len(columns):
            raise InputError(
                f"{path}, line {line}: the number of columns is {len(row)}, but the header has {len(columns)}."
            )
        item = _manifest_item(path, line, row[columns.index("file")], row[columns.index("key")].strip())
        first = lines.setdefault(os.path.abspath(item.path), line)
        if first != line:
            raise InputError(f"{path}, line {line}: {item.name} was named in line {first} already.")
        yield item


def _manifest_item(path: Path, line: int, name: str, key: str) -> Item:
    label = _label(key) if key else None
    if not name.strip():
        raise InputError(f"{path}, line {line}: the file is missing.")
    if label is UNKNOWN:
        raise InputError(f"{path}, line {line}: {key!r} is not a key; write a number from 0 up, or none.")
    return Item(path.parent / name, Path(name).as_posix(), label)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not empty."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: this is not CSV ({error}).") from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"The manifest {path} is not text in UTF-8.") from None
    except FileNotFoundError:
        raise InputError(f"There is no manifest {path}.") from None
    except OSError as error:
        raise InputError(f"The manifest {path} cannot be read: {error.strerror or error}.") from error


# The results folder


def settings_id(settings: Mapping[str, Any]) -> str:
    """Short hash, 16 hexadecimal digits, of settings that JSON can hold; their order does not matter."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


Line = dict[str, Any]


class _Results:
    """What the journal ``results.jsonl`` knows already; of lines with other settings, nothing.

    Of every line three things are held: the digest, the class and where it begins.
    """

    def __init__(self, journal: files.Journal, settings: str) -> None:
        self.settings = settings
        self.keys: dict[str, Found] = {}  # answer by digest
        self.notes: list[str] = []
        self._journal = journal
        self._starts: dict[str, int] = {}  # byte at which the first line with a result begins, by digest
        self._written: set[tuple[str, str | None, str | None]] = set()  # file, digest, error
        self._load()

    def _load(self) -> None:
        """Learn the lines there are."""
        if self._journal.cut:
            self.notes.append(f"The last line of {RESULTS} was incomplete and was dropped.")
        known = enumerate(self._journal.lines(), start=1)
        bad = [number for number, (start, data) in known if not self._learn(data, start)]
        if bad:
            lines = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
            self.notes.append(f"Damaged lines of {RESULTS}, which were ignored: {len(bad)} (line {lines}).")

    def _learn(self, data: bytes, start: int) -> bool:
        """Index one line; False if it is damaged."""
        try:
            line = json.loads(data)
            if line["settings"] == self.settings:
                self._index(line, start)
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        return True

    def _index(self, line: Line, start: int) -> None:
        name, digest, error = line["file"], line["sha256"], line["error"]
        if error is None:
            key = _found(line)
            if not isinstance(digest, str):
                raise ValueError("not a result")
            if digest not in self.keys:
                self.keys[digest], self._starts[digest] = key, start
        self._written.add((name, digest, error))

    def has(self, name: str, digest: str | None, error: str | None = None) -> bool:
        """Whether there is a line that says this already."""
        return (name, digest, error) in self._written

    def first(self, digest: str) -> Line:
        """The first line with a result for these bytes."""
        line: Line = json.loads(self._journal.line(self._starts[digest]))
        return line

    def append(self, lines: Iterable[Line]) -> None:
        """Write the lines to the disk, all of them or none."""
        lines = list(lines)
        starts = self._journal.append(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines)
        for line, start in zip(lines, starts, strict=True):
            self._index(line, start)


# The run


@dataclass
class _Waiting:
    """Pictures read and not yet detected: one batch."""

    items: list[Item] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    pictures: list[images.Picture] = field(default_factory=list)

    def fits(self, picture: images.Picture) -> bool:
        """Whether it can be stacked on those that wait."""
        return not self.pictures or self.pictures[0].pixels.shape == picture.pixels.shape

    def add(self, item: Item, digest: str, picture: images.Picture) -> None:
        self.items.append(item)
        self.digests.append(digest)
        self.pictures.append(picture)


class _Run:
    """One pass over the items."""

    def __init__(
        self,
        results: _Results,
        detect: Detect,
        total: int,
        batch: int,
        size: tuple[int, int] | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.results, self.detect, self.total = results, detect, total
        self.batch, self.size, self.progress = batch, size, progress
        self.checked = self.resumed = 0
        self.failed: list[tuple[str, str]] = []
        self.pairs = Counter[tuple[Label, Found]]()  # (true, found)
        self._busy = 0.0  # seconds of detection
        self._waiting = _Waiting()
        self._lines: list[Line] = []  # known and not yet written

    def all(self, items: Iterable[Item]) -> None:
        """Check every item; what is known is on the disk also when this ends with an exception."""
        self._tell()
        try:
            for item in items:
                self._one(item)
                if len(self._waiting.items) >= self.batch:
                    self._detect()
            self._detect()
        finally:
            self._write()

    def _one(self, item: Item) -> None:
        digest = None
        try:
            data = images.read_bytes(item.path, item.name)
            digest = images.digest(data)
            if digest in self._waiting.digests:  # a copy: its result is known in a moment
                self._detect()
            if digest in self.results.keys:
                self._resume(item, digest)
                return
            picture = images.read(data, self.size, item.name)
        except ImageError as error:
            self._fail(item, digest, str(error))
            return
        if not self._waiting.fits(picture):
            self._detect()
        self._waiting.add(item, digest, picture)

    def _fail(self, item: Item, digest: str | None, sentence: str) -> None:
        self.failed.append((item.name, sentence))
        if not self.results.has(item.name, digest, sentence):
            self._put({**self._head(item, digest), "error": sentence})
        self._tell()

    def _resume(self, item: Item, digest: str) -> None:
        self.resumed += 1
        self.pairs[item.label, self.results.keys[digest]] += 1
        if not self.results.has(item.name, digest):
            first = self.results.first(digest)
            notes = [*(first.get("notes") or []), f"Taken over from {first['file']}, which has the same bytes."]
            self._put({**first, "file": item.name, "notes": notes})
        self._tell()

    def _detect(self) -> None:
        """Detect what waits and write the results."""
        waiting, self._waiting = self._waiting, _Waiting()
        self._write()
        if not waiting.items:
            return
        started = time.perf_counter()
        pixels = np.stack([picture.pixels for picture in waiting.pictures])  # [B, H, W, 3]
        detections = self.detect(pixels, [picture.notes for picture in waiting.pictures])
        self._busy += time.perf_counter() - started
        rows = list(zip(waiting.items, waiting.digests, detections, strict=True))
        self.results.append(self._result(*row) for row in rows)
        self.checked += len(rows)
        self.pairs.update((item.label, detection.found) for item, _, detection in rows)
        self._tell()

    def _result(self, item: Item, digest: str, detection: Detection) -> Line:
        return {**self._head(item, digest), **_finite(detection.as_dict()), "error": None}

    def _head(self, item: Item, digest: str | None) -> Line:
        return {"file": item.name, "sha256": digest, "settings": self.results.settings}

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
        done = self.checked + self.resumed + len(self.failed)
        rate = self.checked / self._busy if self._busy else 0.0
        remaining = (self.total - done) / rate if rate else None
        return Progress(done, self.total, self.resumed, len(self.failed), rate, remaining)


def _found(line: Line) -> Found:
    """The answer of a line as a label; raises ``ValueError`` if there is none.  Lines of old have a key alone."""
    key = line["key"]
    if not (key is None or type(key) is int):
        raise ValueError("not a result")
    answer = Answer(line.get("answer", "none" if key is None else "key"))
    return answer if answer in OTHERS else key


def _finite(line: Line) -> Line:
    """JSON knows no infinity and no NaN: they become null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}


def verify(
    items: Sequence[Item],
    detect: Detect,
    output: Path,
    settings: Mapping[str, Any],
    batch: int = 8,
    size: tuple[int, int] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Check the pictures; what an earlier run in ``output`` has found out is not found out again.

    ``settings``: all that a result depends on besides the picture, for JSON; with ``size`` they decide
    which earlier results count.  ``batch``: pictures a call of ``detect``, and held in memory, at most.
    ``size``: (height, width) to which pictures are brought; None: as they are.  Writes ``results.jsonl``
    as it goes and, at the end, ``summary.json`` and, if labels are known, ``confusion.md`` and
    ``confusion.png``.  A picture that cannot be read is a line with an error, not an end.  Raises
    ``InputError`` if ``output`` cannot be used; what ``detect`` raises is not caught.
    """
    started = time.perf_counter()
    if batch < 1:
        raise InputError("A batch has at least one picture.")
    whole = {"settings": dict(settings), "size": size}
    _keep_apart(items, output)
    busy = f"Another verification is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / RESULTS) as journal:
        run = _Run(_Results(journal, settings_id(whole)), detect, len(items), batch, size, progress)
        run.all(items)
        summary = _summary(run, time.perf_counter() - started)
        return _publish(summary, output, whole)


def _keep_apart(items: Iterable[Item], output: Path) -> None:
    """Refuse an output whose figure would replace one of the pictures."""
    figure = os.path.realpath(output / FIGURE)
    for item in items:
        if item.path.name == FIGURE and os.path.realpath(item.path) == figure:
            raise InputError(f"The results would replace the picture {item.path}; choose another folder for them.")


def _summary(run: _Run, seconds: float) -> Summary:
    found = Counter[Found]()
    for (_, key), count in run.pairs.items():
        found[key] += count
    order = sorted(key for key in found if isinstance(key, int))
    others = [answer for answer in OTHERS if found[answer]]
    confusion, notes = _confusion(run)
    return Summary(
        total=run.total,
        checked=run.checked,
        resumed=run.resumed,
        failed=tuple(run.failed),
        found={key: found[key] for key in (*order, None, *others)},
        confusion=confusion,
        settings=run.results.settings,
        seconds=seconds,
        notes=(*run.results.notes, *notes),
    )


def _confusion(run: _Run) -> tuple[Confusion | None, list[str]]:
    known = Counter({(true, key): n for (true, key), n in run.pairs.items() if not isinstance(true, Unknown)})
    unknown = run.pairs.total() - known.total()
    if not known:
        return None, []
    notes = [f"Pictures without a label, which are not in the confusion matrix: {unknown}."] if unknown else []
    return Confusion.of(known.elements()), notes


def _publish(summary: Summary, output: Path, settings: Mapping[str, Any]) -> Summary:
    """Write the files for people; gives the summary with notes on them."""
    if summary.confusion:
        files.replace(output / TABLE, report.confusion_markdown(summary.confusion).encode())
        summary = replace(summary, notes=summary.notes + _draw(summary.confusion, output / FIGURE))
    else:
        old = [name for name in (TABLE, FIGURE) if (output / name).exists()]
        notes = tuple(f"{name} is of an earlier run: no labels are known in this one." for name in old)
        summary = replace(summary, notes=summary.notes + notes)
    content = {**summary.as_dict(), "settings": {"id": summary.settings, **settings}}
    files.replace(output / SUMMARY, (json.dumps(content, indent=2) + "\n").encode())
    return summary


def _draw(confusion: Confusion, path: Path) -> tuple[str, ...]:
    """Draw the figure; gives a note if that does not go, as without matplotlib."""
    try:
        report.confusion_figure(confusion, path)
    except InputError as error:
        return (f"{path.name} was not drawn. {error}",)
    return ()
