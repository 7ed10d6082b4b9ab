"""Rectangles that straight edges in a picture draw: a function of the pixels alone.

A page or collage is made of parts whose sides are long, straight and along the axes; textures have edges too, but short
ones and all over.  So a pixel's edge counts only where it stands out from those beside it, a line is a row or column
with a long run of edges, and a rectangle is four lines that its sides lie on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .borders import Box

LINES = 16
"""Lines that are looked at on each axis, those along the picture's own border among them."""

_LEVELS, _OUTSTANDING = 8.0, 1.8  # an edge: so many levels, and so many times the mean of those beside it
_BESIDE = 17  # pixels across an edge over which that mean is taken
_RUN = 0.5  # share of a line's pixels that are edges, or it is none
_SHORTEST = 0.04  # of the picture's side: the shortest run that makes a line
_SUPPORT, _WEAKEST = 0.55, 0.25  # of a rectangle's sides together, and of each
_SMALLEST, _LONGEST = 0.06, 4.0  # side in shares of the picture's shorter side, and longer by shorter side
_SAME = 0.85  # intersection over union from which two boxes are one

Floats = NDArray[np.float32]


def rectangles(pixels: NDArray[np.uint8], most: int) -> list[Box]:
    """Boxes (top, left, bottom, right) that edges draw, those with the clearest sides first, at most ``most``.

    pixels: uint8 [H, W, 3].  The picture as a whole is not among them.
    """
    values = _brightness(pixels)
    columns, down = _lines(values)
    rows, across = _lines(np.ascontiguousarray(values.T))
    score, boxes = _scored(columns, down, rows, across, _least(pixels))
    order = np.argsort(-score, kind="stable")[: 20 * most]
    return distinct([(int(t), int(le), int(b), int(r)) for t, le, b, r in boxes[order]], most)


def distinct(boxes: list[Box], most: int, same: float = _SAME) -> list[Box]:
    """The first boxes that are not nearly an earlier one."""
    kept: list[Box] = []
    for box in boxes:
        if len(kept) == most:
            break
        if all(shared(box, other) < same for other in kept):
            kept.append(box)
    return kept


def area(box: Box) -> int:
    """Pixels of a box."""
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def common(first: Box, second: Box) -> int:
    """Pixels that two boxes have in common."""
    lower, upper = (tuple(f(a, b) for a, b in zip(first, second, strict=True)) for f in (max, min))
    return area((lower[0], lower[1], upper[2], upper[3]))


def shared(first: Box, second: Box) -> float:
    """Intersection over union of two boxes."""
    both = common(first, second)
    return both / max(1, area(first) + area(second) - both)


def _least(pixels: NDArray[np.uint8]) -> int:
    """Pixels of the shortest side that a rectangle may have."""
    return max(16, round(_SMALLEST * min(pixels.shape[:2])))


def _brightness(pixels: NDArray[np.uint8]) -> Floats:
    """One value a pixel [H, W], with the weights of no known grey, so that colours of one brightness differ too."""
    red, green, blue = (pixels[..., i].astype(np.float32) for i in range(3))
    half, most, little = np.float32(0.5), np.float32(0.8), np.float32(0.2)
    return half * red + most * green + little * blue


def _heights(values: Floats) -> Floats:
    """How much changes between column x - 1 and x, by the means of two pixels on each side: [H, W + 1]."""
    padded = np.pad(values, ((0, 0), (2, 2)), mode="edge")
    pairs = padded[:, 1:] + padded[:, :-1]  # [H, W + 3]
    found: Floats = np.abs(pairs[:, 2:] - pairs[:, :-2]) / 2  # type: ignore[assignment]
    return found


def _edges(height: Floats) -> Floats:
    """1 where an edge runs down, to a pixel beside it, else 0: [H, W + 1], the borders of the picture 1."""
    beside = _mean(height)
    strong = (height > _LEVELS) & (height > _OUTSTANDING * beside)
    strong[:, 1:-1] |= strong[:, :-2] | strong[:, 2:] if strong.shape[1] > 2 else False
    strong[:, [0, -1]] = True
    return strong.astype(np.float32)


