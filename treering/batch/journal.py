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
from .index import FILE, Index, Read
from .items import RESULTS, Line
from .stamps import digest

MANY, LONG = 10_000, 1 << 23
"""Pictures of a run, and bytes of a journal, from which on the index of what is done is kept in a file."""

_NAMED = 5  # damaged lines that are named
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
    """What the journal ``results.jsonl`` knows already; of lines with other settings, nothing but how many there are.

    Of every line three things are kept, in an :class:`Index`: the digest, the answer and where it begins.
    """

    def __init__(self, journal: files.Journal, settings: str, expected: int = 0) -> None:
        """``expected``: pictures of this run; where there are many, the index is kept in a file."""
        self.settings = settings
        self._journal, self._begun = journal, journal.size
        many = expected >= MANY or journal.size >= LONG
        self.keys = Index(journal.path.with_name(FILE) if many else None, settings, journal.path)
        try:
            self._load()
        except BaseException:
            self.keys.close()
            raise

    def begin(self) -> None:
        """What is written from now on is of this run."""
        self._begun = self._journal.size

    def close(self) -> None:
        """Put the index on the disk; the lines are there already."""
        self.keys.close()

    @property
    def notes(self) -> list[str]:
        """What to know of the lines there were."""
        read, notes = self.keys.read, list[str]()
        if self._journal.cut:
            notes.append(f"The last line of {RESULTS} was incomplete and was dropped.")
        if read.damaged:
            lines = read.first_damaged + (", ..." if read.damaged > _NAMED else "")
            notes.append(f"Damaged lines of {RESULTS}, which were ignored: {read.damaged} (line {lines}).")
        return notes

    @property
    def others(self) -> int:
        """Results of other settings, which are left as they are."""
        return self.keys.read.others

    def _load(self) -> None:
        """Learn the lines that the index does not know."""
        read = self.keys.read
        for start, data in self._journal.lines(read.size):
            self.keys.extend(data)
            read.lines += 1
            if not self._learn(data, start):
                self._note_damage(read)
        self.keys.rest()

    @staticmethod
    def _note_damage(read: Read) -> None:
        if read.damaged < _NAMED:
            read.first_damaged += f", {read.lines}" if read.damaged else str(read.lines)
        read.damaged += 1

    def _learn(self, data: bytes, start: int) -> bool:
        """Index one line; False if it is damaged."""
        try:
            line = parse(data)
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        if line["settings"] != self.settings:
            self.keys.read.others += line["error"] is None
            return True
        self._index(line, start)
        return True

    def _index(self, line: Line, start: int) -> None:
        answer = found(line) if line["error"] is None else None
        self.keys.add(line["file"], line["sha256"], line["error"], answer, start)
        if line["error"] is None and isinstance(stamp := line.get("stamp"), str):
            self.see([(digest(line["file"], stamp), line["sha256"])])

    def see(self, seen: Iterable[tuple[bytes | None, str]]) -> None:
        """These names and stamps (as tokens) have these digests: they need not be read again."""
        self.keys.see(seen)

    def has(self, name: str, digest: str | None, error: str | None = None) -> bool:
        """Whether there is a line that says this already."""
        return self.keys.has(name, digest, error)

    def is_earlier(self, digest: str) -> bool:
        """Whether the result for these bytes was there before this run."""
        return self.keys.start(digest) < self._begun

    def first(self, digest: str) -> Line:
        """The first line with a result for these bytes."""
        return parse(self._journal.line(self.keys.start(digest)))

    def append(self, lines: Iterable[Line]) -> None:
        """Write the lines to the disk, all of them or none."""
        lines = list(lines)
        data = [json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines]
        starts = self._journal.append(data)
        self.keys.extend(b"".join(data))
        self.keys.read.lines += len(lines)
        for line, start in zip(lines, starts, strict=True):
            self._index(line, start)
        self.keys.rest()
