"""JPEG: segments, restart markers in order, the end, and scans that stop too early (ITU-T T.81).

There are no checksums.  What libjpeg repairs silently, data that ends before the picture does, is found by a second
look: bits are put where each scan ends, and if they change the picture, then it had not been complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import Image

from .. import bands
from .found import Found

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)  # fill bytes 0xff may come before a marker
_EOI, _SOS = 0xD9, 0xDA
_RESTARTS = range(0xD0, 0xD8)
_ALONE = {0x01, *_RESTARTS, 0xD8}  # markers without a length
# Begins with a one, where libjpeg makes up zeros; no 0xff, which would be a marker.
_FILLER = b"\xb6\x5a\xd3\x29\x8e\x71\xe4\x4d" * 2


class _Marker(NamedTuple):
    code: int
    start: int
    stop: int


def check_jpeg(data: bytes, found: Found) -> None:
    """Walk the segments of a JPEG."""
    at = 2
    while (marker := next(_markers(data, at), None)) is not None:
        if marker.start > at:
            found.add("there are bytes between the segments of the JPEG")
        at = marker.stop
        found.count()
        if marker.code == _EOI:
            found.trailing = len(data) - at
            return
        if marker.code in _ALONE:
            found.add("a JPEG marker is out of place")
            continue
        at += _length(data, at)
        if marker.code == _SOS:
            found.scans += 1
            at = _check_scan(data, at, found)
    found.add("the end of the JPEG is missing")


def _markers(data: bytes, at: int) -> Iterator[_Marker]:
    for match in _MARKER.finditer(data, at):
        yield _Marker(match.group(1)[0], match.start(), match.end())


def _length(data: bytes, at: int) -> int:
    return max(2, int.from_bytes(data[at : at + 2], "big"))  # counts its own two bytes


def _check_scan(data: bytes, at: int, found: Found) -> int:
    """Go through entropy-coded data; where the next segment begins."""
    wanted = 0
    for marker in _markers(data, at):
        found.count()
        if marker.code not in _RESTARTS:
            return marker.start
        if marker.code != _RESTARTS[wanted]:
            found.add("the restart markers of the JPEG are out of order")
        wanted = (marker.code - _RESTARTS[0] + 1) % 8
    return len(data)


def is_short(data: bytes, image: Image.Image, decode: Callable[[bytes], Image.Image]) -> bool:
    """Whether the scans of a JPEG that `decode` made `image` of end before the picture does."""
    try:
        other = decode(_filled(data))
    except MemoryError:
        raise
    except Exception:  # a complete picture does not look at what was added, so it cannot fail by it
        return True
    if other.size != image.size:
        return True
    pairs = zip(bands.cut(image), bands.cut(other), strict=True)
    return any(a.tobytes() != b.tobytes() for a, b in pairs)


def _filled(data: bytes) -> bytes:
    """The same JPEG with bits added where each scan, and each restart interval, ends."""
    parts, done, at, in_scan = list[bytes](), 0, 2, False
    while (marker := next(_markers(data, at), None)) is not None:
        at, restart = marker.stop, marker.code in _RESTARTS
        if in_scan:
            parts += (data[done : marker.start], _FILLER)
            done, in_scan = marker.start, restart
        if marker.code == _EOI:
            break
        if marker.code not in _ALONE:
            at += _length(data, at)
        in_scan = in_scan or marker.code == _SOS
    return b"".join((*parts, data[done:]))
