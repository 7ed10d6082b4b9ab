"""A box of a large picture seen at a model's size, and where what is found there lies in the large one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .borders import Box
from .fit import about_centre
from .poses import Pose

Size = tuple[int, int]

NEARLY = 0.03
"""Logarithm of the ratio of two aspects up to which a box is resized as it is."""


@dataclass(frozen=True)
class Window:
    """A box (top, left, bottom, right) of a large picture, shown at ``at`` in a picture of ``size`` (height, width).

    What is around it there is of one colour, so that it counts for nothing.
    """

    box: Box
    at: Box
    size: Size

    @classmethod
    def inside(cls, whole: Size, size: Size) -> Window:
        """The largest part about the centre that has the aspect of ``size``, filling it."""
        left, top, right, bottom = about_centre(whole[1], whole[0], *size)
        return cls((top, left, bottom, right), (0, 0, *size), size)

    @classmethod
    def around(cls, box: Box, size: Size) -> Window:
        """A box as a whole: what was cut off to give it another aspect stays empty."""
        height, width = box[2] - box[0], box[3] - box[1]
        if abs(np.log(height * size[1] / (width * size[0]))) <= NEARLY:
            return cls(box, (0, 0, *size), size)
        scale = min(size[0] / height, size[1] / width)
        tall, wide = (max(1, min(n, round(scale * side))) for n, side in zip(size, (height, width), strict=True))
        top, left = (size[0] - tall) // 2, (size[1] - wide) // 2
        return cls(box, (top, left, top + tall, left + wide), size)

    def cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The box of a picture uint8 [H, W, 3], as [h, w, 3] (Lanczos)."""
        top, left, bottom, right = self.box
        part = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
        up, before, down, after = self.at
        shape = (after - before, down - up)
        inside = np.asarray(part if part.size == shape else part.resize(shape, Image.Resampling.LANCZOS))
        found = np.empty((*self.size, 3), np.uint8)
        found[:] = np.rint(inside.mean((0, 1)))
        found[up:down, before:after] = inside
        return found

    def of(self, box: Box | None, pose: dict[str, Any] | None, whole: Size) -> Box:
        """What a marked picture shows within the large one, whose size is ``whole``.

        ``box``: where it was seen in the picture of ``size``, or ``pose``: how; with neither it fills the window.
        """
        seen: tuple[float, ...] = self.at if box is None else box
        if pose is not None:
            seen = _corners(pose, self.size)
        scale = [(b - a) / (d - c) for a, b, c, d in zip(self.box, self.box[2:], self.at, self.at[2:], strict=False)]
        found = [self.box[i % 2] + (seen[i] - self.at[i % 2]) * scale[i % 2] for i in range(4)]
        limits = (*self.box[:2], *self.box[2:]) if pose is None else (0, 0, *whole)
        top, left = (max(limits[i], min(limits[i + 2] - 1, round(found[i]))) for i in (0, 1))
        bottom, right = (max(first + 1, min(limits[i + 2], round(found[i + 2]))) for i, first in ((0, top), (1, left)))
        return top, left, bottom, right


def _corners(pose: dict[str, Any], size: Size) -> tuple[float, float, float, float]:
    """The box around a picture of ``size`` in a pose, in pixels of a frame of that size."""
    told = Pose(pose["mirror"], pose["angle"], pose["scale"], pose["aspect"], tuple(pose["shift"]))
    height, width = size
    corners = np.array([(y - 0.5, x - 0.5, 1.0) for y in (0, height) for x in (0, width)])
    places = corners @ told.matrix(size, size).T + 0.5
    (top, left), (bottom, right) = places.min(0), places.max(0)
    return float(top), float(left), float(bottom), float(right)
