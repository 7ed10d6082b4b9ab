"""The kinds of files that are read."""

from __future__ import annotations

from importlib.util import find_spec

_AVIF = find_spec("PIL._avif") is not None

SUFFIXES: frozenset[str] = frozenset(
    [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", *([".avif"] if _AVIF else [])]
)
"""Lower-case suffixes of the files that are looked for in folders."""

# Named one by one, because others that Pillow knows start a program (EPS runs Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", *(["AVIF"] if _AVIF else []))
"""Pillow's names of the formats that are read."""
