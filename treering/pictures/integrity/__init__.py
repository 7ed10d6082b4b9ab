"""Whether a file is as its writer left it: checksums, lengths, ends.

Pillow reads many a damaged file without a word.  Formats differ in what can be noticed: PNG carries checksums of
everything, JPEG and WebP of nothing, so that there only structure can be wrong.
"""

from __future__ import annotations

from .found import Found, TooManyPartsError
from .jpeg import check_jpeg, is_short
from .others import check_avif, check_bmp, check_gif, check_tiff
from .png import check_png
from .webp import check_webp

__all__ = ["Found", "TooManyPartsError", "check", "is_short"]

_CHECKS = (
    (b"\x89PNG\r\n\x1a\n", check_png),
    (b"\xff\xd8", check_jpeg),
    (b"RIFF", check_webp),
    (b"GIF8", check_gif),
    (b"II*\0", check_tiff),
    (b"MM\0*", check_tiff),
    (b"BM", check_bmp),
)


def check(data: bytes) -> Found:
    """Everything that is wrong with the structure of a picture file, as far as its format lets it be known.

    Made to be asked before any decoder sees the file.  Raises TooManyPartsError.
    """
    found = Found()
    for magic, look in _CHECKS:
        if data.startswith(magic):
            look(data, found)
            return found
    if data[4:8] == b"ftyp":
        check_avif(data, found)
    return found
