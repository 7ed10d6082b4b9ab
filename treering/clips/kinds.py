"""The kinds of files that are clips."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal

from ..errors import ImageError
from ..pictures import frames, sources

Kind = Literal["video", "animation", "folder"]

FOLDER: Kind = "folder"

VIDEOS: frozenset[str] = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ts", ".ogv"})
"""Suffixes of videos, which PyAV reads."""

ANIMATED: frozenset[str] = frozenset({".gif", ".apng"})
"""Suffixes of animated pictures that no other picture has; PNG and WebP files say inside whether they are one."""

SUFFIXES: frozenset[str] = VIDEOS | ANIMATED
"""Lower-case suffixes that clips alone have, and for which folders are looked through."""

WRITTEN: dict[str, Kind] = {
    ".mp4": "video",
    ".webm": "video",
    ".gif": "animation",
    ".apng": "animation",
    ".webp": "animation",
}
"""Suffixes of the files that are written; without a suffix it is a folder of frames."""

_HEAD = 1 << 16


def kind_of(path: Path) -> Kind | None:
    """What kind of clip a file is by its name and first bytes; None for a picture, and for a folder."""
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        return "video"
    if suffix == ".gif":
        return "animation" if _gif_moves(path) else None
    if suffix in (".png", ".apng", ".webp") and _says_so(path):
        return "animation"
    return None


def is_clip(path: Path) -> bool:
    """Whether a file is a clip, as far as its name and first bytes tell."""
    return kind_of(path) is not None


def _gif_moves(path: Path) -> bool:
    """Whether a GIF has more than one frame; what cannot be read is told when it is read as a picture."""
    try:
        data = sources.read_bytes(path)
    except ImageError:
        return False
    found = (kind for kind, _ in frames.gif_blocks(data) if kind == 0x2C)
    return data[:4] == b"GIF8" and next(found, None) is not None and next(found, None) is not None


def _says_so(path: Path) -> bool:
    """Whether a PNG or WebP says that it is animated."""
    head = _head(path)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20:
        return bool(head[20] & 2)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and _has_control(head)


def _has_control(head: bytes) -> bool:
    """Whether a PNG has the chunk of an animation before its pixels."""
    at = 8
    while at + 8 <= len(head):
        size, name = struct.unpack(">I4s", head[at : at + 8])
        if name == b"acTL":
            return True
        if name == b"IDAT":
            return False
        at += 12 + size
    return False


def _head(path: Path) -> bytes:
    """The first bytes of a regular file; nothing of what is not there or is no file."""
    try:
        with sources.opened(path, str(path)) as file:
            return file.read(_HEAD)
    except (ImageError, OSError):
        return b""
