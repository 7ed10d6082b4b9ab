"""A file of lines that is only appended to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path

from ..errors import InputError
from . import disk

_LONGEST = 1 << 24
"""A line with more bytes comes in pieces, so that memory stays flat whatever the file holds."""
_BLOCK = 1 << 16


class Journal:
    """A file of lines that is only appended to, by one process at a time.

    ``ours``: whether a line, or the incomplete last one, can be of our making.  A file without a line of ours is
    somebody else's: it is refused as it is.  Links, pipes and devices are refused too.  Of ours, a last line that a
    kill cut short is dropped; ``cut`` says whether there was one.  Raises ``InputError`` if the file cannot be
    opened or appended to.
    """

    def __init__(self, path: Path, ours: Callable[[bytes], bool] | None = None) -> None:
        self.path = path
        with disk.explained(path):
            self._handle = _open(path)
        try:
            with disk.explained(path):
                self._check(ours)
                end = os.fstat(self._handle).st_size
                self.started = self._size = self._whole()
                self.cut = end > self._size
                if self.cut:
                    disk.truncate(self._handle, self._size)
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def _check(self, ours: Callable[[bytes], bool] | None) -> None:
        if ours is None or not os.fstat(self._handle).st_size:
            return
        if not any(ours(line) for _, line in self.lines()):
            raise InputError(f"{self.path} is not of treering's making, so it is left alone; choose another folder.")

    def _whole(self) -> int:
        """Bytes up to the end of the last whole line, looked for from the end."""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _BLOCK)
                file.seek(start)
                if (newline := file.read(end - start).rfind(b"\n")) >= 0:
                    return start + newline + 1
                end = start
        return 0

    def lines(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Byte at which a line begins, and the line with its newline; from the line on that begins at ``start``."""
        with self.path.open("rb") as file:
            file.seek(start)
            while line := file.readline(_LONGEST):
                yield start, line
                start += len(line)

    def line(self, start: int) -> bytes:
        """The line that begins at this byte."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.readline(_LONGEST)

    def append(self, lines: Iterable[bytes]) -> list[int]:
        """Put these lines, newlines and all, on the disk, all of them or none; says where each begins."""
        lines = list(lines)
        if not lines:
            return []
        try:
            with disk.explained(self.path):
                disk.write_all(self._handle, b"".join(lines))
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise
        *starts, self._size = accumulate(map(len, lines), initial=self._size)
        return starts

    @property
    def size(self) -> int:
        """Bytes of all whole lines."""
        return self._size


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_APPEND
    try:
        return disk.open_file(path, flags)
    except FileNotFoundError:
        handle = disk.open_file(path, flags | os.O_CREAT)
    try:
        disk.sync_folder(path.parent)
    except BaseException:
        os.close(handle)
        raise
    return handle
