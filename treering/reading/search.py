"""The pose of a mark, searched in the recovered noise: every shift of a warp in one matrix product.

If a picture was changed by ``given = B (made + s)`` (shares of the picture, :mod:`.lattice`), then up to a factor the
spectrum of the recovered noise N is ``N(B^-T f) = M(f) exp(-2 pi i f.s)``, with M the spectrum as made.  So

    S(B, s) = Re sum_f N(B^-T f) conj(K(f)) exp(2 pi i f.s)

is the score of the values K under this pose (Reddy and Chatterji, IEEE Trans. Image Process. 5 (1996) 1266, with a
template in place of the second picture).  For values that are random given the picture, S is N(0, 1/2 sum |N|^2) under
every pose, and its deviation is the same for all shifts of a warp.

The screen runs in float32 on an oversampled spectrum and decides nothing: it is paid for in full by the weights of the
lattice, and what it keeps is scored again in float64 at the exact frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from ..errors import InputError
from .affine import Floats, Integers, affine, chain, factors, natural, shift_of
from .lattice import FINE, LEFT_OVER, Fine, Lattice
from .spectra import Screen, Template, scores

SURVIVORS = 1e3
"""About how many hypotheses of an unmarked picture the screen keeps: those of p / w up to this."""

_ROWS = 1 << 22
"""Scores in memory at once."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What was undone in pixels before a noise was recovered, and how noise lies against pixels.

    ``undone``: affine map ``[2, 3]`` from the frame that was read to the picture as given.  ``offset``: how far, (down,
    across) in cells, a model's noise lies from its pixels; nothing for a picture as made, which is off both ways, but
    a turned one is off by ``offset - turned offset``.  Measured once a model, with throw-away secrets.
    """

    undone: Floats = field(default_factory=lambda: np.eye(2, 3))
    offset: tuple[float, float] = (0.0, 0.0)

    def pixels(self, within: Floats, made: tuple[int, int], read: tuple[int, int]) -> Floats:
        """The map of pixels, as made to as given, of a map of noises: latents of these heights and widths."""
        before, after = (np.asarray(self.offset) / np.asarray(size) for size in (made, read))
        matrix = within[:, :2]
        moved = within[:, 2] + matrix @ before - after
        return chain(self.undone, np.concatenate([matrix, moved[:, None]], 1))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pose and its score.

    ``affine``: the map ``[2, 3]`` from the picture as made to the picture as given, in shares, origin in the centre.
    ``within``: the same from the noise as made to the noise that was searched: where to read classes.  ``z``: score in
    standard deviations.  ``log10_weight``: share of the error budget of this hypothesis and all finer ones that start
    from it; half of it is its own.
    """

    affine: Floats
    within: Floats
    z: float
    log10_weight: float

    @property
    def log10_p(self) -> float:
        """log10 of the p-value of this hypothesis alone."""
        return float(special.log_ndtr(-self.z)) / math.log(10)

    @property
    def level(self) -> float:
        """log10 of p / w, which may be above 0."""
        return self.log10_p - self.log10_weight + math.log10(2)

    @property
    def log10_corrected(self) -> float:
        """log10 of the corrected p-value: the least of all hypotheses of a lattice is valid."""
        return min(self.level, 0.0)

    def ways(self, ratio: float = 1.0) -> tuple[Candidate, ...]:
        """What to undo in pixels: the natural pose near this one first, then, if it is another, this one.

        They share the weight of what comes after this hypothesis.
        """
        tidy = natural(self.affine, ratio)
        if np.allclose(tidy, self.affine, atol=1e-4):
            return (self,)
        halved = replace(self, log10_weight=self.log10_weight - math.log10(2))
        return replace(halved, affine=tidy), halved

    def pose(self, ratio: float = 1.0) -> tuple[bool, float, float, float, tuple[float, float]]:
        """Mirror, angle, scale, aspect and shift of the picture, for people and for undoing it in pixels.

        Mirrored first, then made wider by sqrt(aspect) and lower by as much, turned counter-clockwise by ``angle``
        degrees, enlarged ``scale`` times; then its centre moved by ``shift``, (down, across) in units of
        sqrt(height width) as given.  ``ratio``: width by height.
        """
        mirror, angle, span, aspect = factors(self.affine[:, :2], ratio)
        down, across = self.affine[:, 2].tolist()
        return mirror, angle, 1 / span, aspect, (down / math.sqrt(ratio), across * math.sqrt(ratio))


