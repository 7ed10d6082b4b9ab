"""Clips: files of frames to pixels and back.

Videos are read and written by PyAV, which is an extra; animated GIF, PNG and WebP and folders of frames need nothing
more.  Whatever a file claims, time and memory of reading it are bounded (:mod:`.limits`), and what goes wrong is an
``ImageError`` of one sentence.
"""

from __future__ import annotations

from .keep import even
from .kinds import FOLDER, SUFFIXES, WRITTEN, is_clip, kind_of
from .read import Clip, digest, read
from .write import check_target, write

__all__ = [
    "FOLDER",
    "SUFFIXES",
    "WRITTEN",
    "Clip",
    "check_target",
    "digest",
    "even",
    "is_clip",
    "kind_of",
    "read",
    "write",
]
