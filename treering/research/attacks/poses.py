"""Attacks on the pose: mirrors, turns, windows, pages.  The changes are those of :mod:`treering.research.changes`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import changes
from ..common import Pictures
from .attack import Attack, Function

ONCE = (1.0,)
"""Strengths of what is done or not: 0 does nothing."""


def once(change: changes.Change) -> Function:
    """An attack of a change that has no strength but 0 and 1."""

    def function(picture: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
        return change(picture, rng)[0] if strength else picture

    return function


def by(change: Callable[[float], changes.Change]) -> Function:
    """An attack of a change that takes its strength first."""

    def function(picture: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
        return change(strength)(picture, rng)[0]

    return function


def rotation(picture: Pictures, angle: float, rng: np.random.Generator) -> Pictures:
    """Turned counter-clockwise, corners black."""
    return changes.turned(picture, angle)[0]


def shift(share: float) -> changes.Change:
    """Moved down and right by so much of the shorter side."""

    def change(picture: Pictures, rng: np.random.Generator) -> tuple[Pictures, changes.Truth]:
        return changes.shift(round(share * min(picture.shape[:2])))(picture, rng)

    return change


_SWITCH = "1, or 0 for nothing"
_DEGREES = "degrees"

ATTACKS = (
    Attack("none", ONCE, once(changes.same), meaning="has none", low=0, high=1, whole=True),
    Attack("mirror", ONCE, once(changes.mirror), meaning=_SWITCH, low=0, high=1, whole=True),
    Attack("flip", ONCE, once(changes.flip), meaning=_SWITCH, low=0, high=1, whole=True),
    Attack("quarter-turn", ONCE, once(changes.quarter), meaning=_SWITCH, low=0, high=1, whole=True),
    Attack(
        "rotation",
        (5, 9, 18, 27, 36, 45, 75),
        rotation,
        meaning=f"{_DEGREES} counter-clockwise, corners black",
        low=-360,
        high=360,
    ),
    Attack(
        "turn",
        (2, 5, 10, 20, 30, 45, 75),
        by(lambda angle: changes.turn(angle, True)),
        meaning=f"{_DEGREES} to a random side, cropped to what has no black corner",
        low=0,
        high=90,
    ),
    Attack(
        "crop",
        (0.9, 0.75, 0.5625, 0.5, 0.35, 0.25),
        by(changes.crop),
        meaning="share of the area that is kept",
        low=0.001,
    ),
    Attack("shift", (1 / 64, 1 / 16, 1 / 8, 1 / 4), by(shift), meaning="share of the shorter side", low=0, high=0.999),
    Attack("screenshot", (0.9, 0.75, 0.61, 0.5), by(changes.screenshot), meaning="share of the page's sides", low=0.1),
    Attack("squeeze", (0.9, 0.8, 0.7), by(changes.squeeze), meaning="share of the width that is kept", low=0.01),
)