def search(
    noise: NDArray[np.float32],
    template: Template,
    lattice: Lattice,
    keep: int = 6,
    fine: Fine = FINE,
    covered: NDArray[np.bool_] | None = None,
    frame: Frame | None = None,
) -> list[Candidate]:
    """The ``keep`` best poses that differ, best first by p / w, each refined.

    ``noise``: recovered, float32 ``[C, h, w]``.  ``covered``: cells that count, ``[h, w]``; the others (flat, black
    corners) are set to zero.  ``frame``: what was undone in pixels before, with ``lattice`` the part of a lattice that
    is searched there (:meth:`Lattice.part`).  The least ``log10_corrected`` of one search of a whole lattice, or of all
    its parts together, is a valid p-value for these values under any pose.  A noise that holds nothing (zero, or not
    finite) gives no candidate.
    """
    noise = masked(noise, covered)
    if not len(lattice) or not np.isfinite(noise).all() or not noise.any():
        return []
    found = distinct(lattice, *screen(noise, template, lattice), keep)
    frame = frame or Frame()
    candidates = (_candidate(noise, template, lattice, warp, shift) for warp, shift in found)
    finer = (refine(noise, template, one, fine, frame, lattice.ratio) for one in candidates)
    return sorted(finer, key=lambda one: one.level)


