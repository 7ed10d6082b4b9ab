"""Poses in pixels: mirror, turn, stretch, enlarge and shift a picture, and undo it.

Two frames: the picture *as made* (by the model) and *as given* (to us).  Positions in a frame of height h and width w
are measured from its centre, y downwards and x to the right, in units of sqrt(h w) pixels, so that sizes in pixels
do not matter.  A pose takes a position as made to the one as given::

    given = shift + R(angle) diag(scale / sqrt(aspect), scale sqrt(aspect)) diag(1, -1 if mirror else 1) made

with positions (y, x) and R a turn counter-clockwise as seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError

Matrix = NDArray[np.float64]
Size = tuple[int, int]
_LARGEST = 64.0  # of scale, aspect and shift
_SHRINK = 1.02  # pixels are averaged before they are sampled where there are more of them than this for each


@dataclass(frozen=True)
class Pose:
    """What was done to a picture between made and given.

    mirror: left and right swapped, before all else.  angle: degrees, counter-clockwise as seen.  scale: above 1 the
    picture was enlarged (and what did not fit cut off).  aspect: above 1 it was made wider, before it was turned.
    shift: (y, x) of the made picture's centre from the centre of the given one, in shares of the given one's side.
    Raises ImageError for numbers that no picture has (not finite, scale or aspect outside 1/64 to 64).
    """

    mirror: bool = False
    angle: float = 0.0
    scale: float = 1.0
    aspect: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        ratios = all(1 / _LARGEST <= value <= _LARGEST for value in (self.scale, self.aspect))
        if not (ratios and math.isfinite(self.angle) and all(abs(value) <= _LARGEST for value in self.shift)):
            raise ImageError(f"{self} is no pose: scale and aspect go from 1/64 to 64, a shift is at most 64 sides.")

    def linear(self) -> Matrix:
        """The 2 x 2 matrix that takes (y, x) as made to as given, in units of each frame."""
        angle, stretch = math.radians(self.angle % 360), math.sqrt(self.aspect)
        cos, sin = _exact(math.cos(angle)), _exact(math.sin(angle))
        turn = np.array([[cos, -sin], [sin, cos]])
        return turn @ np.diag([self.scale / stretch, self.scale * stretch * (-1 if self.mirror else 1)])

    def matrix(self, made: Size, given: Size) -> Matrix:
        """The 2 x 3 matrix A that takes pixel positions as made to as given: (y', x') = A[:, :2] (y, x) + A[:, 2].

        made, given: (height, width) of the two frames in pixels.  Positions are those of pixel centres: the first
        pixel of a row is at 0.
        """
        linear = self.linear() * (_unit(given) / _unit(made))
        offset = _centre(given) + np.array(self.shift) * _unit(given) - linear @ _centre(made)
        return np.column_stack([linear, offset])

    def compose(self, first: Pose) -> Pose:
        """The pose that does `first` and then this one.  Raises ImageError where that would be a shear."""
        linear = self.linear()
        shift = linear @ np.array(first.shift) + np.array(self.shift)
        return _pose(np.asarray(linear @ first.linear()), shift)

    def inverse(self) -> Pose:
        """The pose from given to made.  Raises ImageError where that would be a shear (an aspect, not turned by 90)."""
        back = np.asarray(np.linalg.inv(self.linear()), np.float64)
        return _pose(back, -back @ np.array(self.shift))


def undo(pixels: NDArray[np.uint8], pose: Pose, size: Size) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Bring a picture as given, uint8 [H, W, 3], back to the frame as made, of size = (h, w).

    Gives uint8 [h, w, 3] (bicubic, averaged where it shrinks; what the given picture does not show is filled with
    its reflection) and float32 [h, w]: the share of each pixel that the given picture covers.
    """
    return _warp(pixels, pose.matrix(size, _size(pixels)), size)


def undo_affine(pixels: NDArray[np.uint8], affine: Matrix, size: Size) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """As :func:`undo`, for any affine map ``[2, 3]`` from as made to as given, sheared ones too.

    The map takes positions (y, x) in shares of each frame (a side is 1), the origin in the centre.
    """
    given, made = np.array(_size(pixels)), np.array(size)
    linear = affine[:, :2] * given[:, None] / made
    offset = _centre(_size(pixels)) + affine[:, 2] * given - linear @ _centre(size)
    return _warp(pixels, np.column_stack([linear, offset]), size)


def apply(
    pixels: NDArray[np.uint8], pose: Pose, size: Size, fill: tuple[int, int, int] | None = (0, 0, 0)
) -> NDArray[np.uint8]:
    """Bring a picture as made, uint8 [h, w, 3], into a pose: uint8 of size = (H, W) as given.

    fill: the colour where the made picture does not reach, or None for its reflection.
    """
    there = pose.matrix(_size(pixels), size)
    back = np.linalg.inv(there[:, :2])
    warped, covered = _warp(pixels, np.column_stack([back, -back @ there[:, 2]]), size)
    if fill is None:
        return warped
    mixed = fill + (warped - np.array(fill, np.float32)) * covered[..., None]
    return np.rint(mixed).astype(np.uint8)


