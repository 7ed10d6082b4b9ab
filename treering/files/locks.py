"""Locks that end with the process that has them: ``flock`` where there is one, else ``msvcrt.locking``, else none."""

from __future__ import annotations

import errno
import os

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # on Windows alone
    msvcrt = None  # type: ignore[assignment]

_FAR = 1 << 30  # the byte that is locked on Windows, where nobody can read what another has locked
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


def take(handle: int) -> bool | None:
    """Lock an open file for this process alone until it is closed, without waiting.

    False: another process has it.  None: there are no locks here (file systems of some networks).
    """
    if fcntl is not None:
        return _flock(handle)
    return None if msvcrt is None else _locking(handle)


def _flock(handle: int) -> bool | None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _locking(handle: int) -> bool | None:
    before = os.lseek(handle, 0, os.SEEK_CUR)
    try:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError as error:
        return False if error.errno in _BUSY else None
    finally:
        os.lseek(handle, before, os.SEEK_SET)
    return True
