"""Attacks one after another.

``geometric``, ``photometric``, ``degradation`` and ``all`` go from weak to strong together, as the combined distortions
of WAVES do (An et al., ICML 2024, section 3.2); their strength is the share of each attack's own range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import changes
from ..common import Pictures, jpeg
from . import blurs, colours, covers
from .attack import Attack, Function
from .poses import rotation

Part = Callable[[Pictures, float, np.random.Generator], Pictures]


def chain(*parts: Part) -> Function:
    """All parts in order, each at the same strength and drawing from the same source."""

    def function(picture: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
        for part in parts:
            picture = part(picture, strength, rng)
        return picture

    return function


def _crop(picture: Pictures, area: float, rng: np.random.Generator) -> Pictures:
    return changes.crop(area)(picture, rng)[0]


GEOMETRIC: tuple[Part, ...] = (
    lambda picture, s, rng: rotation(picture, 45 * s, rng),
    lambda picture, s, rng: _crop(picture, 1 - 0.5 * s, rng),
    lambda picture, s, rng: covers.drop(picture, 0.25 * s, rng),
)
PHOTOMETRIC: tuple[Part, ...] = (
    lambda picture, s, rng: colours.brightness(picture, 1 + s, rng),
    lambda picture, s, rng: colours.contrast(picture, 1 + s, rng),
)
DEGRADATION: tuple[Part, ...] = (
    lambda picture, s, rng: blurs.blur(picture, 20 * s, rng),
    lambda picture, s, rng: colours.noise(picture, 0.1 * s, rng),
    lambda picture, s, rng: jpeg(picture, round(90 - 80 * s)),
)


def cropped_jpeg(picture: Pictures, quality: float, rng: np.random.Generator) -> Pictures:
    """Three quarters of the area, then JPEG."""
    return jpeg(_crop(picture, 0.75, rng), round(quality))


def posted(picture: Pictures, share: float, rng: np.random.Generator) -> Pictures:
    """What a network of friends does: made smaller, sharpened, JPEG 75, and seen at the old size again."""
    small = blurs.sharpen(blurs.resize(picture, share, rng), 0.5, rng)
    return jpeg(small, 75)


def mixed(picture: Pictures, quality: float, rng: np.random.Generator) -> Pictures:
    """Mirrored, turned by 5 to 45 degrees, cropped to what is left, JPEG."""
    return changes.mixed(round(quality))(picture, rng)[0]


_SHARES, _SHARE = (0.2, 0.4, 0.6, 0.8, 1.0), "share of the range of each"
_QUALITY = "JPEG quality"

ATTACKS = (
    Attack("geometric", _SHARES, chain(*GEOMETRIC), meaning=f"{_SHARE}: turn, crop, drop"),
    Attack("photometric", _SHARES, chain(*PHOTOMETRIC), meaning=f"{_SHARE}: brightness, contrast"),
    Attack("degradation", _SHARES, chain(*DEGRADATION), meaning=f"{_SHARE}: blur, noise, JPEG"),
    Attack("all", _SHARES, chain(*GEOMETRIC, *PHOTOMETRIC, *DEGRADATION), meaning=f"{_SHARE} of the three above"),
    Attack(
        "crop-jpeg",
        (75, 50, 25),
        cropped_jpeg,
        meaning=f"{_QUALITY}, after a crop to 75 % of the area",
        low=1,
        high=100,
        whole=True,
    ),
    Attack("posted", (0.75, 0.5), posted, meaning="share of each side, sharpened, JPEG 75", low=0.001, high=1),
    Attack(
        "mixed", (75, 50, 25), mixed, meaning=f"{_QUALITY}, after mirror, turn and crop", low=1, high=100, whole=True
    ),
)
