"""The heart of a run: pictures to result lines, whatever runs it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from .. import clips
from ..errors import ImageError
from ..pictures import images
from ..types import Detection
from . import opening, stamps
from .items import Detect, Item, Line


@dataclass(frozen=True, eq=False)
class Loaded:
    """What became of a file: its SHA-256, and its picture or the sentence why there is none.

    Without both, the digest is one of those that were known already.
    """

    item: Item
    digest: str | None = None
    picture: images.Picture | None = None
    error: str | None = None


Size = tuple[int, int]


class Known(Protocol):
    """What earlier results know."""

    def __contains__(self, digest: object) -> bool:
        """Whether there is a result for the bytes with this digest."""

    def seen(self, token: bytes) -> str | None:
        """The digest of the picture with this name and stamp (:func:`~.stamps.token`), if it was read before."""


class Nothing:
    """Knows of no earlier result."""

    def __contains__(self, digest: object) -> bool:
        return False

    def seen(self, token: bytes) -> str | None:
        """None."""
        return None


def frames_for(detect: object) -> dict[str, Any]:
    """How clips are read for a detector: a few frames that are spread over them, or the first ``detect.together``."""
    first = getattr(detect, "together", None)
    return {} if first is None else {"most": first, "together": True}


def load(
    item: Item,
    size: Size | Sequence[Size] | None = None,
    known: Known | None = None,
    strict: bool = False,
    frames: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read a file; decode it, to ``size`` (height, width; or the best of several), unless its digest is ``known``.

    ``strict``: a damaged file is one that cannot be read.  A clip is a picture of more axes: ``[K, H, W, 3]``;
    ``frames``: which of them, see :func:`frames_for`.
    """
    digest, known = None, known or Nothing()
    try:
        if item.problem:
            raise ImageError(item.problem)
        if item.address is None and clips.is_clip(item.path):
            return _clip(item, size, known, strict, frames or {})
        listed, item = item, opening.stamped(item)
        if item is not listed and (seen := known.seen(stamps.token(item) or b"")):
            return Loaded(item, seen)
        opened = opening.read(item)
        item, digest = opened.item, images.digest(opened.data)
        picture = None if digest in known else images.read(opened.data, size, item.name, strict=strict)
    except ImageError as error:
        return Loaded(item, digest, error=str(error))
    if picture and opened.notes:
        picture = replace(picture, notes=(*picture.notes, *opened.notes))
    return Loaded(item, digest, picture)


def _clip(
    item: Item, size: Size | Sequence[Size] | None, known: Known, strict: bool, frames: Mapping[str, Any]
) -> Loaded:
    """A clip: a few of its frames ``[K, H, W, 3]``, of the first size; its digest is that of the whole file."""
    digest = clips.digest(item.path, item.name)
    if digest in known:
        return Loaded(item, digest)
    try:
        clip = clips.read(item.path, _first(size), name=item.name, strict=strict, **frames)
    except ImageError as error:
        return Loaded(item, digest, error=str(error))
    return Loaded(item, digest, images.Picture(clip.frames, clip.notes))


def _first(size: Any) -> Size | None:
    """A size, or the first of several."""
    return size if size is None or isinstance(size[0], int) else size[0]


def lines(batch: Sequence[Loaded], detect: Detect, settings: str) -> list[Line]:
    """Result lines of a batch, in its order: one for each picture, and for each that could not be read.

    Pictures of one size that follow each other go to ``detect`` together.  ``settings``: the hash of all that a
    result depends on besides the picture.  Nothing is read, written or remembered.
    """
    return [line for group in _groups(batch) for line in _lines(group, detect, settings)]


def _groups(batch: Iterable[Loaded]) -> Iterator[list[Loaded]]:
    for _, group in groupby(batch, key=lambda one: one.picture and one.picture.pixels.shape):
        yield list(group)


def _lines(group: Sequence[Loaded], detect: Detect, settings: str) -> list[Line]:
    pictures = [one.picture for one in group if one.picture]
    if not pictures:
        return [{**head(one, settings), "error": one.error} for one in group]
    pixels = np.stack([picture.pixels for picture in pictures])  # [B, H, W, 3]
    detections = detect(pixels, [picture.notes for picture in pictures])
    return [
        _result(one, detection.unless(picture.too_small), settings)
        for one, picture, detection in zip(group, pictures, detections, strict=True)
    ]


def _result(one: Loaded, detection: Detection, settings: str) -> Line:
    return {**head(one, settings), **_finite(detection.as_dict()), "error": None}


def head(one: Loaded, settings: str) -> Line:
    """What every line begins with; the stamp is that of a picture which is no file of its own."""
    stamp = {"stamp": one.item.stamp} if one.item.stamp else {}
    return {"file": one.item.name, "sha256": one.digest, "settings": settings, **stamp}


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