def _mean(height: Floats) -> Floats:
    """The mean of _BESIDE columns about each."""
    padded = np.pad(height, ((0, 0), (_BESIDE // 2 + 1, _BESIDE // 2)), mode="edge")
    total = padded.cumsum(1, dtype=np.float32)
    found: Floats = (total[:, _BESIDE:] - total[:, :-_BESIDE]) / _BESIDE
    return found


def _lines(values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Columns [K] with long runs of edges, in order, and how many edges each has above row y: [K, H + 1]."""
    height = _heights(values)
    edges = _edges(height)
    run = _longest(edges - _RUN) + height.mean(0) / 1e4  # the highest of columns with equal runs
    run[[0, -1]] = np.inf
    peak = (run == ndimage.maximum_filter1d(run, 5)) & (run > _RUN * _SHORTEST * len(edges))
    peak[1:] &= ~(peak[:-1] & (run[1:] == run[:-1]))  # one of two that are the same
    chosen = np.flatnonzero(peak)
    best = np.sort(chosen[np.argsort(-run[chosen], kind="stable")[:LINES]])
    above = np.concatenate([np.zeros((1, len(best)), np.float32), edges[:, best].cumsum(0, dtype=np.float32)])
    return best.astype(np.int64), above.T


def _longest(gain: Floats) -> Floats:
    """The largest sum of any run of rows, for each column."""
    total = np.concatenate([np.zeros((1, gain.shape[1]), np.float32), gain.cumsum(0, dtype=np.float32)])
    found: Floats = (total - np.minimum.accumulate(total)).max(0)
    return found


def _scored(
    columns: NDArray[np.int64], down: Floats, rows: NDArray[np.int64], across: Floats, least: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Scores [N] and boxes [N, 4] of the rectangles that are drawn well enough."""
    upright, level = _support(down, rows), _support(across, columns)  # [K, R, R], [R, K, K]
    scores, boxes = [], []
    for i in range(len(columns)):
        for j in range(i + 1, len(columns)):
            width = columns[j] - columns[i]
            sides = np.stack(np.broadcast_arrays(upright[i], upright[j], level[:, None, i, j], level[None, :, i, j]))
            cut = np.maximum(_within(upright[i + 1 : j]), _cuts(level[:, i, j]))
            score = sides.mean(0) + sides.min(0) - 0.5 * cut
            height = rows[None, :] - rows[:, None]
            good = (height >= least) & (width >= least) & (height <= _LONGEST * width) & (width <= _LONGEST * height)
            good &= (sides.mean(0) >= _SUPPORT) & (sides.min(0) >= _WEAKEST)
            good[0, -1] &= (i, j) != (0, len(columns) - 1)  # the whole picture
            top, bottom = np.nonzero(good)
            scores.append(score[top, bottom])
            boxes.append(
                np.stack([rows[top], np.full(len(top), columns[i]), rows[bottom], np.full(len(top), columns[j])], 1)
            )
    if not boxes:
        return np.zeros(0, np.float32), np.zeros((0, 4), np.int64)
    return np.concatenate(scores), np.concatenate(boxes)


def _support(above: Floats, places: NDArray[np.int64]) -> Floats:
    """Share of edges of each line between each two places, [K, R, R]; 0 where the second is not after the first."""
    count = above[:, places]
    length = places[None, :] - places[:, None]
    share: Floats = (count[:, None, :] - count[:, :, None]) / np.maximum(length, 1)
    return np.where(length > 0, share, np.float32(0))


def _within(lines: Floats) -> Floats | float:
    """The clearest of the lines [k, R, R] that cut a rectangle from top to bottom."""
    return lines.max(0) if len(lines) else 0.0


def _cuts(level: Floats) -> Floats:
    """The clearest line between each two rows, [R, R], of the support [R] of lines across."""
    count = len(level)
    found = np.zeros((count, count), np.float32)
    for top in range(count):
        if top + 2 < count:
            found[top, top + 2 :] = np.maximum.accumulate(level[top + 1 : -1])
    return found
