"""The heart of a run: pictures to result lines, whatever runs it."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from .. import clips
from ..errors import ImageError
from ..pictures import images
from ..types import Detection
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


def load(item: Item, size: tuple[int, int] | None = None, known: Container[str] = (), strict: bool = False) -> Loaded:
    """Read a file; decode it, to ``size`` (height, width), unless its digest is among the ``known``.

    ``strict``: a damaged file is one that cannot be read.  A clip is a picture of more axes: ``[K, H, W, 3]``.
    """
    digest = None
    try:
        if item.problem:
            raise ImageError(item.problem)
        if clips.is_clip(item.path):
            return _clip(item, size, known, strict)
        data = images.read_bytes(item.path, item.name)
        digest = images.digest(data)
        picture = None if digest in known else images.read(data, size, item.name, strict=strict)
    except ImageError as error:
        return Loaded(item, digest, error=str(error))
    return Loaded(item, digest, picture)


def _clip(item: Item, size: tuple[int, int] | None, known: Container[str], strict: bool) -> Loaded:
    """A clip: a few of its frames ``[K, H, W, 3]``; its digest is that of the whole file."""
    digest = clips.digest(item.path, item.name)
    if digest in known:
        return Loaded(item, digest)
    try:
        clip = clips.read(item.path, size, name=item.name, strict=strict)
    except ImageError as error:
        return Loaded(item, digest, error=str(error))
    return Loaded(item, digest, images.Picture(clip.frames, clip.notes))


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
        return [{**_head(one, settings), "error": one.error} for one in group]
    pixels = np.stack([picture.pixels for picture in pictures])  # [B, H, W, 3]
    detections = detect(pixels, [picture.notes for picture in pictures])
    return [
        _result(one, detection.unless(picture.too_small), settings)
        for one, picture, detection in zip(group, pictures, detections, strict=True)
    ]


def _result(one: Loaded, detection: Detection, settings: str) -> Line:
    return {**_head(one, settings), **_finite(detection.as_dict()), "error": None}


def _head(one: Loaded, settings: str) -> Line:
    return {"file": one.item.name, "sha256": one.digest, "settings": settings}


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
