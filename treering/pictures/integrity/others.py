"""GIF, TIFF, BMP and AVIF: lengths and ends, which is all that these formats let be known."""

from __future__ import annotations

import struct

from ..frames import gif_blocks, tiff_pages
from .found import Found

_SIZES = {3: 2, 4: 4}  # bytes of a TIFF value by type: SHORT, LONG
_OFFSETS = {273: 279, 324: 325}  # tags: where strips (tiles) are, and how long
_MOST_STRIPS = 1 << 17


def check_gif(data: bytes, found: Found) -> None:
    """Walk the blocks of a GIF to its trailer (GIF89a)."""
    end = None
    for kind, stop in gif_blocks(data, found.count):
        end = stop if kind == 0x3B else None
    if end is None:
        found.add("the end of the GIF is missing")
    else:
        found.trailing = len(data) - end


def check_bmp(data: bytes, found: Found) -> None:
    """Hold the length in the header of a BMP against the file; some writers leave it 0."""
    length = int.from_bytes(data[2:6], "little")
    if length > len(data):
        found.add("the BMP file is shorter than its header says")


def check_avif(data: bytes, found: Found) -> None:
    """Walk the boxes of an AVIF file (ISO/IEC 14496-12)."""
    at, kinds = 0, set[bytes]()
    while at < len(data):
        found.count()
        length = int.from_bytes(data[at : at + 4], "big")
        kinds.add(data[at + 4 : at + 8])
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        length = length or len(data) - at  # 0: up to the end of the file
        if length < 8 or at + length > len(data):
            found.add("a box of the AVIF file is cut short")
            return
        at += length
    if not {b"meta", b"mdat"} <= kinds and b"moov" not in kinds:
        found.add("the AVIF file lacks a box")


def check_tiff(data: bytes, found: Found) -> None:
    """See that the strips or tiles of the first page of a TIFF are inside the file (TIFF 6.0)."""
    order = "<" if data[:2] == b"II" else ">"
    at = next(tiff_pages(data), None)
    if at is None:
        found.add("the TIFF file has no page")
        return
    values = _tags(data, at, order)
    for where, how_long in _OFFSETS.items():
        starts, lengths = values.get(where, ()), values.get(how_long, ())
        if len(starts) != len(lengths) or any(a + b > len(data) for a, b in zip(starts, lengths, strict=False)):
            found.add("pixels of the TIFF file lie beyond its end")


def _tags(data: bytes, at: int, order: str) -> dict[int, tuple[int, ...]]:
    """Values of the tags that say where pixels are; those that make no sense are left out."""
    values = {}
    for entry in range(struct.unpack_from(order + "H", data, at)[0]):
        tag, kind, count, _ = struct.unpack_from(order + "HHII", data, at + 2 + 12 * entry)
        if tag in {*_OFFSETS, *_OFFSETS.values()} and kind in _SIZES and count <= _MOST_STRIPS:
            start = at + 10 + 12 * entry
            if count * _SIZES[kind] > 4:
                start = struct.unpack_from(order + "I", data, start)[0]
            if start + count * _SIZES[kind] <= len(data):
                values[tag] = struct.unpack_from(f"{order}{count}{'H' if kind == 3 else 'I'}", data, start)
    return values
