"""Where a picture's bytes come from: a path, an open file, or bytes; never a pipe or a device by its path."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..errors import ImageError
from . import limits

Source = Path | str | BinaryIO | bytes

_CHUNK = 1 << 24

_KINDS = {  # what is no file with bytes to read
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class _NotAFileError(OSError):
    """What a path names cannot hold a picture."""


def read_bytes(source: Source, name: str | None = None) -> bytes:
    """Read all bytes of a file, for `read` and `digest`.

    Raises ImageError where that fails, where there are none or more than MAX_BYTES, and at once, without opening
    it, where a path names a folder, pipe, socket or device.  An open file (standard input, say) may be a pipe.
    """
    source = Path(source) if isinstance(source, str) else source
    name = name or name_of(source)
    try:
        data = _all_bytes(source)
    except (OSError, ValueError, TypeError) as error:  # ValueError: a NUL in the path; TypeError: a text stream
        raise ImageError(_problem(name, error)) from error
    if not data:
        raise ImageError(f"{name} is empty.")
    if len(data) > limits.MAX_BYTES:
        raise ImageError(f"{name} is larger than {limits.MAX_BYTES} bytes, so it is not read.")
    return data


def digest(data: bytes) -> str:
    """SHA-256 of the bytes of a file, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def name_of(source: object) -> str:
    """What errors call a source that was given no name."""
    if isinstance(source, (str, Path)):
        return str(source)
    own = getattr(source, "name", None)  # an open file's name may also be its descriptor, a number
    return own if isinstance(own, str) and own else "The picture"


def reason(error: Exception) -> str:
    """What a library says, as the end of a sentence."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def _all_bytes(source: Path | BinaryIO | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        return _file_bytes(source)
    data = bytearray()
    while len(data) <= limits.MAX_BYTES and (chunk := source.read(_CHUNK)):  # bounded: the source may be endless
        data += chunk
    return bytes(data)


def _file_bytes(path: Path) -> bytes:
    _check_kind(os.stat(path))  # before opening, which may wake a device or a writer
    with open(path, "rb", opener=_open_at_once) as file:
        size = _check_kind(os.fstat(file.fileno()))  # again: another file may have taken the name
        if size > limits.MAX_BYTES:
            return file.read(limits.MAX_BYTES + 1)
        return _all_bytes(file) if size == 0 else file.read(size + 1)  # files of /proc have size 0


def opened(path: Path, name: str) -> BinaryIO:
    """A regular file that is not empty, open, for readers that take it piece by piece; raises ImageError."""
    try:
        _check_kind(os.stat(path))
        file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115, for the caller to close
    except (OSError, ValueError) as error:
        raise ImageError(_problem(name, error)) from error
    try:
        if _check_kind(os.fstat(file.fileno())) == 0:  # again: another file may have taken the name
            raise ImageError(f"{name} is empty.")
    except OSError as error:
        file.close()
        raise ImageError(_problem(name, error)) from error
    except ImageError:
        file.close()
        raise
    return file


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would wait for one


def _check_kind(status: os.stat_result) -> int:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise _NotAFileError(f"is {_KINDS.get(kind, 'no file')}, not a picture.")
    return status.st_size


def _problem(name: str, error: Exception) -> str:
    if isinstance(error, _NotAFileError):
        return f"{name} {error}"
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist."
    if isinstance(error, PermissionError):
        return f"No permission to read {name}."
    return f"{name} cannot be read: {reason(error)}."
