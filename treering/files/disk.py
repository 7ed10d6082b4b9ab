"""What every writer needs of the disk: files opened with care, bytes and names that are really there, sentences."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError

FILE_MODE, FOLDER_MODE, PRIVATE_MODE = 0o644, 0o755, 0o600
"""The most that anybody gets, whatever the umask allows."""

# Never through a link, never waiting for the other end of a pipe, never handed on to a child, no translated newlines.
_CAREFULLY = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
_FLAGS = sum(getattr(os, name, 0) for name in _CAREFULLY)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CANNOT_SYNC = (errno.EINVAL, errno.EACCES, errno.EPERM, errno.EBADF, errno.ENOTSUP, errno.EISDIR)


def open_file(path: Path, flags: int, mode: int = FILE_MODE) -> int:
    """Handle of a regular file; raises ``OSError`` or, for links, pipes and devices, ``InputError``."""
    if path.is_symlink():  # where there is no O_NOFOLLOW; and a sentence where there is
        raise InputError(f"{path} is a link, so nothing is written through it.")
    handle = os.open(path, flags | _FLAGS, mode)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise InputError(f"{path} is not a file, so nothing is written there.")


def read(path: Path, most: int) -> bytes:
    """What a file holds, if that is no more than ``most`` bytes, a multiple of a MiB; else it is not read.

    Raises ``OSError``, also for what is larger, and, without waiting for their other end, for pipes and devices.
    """
    _check_size(os.stat(path), most)  # before opening, which may wake a device or a writer
    handle = os.open(path, os.O_RDONLY | _FLAGS & ~getattr(os, "O_NOFOLLOW", 0))
    with open(handle, "rb") as file:
        _check_size(os.fstat(handle), most)  # again: another file may have taken the name
        data = file.read(most + 1)  # files of /proc say that they have no bytes
    if len(data) > most:
        raise _too_large(most)
    return data


def content(path: Path, most: int) -> bytes:
    """As :func:`read`, but raises ``InputError``, with a sentence that speaks of reading."""
    try:
        return read(path, most)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _check_size(status: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    if status.st_size > most:
        raise _too_large(most)


def _too_large(most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB")


def write_all(handle: int, data: bytes) -> None:
    """Write these bytes and wait until they are on the disk."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def truncate(handle: int, size: int) -> None:
    """Cut a file to so many bytes and wait until that is on the disk."""
    os.ftruncate(handle, size)
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:  # a file system that cannot, or a folder that may be written, not read
            raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if need be, none of them open to be written by others.

    Raises ``InputError``.
    """
    with explained(path):
        _make(path)


def _make(path: Path) -> None:
    if path.is_dir():
        return
    if path.parent != path:
        _make(path.parent)
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder") from None
    else:
        sync_folder(path.parent)


def problem(path: Path, error: OSError) -> str:
    """One sentence: why ``path`` cannot be written."""
    if isinstance(error, PermissionError):
        return f"No permission to write {path}."
    if isinstance(error, FileNotFoundError):
        return f"{path} cannot be written: its folder does not exist."
    if isinstance(error, NotADirectoryError | FileExistsError) and (wall := _wall(path)):
        return f"{path} cannot be written: {wall} is not a folder."
    if error.errno in _FULL:
        return f"{path} cannot be written: the disk is full."
    return f"{path} cannot be written: {error.strerror or error}."


def _wall(path: Path) -> Path | None:
    """The first of the folders above ``path`` that is none."""
    return next((place for place in reversed(path.parents) if os.path.lexists(place) and not place.is_dir()), None)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Whatever the system says of ``path`` becomes an ``InputError`` with the sentence of :func:`problem`."""
    try:
        yield
    except OSError as error:
        raise InputError(problem(path, error)) from error
