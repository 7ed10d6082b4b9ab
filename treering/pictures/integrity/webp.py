"""WebP: the length of the RIFF file and the bounds of its chunks (RFC 9649); there are no checksums."""

from __future__ import annotations

from collections.abc import Iterator

from .found import Found

_PIXELS = (b"VP8 ", b"VP8L", b"ANMF")


def check_webp(data: bytes, found: Found) -> None:
    """Walk the chunks of a WebP file."""
    length = 8 + int.from_bytes(data[4:8], "little")
    if length > len(data):
        found.add("the WebP file is shorter than its header says")
    elif length % 2:
        found.add("the length in the header of the WebP file is odd")
    found.trailing = max(0, len(data) - length)
    kinds = [kind for kind, _ in _chunks(data[:length], found)]
    if not any(kind in _PIXELS for kind in kinds):
        found.add("the WebP file has no pixels")
    elif kinds[0] not in (b"VP8X", b"VP8 ", b"VP8L"):
        found.add("the chunks of the WebP file are out of order")
    elif kinds[0] != b"VP8X" and len(kinds) > 1:
        found.add("the WebP file has chunks that its header does not allow")
    _check_flags(data, kinds, found)


def _chunks(data: bytes, found: Found) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at < len(data):
        found.count()
        stop = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 > len(data) or stop > len(data):
            found.add("a chunk of the WebP file is cut short")
            return
        if stop % 2 and data[stop : stop + 1] not in (b"\0", b""):
            found.add("a padding byte of the WebP file is not zero")
        yield data[at : at + 4], data[at + 8 : stop]
        at = stop + stop % 2


def _check_flags(data: bytes, kinds: list[bytes], found: Found) -> None:
    """Hold the flags of the extended header against the chunks that are there."""
    if kinds[:1] != [b"VP8X"]:
        return
    for bit, kind in ((0x20, b"ICCP"), (0x08, b"EXIF"), (0x04, b"XMP "), (0x02, b"ANMF")):
        if bool(data[20] & bit) != (kind in kinds):
            found.add(f"the header of the WebP file does not agree with its chunk {kind.decode().strip()}")