def _pose(linear: Matrix, shift: NDArray[np.float64]) -> Pose:
    """The pose of this 2 x 2 matrix and shift: its columns are where the axes go, and must stay at a right angle."""
    down, right = np.hypot(*linear[:, 0]), np.hypot(*linear[:, 1])
    if abs(linear[:, 0] @ linear[:, 1]) > 1e-9 * down * right:
        raise ImageError("A turn and an aspect together do not make a pose: the picture would be sheared.")
    angle = math.degrees(math.atan2(linear[1, 0], linear[0, 0])) % 360
    mirror = bool(np.linalg.det(linear) < 0)
    return Pose(mirror, angle, math.sqrt(down * right), right / down, (float(shift[0]), float(shift[1])))


def _exact(value: float) -> float:
    """Sine and cosine of quarter turns are whole numbers, so that these move pixels without mixing them."""
    return round(value) if abs(value - round(value)) < 1e-12 else value


def _size(pixels: NDArray[np.uint8]) -> Size:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.size == 0:
        raise ImageError(f"Pixels must be uint8 [H, W, 3] and not empty, not {pixels.dtype} {list(pixels.shape)}.")
    return pixels.shape[0], pixels.shape[1]


def _unit(size: Size) -> float:
    return math.sqrt(size[0] * size[1])


def _centre(size: Size) -> NDArray[np.float64]:
    return (np.array(size) - 1) / 2


# Sampling.  A matrix here takes pixel positions of the result to those of the source.


def _warp(pixels: NDArray[np.uint8], matrix: Matrix, size: Size) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    covered = _covered(matrix, _size(pixels), size)
    pixels, matrix = _shrunk(pixels, matrix)
    window, matrix = _window(pixels, matrix, size)
    return _sampled(window, matrix, size), covered


def _shrunk(pixels: NDArray[np.uint8], matrix: Matrix) -> tuple[NDArray[np.uint8], Matrix]:
    """Average the source down to about one pixel for each of the result, on each of its axes."""
    height, width = _size(pixels)
    steps = np.hypot(matrix[:, 0], matrix[:, 1])  # source pixels that one step in the result passes, along y and x
    to = [max(1, round(n / step)) if step > _SHRINK else n for n, step in zip((height, width), steps, strict=True)]
    if to == [height, width]:
        return pixels, matrix
    image = Image.fromarray(pixels).resize((to[1], to[0]), Image.Resampling.BICUBIC)
    ratio = np.array(to) / (height, width)
    shrunk = matrix * ratio[:, None]
    shrunk[:, 2] += (ratio - 1) / 2  # pixel n of the source has its centre at n + 1/2
    return np.asarray(image), shrunk


def _window(pixels: NDArray[np.uint8], matrix: Matrix, size: Size) -> tuple[NDArray[np.uint8], Matrix]:
    """The part of the source, continued by reflection without end, that the result is made of."""
    corners = np.array([[y, x, 1] for y in (0, size[0] - 1) for x in (0, size[1] - 1)])
    at = corners @ matrix.T  # [4, 2]
    low, high = np.floor(at.min(0)).astype(int) - 3, np.ceil(at.max(0)).astype(int) + 4
    rows, columns = (_reflected(a, b, n) for a, b, n in zip(low, high, pixels.shape[:2], strict=True))
    moved = matrix.copy()
    moved[:, 2] -= low
    return pixels[rows[:, None], columns], moved


def _reflected(low: int, high: int, count: int) -> NDArray[np.intp]:
    index = np.arange(low, high) % (2 * count)
    return np.minimum(index, 2 * count - 1 - index)


def _sampled(pixels: NDArray[np.uint8], matrix: Matrix, size: Size) -> NDArray[np.uint8]:
    (yy, yx, y), (xy, xx, x) = matrix.tolist()
    # Pillow has x before y and puts the first pixel's centre at 1/2.
    data = (xx, xy, x + 0.5 - (xx + xy) / 2, yx, yy, y + 0.5 - (yy + yx) / 2)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    turned = image.transform(size[::-1], Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    return np.array(turned)


def _covered(matrix: Matrix, source: Size, size: Size) -> NDArray[np.float32]:
    """Share of each pixel of the result that lies within the source; exact for edges along its axes."""
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])[None, :]
    covered = np.ones(size)
    for (along_y, along_x, start), length in zip(matrix, source, strict=True):
        position = along_y * rows + along_x * columns + start  # of the pixel's centre, on one axis of the source
        width = abs(along_y) + abs(along_x)  # that the pixel takes up on this axis
        low, high = position - width / 2, position + width / 2
        inside = np.minimum(high, length - 0.5) - np.maximum(low, -0.5)
        covered *= np.clip(inside / width, 0, 1)
    return covered.astype(np.float32)
