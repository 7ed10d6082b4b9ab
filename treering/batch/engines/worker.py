"""A worker: makes its detector once, then turns tasks into shards.

As a process of its own (``python -m treering.batch.engines.worker``) it is told what to do in lines of JSON on its
standard input, and answers in lines of JSON on what was its standard output.  When the input ends, because whoever
started it is done or was killed, it finishes its task, so that nothing that was done is lost, and ends.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ...errors import TreeringError
from .. import shards
from ..ahead import ahead
from ..items import Detect, Item, Line
from ..journal import settings_id
from ..lines import Loaded, Size, frames_for, head, lines, load
from .common import Plain, Recipe


@dataclass(frozen=True)
class Work:
    """A detector and all that belongs to it; ``settings``, ``batch``, ``size`` and ``strict`` as for ``verify``."""

    detect: Detect
    settings: Mapping[str, Any]
    batch: int = 1
    size: Size | Sequence[Size] | None = None
    strict: bool = False

    @property
    def id(self) -> str:
        """The hash of the settings, as in the lines."""
        return settings_id({"settings": dict(self.settings), "size": self.size})

    def about(self) -> Plain:
        """For the run, which loads no model of its own."""
        return {"settings": dict(self.settings), "batch": self.batch, "size": self.size, "strict": self.strict}


class Worker:
    """Tasks to shards."""

    def __init__(self, recipe: Recipe) -> None:
        self.work: Work = recipe.call()

    def run(self, task: Plain) -> Plain:
        """Do a task: ``items`` become a shard in ``folder``; what is in the ``index`` is not detected again."""
        started = time.perf_counter()
        with closing(_Known(task.get("index"))) as known:
            done = list(self._lines([item_of(row) for row in task["items"]], known))
        return {"shard": shards.write(Path(task["folder"]), done), "seconds": time.perf_counter() - started}

    def _lines(self, items: Sequence[Item], known: _Known) -> Iterator[Line]:
        def read(item: Item) -> Loaded:
            return load(item, self.work.size, known, self.work.strict, frames_for(self.work.detect))

        with closing(ahead(read, items, self.work.batch)) as loaded:
            while batch := list(islice(loaded, self.work.batch)):
                yield from self._detected(batch)

    def _detected(self, batch: Sequence[Loaded]) -> Iterator[Line]:
        new = iter(lines([one for one in batch if not _is_copy(one)], self.work.detect, self.work.id))
        for one in batch:
            yield _copy(one, self.work.id) if _is_copy(one) else next(new)


def _is_copy(one: Loaded) -> bool:
    return one.picture is None and one.error is None


def _copy(one: Loaded, settings: str) -> Line:
    return {**head(one, settings), "error": None, "copy": True}


class _Known:
    """Digests that the index of the run knows, as far as it can be read from here; the run itself looks again."""

    def __init__(self, index: str | None) -> None:
        self._lock = threading.Lock()
        self._rows: sqlite3.Connection | None = None
        if index and os.path.exists(index):
            with suppress(sqlite3.Error):
                address = f"{Path(index).absolute().as_uri()}?mode=ro"
                self._rows = sqlite3.connect(address, uri=True, timeout=1, check_same_thread=False)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and self._one("results", "digest", bytes.fromhex(digest)) is not None

    def seen(self, token: bytes) -> str | None:
        """The digest of the picture with this name and stamp, if it was read before."""
        row = self._one("seen", "token", token)
        return None if row is None else bytes(row[1]).hex()

    def _one(self, table: str, column: str, value: bytes) -> Any:
        with self._lock, suppress(sqlite3.Error):
            return self._rows and self._rows.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,)).fetchone()

    def close(self) -> None:
        if self._rows is not None:
            self._rows.close()


def row_of(item: Item) -> list[str | None]:
    """What travels of an item."""
    return [item.name, str(item.path), item.problem, item.address, item.stamp]


def item_of(row: Sequence[str | None]) -> Item:
    """The item that travelled; its label stayed."""
    name, path, problem, address, stamp = row
    return Item(Path(path or ""), name or "", problem=problem, address=address, stamp=stamp)


# As a process


def serve(orders: IO[str], answers: IO[str]) -> None:
    """The first line of ``orders`` is the recipe, every further one a task; an answer for each."""

    def answer(**words: Any) -> None:
        answers.write(json.dumps(words) + "\n")
        answers.flush()

    try:
        worker = Worker(Recipe(**json.loads(orders.readline())))
        answer(about=worker.work.about())
        for line in orders:
            answer(**worker.run(json.loads(line)))
    except TreeringError as error:
        answer(error=str(error))
    except BrokenPipeError:  # nobody listens any more
        pass
    except Exception as error:  # the run tells it in one sentence
        with suppress(BrokenPipeError):
            answer(error=f"A worker failed: {type(error).__name__}: {error}")


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends its workers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    serve(sys.stdin, answers)


if __name__ == "__main__":
    _main()
