"""What is about to happen to a manifest, as it stands in its lock file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Pixels = NDArray[np.uint8]

HEADER = ["file", "key"]
CHECKED = [*HEADER, "log10_p", "log10_p_half", "stage", "stage_half"]
"""Columns of a manifest, and of one whose pictures were read back when they were made."""

NUMBERED = re.compile(r"picture-(\d{4,15})\.png", re.IGNORECASE | re.ASCII)
"""Names that treering gives."""

A_NUMBERED = "picture-0000.png"
"""One of them, where it does not matter which."""

LARGEST = 1 << 28
"""Bytes of the largest manifest that is read: millions of rows."""

_LONGEST = 1 << 16  # bytes; no note has as many
_UNTOLD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_VALUE = re.compile(r'(?<=: ")(?:[^"\\]|\\.?)*')  # what stands between quotes, as far as it goes


@dataclass(frozen=True)
class Note:
    """What is about to happen: this row, for a picture of these pixels, in place of nothing if it is ``new``.

    ``evidence``: the cells of :data:`CHECKED` with ; between them, empty for a picture that was not checked.  It comes
    last: earlier versions had none.
    """

    file: str
    key: str
    pixels: str
    new: bool
    evidence: str = ""

    def row(self, header: Sequence[str]) -> list[str]:
        """The cells of a manifest with this header."""
        cells = [self.file, self.key, *(self.evidence.split(";") if self.evidence else ())]
        return (cells + [""] * len(header))[: len(header)]

    @property
    def header(self) -> list[str]:
        """The narrowest header that holds all of it."""
        return CHECKED if self.evidence else HEADER

    def encoded(self) -> bytes:
        """For the lock file."""
        return json.dumps(asdict(self)).encode()


_WHOLE = tuple(Note("", "", "", new).encoded().decode() for new in (True, False))  # what values are put into


def noted(handle: int, lock: Path) -> Note | None:
    """What stands in the lock file; None where nothing does, or the beginning of a note: then no picture was begun.

    Raises ``InputError`` for what treering did not write, and for a note that others could have written.
    """
    os.lseek(handle, 0, os.SEEK_SET)
    content = os.read(handle, _LONGEST)
    note = _parsed(content)
    if note and not _is_private(handle):
        raise InputError(
            f"{lock} belongs to somebody else or can be written by others, so what it says is not followed; "
            "remove it, or choose another manifest."
        )
    if not note and not _begins(content):
        raise InputError(f"{lock} is not of treering's making, so it is left alone; choose another manifest.")
    return note


def _parsed(content: bytes) -> Note | None:
    try:
        fields: Any = json.loads(content)
        note = Note(**fields)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (note.file, note.key, note.pixels, note.evidence)
    return note if all(map(is_telling, texts)) and isinstance(note.new, bool) else None


def is_telling(text: object) -> bool:
    """Whether this is text that UTF-8 has, without control characters."""
    return isinstance(text, str) and not _UNTOLD.search(text)


def _begins(content: bytes) -> bool:
    """Whether this is a note that a kill cut short, or zeros where a power cut came before the bytes."""
    text = content.rstrip(b"\0").decode("latin-1")
    if not (text.isascii() and (text.isprintable() or not text)) or len(content) == _LONGEST:
        return False
    skeleton = _VALUE.sub("", text)
    return any(whole.startswith(skeleton) and whole != skeleton for whole in _WHOLE)


def _is_private(handle: int) -> bool:
    """Whether nobody but us can have written this file."""
    if not hasattr(os, "geteuid"):  # Windows has no such modes
        return True
    status = os.fstat(handle)
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def digest(pixels: Pixels) -> str:
    """Hash of a picture uint8 ``[H, W, 3]``."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def is_claim(path: Path, target: Path) -> bool:
    """Whether this is a name that was claimed for a picture and no more, where there are no hard links.

    ``target``: the picture that is to be written, or any name in its folder.  Only there, and only a numbered name or
    that of the target, so that no note decides which files go.
    """
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    named = path.name == target.name or NUMBERED.fullmatch(path.name)
    empty = stat.S_ISREG(status.st_mode) and not status.st_size
    return bool(empty and named and os.path.realpath(path.parent) == os.path.realpath(target.parent))
