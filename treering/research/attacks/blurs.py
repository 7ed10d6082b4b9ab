"""Attacks on fine detail: blurs, medians, sizes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from ..common import Pictures
from .attack import Attack


def blur(picture: Pictures, radius: float, rng: np.random.Generator) -> Pictures:
    """Gaussian blur; Pillow's radius is the deviation in pixels."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def median(picture: Pictures, side: float, rng: np.random.Generator) -> Pictures:
    """The median of a square around every pixel, colour by colour; the edge is repeated."""
    found: Pictures = ndimage.median_filter(picture, (round(side), round(side), 1), mode="nearest")
    return found


def resize(picture: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    """Made smaller (or larger) on both axes, and back."""
    height, width = picture.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    image = Image.fromarray(picture).resize(small, Image.Resampling.LANCZOS)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def sharpen(picture: Pictures, amount: float, rng: np.random.Generator) -> Pictures:
    """Unsharp mask of 2 pixels: so much of what a blur takes away is added."""
    mask = ImageFilter.UnsharpMask(2, round(100 * amount), 0)
    return np.asarray(Image.fromarray(picture).filter(mask))


ATTACKS = (
    Attack("blur", (1, 2, 4, 8, 12, 16, 20), blur, meaning="deviation in pixels", low=0, high=100),
    Attack("median", (3, 5, 7, 11), median, meaning="side of the square in pixels", low=1, high=31, whole=True),
    Attack("resize", (0.75, 0.5, 0.25, 0.125), resize, meaning="share of each side, and back", low=0.001, high=4),
    Attack("sharpen", (1, 3), sharpen, meaning="share of the fine detail that is added", low=0, high=10),
)
