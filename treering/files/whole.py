"""Files that are written under a temporary name, synced and renamed: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

from ..errors import InputError
from . import disk, locks

_NAME = re.compile(r"\.treering-[0-9a-f]{16}\.tmp")
_DAY = 86_400  # seconds after which a temporary file is old where no lock tells whether its writer lives
_CLOSE_FIRST = os.name == "nt"  # Windows does not rename open files


def write(path: Path, data: bytes, *, overwrite: bool = True, private: bool = False) -> None:
    """Write ``path`` under a temporary name beside it, sync it, rename it, and sync the folder.

    The temporary file is for the owner alone (mode 0600), and so is the file if it is ``private``; else it gets
    what the umask allows of 0644, or what the file has that it replaces, if that is less.  A writer that is killed
    leaves its temporary file; the next start in the folder removes it (:func:`clean`).  Raises ``OSError``;
    ``FileExistsError`` where there is such a file and ``overwrite`` is not set, also if it appeared meanwhile.
    """
    if private:
        clean(path.parent)
    temporary, handle, mode = _create(path.parent, private)
    try:
        try:
            disk.write_all(handle, data)
            _open_up(handle, mode, path)
            if _CLOSE_FIRST:
                os.close(handle)
                handle = -1
            _name(temporary, path, overwrite)
        finally:
            if handle >= 0:  # open until here, because its lock says that the writer lives
                os.close(handle)
    finally:
        with contextlib.suppress(OSError):  # gone already where it was renamed
            temporary.unlink()
    disk.sync_folder(path.parent)


def _create(folder: Path, private: bool) -> tuple[Path, int, int]:
    """A temporary file, its handle, and the mode that it is to have in the end."""
    while True:
        temporary = folder / f".treering-{secrets.token_hex(8)}.tmp"
        mode = disk.PRIVATE_MODE if private else disk.FILE_MODE
        handle = disk.open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        status = os.fstat(handle)
        _set_mode(handle, disk.PRIVATE_MODE)
        if locks.take(handle) is not False and os.fstat(handle).st_nlink:
            return temporary, handle, status.st_mode & 0o777  # as the umask left it
        os.close(handle)  # somebody who cleans the folder was faster than our lock


def _open_up(handle: int, mode: int, path: Path) -> None:
    with contextlib.suppress(OSError):
        mode &= os.lstat(path).st_mode if path.is_file() and not path.is_symlink() else mode
    if mode != disk.PRIVATE_MODE:
        _set_mode(handle, mode)


def _set_mode(handle: int, mode: int) -> None:
    if hasattr(os, "fchmod"):  # not on Windows, where a file has no such mode
        with contextlib.suppress(OSError):  # nor on every file system
            os.fchmod(handle, mode)


def _name(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, path)
    else:
        _publish(temporary, path)


def _publish(temporary: Path, path: Path) -> None:
    """Give a file its name unless there is such a file, without a gap between test and write."""
    try:
        os.link(temporary, path)  # unlike a rename, fails if there is such a file
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system: claim the name first
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, disk.PRIVATE_MODE))
        try:
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()  # the claim, which is empty
            raise


def replace(path: Path, data: bytes) -> None:
    """Write ``path`` as :func:`write` does, but raise ``InputError``, with the sentence of ``problem``."""
    with disk.explained(path):
        write(path, data)


def clean(folder: Path) -> int:
    """Remove the temporary files of writers that died in this folder; says how many there were.

    The file of a writer that lives is locked.  Where there are no locks, files of the last day are left.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
    except OSError:
        return 0
    return sum(_remove_if_left(folder / name) for name in names)


def _remove_if_left(path: Path) -> bool:
    try:
        handle = disk.open_file(path, os.O_RDWR)
        try:
            free = locks.take(handle)
            if free is None:
                free = time.time() - os.fstat(handle).st_mtime > _DAY
            if free:
                path.unlink()
            return free
        finally:
            os.close(handle)
    except (OSError, InputError):  # somebody else's, or gone
        return False
