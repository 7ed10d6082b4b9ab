"""PNG: the checksum of every chunk, the end, the checksum and length of the compressed pixels (ISO/IEC 15948)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from .found import Found

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Adam7: first column and row, and steps between columns and rows, of each pass.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 18


def check_png(data: bytes, found: Found) -> None:
    """Walk the chunks of a PNG."""
    header, parts, end = b"", list[memoryview](), False
    for kind, body, sound in _chunks(data, found):
        if not sound:
            found.add(f"the checksum of the PNG chunk {_shown(kind)} is wrong")
        if kind == b"IHDR":
            header = header or bytes(body)
        elif kind == b"IDAT":
            parts.append(body)
        end = kind == b"IEND"
    if not end:
        found.add("the PNG chunk IEND, its end, is missing")
    _check_stream(header, parts, found)


def _chunks(data: bytes, found: Found) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Kind, body, and whether the checksum fits, of each chunk up to IEND or to where the file is cut."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        stop = at + 12 + length
        found.count()
        if stop > len(data):
            found.add(f"the PNG chunk {_shown(kind)} is cut short")
            return
        written = int.from_bytes(view[stop - 4 : stop], "big")
        yield kind, view[at + 8 : stop - 4], zlib.crc32(view[at + 4 : stop - 4]) == written
        at = stop
        if kind == b"IEND":
            found.trailing = len(data) - at
            return


def _shown(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else f"0x{kind.hex()}"


def _check_stream(header: bytes, parts: list[memoryview], found: Found) -> None:
    expected = _raw_length(header)
    if expected is None:
        found.add("the PNG header is not valid")
        return
    stream, length = zlib.decompressobj(), 0
    try:
        for part in parts:
            rest: bytes | memoryview = part
            while rest and not stream.eof and length <= expected:
                length += len(stream.decompress(rest, _PIECE))
                rest = stream.unconsumed_tail
        while not stream.eof and length <= expected and (last := stream.decompress(b"", _PIECE)):
            length += len(last)
    except zlib.error:  # a wrong checksum of the pixels, too
        found.add("the compressed pixels of the PNG are wrong")
        return
    if length < expected or not stream.eof:
        found.add("the compressed pixels of the PNG " + ("end too early" if length <= expected else "go on too long"))
    elif length > expected:
        found.add("the compressed pixels of the PNG go on too long")


def _raw_length(header: bytes) -> int | None:
    """Bytes of all scan lines with their filter bytes, or None where the header makes no sense."""
    if len(header) != 13:
        return None
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour, compression, filtering, interlace = header[8:]
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        return None
    bits = depth * _CHANNELS[colour]
    if not interlace:
        return _pass_length(width, height, bits)
    sizes = ((-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in _PASSES)
    return sum(_pass_length(w, h, bits) for w, h in sizes if w > 0 and h > 0)


def _pass_length(width: int, height: int, bits: int) -> int:
    return height * (1 + (width * bits + 7) // 8)
