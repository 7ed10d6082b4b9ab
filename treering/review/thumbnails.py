"""Small pictures for a report: as given, and with the pose undone in which the mark was found."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from ..pictures import images
from ..pictures.poses import Pose, undo
from ..report.page import Case
from .rows import Seen

SIDE = 256
"""Pixels of the longer side."""

_QUALITY = 82
_PALE = 0.25  # how much is left of what the given picture does not show
_GREY = 128.0

Pixels = NDArray[np.uint8]


def case(one: Seen, remark: str, size: tuple[int, int] | None) -> Case:
    """The case of a picture; a picture that is gone or has changed since is said to be so.

    ``size``: (height, width) that pictures are brought to for reading.
    """
    if one.path is None:
        return Case(one.row, remark, missing="Where the pictures are is not known.")
    try:
        data = images.read_bytes(one.path, one.row.file)
        if images.digest(data) != one.row.digest:
            return Case(one.row, remark, missing="The file has changed since it was checked.")
        pixels = images.read(data, size, one.row.file).pixels
        made = as_found(pixels, one.pose, one.box)
    except ImageError as error:
        return Case(one.row, remark, missing=str(error))
    return Case(one.row, remark, jpeg(pixels), None if made is None else jpeg(made))


def as_found(
    pixels: Pixels, pose: Mapping[str, Any] | None, box: tuple[int, int, int, int] | None = None
) -> Pixels | None:
    """A picture uint8 ``[H, W, 3]`` with its pose undone, of the same size; None where there is nothing to undo.

    ``pose``: as in a result.  What the picture does not show is pale.  Raises ``ImageError`` for a pose that no
    picture has.
    """
    height, width = pixels.shape[:2]
    if box is not None:
        top, left, bottom, right = box
        part = Image.fromarray(pixels[top:bottom, left:right])
        return np.asarray(part.resize((width, height), Image.Resampling.LANCZOS)) if min(part.size) else None
    if pose is None:
        return None
    down, across = pose["shift"]
    undone, covered = undo(
        pixels,
        Pose(pose["mirror"], pose["angle"], pose["scale"], pose["aspect"], (down, across)),
        (height, width),
    )
    share = _PALE + (1 - _PALE) * covered[..., None]
    return np.rint(_GREY + (undone - _GREY) * share).astype(np.uint8)


def jpeg(pixels: Pixels, side: int = SIDE) -> bytes:
    """A JPEG file of a picture uint8 ``[H, W, 3]``, its longer side at most ``side`` pixels."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    factor = side / max(image.size)
    if factor < 1:
        size = (max(1, math.floor(image.width * factor)), max(1, math.floor(image.height * factor)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
