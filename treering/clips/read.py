"""A clip to a few of its frames, upright 8-bit RGB, with notes on what had to be done for that."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from ..pictures import fit, images, sources
from ..pictures.read import DAMAGED
from . import limits
from .keep import even
from .kinds import FOLDER, Kind, kind_of

Frames = NDArray[np.uint8]

FRAMES = 16
"""Frames that are read of a clip unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip as it was read.

    ``frames``: uint8 ``[K, H, W, 3]``, those that were kept.  ``total``: frames that it has, as far as they were
    counted.  ``rate``: frames a second, where the file says so.  ``notes``: what was done to get there, short
    sentences, those of damage first.
    """

    frames: Frames
    total: int
    rate: float | None
    notes: tuple[str, ...]


def read(
    path: Path | str,
    size: tuple[int, int] | None = None,
    most: int = FRAMES,
    *,
    together: bool = False,
    name: str | None = None,
    strict: bool = False,
) -> Clip:
    """Read at most ``most`` frames of a video, an animated picture, or a folder of pictures.

    ``size``: (height, width) to which every frame is cropped about its centre and resized; None: as they are.
    ``together``: the first frames, one after the other, and not frames that are spread over the clip.  ``strict``:
    refuse damaged files.  Raises ``ImageError``, with one sentence, for whatever cannot be read; a video without PyAV
    too.
    """
    path = Path(path)
    name = name or str(path)
    if size is not None:
        fit.check_size(size, name)
    kind: Kind | None = FOLDER if path.is_dir() else kind_of(path)
    clip = _by_kind(kind, path, name, most, together, strict)
    if not clip.frames:
        raise ImageError(f"{name} has no frames.")
    if strict and any(note.startswith(DAMAGED) for note in clip.notes):
        raise ImageError(f"{name} is damaged: {clip.notes[0].removeprefix(f'{DAMAGED}: ')}")
    frames = fitted(clip.frames, size, clip.notes, name)
    return Clip(frames, clip.total, clip.rate, tuple(dict.fromkeys(clip.notes)))


def digest(path: Path, name: str | None = None) -> str:
    """SHA-256 of a file's bytes, read piece by piece, as 64 hexadecimal digits; raises ``ImageError``."""
    found = hashlib.sha256()
    with sources.opened(path, name or str(path)) as file:
        try:
            while piece := file.read(1 << 20):
                found.update(piece)
        except OSError as error:
            raise ImageError(f"{name or path} cannot be read: {error.strerror or error}.") from error
    return found.hexdigest()


@dataclass
class Raw:
    """Frames as stored, each of any size, and what is known of the clip."""

    frames: list[Frames]
    total: int
    rate: float | None
    notes: list[str]


def _by_kind(kind: Kind | None, path: Path, name: str, most: int, together: bool, strict: bool) -> Raw:
    if kind == "video":
        from . import video

        return video.read(path, name, most, together)
    if kind == "animation":
        from . import animation

        return animation.read(path, name, most, together)
    if kind == FOLDER:
        return _of_folder(path, name, most, together, strict)
    raise ImageError(f"{name} is not a clip.")


def fitted(frames: list[Frames], size: tuple[int, int] | None, notes: list[str], name: str) -> Frames:
    """Frames of one size ``[K, H, W, 3]``: the one asked for, else that of the first."""
    if len({frame.shape for frame in frames}) > 1:
        size = size or frames[0].shape[:2]
        notes.append("Frames differ in size; all were brought to one.")
    if size is None:
        return np.stack(frames)
    fitted = []
    for i, frame in enumerate(frames):
        own = notes if i == 0 else []
        fitted.append(np.asarray(fit.fit(Image.fromarray(frame), size, (frame.shape[1], frame.shape[0]), own)))
    return np.stack(fitted)


# Folders


def _of_folder(folder: Path, name: str, most: int, together: bool, strict: bool) -> Raw:
    files = frames_of(folder, name)
    chosen = range(min(most, len(files))) if together else even(len(files), most)
    frames, notes = [], list[str]()
    for i in chosen:
        picture = images.read(files[i], strict=strict)
        limits.check_frame(picture.pixels.shape[1], picture.pixels.shape[0], str(files[i]))
        frames.append(picture.pixels)
        notes += picture.notes
    return Raw(frames, len(files), None, sorted(set(notes), key=lambda note: not note.startswith(DAMAGED)))


def frames_of(folder: Path, name: str | None = None) -> list[Path]:
    """The pictures of a folder in the order of their names, numbers by value; raises ``ImageError``."""
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one, _ in zip(entries, range(limits.MAX_FOLDER), strict=False)]
    except OSError as error:
        raise ImageError(f"The folder {name or folder} cannot be read: {error.strerror or error}.") from error
    frames = [one for one in names if Path(one).suffix.lower() in images.SUFFIXES and not one.startswith(".")]
    return [folder / one for one in sorted(frames, key=_in_order)]


def _in_order(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"([0-9]{1,18})|([^0-9]+)", name)
    return [(int(number), "") if number else (-1, text) for number, text in parts], name
