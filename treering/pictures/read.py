"""A picture file to upright 8-bit sRGB pixels, with notes on what had to be done for that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from . import decode, integrity, limits
from .fit import check_size
from .sources import Source, name_of, read_bytes

CELL = 8
"""Pixels of a cell of the least latents that there are, on a side."""

DAMAGED = "Damaged"
"""How a note begins that says that the file is not as its writer left it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it was read.

    pixels: uint8 [H, W, 3], sRGB, upright.
    notes: short sentences, in order, that say what was done to the file's content to get there, those of damage first.
    stored: (height, width) in the file; None where that is not known.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]
    stored: tuple[int, int] | None = None

    @property
    def damaged(self) -> tuple[str, ...]:
        """The notes that say what of the file is damaged; each begins with DAMAGED."""
        return tuple(note for note in self.notes if note.startswith(DAMAGED))

    @property
    def too_small(self) -> str | None:
        """A sentence if the file has less than a cell of a latent on a side, so that there is nothing to read."""
        if self.stored is None or min(self.stored) >= CELL:
            return None
        height, width = self.stored
        return f"The picture has {width}x{height} pixels, less than a cell of a latent, so there is nothing to read."


def read(
    source: Source, size: tuple[int, int] | None = None, name: str | None = None, *, strict: bool = False
) -> Picture:
    """Read a picture (the first frame or page) as upright 8-bit sRGB [H, W, 3].

    source: a path, an open binary file, or the bytes of a file.
    size: (height, width) in pixels; the picture is cropped about its centre to that aspect and resized (Lanczos).
    A JPEG with at least 8 times as many pixels on both axes is decoded at a half to an eighth of its size, which is
    still at least 4 times what is needed.
    name: what errors call the picture; by default its path.
    strict: refuse files that are damaged (checksums, lengths, ends) instead of noting it.
    Raises ImageError, with one sentence, for whatever cannot be read.  Threads may read at the same time.
    """
    name = name or name_of(source)
    if size is not None:
        check_size(size, name)
    data = read_bytes(source, name)
    with decode.pillow(name):
        return _read(data, size, name, strict)


def _read(data: bytes, size: tuple[int, int] | None, name: str, strict: bool) -> Picture:
    limits.check_header(data, name)
    found = integrity.check(data)
    image = decode.opened(data, name)
    limits.check_scans(found.scans, image.width, image.height, name)
    _refuse(found, name, strict)
    kind, stored, (raw, short) = image.format, (image.height, image.width), decode.raw(image, data, size)
    del image  # so that `finished` can give up what it no longer needs
    if short:
        found.add("the pixels of the JPEG end too early")
        _refuse(found, name, strict)
    notes = [f"{DAMAGED}: {clause}." for clause in found.damage]
    if found.trailing and kind != "MPO":  # whose further pictures follow the first
        notes.append(f"{found.trailing} bytes after the end of the picture were ignored.")
    pixels = decode.finished(raw, data, size, name, notes)
    return Picture(pixels, tuple(dict.fromkeys(notes)), stored)


def _refuse(found: integrity.Found, name: str, strict: bool) -> None:
    if strict and found.damage:
        raise ImageError(f"{name} is damaged: {found.damage[0]}.")
