"""What a journal of results knows already, and how a line is recognised."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .. import files
from ..statistics import OTHERS
from ..types import Answer, Found, Key
from .items import RESULTS, Line

_DIGEST = re.compile(r"[0-9a-f]{64}")
_BEGINNING = b'{"file": "'
_HEAD = {"file", "sha256", "settings", "error"}


def settings_id(settings: Mapping[str, Any]) -> str:
    """Short hash, 16 hexadecimal digits, of settings that JSON can hold; their order does not matter."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


# Lines


def parse(data: bytes) -> Line:
    """A line, checked field by field; raises ``ValueError``, ``TypeError``, ``KeyError`` or ``RecursionError``."""
    line = json.loads(data, parse_constant=_refuse, parse_float=_number)
    if not isinstance(line, dict) or not _has_head(line):
        raise ValueError("not a line")
    if line["error"] is None:
        _check_result(line)
    return line


def _has_head(line: Line) -> bool:
    digest, error = line["sha256"], line["error"]
    return (
        all(isinstance(line[name], str) for name in ("file", "settings"))
        and (digest is None or (isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None))
        and (error is None or isinstance(error, str))
    )


def _check_result(line: Line) -> None:
    notes = line.get("notes", [])
    if line["sha256"] is None or not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("not a result")
    found(line)


def found(line: Line) -> Found:
    """The answer of a line as a label; raises ``ValueError`` if there is none.  Lines of old have a key alone.

    Lines of a search of several keyrings name that of the key.
    """
    key = line["key"]
    answer = Answer(line.get("answer", "none" if key is None else "key"))
    if (answer is Answer.KEY) != (key is not None) or not (key is None or (type(key) is int and key >= 0)):
        raise ValueError("not a result")
    if answer in OTHERS:
        return answer
    name = line.get("keyring_name")
    if name is None or key is None:
        return key
    if not isinstance(name, str):
        raise ValueError("not a result")
    return Key(name, key)


def _refuse(text: str) -> float:
    raise ValueError(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def is_ours(data: bytes) -> bool:
    """Whether a line can be of our making, whole and damaged inside or cut short at its end."""
    try:
        line = json.loads(data)
    except (ValueError, RecursionError):
        begins = data.startswith(_BEGINNING) or _BEGINNING.startswith(data) or not data.strip(b"\0")
        return begins and not data.endswith(b"\n")  # the last line, which a kill or a power cut left so
    return isinstance(line, dict) and line.keys() >= _HEAD


# The journal


class Results:
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
            line = parse(data)
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        if line["settings"] == self.settings:
            self._index(line, start)
        return True

    def _index(self, line: Line, start: int) -> None:
        name, digest, error = line["file"], line["sha256"], line["error"]
        if error is None and digest not in self.keys:
            self.keys[digest], self._starts[digest] = found(line), start
        self._written.add((name, digest, error))

    def has(self, name: str, digest: str | None, error: str | None = None) -> bool:
        """Whether there is a line that says this already."""
        return (name, digest, error) in self._written

    def is_earlier(self, digest: str) -> bool:
        """Whether the result for these bytes was there before this run."""
        return self._starts[digest] < self._journal.started

    def first(self, digest: str) -> Line:
        """The first line with a result for these bytes."""
        return parse(self._journal.line(self._starts[digest]))

    def append(self, lines: Iterable[Line]) -> None:
        """Write the lines to the disk, all of them or none."""
        lines = list(lines)
        starts = self._journal.append(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines)
        for line, start in zip(lines, starts, strict=True):
            self._index(line, start)
