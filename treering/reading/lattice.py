"""Every pose that a search tries, and its share of the error budget, fixed before any value is read.

A pose maps the picture as made to the picture as given: mirrored, stretched, turned, zoomed, moved.  Coordinates are
(y, x) in shares of the picture (a side is 1, the origin in the centre), so that a lattice knows neither a latent's
size nor a picture's; only the picture's ratio of width to height enters, as turns happen in pixels.  With ``B`` the
linear part and ``s`` the shift, *in shares of the picture as made*, ``given = B (made + s)``.

A lattice is a set of warps (linear parts), each with a box of shifts.  The weight of a hypothesis is the share of the
error budget that it gets (weighted Bonferroni: Holm, Scand. J. Statist. 6 (1979) 65; Genovese, Roeder and Wasserman,
Biometrika 93 (2006) 509): all weights of a lattice together, refined points included, are at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .affine import Floats, Integers, linear

STEP = 1 / 64
"""Step of the shifts in shares of the picture: half a cell of a 32x32 latent.

A mark of rings up to 15 is correlated over about 1/30 of the picture, whatever the latent's size.
"""

TURN, ZOOM = 3.0, 1.06
"""Steps of angle (degrees) and span (factor); half of log10 p is gone at 2.5 degrees or 4.5 %."""

SQUEEZES = (-0.24, -0.12, 0.12, 0.24)
"""Logarithms of the ratio of the axes that are tried near quarter turns."""

MARGIN = 6
"""Steps that a box reaches beyond where a window lies within the picture."""


@dataclass(frozen=True)
class Prior:
    """Shares of the error budget by kind of pose; they add up to 1.

    ``symmetric``: mirror, flips and quarter turns at full size.  ``crop`` and ``page``: upright or mirrored, a window
    of the picture, or the picture on a page.  ``tilt``: turned by up to ``tilted`` degrees.  ``squeeze``: axes
    stretched unequally.  ``rest``: every pose of the lattice, those above too.  ``inside``: share of a warp's weight
    on shifts for which the picture covers the frame or lies within it; the rest is spread over its whole box.
    """

    symmetric: float = 0.2
    crop: float = 0.2
    page: float = 0.1
    tilt: float = 0.15
    squeeze: float = 0.1
    rest: float = 0.25
    tilted: float = 12.0
    inside: float = 0.75

    def __post_init__(self) -> None:
        shares = (self.symmetric, self.crop, self.page, self.tilt, self.squeeze, self.rest)
        if min(shares) < 0 or not math.isclose(sum(shares), 1, rel_tol=1e-9) or not 0 <= self.inside <= 1:
            raise InputError("The shares of a prior over poses are not negative and add up to 1.")


@dataclass(frozen=True, eq=False)
class Lattice:
    """Warps, their boxes of shifts, and weights; warp ``i + n`` is warp ``i`` turned by half a turn, ``2 n`` in all.

    ``mirror``, ``angle``, ``span``, ``aspect``: ``[2 n]``, see :func:`linear`.  ``matrix``: linear parts
    ``[2 n, 2, 2]``, from the picture as made to the frame that is searched.  ``inner``, ``outer``: half extents of the
    boxes in steps, int64 ``[2 n, 2]``.  ``inside``, ``outside``: ln of a hypothesis's weight in the inner box and in
    the rest of the outer one, ``[2 n]``.  ``ratio``: width by height of the pictures.  ``step``: of the shifts.
    """

    mirror: NDArray[np.bool_]
    angle: Floats
    span: Floats
    aspect: Floats
    matrix: Floats
    inner: Integers
    outer: Integers
    inside: Floats
    outside: Floats
    ratio: float = 1.0
    step: float = STEP

    def __len__(self) -> int:
        return len(self.angle)

    @property
    def count(self) -> int:
        """Hypotheses: warps times shifts."""
        return int(_points(self.outer).sum())

    @property
    def total(self) -> float:
        """All weights together; at most 1."""
        within, around = _points(self.inner), _points(self.outer)
        return float((within * np.exp(self.inside) + (around - within) * np.exp(self.outside)).sum())

    def log_weight(self, warp: Integers, shift: Integers) -> Floats:
        """ln of the weight of hypotheses: warps ``[n]`` and shifts in steps ``[n, 2]``."""
        near = (np.abs(shift) <= self.inner[warp]).all(1)
        within: Floats = np.where(near, self.inside[warp], self.outside[warp])
        return np.where((np.abs(shift) <= self.outer[warp]).all(1), within, -np.inf)

    def part(self, chosen: Integers, frame: Floats | None = None, share: float = 1.0) -> Lattice:
        """The warps ``chosen``, of all, as seen in another frame; their half turns are there with no weight.

        ``frame``: linear part ``[2, 2]`` that was undone in pixels before the noise was recovered.  Weights stay what
        they are, so that parts which have no warp in common together have at most the weight of the whole; ``share``:
        what they have of that, where a part is searched in several noises.
        """
        half = len(self) // 2
        first = np.unique(chosen % half)
        both = np.concatenate([first, first + half])
        back = np.eye(2) if frame is None else np.linalg.inv(frame)
        kept = np.where(np.isin(both, chosen), math.log(share), -np.inf)
        return Lattice(
            self.mirror[both],
            self.angle[both],
            self.span[both],
            self.aspect[both],
            back @ self.matrix[both],
            self.inner[both],
            self.outer[both],
            self.inside[both] + kept,
            self.outside[both] + kept,
            self.ratio,
            self.step,
        )


def _points(box: Integers) -> Integers:
    """Points of boxes of these half extents, ``[n, 2]`` to ``[n]``."""
    return (2 * box + 1).prod(1)


@lru_cache(maxsize=8)
def wide(smallest: float = 0.5, largest: float = 1.72, ratio: float = 1.0, prior: Prior | None = None) -> Lattice:
    """Mirror, 360 degrees, spans from ``smallest`` to ``largest``, squeezes near quarter turns.

    A span is how many sides of the picture as made a side of the frame shows: 1/2 for a quarter of the area, above 1
    for a picture on a page.  7 392 warps and 10^7 hypotheses for 1/2 to 1.72; 11 424 and 10^7.4 from 1/4.  Raises
    ``InputError`` for spans that do not contain 1 or leave 1/4 to 4.
    """
    if not 0.25 <= smallest <= 1 <= largest <= 4:
        raise InputError("The spans of a pose search lie between 1/4 and 4, with 1 among them.")
    rows = np.array(_warps(smallest, largest), np.float64)  # [n, 4]
    rows = np.concatenate([rows, rows + np.array([0.0, 180.0, 0.0, 0.0])])
    matrix = np.stack([linear(bool(m), a, s, q, ratio) for m, a, s, q in rows])
    inner, outer = _boxes(matrix, rows[:, 2])
    weight = _weights(rows, prior or Prior())
    inside, outside = _spread(weight, inner, outer, (prior or Prior()).inside)
    mirror, angle, span, aspect = rows.T.copy()
    return Lattice(mirror > 0, angle, span, aspect, matrix, inner, outer, inside, outside, ratio)


def _spans(smallest: float, largest: float) -> list[float]:
    """Powers of the step between both, 1 among them; an end may be passed by half a step."""
    low, high = math.log(smallest) / math.log(ZOOM), math.log(largest) / math.log(ZOOM)
    return [ZOOM**i for i in range(math.ceil(low - 0.5), math.floor(high + 0.5) + 1)]


def _warps(smallest: float, largest: float) -> list[tuple[float, float, float, float]]:
    """Mirror, angle below a half turn, span, aspect of every warp of the first half."""
    spans, mirrors = _spans(smallest, largest), (0.0, 1.0)
    turns = np.arange(0, 180, TURN).tolist()
    near = [(base + off) % 180 for base in (0.0, 90.0) for off in (-TURN, 0.0, TURN)]
    even = [(m, a, s, 1.0) for m in mirrors for a in turns for s in spans]
    uneven = [(m, a, s, math.exp(q)) for m in mirrors for a in near for s in spans for q in SQUEEZES]
    return even + uneven


def _boxes(matrix: Floats, span: Floats) -> tuple[Integers, Integers]:
    """Half extents of the inner and outer box of every warp, in steps.

    Inner: the frame lies within the picture or the picture within the frame, and a margin.  Outer: as if it were not
    turned, and square, which also holds windows that reach beyond the picture.
    """
    here = np.abs(np.linalg.inv(matrix))  # of the frame's sides in the picture as made
    window = 0.5 - 0.5 * here.sum(2)
    page = (here @ np.maximum(0.5 - 0.5 * np.abs(matrix).sum(2), 0)[:, :, None])[:, :, 0]
    slack = np.maximum(np.maximum(window, page), 0)
    widest = np.broadcast_to(np.maximum(slack.max(1), np.abs(1 - span) / 2)[:, None], slack.shape)
    most = round(0.5 / STEP) - 1  # beyond half a picture the mark repeats
    inner, outer = (np.minimum(np.ceil(size / STEP - 1e-9).astype(np.int64) + MARGIN, most) for size in (slack, widest))
    return inner, outer


def _weights(rows: Floats, prior: Prior) -> Floats:
    """Share of every warp, ``[2 n]``; they add up to 1."""
    _, angle, span, aspect = rows.T
    off = np.abs((angle + 180) % 360 - 180)
    even, full, upright = aspect == 1, span == 1, off == 0
    likely = np.minimum(span, 1 / span)  # the less is seen of the picture, the rarer
    families = (
        (prior.symmetric, even & full & (angle % 90 == 0)),
        (prior.crop, even & upright & (span < 1)),
        (prior.page, even & upright & (span > 1)),
        (prior.tilt, even & (off <= prior.tilted)),
        (prior.squeeze, (aspect != 1) & upright),
        (prior.rest, np.ones(len(rows), np.bool_)),
    )
    total = np.zeros(len(rows))
    for share, members in families:
        weight = np.where(members, likely, 0.0)
        total += share * weight / max(float(weight.sum()), 1e-300)
    return total / total.sum()  # a family that has no member leaves its share to the others


def _spread(weight: Floats, inner: Integers, outer: Integers, share: float) -> tuple[Floats, Floats]:
    """ln weight of a hypothesis inside the inner box and outside it."""
    weight = weight * (1 - 1e-9)  # rounding must not spend more than there is
    apart = weight * (1 - share) / _points(outer)
    return np.log(apart + weight * share / _points(inner)), np.log(np.maximum(apart, 1e-300))


@dataclass(frozen=True)
class Fine:
    """The finer grid around one hypothesis: all combinations of small turns, zooms and shifts.

    ``turns`` in degrees, ``zooms`` in factors of the span, ``shifts`` in steps of the lattice, on both axes.

    Half of what a hypothesis has stays with itself, the other half goes to its fine points, each of which belongs to
    it alone: ``centre`` of that half to the point that changes nothing, the rest evenly.
    """

    turns: tuple[float, ...] = (-1.0, 0.0, 1.0)
    zooms: tuple[float, ...] = (1 / 1.02, 1.0, 1.02)
    shifts: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    centre: float = 0.0

    @property
    def count(self) -> int:
        """Fine points of one hypothesis."""
        return len(self.turns) * len(self.zooms) * len(self.shifts) ** 2

    def offsets(self) -> Floats:
        """Shifts in shares, ``[m, 2]``."""
        grid = np.meshgrid(self.shifts, self.shifts, indexing="ij")
        return STEP * np.stack([axis.ravel() for axis in grid], 1).astype(np.float64)

    def warps(self, ratio: float = 1.0) -> Floats:
        """Small turns and zooms as linear parts ``[n, 2, 2]``, to be done after a warp."""
        return np.stack([linear(False, turn, zoom, 1.0, ratio) for turn in self.turns for zoom in self.zooms])

    def log_shares(self) -> Floats:
        """ln of the share that each fine point gets of its hypothesis's weight, ``[n, m]``; half of it in all."""
        still = [turn == 0 and zoom == 1 for turn in self.turns for zoom in self.zooms]
        same = np.outer(still, (self.offsets() == 0).all(1))
        shares = np.where(same, self.centre, 0.0) + (1 - self.centre) / self.count
        return np.log(shares / 2)


FINE = Fine()
"""Around a hypothesis of a lattice: 225 points."""

LEFT_OVER = Fine(
    turns=(-2.0, -1.0, 0.0, 1.0, 2.0),
    zooms=(1 / 1.04, 1 / 1.02, 1.0, 1.02, 1.04),
    shifts=tuple(i / 2 for i in range(-6, 7)),
    centre=0.5,
)
"""Around a pose that was undone in pixels: 4 225 points, half of the share for the pose as undone."""


def nearest(lattice: Lattice, frames: Sequence[tuple[float, float]]) -> list[Integers]:
    """Which warps belong to which frame: those nearest in angle and span, each to exactly one.

    ``frames``: (angle, span) of what is undone in pixels before a reading.  A turn by 22 degrees counts as much as a
    zoom by sqrt(2): about where a network that is no friend of either has lost half of log10 p.
    """
    far = []
    for turned, spanned in frames:
        off = np.abs((lattice.angle - turned + 180) % 360 - 180)
        far.append((off / 22) ** 2 + (np.log2(lattice.span / spanned) * 2) ** 2)
    owner = np.argmin(far, 0)
    return [np.flatnonzero(owner == i) for i in range(len(frames))]
