"""Where a page, a collage or a grid may hold pictures: boxes in order, a function of the pixels alone.

First the rectangles that straight edges draw, then what stands out as islands from a page of one colour, then the cells
of regular grids, for pictures put together without an edge that can be seen.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from .borders import Box, trim
from .edges import area, distinct, rectangles

LARGEST = 800
"""Pixels of the longer side at which a picture is looked at; boxes are exact to that."""

GRIDS = ((2, 2), (1, 2), (2, 1), (3, 3), (1, 3), (3, 1), (2, 3), (3, 2))
"""Rows and columns of the grids whose cells are boxes, in this order."""

DRAWN, ISLANDS = 24, 8
"""How many boxes come of edges, and how many of islands, at most."""

_FAR = 20  # levels from a page's colour
_GAP = 0.01  # of the longer side: what is nearer than this is one island
_LEAST = 0.003  # share of the picture that an island has
_SHORTEST = 8  # pixels of a side
_FLAT = 6.0  # levels of deviation within a box, or it is empty


def boxes(pixels: NDArray[np.uint8], most: int = 64) -> list[Box]:
    """Boxes (top, left, bottom, right) in pixels, in order, at most ``most``; the whole picture is none of them.

    pixels: uint8 [H, W, 3].
    """
    small, factor = _small(pixels)
    whole = (0, 0, *small.shape[:2])
    content = _content(small)
    found = [*rectangles(small, DRAWN), *_islands(small)]
    found += [cell for rows, columns in GRIDS for cell in _grid(content, rows, columns)]
    large = [box for box in found if min(box[2] - box[0], box[3] - box[1]) >= _SHORTEST]
    lively = [box for box in distinct([whole, *large], 1 + len(large), 0.9)[1:] if not _empty(small, box)]
    return [_grown(box, factor, pixels) for box in lively[:most]]


def _small(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """A picture of at most LARGEST, and how many times smaller it is."""
    factor = max(1, math.ceil(max(pixels.shape[:2]) / LARGEST))
    return (pixels, 1) if factor == 1 else (np.asarray(Image.fromarray(pixels).reduce(factor)), factor)


def _grown(box: Box, factor: int, pixels: NDArray[np.uint8]) -> Box:
    """A box of the small picture in the large one."""
    height, width = pixels.shape[:2]
    top, left, bottom, right = (side * factor for side in box)
    return top, left, min(bottom, height), min(right, width)


def _content(pixels: NDArray[np.uint8]) -> Box:
    """What is left when a border of one colour goes."""
    found = trim(pixels)
    return found[0] if found else (0, 0, *pixels.shape[:2])


def _grid(box: Box, rows: int, columns: int) -> list[Box]:
    """The cells of a regular grid within a box."""
    down = np.linspace(box[0], box[2], rows + 1).round().astype(int).tolist()
    across = np.linspace(box[1], box[3], columns + 1).round().astype(int).tolist()
    return [(down[i], across[j], down[i + 1], across[j + 1]) for i in range(rows) for j in range(columns)]


def _islands(pixels: NDArray[np.uint8]) -> list[Box]:
    """Boxes around what stands out from the colour that most of the picture's border has, the largest first."""
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    page = np.median(rim, axis=0)
    away = (np.abs(pixels - page) > _FAR).any(2)
    gap = max(1, round(_GAP * max(pixels.shape[:2])))
    near = ndimage.maximum_filter(away, 2 * gap + 1)
    labels, _ = ndimage.label(near)
    found = []
    for rows, columns in ndimage.find_objects(labels):
        inside = away[rows, columns]
        held = [np.flatnonzero(inside.any(axis)) for axis in (1, 0)]
        if all(map(len, held)):
            top, left = rows.start + int(held[0][0]), columns.start + int(held[1][0])
            found.append((top, left, rows.start + int(held[0][-1]) + 1, columns.start + int(held[1][-1]) + 1))
    large = [box for box in found if area(box) >= _LEAST * away.size and min(box[2] - box[0], box[3] - box[1]) >= 16]
    return sorted(large, key=lambda box: (-area(box), box))[:ISLANDS]


def _empty(pixels: NDArray[np.uint8], box: Box) -> bool:
    """Whether a box holds hardly more than one colour."""
    top, left, bottom, right = box
    return float(pixels[top:bottom:4, left:right:4].std((0, 1)).max()) < _FLAT
