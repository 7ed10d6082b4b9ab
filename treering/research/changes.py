"""Pictures in other poses, made by Pillow alone, each with the truth about its pose.

The truth is an affine map from the picture as made to the picture as given, ``float64 [2, 3]``, in (y, x), in shares
of the picture (a side is 1), with the origin in the centre: ``given = truth[:, :2] @ made + truth[:, 2]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .common import Pictures, jpeg

Truth = NDArray[np.float64]
Change = Callable[[Pictures, np.random.Generator], tuple[Pictures, Truth]]

_PAGE = 236
"""Grey of the page of a screenshot."""


def _linear(*rows: tuple[float, float]) -> Truth:
    return np.concatenate([np.asarray(rows, np.float64), np.zeros((2, 1))], 1)


def _after(second: Truth, first: Truth) -> Truth:
    """The map that does ``first``, then ``second``."""
    return np.concatenate([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]], 1)


def _window(picture: Pictures, top: int, left: int, height: int, width: int) -> tuple[Pictures, Truth]:
    """A window, resized to the size of the picture."""
    tall, wide = picture.shape[:2]
    box = (left, top, left + width, top + height)
    image = Image.fromarray(picture).resize((wide, tall), Image.Resampling.LANCZOS, box)
    centre = ((top + height / 2) / tall - 0.5, (left + width / 2) / wide - 0.5)
    zoom = (tall / height, wide / width)
    truth = _linear((zoom[0], 0), (0, zoom[1]))
    truth[:, 2] = -zoom[0] * centre[0], -zoom[1] * centre[1]
    return np.asarray(image), truth


def same(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    """As it is."""
    return picture, _linear((1, 0), (0, 1))


def mirror(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    """Left and right change places."""
    return picture[:, ::-1].copy(), _linear((1, 0), (0, -1))


def flip(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    """Top and bottom change places."""
    return picture[::-1].copy(), _linear((-1, 0), (0, 1))


def quarter(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    """A quarter turn to a random side; height and width change places."""
    turns = int(rng.choice([1, 3]))
    sign = 1.0 if turns == 1 else -1.0
    return np.rot90(picture, turns).copy(), _linear((0, -sign), (sign, 0))


def turned(picture: Pictures, angle: float) -> tuple[Pictures, Truth]:
    """Turned about its centre, counter-clockwise, corners black."""
    image = Image.fromarray(picture).rotate(angle, Image.Resampling.BICUBIC)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    ratio = picture.shape[1] / picture.shape[0]
    return np.asarray(image), _linear((cosine, -sine * ratio), (sine / ratio, cosine))


def turn(angle: float, cropped: bool) -> Change:
    """Turned by an angle of 0 to 90 degrees, to a random side; ``cropped``: without the black corners."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        signed = angle * float(rng.choice([-1, 1]))
        found, truth = turned(picture, signed)
        if not cropped:
            return found, truth
        share = _uncovered(angle, picture.shape[1] / picture.shape[0])
        height, width = (max(1, math.floor(side * share)) for side in picture.shape[:2])
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        found, window = _window(found, top, left, height, width)
        return found, _after(window, truth)

    return change


def _uncovered(angle: float, ratio: float) -> float:
    """Share of each side of the largest window about the centre that has no black corner after a turn."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return 1 / (cosine + max(ratio, 1 / ratio) * sine)


def crop(share: float) -> Change:
    """A random window of so much of the area, resized to the size of the picture."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        height, width = (max(1, round(side * math.sqrt(share))) for side in picture.shape[:2])
        top, left = (int(v) for v in rng.integers(0, [picture.shape[0] - height + 1, picture.shape[1] - width + 1]))
        return _window(picture, top, left, height, width)

    return change


def shift(pixels: int) -> Change:
    """Moved down and right, what is left empty black."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        found, (height, width) = np.zeros_like(picture), picture.shape[:2]
        found[pixels:, pixels:] = picture[: max(0, height - pixels), : max(0, width - pixels)]
        truth = _linear((1, 0), (0, 1))
        truth[:, 2] = pixels / height, pixels / width
        return found, truth

    return change


def screenshot(share: float) -> Change:
    """On a light page that is 1 / ``share`` times as high and wide, shrunk to the picture's size."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        height, width = picture.shape[:2]
        page = [round(side / share) for side in (height, width)]
        top, left = (int(v) for v in rng.integers(0, [page[0] - height + 1, page[1] - width + 1]))
        canvas = np.full((*page, 3), _PAGE, np.uint8)
        canvas[top : top + height, left : left + width] = picture
        small = np.asarray(Image.fromarray(canvas).resize((width, height), Image.Resampling.LANCZOS))
        truth = _linear((height / page[0], 0), (0, width / page[1]))
        truth[:, 2] = (top + height / 2) / page[0] - 0.5, (left + width / 2) / page[1] - 0.5
        return small, truth

    return change


def squeeze(share: float) -> Change:
    """So much of the width is kept, at a random place, and stretched to the width of the picture."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        width = max(1, round(share * picture.shape[1]))
        left = int(rng.integers(0, picture.shape[1] - width + 1))
        return _window(picture, 0, left, picture.shape[0], width)

    return change


def mixed(quality: int) -> Change:
    """Mirrored, turned by up to 45 degrees, cropped to what is left, and JPEG."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        mirrored, first = mirror(picture, rng)
        found, second = turn(float(rng.uniform(5, 45)), True)(mirrored, rng)
        return jpeg(found, quality), _after(second, first)

    return change


POSES: dict[str, Change] = {
    "as given": same,
    "mirror": mirror,
    "flip": flip,
    "quarter turn": quarter,
    "turn 5 cropped": turn(5, True),
    "turn 30 cropped": turn(30, True),
    "turn 30 black": turn(30, False),
    "turn 75 cropped": turn(75, True),
    "turn 75 black": turn(75, False),
    "crop 75 % area": crop(0.75),
    "crop 50 % area": crop(0.5),
    "crop 25 % area": crop(0.25),
    "shift 16": shift(16),
    "screenshot": screenshot(256 / 420),
    "squeeze 0.8": squeeze(0.8),
    "mirror+turn+crop+JPEG 75": mixed(75),
}
"""What happens to the pose of a picture uint8 ``[H, W, 3]``."""
