"""Attacks that black out a part of the picture, which stays where it is."""

from __future__ import annotations

import math

import numpy as np

from ..common import Pictures
from .attack import Attack


def square(picture: Pictures, share: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """A random window of so much of the area, of the picture's own aspect."""
    sides = [min(n, round(n * math.sqrt(share))) for n in picture.shape[:2]]
    starts = [int(rng.integers(0, n - side + 1)) for n, side in zip(picture.shape[:2], sides, strict=True)]
    top, left = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return top, left


def drop(picture: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    """A random window of so much of the area becomes black."""
    found = picture.copy()
    found[square(picture, share, rng)] = 0
    return found


def keep(picture: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    """All but a random window of so much of the area becomes black."""
    found, window = np.zeros_like(picture), square(picture, share, rng)
    found[window] = picture[window]
    return found


ATTACKS = (
    Attack("drop", (0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 0.8), drop, meaning="share of the area that is lost"),
    Attack("keep", (0.8, 0.6, 0.4, 0.2), keep, meaning="share of the area that stays"),
)
