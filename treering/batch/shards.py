"""Finished batches as files of their own: written whole or not at all, by whichever process has finished them.

A shard holds the same lines as the journal.  It is named by what it holds.  Whoever has the folder of results for
itself collects shards into the journal and removes them: a line that is there already is not written again, so that
neither a kill between the two nor a worker that outlived its run leaves anything twice.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from .. import files
from ..pictures import images
from .items import Line
from .journal import Results, parse

FOLDER = ".shards"
"""Name of the folder of shards, in a folder of results."""

_LARGEST = 1 << 30  # bytes


class Shards:
    """The shards of one folder of results and of one settings hash."""

    def __init__(self, output: Path, settings: str) -> None:
        self.folder = output / FOLDER / settings
        self.notes: list[str] = []

    def make(self) -> None:
        """Make the folder; what writers that died have left in it is removed."""
        files.make_folder(self.folder)
        files.clean(self.folder)

    def read(self, name: str) -> list[Line]:
        """The lines of a shard; raises ``OSError`` or ``ValueError``."""
        data = files.read(self.folder / name, _LARGEST)
        return [json.loads(line) for line in data.splitlines()]

    def remove(self, name: str) -> None:
        """A shard whose lines are in the journal."""
        (self.folder / name).unlink(missing_ok=True)

    def collect(self, results: Results) -> None:
        """Take the lines of all shards into the journal, and the shards away."""
        if not self.folder.is_dir():
            return
        files.clean(self.folder)
        for name in sorted(os.listdir(self.folder)):
            if name.endswith(".jsonl"):
                self._collect(name, results)
        with contextlib.suppress(OSError):  # not empty, or somebody else's
            self.folder.rmdir()
            self.folder.parent.rmdir()

    def _collect(self, name: str, results: Results) -> None:
        try:
            lines = [parse(json.dumps(line).encode()) for line in self.read(name) if not is_copy(line)]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            self.notes.append(f"The shard {self.folder / name} is damaged and was left alone.")
            return
        results.append(line for line in lines if not _is_there(line, results))
        self.remove(name)


def _is_there(line: Line, results: Results) -> bool:
    return results.has(line["file"], line["sha256"], line["error"])


def is_copy(line: Line) -> bool:
    """Whether this line of a shard only says that a picture has bytes that have a result already."""
    return bool(line.get("copy"))


def write(folder: Path, lines: Sequence[Line]) -> str:
    """Write a shard, all of it or nothing, and tell its name: a hash of what it holds.

    Raises ``InputError``.
    """
    data = b"".join(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines)
    name = f"{images.digest(data)[:32]}.jsonl"
    files.replace(folder / name, data)
    return name
