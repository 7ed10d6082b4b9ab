"""Files that are written whole or not at all, and journals that lose at most what was not yet written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import IO

from .errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""Name of the file that a folder is locked by."""


def write(path: Path, data: bytes, *, overwrite: bool = True, private: bool = False) -> None:
    """Write ``path`` under a temporary name beside it, then rename it: whole or not at all.

    ``private``: for the owner alone (mode 0600), else with the usual permissions.  Raises ``OSError``;
    ``FileExistsError`` where there is such a file and ``overwrite`` is not set, also if it appeared meanwhile.
    """
    temporary = path.parent / f".treering-{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=0o600 if private else 0o666)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, path)
        else:
            _publish(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # gone already where it was renamed or never made
            temporary.unlink()


def _publish(temporary: Path, path: Path) -> None:
    """Give a file its name unless there is such a file, without a gap between test and write."""
    try:
        os.link(temporary, path)  # unlike a rename, fails if there is such a file
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system: claim the name first
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        try:
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()  # the claim, which is empty
            raise


def replace(path: Path, data: bytes) -> None:
    """Write ``path`` as ``write`` does, but raise ``InputError``, with the sentence of ``problem``."""
    with _explained(path):
        write(path, data)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if need be; raises ``InputError``."""
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)


def problem(path: Path, error: OSError) -> str:
    """One sentence: why ``path`` cannot be written."""
    if isinstance(error, PermissionError):
        return f"No permission to write {path}."
    if isinstance(error, FileNotFoundError):
        return f"{path} cannot be written: its folder does not exist."
    if isinstance(error, NotADirectoryError):
        return f"{path} cannot be written: {path.parent} is not a folder."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path} cannot be written: the disk is full."
    return f"{path} cannot be written: {error.strerror or error}."


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(problem(path, error)) from error


@contextlib.contextmanager
def locked(folder: Path, busy: str) -> Iterator[None]:
    """The folder, made if need be, for this process alone.

    Raises ``InputError``: the sentence ``busy`` if another process has it, else why it cannot be used.
    """
    with _lock_file(folder) as file:
        _lock(file, busy)
        yield  # closing the file gives the lock back; the file stays, or two could lock two files


def _lock_file(folder: Path) -> IO[bytes]:
    with _explained(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return (folder / LOCK).open("ab")
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{folder} is not a folder, so results cannot be written there.") from None


def _lock(file: IO[bytes], busy: str) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(busy) from None
    except OSError:  # a file system without locks
        return


class Journal:
    """A file of lines that is only appended to, by one process at a time.

    A last line that a kill cut short is dropped when the file is opened; ``cut`` says whether there was
    one.  Raises ``InputError`` if the file cannot be opened or appended to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _explained(path):
            with path.open("a+b") as file:
                file.seek(0)
                self._size = sum(len(line) for line in file if line.endswith(b"\n"))
                self.cut = file.tell() > self._size
                if self.cut:
                    file.truncate(self._size)
            self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Byte at which a line begins, and the line with its newline."""
        start = 0
        with self.path.open("rb") as file:
            for line in file:
                yield start, line
                start += len(line)

    def line(self, start: int) -> bytes:
        """The line that begins at this byte."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.readline()

    def append(self, lines: Iterable[bytes]) -> list[int]:
        """Put these lines, newlines and all, on the disk, all of them or none; says where each begins."""
        lines = list(lines)
        if not lines:
            return []
        try:
            with _explained(self.path):
                _write_all(self._file.fileno(), b"".join(lines))
        except BaseException:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise
        *starts, self._size = accumulate(map(len, lines), initial=self._size)
        return starts


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)
