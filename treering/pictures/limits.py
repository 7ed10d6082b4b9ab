"""How much of a picture is read: pixels, bytes, frames, scans.  Above, one sentence refuses it.

The figures keep the worst accepted file of every format under 3 s and 1 GB on one core
(``python -m treering.research pictures`` measures it).
"""

from __future__ import annotations

import struct

from ..errors import ImageError

MAX_PIXELS = 8192 * 8192
"""A picture with more pixels is refused: it may be a decompression bomb."""

MAX_BYTES = 1 << 28
"""A file with more bytes is refused; the largest picture allowed, as 8-bit RGB without compression, fits."""

SMALLER = {"WEBP": 2, "AVIF": 2, "wide": 2}
"""Where decoders need several copies of the whole picture, or much time, 1/n of MAX_PIXELS is read: in these formats,
and of pictures with more than 4 bytes a pixel, or CMYK ("wide")."""

MAX_FRAMES = 1000
"""Frames and pages beyond are not counted."""

MAX_SCANNED = 1 << 30
"""A JPEG whose scans times pixels are more is refused: each scan may pass over the whole picture."""


def pixels(kind: str | None) -> int:
    """The largest number of pixels that is read of this format (Pillow's name), or of "wide" pictures."""
    return MAX_PIXELS // SMALLER.get(kind or "", 1)


def check_size(width: int, height: int, kind: str | None, name: str) -> None:
    """Refuse a picture of too many pixels: ImageError."""
    if width * height > pixels(kind):
        raise ImageError(too_large(name, kind))


def too_large(name: str, kind: str | None = None) -> str:
    """The sentence that refuses a picture of too many pixels."""
    return f"{name} has more than {pixels(kind)} pixels, so it is not read."


def check_header(data: bytes, name: str) -> None:
    """Refuse what is too large before anything is unpacked: PNG, and WebP, whose canvas is made on opening."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 26:
        width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
        check_size(width, height, "wide" if depth == 16 and colour else "PNG", name)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP" and (size := _webp_size(data[12:42])):
        check_size(*size, "WEBP", name)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height by the first chunk (RFC 9649), or None where there is no such chunk."""
    if head[:4] == b"VP8X" and len(head) >= 18:
        return 1 + int.from_bytes(head[12:15], "little"), 1 + int.from_bytes(head[15:18], "little")
    if head[:4] == b"VP8L" and len(head) >= 13:
        bits = int.from_bytes(head[9:13], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if head[:4] == b"VP8 " and len(head) >= 18:
        width, height = struct.unpack("<HH", head[14:18])
        return width & 0x3FFF, height & 0x3FFF
    return None


def check_scans(scans: int, width: int, height: int, name: str) -> None:
    """Refuse a JPEG that passes over the picture more often than any writer makes it: ImageError."""
    if scans * width * height > MAX_SCANNED:
        raise ImageError(f"{name} passes over its pixels {scans} times, so it is not read.")
