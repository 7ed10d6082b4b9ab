"""Folders and files that one process has for itself."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .disk import PRIVATE_MODE, explained, make_folder, open_file
from .locks import take
from .whole import clean

LOCK = ".lock"
"""Name of the file that a folder is locked by."""

PATIENCE = 60.0
"""Seconds after which a lock that one other process holds all the time is not waited for any more."""

_TELL = 3.0  # seconds after which it is said that somebody waits
_PAUSE = 0.01  # seconds between two looks
_log = logging.getLogger("treering")


@contextlib.contextmanager
def locked(folder: Path, busy: str) -> Iterator[None]:
    """The folder, made if need be, for this process alone; what writers that died left in it is removed.

    Raises ``InputError``: the sentence ``busy`` if another process has it, else why it cannot be used.
    """
    handle = _lock_file(folder)
    try:
        if take(handle) is False:
            raise InputError(busy)
        clean(folder)
        yield
    finally:
        os.close(handle)  # gives the lock back; the file stays, or two could lock two files


def _lock_file(folder: Path) -> int:
    with explained(folder):
        if os.path.lexists(folder) and not folder.is_dir():
            raise _no_folder(folder)
        try:
            make_folder(folder)
            return open_file(folder / LOCK, os.O_RDWR | os.O_CREAT)
        except InputError as error:
            if isinstance(error.__cause__, FileExistsError | NotADirectoryError):
                raise _no_folder(folder) from None
            raise


def _no_folder(folder: Path) -> InputError:
    return InputError(f"{folder} is not a folder, so results cannot be written there.")


@contextlib.contextmanager
def held(path: Path) -> Iterator[int]:
    """The lock file ``path``, made if need be, waited for, and open to be read and written: its handle.

    Whoever holds it may remove it: those who wait then make a new one.  Whoever waits longer than 3 seconds says so
    once, as a warning of the logger ``treering``.  Raises ``InputError``, also where another process holds one lock
    file longer than ``PATIENCE``; others may hold theirs one after another.
    """
    tell = time.monotonic() + _TELL
    while True:
        with explained(path):
            handle = open_file(path, os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
        try:
            tell = _wait(handle, path, tell)
            if _is_there(handle, path):
                yield handle
                return
        finally:
            os.close(handle)


def _wait(handle: int, path: Path, tell: float) -> float:
    """Lock the file; ``tell``: when to say that this takes long.  The same again, or never once it was said."""
    end = time.monotonic() + PATIENCE
    while take(handle) is False:
        now = time.monotonic()
        if now >= tell:
            _log.warning("Waiting for another process that writes to %s.", path)
            tell = math.inf
        if now >= end:
            raise InputError(
                f"Another process has held {path} for {PATIENCE:.0f} seconds; wait until it is done, or end it."
            )
        time.sleep(_PAUSE)
    return tell


def _is_there(handle: int, path: Path) -> bool:
    """Whether the name still leads to this file."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
