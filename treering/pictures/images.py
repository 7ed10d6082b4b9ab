"""Files to pixels and back: the front of this room.

Whatever the file holds, `read` gives upright 8-bit sRGB and says in short notes what had to be done for that;
`write` makes a PNG without any metadata. Everything that can go wrong is an `ImageError` of one sentence.
"""

from __future__ import annotations

from .kinds import SUFFIXES
from .limits import MAX_BYTES, MAX_PIXELS
from .numbers import to_bytes, to_float
from .read import Picture, read
from .sources import digest, read_bytes
from .write import write

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "Picture",
    "digest",
    "read",
    "read_bytes",
    "to_bytes",
    "to_float",
    "write",
]
