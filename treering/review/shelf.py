"""What a report must know of every picture of a run, on disk: memory stays flat, however many there are.

SQLite keeps a few megabytes and leaves the rest to a temporary file, which vanishes with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ..batch import UNKNOWN, Item
from ..batch.tally import label_of, number_of_label
from ..errors import InputError

_ROWS = 512  # read or written at a time


def _opened(owner: object, tables: str) -> sqlite3.Connection:
    """A database of its own, which is closed when nobody knows its owner any more."""
    rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    rows.executescript(f"PRAGMA cache_size = -16384; {tables} BEGIN")  # never committed: nobody else reads it
    weakref.finalize(owner, rows.close)
    return rows


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """A full disk is one sentence: ``InputError``."""
    try:
        yield
    except sqlite3.Error as error:
        raise InputError(f"The temporary files of the report cannot be written: {error}.") from error


def _token(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Last:
    """For every file of one settings hash, where its last line begins."""

    def __init__(self) -> None:
        self._rows = _opened(self, "CREATE TABLE last (file BLOB PRIMARY KEY, start INTEGER) WITHOUT ROWID;")

    def add(self, file: str, start: int) -> None:
        """A later line of a file takes the place of an earlier one."""
        self._rows.execute("INSERT OR REPLACE INTO last VALUES (?, ?)", (_token(file), start))

    def __len__(self) -> int:
        return int(self._rows.execute("SELECT count(*) FROM last").fetchone()[0])

    def __contains__(self, file: object) -> bool:
        return isinstance(file, str) and self.count([_token(file)]) == 1

    def count(self, tokens: list[bytes]) -> int:
        """How many of these files, at most a few hundred, have a line."""
        query = f"SELECT count(*) FROM last WHERE file IN ({','.join('?' * len(tokens))})"
        return int(self._rows.execute(query, tokens).fetchone()[0])

    def starts(self) -> Iterator[int]:
        """Where they begin, in their order."""
        found = self._rows.cursor().execute("SELECT start FROM last ORDER BY start")
        while some := found.fetchmany(_ROWS):
            yield from (start for (start,) in some)


class Digests:
    """Which bytes were seen before."""

    def __init__(self) -> None:
        self._rows = _opened(self, "CREATE TABLE digests (digest BLOB PRIMARY KEY) WITHOUT ROWID;")

    def again(self, digest: bytes) -> bool:
        """Whether this one was; from now on it is."""
        return self._rows.execute("INSERT OR IGNORE INTO digests VALUES (?)", (digest,)).rowcount == 0


class Shelf:
    """The pictures of a run with their labels, to be asked for by name.

    ``labelled``: whether a label of any is known.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        """Raises whatever the listing raises."""
        self.labelled = False
        self._rows = _opened(self, "CREATE TABLE items (name BLOB PRIMARY KEY, path BLOB, label) WITHOUT ROWID;")
        for _ in self.filled(items):
            pass

    def filled(self, items: Iterable[Item]) -> Iterator[Item]:
        """The pictures, which are put here as they pass: a listing that is gone through once serves two."""
        entries = iter(items)
        while some := list(islice(entries, _ROWS)):
            self._rows.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", map(_row, some))
            self.labelled = self.labelled or any(item.label is not UNKNOWN for item in some)
            yield from some

    def __len__(self) -> int:
        return int(self._rows.execute("SELECT count(*) FROM items").fetchone()[0])

    def get(self, name: str) -> Item | None:
        """The picture of this name; ``address`` is empty, but not None, where it is no file on this machine."""
        row = self._rows.execute("SELECT path, label FROM items WHERE name = ?", (_token(name),)).fetchone()
        if row is None:
            return None
        path = row[0] and Path(row[0].decode("utf-8", "surrogatepass"))
        return Item(path or Path(), name, label_of(row[1]), address=None if path else "")

    def missing(self, last: Last) -> int:
        """How many have no line."""
        found, there = self._rows.cursor().execute("SELECT name FROM items"), 0
        while some := found.fetchmany(_ROWS):
            there += last.count([name for (name,) in some])
        return len(self) - there


def _row(item: Item) -> tuple[bytes, bytes | None, int | str]:
    path = None if item.address is not None else str(item.path).encode("utf-8", "surrogatepass")
    return _token(item.name), path, number_of_label(item.label)
