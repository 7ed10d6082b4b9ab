"""What an attack is: a name, usual strengths, and a function of a picture, a strength and a source of chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ..common import Pictures

if TYPE_CHECKING:
    from ...models import LatentModel

Function = Callable[[Pictures, float, np.random.Generator], Pictures]
Encoder = Callable[[Pictures, float], bytes]


@dataclass(frozen=True)
class Strengths:
    """A name, and what strengths there are.

    ``strengths``: usual ones, from weak to strong.  ``meaning``: of the strength, with its unit.  ``low`` and ``high``:
    the strengths that there are; ``whole``: whole numbers alone.
    """

    name: str
    strengths: tuple[float, ...]
    meaning: str = field(kw_only=True)
    low: float = field(default=0.0, kw_only=True)
    high: float = field(default=1.0, kw_only=True)
    whole: bool = field(default=False, kw_only=True)

    def check(self, strength: float) -> None:
        """Raise ``InputError`` unless there is this strength."""
        if not (math.isfinite(strength) and self.low <= strength <= self.high):
            raise InputError(
                f"The attack {self.name} has strengths from {self.low:g} to {self.high:g}: {self.meaning}."
            )
        if self.whole and strength != round(strength):
            raise InputError(f"The strength of the attack {self.name} is a whole number: {self.meaning}.")


@dataclass(frozen=True)
class Attack(Strengths):
    """Something that happens to a picture uint8 ``[H, W, 3]``; the result has the same size, but for quarter turns.

    ``encode`` and ``suffix``: the file that the attack ends in, where it is no PNG of three colours: what
    :meth:`__call__` gives is what can be read from it.
    """

    function: Function
    encode: Encoder | None = field(default=None, kw_only=True)
    suffix: str = field(default=".png", kw_only=True)

    def __call__(self, picture: Pictures, strength: float, seed: int = 0) -> Pictures:
        """The picture after the attack: the same for the same picture, strength and seed.

        Raises ``InputError`` for a strength that there is not, and for what is no picture.
        """
        check_picture(picture)
        self.check(strength)
        return np.ascontiguousarray(self.function(picture, float(strength), source(self.name, seed)))


@dataclass(frozen=True)
class Through(Strengths):
    """An attack that goes through the networks of a model."""

    function: Callable[[LatentModel, Pictures, float, np.random.Generator], Pictures]

    def on(self, model: LatentModel) -> Attack:
        """The attack with this model."""

        def function(picture: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
            return self.function(model, picture, strength, rng)

        numbers = {one.name: getattr(self, one.name) for one in fields(Strengths)}
        return Attack(function=function, **numbers)


def source(name: str, seed: int) -> np.random.Generator:
    """The chance of one attack under one seed: other attacks draw other numbers."""
    return np.random.default_rng([seed, *name.encode()])


def check_picture(picture: Pictures) -> None:
    """Raise ``InputError`` unless this is one picture uint8 ``[H, W, 3]``."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or not picture.size:
        raise InputError(f"A picture is uint8 [H, W, 3] and not empty, not {picture.dtype} {list(picture.shape)}.")
