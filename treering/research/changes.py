"""Pictures in other poses, made by Pillow alone, each with the truth about its pose.

The truth is an affine map from the picture as made to the picture as given, ``float64 [2, 3]``, in (y, x), in shares
of the picture (a side is 1), with the origin in the centre: ``given = truth[:, :2] @ made + truth[:, 2]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import avg_pool2d, grid_sample

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


def _same(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    return picture, _linear((1, 0), (0, 1))


def _mirror(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    return picture[:, ::-1].copy(), _linear((1, 0), (0, -1))


def _flip(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    return picture[::-1].copy(), _linear((-1, 0), (0, 1))


def _quarter(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    turns = int(rng.choice([1, 3]))
    sign = 1.0 if turns == 1 else -1.0
    return np.rot90(picture, turns).copy(), _linear((0, -sign), (sign, 0))


def _turned(picture: Pictures, angle: float) -> tuple[Pictures, Truth]:
    """Turned about its centre, counter-clockwise, corners black; a square picture."""
    image = Image.fromarray(picture).rotate(angle, Image.Resampling.BICUBIC)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.asarray(image), _linear((cosine, -sine), (sine, cosine))


def _turn(angle: float, cropped: bool) -> Change:
    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        signed = angle * float(rng.choice([-1, 1]))
        found, truth = _turned(picture, signed)
        if not cropped:
            return found, truth
        radians = math.radians(angle)
        side = math.floor(len(picture) / (math.cos(radians) + math.sin(radians)))
        start = (len(picture) - side) // 2
        found, window = _window(found, start, start, side, side)
        return found, _after(window, truth)

    return change


def _crop(share: float) -> Change:
    """A random window of so much of the area, resized to the size of the picture."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        side = round(len(picture) * math.sqrt(share))
        top, left = (int(v) for v in rng.integers(0, len(picture) - side + 1, 2))
        return _window(picture, top, left, side, side)

    return change


def _shift(pixels: int) -> Change:
    """Moved down and right, what is left empty black."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
        found = np.zeros_like(picture)
        found[pixels:, pixels:] = picture[:-pixels, :-pixels]
        truth = _linear((1, 0), (0, 1))
        truth[:, 2] = pixels / picture.shape[0], pixels / picture.shape[1]
        return found, truth

    return change


def _screenshot(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    """On a light page of 480x420 pixels, of which a square of 420 is kept and shrunk to the picture's size."""
    side, page = len(picture), 420
    top, left = (int(v) for v in rng.integers(0, page - side + 1, 2))
    canvas = np.full((page, page, 3), _PAGE, np.uint8)
    canvas[top : top + side, left : left + side] = picture
    small = np.asarray(Image.fromarray(canvas).resize((side, side), Image.Resampling.LANCZOS))
    zoom = side / page
    truth = _linear((zoom, 0), (0, zoom))
    truth[:, 2] = (top + side / 2) / page - 0.5, (left + side / 2) / page - 0.5
    return small, truth


def _squeeze(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    """A fifth of the width cut off, at random sides, and the rest made square again."""
    width = round(0.8 * picture.shape[1])
    left = int(rng.integers(0, picture.shape[1] - width + 1))
    return _window(picture, 0, left, picture.shape[0], width)


def _everything(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, Truth]:
    """Mirrored, turned by up to 45 degrees, cropped to what is left, JPEG 75."""
    mirrored, first = _mirror(picture, rng)
    found, second = _turn(float(rng.uniform(5, 45)), True)(mirrored, rng)
    return jpeg(found, 75), _after(second, first)


POSES: dict[str, Change] = {
    "as given": _same,
    "mirror": _mirror,
    "flip": _flip,
    "quarter turn": _quarter,
    "turn 5 cropped": _turn(5, True),
    "turn 30 cropped": _turn(30, True),
    "turn 30 black": _turn(30, False),
    "turn 75 cropped": _turn(75, True),
    "turn 75 black": _turn(75, False),
    "crop 75 % area": _crop(0.75),
    "crop 50 % area": _crop(0.5),
    "crop 25 % area": _crop(0.25),
    "shift 16": _shift(16),
    "screenshot": _screenshot,
    "squeeze 0.8": _squeeze,
    "mirror+turn+crop+JPEG 75": _everything,
}
"""What happens to the pose of a square picture uint8 ``[H, W, 3]``."""


def undone(picture: Pictures, pose: Truth, size: int, cell: int) -> tuple[Pictures, NDArray[np.bool_]]:
    """The square frame as made, ``[size, size, 3]``, of a changed picture, what is missing filled by reflection.

    Beside it which cells of ``cell`` pixels count, ``[h, w]``: more than half covered, and not of one colour.
    """
    dense = max(1, math.ceil(math.sqrt(abs(np.linalg.det(pose[:, :2]))) * len(picture) / size - 0.15))
    place = (np.arange(size * dense) + 0.5) / (size * dense) - 0.5
    given = np.stack(np.meshgrid(place, place, indexing="ij"), -1) @ pose[:, :2].T + pose[:, 2]
    wanted = 1 - np.abs((2 * given + 1) % 4 - 2)  # reflected into the picture, -1 to 1
    grid = torch.from_numpy(wanted[..., ::-1].copy()).float()[None]
    source = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
    found = grid_sample(source, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    pixels = avg_pool2d(found, dense)[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).numpy()
    inside = (np.abs(given) <= 0.5).all(-1).reshape(size // cell, cell * dense, size // cell, cell * dense)
    return pixels, (inside.mean((1, 3)) > 0.5) & lively(pixels, cell)


def lively(picture: Pictures, cell: int) -> NDArray[np.bool_]:
    """Cells of ``cell`` pixels that are not of one colour, ``[h, w]``."""
    height, width = picture.shape[0] // cell, picture.shape[1] // cell
    cells = picture.reshape(height, cell, width, cell, 3).astype(np.int64)
    alive: NDArray[np.bool_] = (cells.max((1, 3)) - cells.min((1, 3))).max(-1) > 2
    return alive
