"""Where tables of marks are kept: a private folder of the user's cache, each file under a MAC.

**What lies here is as secret as the keyrings**: it is made of their marks.  The folder has mode 0700, a file 0600; a
file that others can read, that is not the user's own, or whose MAC does not fit is not used but made anew, and that
is said: a changed table would hide a class.  The MAC, under a key that only the secret gives, covers every byte and
what the table is for.  What is checked is what is used: the bytes are read into memory once, and the file is not looked
at again.  A cache never makes a reading fail: where nothing can be written, nothing is kept, and that is said.

``TREERING_CACHE`` names a folder to have it in, or is ``off``: then nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import InputError

VARIABLE = "TREERING_CACHE"
OFF = "off"

KEPT = 4
"""Tables that are kept, of all keyrings: those that were used last."""

Buffer = NDArray[np.uint8]
"""A whole file: a head that names the format, the table, and the MAC."""

log = logging.getLogger("treering")

_HEAD = b"treering table 1\n".ljust(64, b"\0")
_MAC = 32
_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.table")
_PRIVATE_FOLDER, _OTHERS = 0o700, 0o077


def folder() -> Path | None:
    """Where tables are kept: in the environment's folder, else in the user's cache; None where they are not."""
    named = os.environ.get(VARIABLE)
    if named == OFF:
        return None
    try:
        return (Path(named) if named else _user_cache() / "treering") / "tables"
    except RuntimeError:  # a user without a home
        return None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def new(size: int) -> Buffer:
    """Room for a table of so many bytes, with head and MAC around it, so that it is written without a copy."""
    buffer = np.zeros(len(_HEAD) + size + _MAC, np.uint8)
    buffer[: len(_HEAD)] = np.frombuffer(_HEAD, np.uint8)
    return buffer


def body(buffer: Buffer) -> Buffer:
    """The table itself."""
    return buffer[len(_HEAD) : -_MAC]


@dataclass(frozen=True)
class Kept:
    """One table in a folder.  ``keyring``: its id; ``purpose``: what the table is for; ``key``: of the MAC."""

    where: Path
    keyring: str
    purpose: bytes
    key: bytes = field(repr=False)

    @property
    def path(self) -> Path:
        """The file; its name tells the id of the keyring, which is public, and nothing of the table."""
        digest = hmac.new(self.key, b"name" + self.purpose, hashlib.sha256).hexdigest()
        return self.where / f"{self.keyring}-{digest[:16]}.table"

    def mac(self, buffer: Buffer) -> bytes:
        """HMAC-SHA256 over what the table is for, head and table."""
        code = hmac.new(self.key, len(self.purpose).to_bytes(8, "little") + self.purpose, hashlib.sha256)
        code.update(buffer[:-_MAC].data)
        return code.digest()

    def load(self, size: int) -> Buffer | None:
        """The file of a table of so many bytes; None if there is none that can be trusted."""
        try:
            buffer = _read(self.path, len(_HEAD) + size + _MAC)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("The table %s cannot be read, so it is made anew: %s.", self.path, error.strerror or error)
            return None
        if isinstance(buffer, str):
            log.warning("The table %s is made anew: %s.", self.path, buffer)
        elif not hmac.compare_digest(self.mac(buffer), buffer[-_MAC:].tobytes()):
            log.warning("The table %s is made anew: its MAC does not fit, so it was damaged or changed.", self.path)
        else:
            _touch(self.path)
            return buffer
        _remove(self.path)
        return None

    def save(self, buffer: Buffer) -> None:
        """Put the MAC to a table and keep it; tables that were not used for long go."""
        buffer[-_MAC:] = np.frombuffer(self.mac(buffer), np.uint8)
        try:
            _private(self.where)
            files.write(self.path, cast(bytes, buffer.data), private=True)  # any buffer is written without a copy
        except OSError as error:
            log.warning("The table of marks is not kept. %s", files.problem(self.path, error))
        except InputError as error:
            log.warning("The table of marks is not kept. %s", error)
        else:
            _clean(self.where)


# Files


def _read(path: Path, size: int) -> Buffer | str:
    """All bytes of a file that is the user's own and private, or why it is not used."""
    careful = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # no links, pipes or children
    handle = os.open(path, os.O_RDONLY | sum(getattr(os, name, 0) for name in careful))
    with os.fdopen(handle, "rb", buffering=0) as file:
        if why := _doubtful(os.fstat(handle), size):
            return why
        buffer = np.empty(size, np.uint8)
        rest = buffer.data
        while rest and (count := file.readinto(rest)):
            rest = rest[count:]
    return "it is not whole" if rest else buffer


def _doubtful(status: os.stat_result, size: int) -> str:
    """Why such a file is not to be read, or nothing."""
    if not stat.S_ISREG(status.st_mode):
        return "it is not a file"
    if os.name == "posix" and status.st_uid != os.geteuid():
        return "it is somebody else's"
    if os.name == "posix" and status.st_mode & _OTHERS:
        return "others could read it"
    return "" if status.st_size == size else "it is not whole"


def _private(where: Path) -> None:
    """Make the folder, for the user alone; raises ``InputError`` where it is somebody else's, or a link."""
    files.make_folder(where.parent)
    with contextlib.suppress(FileExistsError):
        where.mkdir(mode=_PRIVATE_FOLDER)
    status = where.lstat()
    if not stat.S_ISDIR(status.st_mode) or (os.name == "posix" and status.st_uid != os.geteuid()):
        raise InputError(f"{where} is not a folder of your own.")
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & _OTHERS:
        where.chmod(_PRIVATE_FOLDER)


def _tables(where: Path) -> list[Path]:
    """All tables in a folder."""
    try:
        return [path for path in where.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return []


def _clean(where: Path) -> None:
    """Keep the tables that were used last."""
    for path in sorted(_tables(where), key=_used, reverse=True)[KEPT:]:
        _remove(path)


def _used(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _touch(path: Path) -> None:
    """Remember when a table was used."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