def masked(noise: NDArray[np.float32], covered: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """The noise with cells that do not count set to zero."""
    if covered is None:
        return noise
    if covered.shape != noise.shape[1:]:
        raise InputError(f"A mask {list(covered.shape)} does not fit a noise {list(noise.shape)}.")
    return np.where(covered, noise, np.float32(0))


def screen(noise: NDArray[np.float32], template: Template, lattice: Lattice) -> tuple[Integers, Integers, Floats]:
    """Hypotheses with the least p / w, best first: warps ``[n]``, shifts in steps ``[n, 2]``, ln p / w ``[n]``."""
    half = len(lattice) // 2
    inverse = np.linalg.inv(lattice.matrix[:half]).astype(np.float64)
    reach = float(np.abs(template.frequency @ inverse).max())
    spectrum = Screen(noise[list(template.channels)], reach)
    warps, shifts, heights = [], [], []
    for rows, box in _groups(lattice):
        parts = _Scores(spectrum, template, box, lattice.step)
        for warp, shift, z in parts.above(rows, inverse[rows], _thresholds(lattice, rows), half):
            warps.append(warp)
            shifts.append(shift)
            heights.append(z)
    warp, shift, z = np.concatenate(warps), np.concatenate(shifts), np.concatenate(heights)
    level = special.log_ndtr(-z.astype(np.float64)) - lattice.log_weight(warp, shift)
    order = np.lexsort((shift[:, 1], shift[:, 0], warp, level))[: int(SURVIVORS)]
    order = order[level[order] <= math.log(SURVIVORS)]
    return warp[order], shift[order], level[order]


def _groups(lattice: Lattice) -> Iterator[tuple[Integers, Integers]]:
    """Warps of the first half whose boxes are about the same, and a box that holds them all."""
    half = len(lattice) // 2
    size = np.where(lattice.outer[:half] <= 1, lattice.outer[:half], (lattice.outer[:half] + 1) // 2 * 2)
    for box in np.unique(size, axis=0):
        members = np.flatnonzero((size == box).all(1))
        rows = max(1, _ROWS // int((2 * box + 1).prod()))
        for i in range(0, len(members), rows):
            yield members[i : i + rows], box


def _thresholds(lattice: Lattice, rows: Integers) -> Tensor:
    """z at which p / w falls to :data:`SURVIVORS`, inside the inner boxes, for both halves: float32 ``[2, n]``."""
    both = np.stack([lattice.inside[rows], lattice.inside[rows + len(lattice) // 2]])
    level = np.minimum(both + math.log(SURVIVORS), math.log(0.5))
    return torch.from_numpy(-special.ndtri_exp(level)).float()  # infinite for no weight


class _Scores:
    """z of one template at the shifts of one box, for warps and their half turns.

    A box is symmetric, so half of its shifts are made: with G = N conj(K), the scores at s and -s are P - Q and P + Q,
    P = Re G cos, Q = Im G sin.  A half turn has the conjugate of N, as noise is real.
    """

    def __init__(self, spectrum: Screen, template: Template, box: Integers, step: float) -> None:
        self.spectrum = spectrum
        self.frequency = torch.from_numpy(template.frequency).float()
        self.real = torch.from_numpy(template.values.real).float()[:, None]  # [C, 1, U]
        self.imaginary = torch.from_numpy(template.values.imag).float()[:, None]
        self.used = torch.from_numpy(template.used).float()[:, None]
        self.shifts = _half_box(box)
        down, across = (
            torch.from_numpy(np.exp(2j * np.pi * step * template.frequency[:, axis, None] * places)).to(torch.complex64)
            for axis, places in enumerate((np.arange(box[0] + 1), np.arange(-box[1], box[1] + 1)))
        )
        waves = (down[:, :, None] * across[:, None, :]).flatten(1)[:, box[1] :]  # [U, S]
        self.cosine, self.sine = waves.real.contiguous(), waves.imag.contiguous()

    def above(
        self, rows: Integers, inverse: Floats, threshold: Tensor, half: int
    ) -> Iterator[tuple[Integers, Integers, NDArray[np.float32]]]:
        """Warps, shifts and z of what is above the thresholds ``[2, n]``."""
        a, b = self.spectrum(self.frequency, inverse)  # [C, n, U]
        deviation = ((a * a + b * b) * self.used).sum((0, 2)).div(2).sqrt().clamp_min(1e-12)[:, None]
        ac, bd = (a * self.real).sum(0) / deviation, (b * self.imaginary).sum(0) / deviation
        bc, ad = (b * self.real).sum(0) / deviation, (a * self.imaginary).sum(0) / deviation
        for turned, (real, imaginary) in enumerate(((ac + bd, bc - ad), (ac - bd, -bc - ad))):
            if torch.isinf(threshold[turned]).all():
                continue
            even, odd = real @ self.cosine, imaginary @ self.sine
            for sign in (1, -1):
                z = even - odd if sign > 0 else even.add_(odd)
                where = torch.nonzero(z > threshold[turned][:, None]).numpy()
                heights = z[where[:, 0], where[:, 1]].numpy()
                yield rows[where[:, 0]] + turned * half, sign * self.shifts[where[:, 1]], heights


def _half_box(box: Integers) -> Integers:
    """One of every pair s, -s of shifts in a box, the zero shift with them: int64 ``[S, 2]``."""
    down, across = np.meshgrid(np.arange(-box[0], box[0] + 1), np.arange(-box[1], box[1] + 1), indexing="ij")
    points: Integers = np.stack([down.ravel(), across.ravel()], 1).astype(np.int64)
    return points[len(points) // 2 :]


DISTINCT = 0.08
"""Poses differ if some corner of the frame lands this far apart, in shares of the picture as made."""

_CORNERS = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)])


def distinct(lattice: Lattice, warp: Integers, shift: Integers, level: Floats, keep: int) -> list[tuple[int, Integers]]:
    """The first ``keep`` hypotheses that are not near an earlier one."""
    inverse = np.linalg.inv(lattice.matrix[warp])
    corners = np.einsum("nij,cj->nci", inverse, _CORNERS) - lattice.step * shift[:, None]  # [n, 4, 2]
    free = np.ones(len(warp), np.bool_)
    found: list[tuple[int, Integers]] = []
    while len(found) < keep and free.any():
        best = int(np.argmax(free))
        found.append((int(warp[best]), shift[best]))
        free &= np.abs(corners - corners[best]).max((1, 2)) > DISTINCT
    return found


def _candidate(
    noise: NDArray[np.float32], template: Template, lattice: Lattice, warp: int, shift: Integers
) -> Candidate:
    moved = (lattice.step * shift).astype(np.float64)
    z = float(scores(noise, template, lattice.matrix[warp][None], moved[None])[0, 0])
    weight = float(lattice.log_weight(np.array([warp]), shift[None])[0])
    within = affine(lattice.matrix[warp], moved)
    return Candidate(within, within, z, weight / math.log(10))


def refine(
    noise: NDArray[np.float32],
    template: Template,
    start: Candidate,
    fine: Fine,
    frame: Frame,
    ratio: float = 1.0,
) -> Candidate:
    """The least p / w of the hypothesis ``start.within`` and its fine points, in float64.

    A start of z = -inf is only where the points begin, and never the answer.
    """
    matrix = fine.warps(ratio) @ start.within[:, :2]  # [n, 2, 2]
    shift = shift_of(start.within) + fine.offsets()  # [m, 2]
    z = scores(noise, template, matrix, shift)
    shares = fine.log_shares()
    i, j = np.unravel_index(int((special.log_ndtr(-z) - shares).argmin()), z.shape)
    within, size = affine(matrix[i], shift[j]), (noise.shape[1], noise.shape[2])
    weight = start.log10_weight + float(shares[i, j]) / math.log(10)
    places = ((start.within, start.z, start.log10_weight), (within, float(z[i, j]), weight))
    both = [Candidate(frame.pixels(w, template.size, size), w, height, log) for w, height, log in places]
    return both[1] if math.isinf(start.z) else min(both, key=lambda one: one.level)


def confirm(
    noise: NDArray[np.float32],
    template: Template,
    undone: Candidate,
    fine: Fine = LEFT_OVER,
    offset: tuple[float, float] = (0.0, 0.0),
    ratio: float = 1.0,
) -> Candidate:
    """The best left-over pose in the noise of a picture in which ``undone.affine`` was undone in pixels.

    Uncovered cells are to be set to zero before.  Its weight is a part of the weight of ``undone``, as it is reached
    from there alone.
    """
    start = Candidate(undone.affine, np.eye(2, 3), -math.inf, undone.log10_weight)
    return refine(noise, template, start, fine, Frame(undone.affine, offset), ratio)
