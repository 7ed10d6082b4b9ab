"""How a model's noise lies against its pixels: a constant of its networks, measured with throw-away secrets.

Strided convolutions pad one side only, so that what a cell of the noise becomes lies a fraction of a cell away from
where it should.  As made and as given that is the same and nobody sees it; in a picture that was turned or flipped the
noise is read ``offset - B offset`` away from its pixels: 5 pixels on the demo for a flip, enough to lose most of
the evidence when the pose is undone in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .affine import Floats
from .lattice import Fine
from .search import Candidate, Frame, refine
from .spectra import Template

_AROUND = Fine((0.0,), (1.0,), tuple(i / 4 for i in range(-16, 17)))
"""Shifts up to 2 cells of a 32x32 latent, in eighths of a cell."""

_SEEN = 6.5
"""z from which a place is sure; the best of 1 089 places without a mark has about 4."""


@dataclass(frozen=True, eq=False)
class Turned:
    """A marked picture in a known pose: its noise ``[C, h, w]``, its values, and the pose of its pixels ``[2, 3]``."""

    noise: NDArray[np.float32]
    template: Template
    truth: Floats


def measure(readings: Sequence[Turned]) -> tuple[float, float]:
    """The offset (down, across) in cells that fits best; flips and quarter turns, a few pictures each, will do.

    Raises ``InputError`` if too few marks are seen, or none is turned.
    """
    matrices, places = [np.zeros((0, 2))], [np.zeros(0)]
    for one in readings:
        start = Candidate(one.truth, one.truth, -math.inf, 0.0)
        found = refine(one.noise, one.template, start, _AROUND, Frame())
        if found.z >= _SEEN:
            matrices.append(np.eye(2) - one.truth[:, :2])
            places.append((found.within[:, 2] - one.truth[:, 2]) * np.asarray(one.template.size))
    fitted, _, rank, _ = np.linalg.lstsq(np.concatenate(matrices), np.concatenate(places), rcond=1e-6)
    if rank < 2:
        raise InputError("Too few marks are seen in turned pictures to measure where the noise lies.")
    return float(fitted[0]), float(fitted[1])
