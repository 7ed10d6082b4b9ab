"""Pictures without their Content Credentials (C2PA): the bytes that they had before a manifest was put into them.

A manifest is a chunk or a row of segments of its own (C2PA specification 2.1, appendix A), so that what is left is the
file as it was, if nothing else was changed.  No library is needed, and nothing is decoded.
"""

from __future__ import annotations

import struct

_PNG, _JPEG, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF"
_APP11, _SCAN = 0xEB, 0xDA


def without(data: bytes) -> bytes:
    """The bytes of a PNG, JPEG or WebP file without its manifest; as they are where there is none, or no such file."""
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(_JPEG):
            return _jpeg(data)
        if data.startswith(_WEBP) and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):  # cut short or broken: then it is not the file that was examined either
        pass
    return data


def _png(data: bytes) -> bytes:
    kept, place = [_PNG], len(_PNG)
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if kind != b"caBX":
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def _jpeg(data: bytes) -> bytes:
    kept, place = [_JPEG], len(_JPEG)
    while data[place] == 0xFF and data[place + 1] != _SCAN:
        (length,) = struct.unpack_from(">H", data, place + 2)
        end = place + 2 + length
        if data[place + 1] != _APP11 or data[place + 4 : place + 6] != b"JP":  # boxes of JUMBF
            kept.append(data[place:end])
        place = end
    return b"".join([*kept, data[place:]])


def _webp(data: bytes) -> bytes:
    kept, place = [], 12
    while place < len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        end = place + 8 + length + length % 2
        if kind != b"C2PA":
            kept.append(data[place:end])
        place = end
    body = b"WEBP" + b"".join(kept)
    return _WEBP + struct.pack("<I", len(body)) + body
