"""Borders of one colour around a picture, and places of one colour in it: functions of the pixels alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
MOST = 3
"""How many boxes `trim` finds at most."""

_FAR = 16  # levels from the border's colour that noise and JPEG do not reach
_STRAY = 0.02  # share of a border's pixels that may be farther
_SMALLEST = 16  # pixels on each side that a box keeps
_LEAST = 0.01  # share of the picture that must go, or it is not a border


def trim(pixels: NDArray[np.uint8]) -> list[Box]:
    """Boxes (top, left, bottom, right) that are left when nearly uniform borders go, best first, at most MOST.

    pixels: uint8 [H, W, 3].  Each side may have a colour of its own (letterboxes, pages, frames); what is left is
    trimmed again, for a frame within a page.  Nothing for a picture without borders, or of one colour.
    """
    boxes: list[Box] = []
    box = (0, 0, *pixels.shape[:2])
    while len(boxes) < MOST and (inner := _peeled(pixels, box)) is not None:
        boxes.append(inner)
        box = inner
    return boxes


def flat(pixels: NDArray[np.uint8], cell: int, tolerance: int = 2) -> NDArray[np.bool_]:
    """Which cells of cell x cell pixels are of one colour, as the corners after a turn: bool [H // cell, W // cell].

    pixels: uint8 [H, W, 3].  tolerance: levels between a cell's darkest and brightest value of each channel.
    """
    height, width = pixels.shape[0] // cell, pixels.shape[1] // cell
    cells = pixels[: height * cell, : width * cell].reshape(height, cell, width, cell, 3)
    low, high = cells.min(axis=(1, 3)), cells.max(axis=(1, 3))
    return np.asarray((high - low <= tolerance).all(axis=-1))


def _peeled(pixels: NDArray[np.uint8], box: Box) -> Box | None:
    """What is left of the box without its outermost border; None where there is none, or nothing within it."""
    top, left, bottom, right = box
    part = pixels[top:bottom, left:right]
    above, below = _bar(part), _bar(part[::-1])
    part = part[above : len(part) - below]
    if len(part) < _SMALLEST:
        return None
    columns = part.transpose(1, 0, 2)
    before, after = _bar(columns), _bar(columns[::-1])
    inner = (top + above, left + before, bottom - below, right - after)
    return inner if _is_box(inner, box) else None


def _bar(lines: NDArray[np.uint8]) -> int:
    """How many of the first lines [n, length, 3] are of one colour, the median of the first one."""
    colour = np.median(lines[0], axis=0)
    low, high = (np.clip(colour + far, 0, 255).astype(np.uint8) for far in (-_FAR, _FAR))  # bytes compare fast
    stray = ((lines < low) | (lines > high)).any(axis=-1).mean(axis=1)  # [n]
    uniform = stray <= _STRAY
    return len(lines) if uniform.all() else int(np.argmin(uniform))


def _is_box(inner: Box, outer: Box) -> bool:
    height, width = inner[2] - inner[0], inner[3] - inner[1]
    if height < _SMALLEST or width < _SMALLEST:
        return False
    return height * width <= (1 - _LEAST) * (outer[2] - outer[0]) * (outer[3] - outer[1])
