"""What is about to happen to a manifest, as it stands in its lock file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Note:
    """What is about to happen: this row, for a picture of these pixels, in place of nothing if it is ``new``."""

    file: str
    key: str
    pixels: str
    new: bool

    @property
    def row(self) -> list[str]:
        """File and key."""
        return [self.file, self.key]

    def encoded(self) -> bytes:
        """For the lock file."""
        return json.dumps(asdict(self)).encode()


def noted(handle: int) -> Note | None:
    """What stands in the lock file; None where nothing does, or half of it: then no picture was begun."""
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        content: Any = json.loads(os.read(handle, 1 << 16))
        note = Note(**content)
    except (ValueError, TypeError, RecursionError):
        return None
    fields = (note.file, note.key, note.pixels)
    return note if all(isinstance(field, str) for field in fields) and isinstance(note.new, bool) else None


def digest(pixels: Pixels) -> str:
    """Hash of a picture uint8 ``[H, W, 3]``."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def is_claim(path: Path) -> bool:
    """Whether this is a name that was claimed for a picture and no more, where there are no hard links."""
    try:
        return path.suffix == ".png" and path.is_file() and not path.stat().st_size
    except OSError:
        return False
