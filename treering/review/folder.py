"""The lines of a results folder that count: of one run, the last of every file."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..batch import RESULTS, Line
from ..batch.journal import parse
from ..errors import InputError
from . import origin as origins
from .origin import Origin
from .shelf import Last, explained

_LONGEST = 1 << 24


@dataclass(frozen=True)
class Folder:
    """A results folder.

    ``settings``: of the lines that count.  ``others``: lines of other settings, by keyring.  ``damaged``: lines that
    cannot be read.  ``last``: for every file, the byte at which its last line begins, on disk.
    """

    path: Path
    origin: Origin | None
    settings: str
    others: Counter[str]
    damaged: int
    last: Last

    @classmethod
    def open(cls, path: Path, settings: str | None = None) -> Folder:
        """Look through the folder, or through that of a ``results.jsonl``.

        ``settings``: which lines count, if not those of the folder's last run.  Raises ``InputError`` where there are
        no results, and where it is not known which are meant.
        """
        folder = path.parent if path.name == RESULTS else path
        if not (folder / RESULTS).is_file():
            raise InputError(
                f"There are no results in {folder}: `treering verify --output {folder}` writes them there."
            )
        origin = origins.known(folder)
        found, damaged = _Found(), 0
        with explained():
            for start, data in lines(folder):
                if (line := _head(data)) is None:
                    damaged += 1
                else:
                    found.add(line, start)
        wanted = settings or (origin.id if origin else None) or found.only(folder)
        if wanted not in found.last:
            raise InputError(_nothing(folder, wanted, found, damaged))
        others = sum((count for one, count in found.keyrings.items() if one != wanted), Counter[str]())
        known = origin if origin is not None and origin.id == wanted else None
        return cls(folder, known, wanted, others, damaged, found.last[wanted])

    def rows(self) -> Iterator[Line]:
        """The last line of every file, in the order of the journal."""
        with _explained(self.path), (self.path / RESULTS).open("rb") as file:
            for start in self.last.starts():
                if file.tell() != start:
                    file.seek(start)
                if (line := _parsed(file.readline(_LONGEST))) is not None:
                    yield line

    @property
    def digest(self) -> str:
        """SHA-256 of the journal."""
        with (self.path / RESULTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: object) -> str:
    digest = hashlib.sha256()
    while data := file.read(_LONGEST):  # type: ignore[attr-defined]
        digest.update(data)
    return digest.hexdigest()


class _Found:
    """What the lines of a journal are of: for every settings, files with their last lines, and keyrings."""

    def __init__(self) -> None:
        self.last: dict[str, Last] = {}
        self.keyrings: dict[str, Counter[str]] = {}

    def add(self, line: Line, start: int) -> None:
        settings = line["settings"]
        if settings not in self.last:
            self.last[settings] = Last()
        self.last[settings].add(line["file"], start)
        keyring = line.get("keyring")
        name = keyring if isinstance(keyring, str) else "unknown"
        self.keyrings.setdefault(settings, Counter())[name] += 1

    def only(self, folder: Path) -> str:
        """The settings, where there are no others."""
        if len(self.last) > 1:
            names = ", ".join(f"{one} (keyring {counts.most_common(1)[0][0]})" for one, counts in self.keyrings.items())
            raise InputError(
                f"{folder} has results of several keyrings or settings; name one with --settings: {names}."
            )
        return next(iter(self.last), "")


def _nothing(folder: Path, wanted: str, found: _Found, damaged: int) -> str:
    if not found.last and damaged:
        return f"No line of {folder / RESULTS} is a result that this version of treering can read."
    if not found.last:
        return f"{folder / RESULTS} is empty: the run has not come to its first result."
    there = ", ".join(sorted(found.last))
    return f"{folder} has no results with the settings {wanted}, only with: {there}."


def lines(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Byte at which a line of the journal begins, and the line."""
    start = 0
    with _explained(folder), (folder / RESULTS).open("rb") as file:
        while data := file.readline(_LONGEST):
            yield start, data
            start += len(data)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder / RESULTS} cannot be read: {error.strerror or error}.") from error


def _head(data: bytes) -> Line | None:
    """A line of which nothing is checked but what it is called: that takes a fifth of the time."""
    try:
        line = json.loads(data)
    except (ValueError, RecursionError):
        return None
    known = isinstance(line, dict) and all(isinstance(line.get(field), str) for field in ("file", "settings"))
    return line if known else None


def _parsed(data: bytes) -> Line | None:
    try:
        return parse(data)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
