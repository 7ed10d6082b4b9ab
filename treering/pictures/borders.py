"""Borders of one colour around a picture, and places of one colour in it: functions of the pixels alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
MOST = 3
"""How many boxes `trim` finds at most."""

# Levels from the border's colour, and the share of a border's pixels that may be farther.
_CLEAN = (16, 0.02)
_SMEARED = (48, 0.1)  # JPEG smears the edge into the blocks (of 16 pixels, for colour) beside it
_SMALLEST = 16  # pixels on each side that a box keeps
_LEAST = 0.01  # share of the picture that must go, or it is not a border


def trim(pixels: NDArray[np.uint8]) -> list[Box]:
    """Boxes (top, left, bottom, right) that are left when nearly uniform borders go, best first, at most MOST.

    pixels: uint8 [H, W, 3].  Each side may have a colour of its own (letterboxes, pages, frames).  First what is left
    by a strict look, then by a patient one (for edges that JPEG smeared), then what is left within the first, for a
    frame within a page.  Nothing for a picture without borders, or of one colour.
    """
    whole = (0, 0, *pixels.shape[:2])
    clean, smeared = _peeled(pixels, whole, *_CLEAN), _peeled(pixels, whole, *_SMEARED)
    within = _peeled(pixels, clean, *_CLEAN) if clean else None
    deepest = _peeled(pixels, within, *_CLEAN) if within else None
    found = [box for box in (clean, smeared, within, deepest) if box is not None]
    return list(dict.fromkeys(found))[:MOST]


def flat(pixels: NDArray[np.uint8], cell: int, tolerance: int = 2) -> NDArray[np.bool_]:
    """Which cells of cell x cell pixels are of one colour, as the corners after a turn: bool [H // cell, W // cell].

    pixels: uint8 [H, W, 3].  tolerance: levels between a cell's darkest and brightest value of each channel.
    """
    height, width = pixels.shape[0] // cell, pixels.shape[1] // cell
    cells = pixels[: height * cell, : width * cell].reshape(height, cell, width, cell, 3)
    low, high = cells.min(axis=(1, 3)), cells.max(axis=(1, 3))
    return np.asarray((high - low <= tolerance).all(axis=-1))


def _peeled(pixels: NDArray[np.uint8], box: Box, far: int, strays: float) -> Box | None:
    """What is left of the box without its outermost border; None where there is none, or nothing within it."""
    top, left, bottom, right = box
    part = pixels[top:bottom, left:right]
    above, below = (_bar(lines, far, strays) for lines in (part, part[::-1]))
    part = part[above : len(part) - below]
    if len(part) < _SMALLEST:
        return None
    columns = part.transpose(1, 0, 2)
    before, after = (_bar(lines, far, strays) for lines in (columns, columns[::-1]))
    inner = (top + above, left + before, bottom - below, right - after)
    return inner if _is_box(inner, box) else None


def _bar(lines: NDArray[np.uint8], far: int, strays: float) -> int:
    """How many of the first lines [n, length, 3] are of one colour, the median of the first one."""
    colour = np.median(lines[0], axis=0)
    low, high = (np.clip(colour + by, 0, 255).astype(np.uint8) for by in (-far, far))  # bytes compare fast
    stray = ((lines < low) | (lines > high)).any(axis=-1).mean(axis=1)  # [n]
    uniform = stray <= strays
    return len(lines) if uniform.all() else int(np.argmin(uniform))


def _is_box(inner: Box, outer: Box) -> bool:
    height, width = inner[2] - inner[0], inner[3] - inner[1]
    if height < _SMALLEST or width < _SMALLEST:
        return False
    return height * width <= (1 - _LEAST) * (outer[2] - outer[0]) * (outer[3] - outer[1])
