"""What is to be done, on disk: a listing of the pictures of a run, minus those that are done already.

The listing is made anew by every run and vanishes with it.  Memory stays flat, however many pictures there are:
SQLite keeps a few megabytes and leaves the rest to a temporary file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from .index import Index
from .items import Item
from .stamps import token
from .tally import Pairs, label_of, number_of_label

_ROWS = 512  # read or written at a time
_TABLES = """
CREATE TABLE items (id INTEGER PRIMARY KEY, name BLOB, path BLOB, address BLOB, stamp BLOB, label INTEGER,
    problem BLOB, token BLOB);
CREATE TABLE todo (number INTEGER PRIMARY KEY, id INTEGER);
"""
_COLUMNS = "name, path, address, stamp, problem"  # bytes: a name of a file need not be text


class Listing:
    """The pictures of one run, in the order of their source or by name; made once, then compared with an index."""

    def __init__(
        self, items: Iterable[Item], look: Callable[[Item], None] | None = None, by_name: bool = False
    ) -> None:
        """``look``: is shown every item as it comes, and may refuse it."""
        self._order = "name, id" if by_name else "id"
        self._rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._rows.executescript(f"PRAGMA cache_size = -8192; {_TABLES}")
        self.total = 0
        entries = iter(items)
        while some := list(islice(entries, _ROWS)):
            for item in some if look else ():
                look and look(item)
            self._add(some)

    def close(self) -> None:
        """Give the disk back."""
        self._rows.close()

    def _add(self, items: list[Item]) -> None:
        rows = [(*map(_bytes, _words(item)), number_of_label(item.label), token(item)) for item in items]
        self._rows.execute("BEGIN")
        self._rows.executemany(f"INSERT INTO items ({_COLUMNS}, label, token) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self._rows.execute("COMMIT")
        self.total += len(rows)

    def compare(self, index: Index) -> Pairs:
        """Keep what the index does not know under its name and stamp; count the others by label and answer."""
        pairs = Pairs()
        self._rows.execute("BEGIN")
        self._rows.execute("DELETE FROM todo")
        query = self._rows.cursor().execute(f"SELECT id, token, label FROM items ORDER BY {self._order}")
        while rows := query.fetchmany(_ROWS):
            answers = index.answers([token for _, token, _ in rows if token])
            pairs.update((label_of(label), answers[token]) for _, token, label in rows if token in answers)
            left = [(number,) for number, token, _ in rows if token not in answers]
            self._rows.executemany("INSERT INTO todo (id) VALUES (?)", left)
        self._rows.execute("COMMIT")
        return pairs

    def where(self, name: str) -> Path | None:
        """The file of a picture that lies on this machine, by its name in the results; None for others."""
        query = "SELECT path FROM items WHERE name = ? AND address IS NULL"
        row = self._rows.execute(query, (_bytes(name),)).fetchone()
        return Path(_text(row[0]) or "") if row else None

    def todo(self) -> Iterator[tuple[Item, bytes | None]]:
        """What is left to do, with its token."""
        last = 0
        columns = f"{_COLUMNS}, label, token, number"
        query = f"SELECT {columns} FROM todo JOIN items USING (id) WHERE number > ? ORDER BY number LIMIT ?"
        while rows := self._rows.execute(query, (last, _ROWS)).fetchall():
            last = rows[-1][-1]
            for *words, label, known, _ in rows:
                name, path, address, stamp, problem = map(_text, words)
                yield Item(Path(path or ""), name or "", label_of(label), problem, address, stamp), known


def _words(item: Item) -> tuple[str | None, ...]:
    return item.name, str(item.path), item.address, item.stamp, item.problem


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogatepass")
