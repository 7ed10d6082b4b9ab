"""How many frames or pages a file has, counted without decoding any, and never more than a limit."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice

from PIL import Image

from . import limits

_BROKEN = "Only the first frame was read: the others are broken."


def note(image: Image.Image, data: bytes) -> list[str]:
    """The note that says that only the first of several frames was read, if there are several."""
    try:
        count = _count(image, data)
    except Exception:  # plugins raise many kinds
        return [_BROKEN]
    if count <= 1:
        return []
    shown = str(count) if count <= limits.MAX_FRAMES else f"more than {limits.MAX_FRAMES}"
    if image.format == "TIFF":
        return [f"Only the first of {shown} pages was read."]
    if image.format == "MPO":
        return [f"Only the first of {shown} pictures was read."]
    return [f"Animated: only the first of {shown} frames was read."]


def _count(image: Image.Image, data: bytes) -> int:
    # Pillow counts those of GIF and TIFF by going through them, which takes seconds where there are many.
    if image.format == "GIF":
        return sum(1 for kind, _ in gif_blocks(data) if kind == 0x2C)
    if image.format == "TIFF" and data[2:4] in (b"*\0", b"\0*"):
        return sum(1 for _ in islice(tiff_pages(data), limits.MAX_FRAMES + 1))
    return int(getattr(image, "n_frames", 1))


def gif_blocks(data: bytes, count: Callable[[], None] = lambda: None) -> Iterator[tuple[int, int]]:
    """Kind (0x21 extension, 0x2C frame, 0x3B end) and end of each block of a GIF, up to its end or where it is cut.

    count: called for every block and sub-block.
    """
    at = 13 + _table(data[10:11])
    while at < len(data):
        count()
        kind = data[at]
        if kind == 0x3B:
            yield kind, at + 1
            return
        if kind == 0x2C:  # a frame
            at += 11 + _table(data[at + 9 : at + 10])  # with the byte that begins the compressed data
        elif kind == 0x21:
            at += 2
        else:
            return
        while at < len(data) and data[at]:
            count()
            at += 1 + data[at]
        at += 1
        if at > len(data):
            return
        yield kind, at


def _table(flags: bytes) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 << 1 + (flags[0] & 7) if flags and flags[0] & 0x80 else 0


def tiff_pages(data: bytes) -> Iterator[int]:
    """Where each page's table of tags begins; ValueError where the chain leads out of the file or in a circle."""
    order = "<" if data[:2] == b"II" else ">"
    seen, link = set[int](), 4
    while True:
        at = _number(data, link, order + "I")
        if at == 0:
            return
        link = at + 2 + 12 * _number(data, at, order + "H")
        if at in seen:
            raise ValueError("a page is out of place")
        seen.add(at)
        yield at


def _number(data: bytes, at: int, form: str) -> int:
    if at + struct.calcsize(form) > len(data):
        raise ValueError("a page lies beyond the end")
    return int(struct.unpack_from(form, data, at)[0])
