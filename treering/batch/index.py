"""What the journal of results says, on disk and quickly found: an index in SQLite, of the lines with one settings hash.

The journal is the truth.  The index is kept in a file only where the journal is long; it says how far it has read the
journal, and what that part looked like (length, checksum, and the file's own stamp).  Where the journal was changed by
anybody else, or the index is damaged, it is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..types import Found
from .stamps import digest as hashed
from .stamps import of_file
from .tally import answer_of, number_of

FILE = ".index.sqlite"
"""Name of the index in a folder of results."""

_VERSION = 1
_PAUSE = 5.0  # seconds between two commits: what is lost by a kill is read again from the journal
_CHUNK = 1 << 22
_TABLES = """
CREATE TABLE about (what TEXT PRIMARY KEY, value);
CREATE TABLE results (digest BLOB PRIMARY KEY, found INTEGER, start INTEGER) WITHOUT ROWID;
CREATE TABLE written (token BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE seen (token BLOB PRIMARY KEY, digest BLOB) WITHOUT ROWID;
"""


@dataclass
class Read:
    """How far the journal is read: bytes and their CRC-32, lines, the damaged ones, and those of other settings."""

    size: int = 0
    crc: int = 0
    lines: int = 0
    damaged: int = 0
    first_damaged: str = ""
    others: int = 0


class Index:
    """The answers of a journal by digest, and what is written there already.  Threads may ask at the same time."""

    def __init__(self, path: Path | None, settings: str, journal: Path) -> None:
        """``path``: None keeps the index in memory, with a temporary file where it grows."""
        self.read = Read()
        self.path, self._settings, self._journal = path, settings, journal
        self._lock = threading.RLock()
        self._committed = time.monotonic()
        self._rows = self._opened()

    def close(self) -> None:
        """Put all of it on the disk."""
        with contextlib.suppress(sqlite3.Error):  # a cache: what is missing is read again
            self.commit()
        self._rows.close()

    # Opening

    def _opened(self) -> sqlite3.Connection:
        if self.path is None:
            return _new("")
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise InputError(f"{self.path} is not a file of treering's making; remove it, or choose another folder.")
        rows = self._kept(self.path)
        if rows is None:
            for name in (self.path, Path(f"{self.path}-journal")):
                name.unlink(missing_ok=True)
            with _explained(self.path):
                rows = _new(str(self.path))
        return rows

    def _kept(self, path: Path) -> sqlite3.Connection | None:
        """The index of an earlier run, if it says what the journal says."""
        if not path.exists():
            return None
        try:
            rows = _connected(str(path))
            about = dict(rows.execute("SELECT what, value FROM about"))
            known = Read(**{name: about[name] for name in Read.__dataclass_fields__})
            same = (about["version"], about["settings"]) == (_VERSION, self._settings)
            if same and self._agrees(known, about["stamp"]):
                self.read = known
                return rows
            rows.close()
        except (sqlite3.Error, KeyError, TypeError):
            pass
        return None

    def _agrees(self, known: Read, stamp: str) -> bool:
        status = os.stat(self._journal)
        if of_file(status) == stamp and status.st_size == known.size:
            return True
        return status.st_size >= known.size and _crc(self._journal, known.size) == known.crc

    # Asking

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and self.found(digest) is not _NOTHING

    def __getitem__(self, digest: str) -> Found:
        found = self.found(digest)
        if found is _NOTHING:
            raise KeyError(digest)
        return found  # type: ignore[return-value]

    def found(self, digest: str) -> Found | object:
        """The answer for these bytes, or something that is none."""
        row = self._one("SELECT found FROM results WHERE digest = ?", bytes.fromhex(digest))
        return _NOTHING if row is None else answer_of(row[0])

    def start(self, digest: str) -> int:
        """Where the first line with a result for these bytes begins."""
        return int(self._one("SELECT start FROM results WHERE digest = ?", bytes.fromhex(digest))[0])

    def has(self, name: str, digest: str | None, error: str | None) -> bool:
        """Whether there is a line that says this already."""
        token = hashed(name, str(digest), str(error))
        return self._one("SELECT 1 FROM written WHERE token = ?", token) is not None

    def seen(self, token: bytes) -> str | None:
        """The digest of the picture with this name and stamp, if it was read before."""
        row = self._one("SELECT digest FROM seen WHERE token = ?", token)
        return None if row is None else bytes(row[0]).hex()

    def answers(self, tokens: Sequence[bytes]) -> dict[bytes, Found]:
        """What was found in the pictures with these names and stamps, of those that are known."""
        query = "SELECT token, found FROM seen JOIN results USING (digest) WHERE token IN (%s)"
        with self._lock:
            rows = self._rows.execute(query % ",".join("?" * len(tokens)), tokens).fetchall()
        return {token: answer_of(found) for token, found in rows}

    def _one(self, query: str, value: bytes) -> Any:
        with self._lock:
            return self._rows.execute(query, (value,)).fetchone()

    # Learning

    def add(self, name: str, digest: str | None, error: str | None, found: Found, start: int) -> None:
        """A line of the journal: a result where ``error`` is None."""
        with self._writing():
            if error is None and digest is not None:
                values = (bytes.fromhex(digest), number_of(found), start)
                self._rows.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?)", values)
            token = hashed(name, str(digest), str(error))
            self._rows.execute("INSERT OR IGNORE INTO written VALUES (?)", (token,))

    def see(self, seen: Iterable[tuple[bytes | None, str]]) -> None:
        """These names and stamps have these digests, and there are lines that say so."""
        rows = [(token, bytes.fromhex(digest)) for token, digest in seen if token]
        with self._writing():
            self._rows.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", rows)

    def extend(self, data: bytes) -> None:
        """These bytes of the journal are read."""
        self.read.size += len(data)
        self.read.crc = zlib.crc32(data, self.read.crc)

    @contextlib.contextmanager
    def _writing(self):  # type: ignore[no-untyped-def]
        with self._lock, _explained(self.path):
            if not self._rows.in_transaction:
                self._rows.execute("BEGIN")
            yield

    def rest(self) -> None:
        """Put it on the disk now and then."""
        if time.monotonic() - self._committed > _PAUSE:
            with _explained(self.path):
                self.commit()

    def commit(self) -> None:
        """Put it on the disk, with how far the journal is read."""
        with self._lock:
            if self.path is not None:
                self._note()
            if self._rows.in_transaction:
                self._rows.execute("COMMIT")
            self._committed = time.monotonic()

    def _note(self) -> None:
        about = {**vars(self.read), "version": _VERSION, "settings": self._settings}
        about["stamp"] = of_file(os.stat(self._journal))
        if not self._rows.in_transaction:
            self._rows.execute("BEGIN")
        self._rows.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())


_NOTHING = object()


def _connected(name: str) -> sqlite3.Connection:
    rows = sqlite3.connect(name, check_same_thread=False, isolation_level=None, timeout=30)
    rows.executescript("PRAGMA cache_size = -32768; PRAGMA temp_store = FILE")
    return rows


def _new(name: str) -> sqlite3.Connection:
    rows = _connected(name)
    rows.executescript(_TABLES)
    return rows


def _crc(path: Path, size: int) -> int:
    """CRC-32 of the first bytes of a file."""
    crc = 0
    with path.open("rb") as file:
        while size and (data := file.read(min(size, _CHUNK))):
            size -= len(data)
            crc = zlib.crc32(data, crc)
    return crc


@contextlib.contextmanager
def _explained(path: Path | None):  # type: ignore[no-untyped-def]
    try:
        yield
    except sqlite3.Error as error:
        place = "The temporary index" if path is None else str(path)
        raise InputError(f"{place} cannot be written: {error}.") from error
