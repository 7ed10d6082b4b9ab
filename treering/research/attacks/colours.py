"""Attacks on the value of each pixel: brightness, contrast, colours, noise.

Noise and factors are clipped to what a pixel can hold, never wrapped: some published noise of 0.1 was cast to 8 bits
without that, and turned white into black.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common import Pictures
from .attack import Attack

_GREY = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""


def clipped(values: NDArray[np.floating[Any]]) -> Pictures:
    """Rounded to the nearest value that a pixel can hold."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def brightness(picture: Pictures, factor: float, rng: np.random.Generator) -> Pictures:
    """Every value times ``factor``."""
    return clipped(picture * float(factor))  # a whole number would leave it in 8 bits, where it wraps


def jitter(picture: Pictures, most: float, rng: np.random.Generator) -> Pictures:
    """Every value times one random factor, uniform around 1: from 1 - ``most``, at least 0, to 1 + ``most``."""
    return clipped(picture * rng.uniform(max(0.0, 1 - most), 1 + most))


def contrast(picture: Pictures, factor: float, rng: np.random.Generator) -> Pictures:
    """Every distance from the mean grey value times ``factor``."""
    middle = float((picture @ _GREY).mean())
    return clipped(middle + factor * (picture - middle))


def saturation(picture: Pictures, factor: float, rng: np.random.Generator) -> Pictures:
    """Every distance from the pixel's own grey value times ``factor``: 0 is a picture in black and white."""
    grey = (picture @ _GREY)[..., None]
    return clipped(grey + factor * (picture - grey))


def noise(picture: Pictures, deviation: float, rng: np.random.Generator) -> Pictures:
    """White Gaussian noise, its deviation in shares of full scale."""
    return clipped(picture + 255 * deviation * rng.standard_normal(picture.shape))


def salt_and_pepper(picture: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    """So many of all pixels become black or white, half and half."""
    chance = rng.uniform(size=picture.shape[:2])[..., None]
    salted = np.where(chance < share / 2, np.uint8(0), picture)
    return np.where(chance > 1 - share / 2, np.uint8(255), salted)


ATTACKS = (
    Attack("brightness", (1.2, 1.4, 1.6, 1.8, 2.0), brightness, meaning="factor of every value", low=0, high=100),
    Attack("brightness-jitter", (1, 2, 4, 6), jitter, meaning="reach of a random factor around 1", low=0, high=100),
    Attack(
        "contrast",
        (1.2, 1.4, 1.6, 1.8, 2.0),
        contrast,
        meaning="factor of the distance from the mean grey",
        low=0,
        high=100,
    ),
    Attack("saturation", (0.5, 0.0), saturation, meaning="factor of the distance from grey", low=0, high=100),
    Attack("noise", (0.02, 0.04, 0.06, 0.08, 0.1), noise, meaning="deviation in shares of full scale", low=0, high=10),
    Attack("salt-pepper", (0.01, 0.05, 0.1), salt_and_pepper, meaning="share of the pixels"),
)
