"""Poses undone in pixels, read anew, and put right until nothing is left over, by one template alone.

Every pose that is reached in pixels from a hypothesis has a part of that hypothesis's weight; with the numbers of
rounds and climbs below these parts add up to less than the whole (a test keeps it so), so that the least p over its
weight of all of them is valid.  Levels of the noise, from which the poses come, are spent there and may not be added
to these.  Which pose the class is read in is decided by the template's z.

A hypothesis that is given up keeps its weight and has p = 1: what is not tried can only make the least p larger.  So a
glance (fewer steps of the noise inversion, from the same latent) may decide, by whatever it sees, which poses are worth
the rest; what it reads is not among the numbers that the least p is taken of.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from .affine import Floats, chain
from .lattice import LEFT_OVER, Fine
from .record import Reading
from .search import Candidate, confirm
from .spectra import Template
from .tools import Noise, Tools, Undone

DECISIVE = -9.0
"""log10 of the corrected p in pixels at which no further pose is tried."""

ROUNDS = 3
"""How often a pose is undone in pixels at most, as long as something is left over."""

SAME = 0.02
"""Poses that differ by less, in shares of the picture, are one."""

CLIMBS, NEAR = 2, Fine((0.0,), (1.0,), (-0.5, 0.0, 0.5))
"""How often the neighbours of a pose are tried in pixels, and which."""


@dataclass
class Confirmed:
    """The pose that a template likes best, the noise in which it was seen, and the least p / w so far (log10).

    ``undone``: the pose ``[2, 3]`` that was undone in pixels for that noise.
    """

    pose: Candidate
    noise: Noise
    level: float
    undone: Floats | None = None


@dataclass(frozen=True)
class Glance:
    """A cheap look at poses: ``steps`` of the noise inversion; below ``least`` z, all but the best are given up.

    ``sure``: z at which no other pose is looked at.  ``hope``: z of the best below which it is given up too.
    """

    steps: int = 2
    sure: float = 6.0
    least: float = 3.5
    hope: float = -math.inf


@dataclass(frozen=True)
class Confirmer:
    """Undoes poses of one picture and looks for a template in what is read then."""

    tools: Tools
    template: Template
    reading: Reading
    steps: int
    glance: Glance | None = None

    def best(self, found: Sequence[Candidate]) -> Confirmed | None:
        """The best of a few poses, at least one; None where none was worth it."""
        return next(iter(self.ranked(found)), None)

    def ranked(self, found: Sequence[Candidate]) -> list[Confirmed]:
        """Those of a few poses that were worth it and differ, best first, each with the least p / w of all."""
        ways = [way for one in found for way in one.ways(self.tools.ratio)]
        seen: list[Confirmed] = []
        for pose, undone in self._glanced(ways) if self.glance else ((way, None) for way in ways):
            seen.append(reduce(_better, self.rounds(pose, undone)))
            if seen[-1].level <= DECISIVE:
                break
        level, kept = min((one.level for one in seen), default=math.inf), list[Confirmed]()
        for one in sorted(seen, key=lambda one: -one.pose.z):
            if not any(np.allclose(one.pose.affine, other.pose.affine, atol=SAME) for other in kept):
                kept.append(replace(one, level=level))
        return kept

    def _glanced(self, ways: Sequence[Candidate]) -> list[tuple[Candidate, Undone | None]]:
        """Those that a glance leaves, best first; the likeliest are looked at first."""
        assert self.glance is not None
        seen: list[tuple[float, Candidate, Undone]] = []
        for way in ways:
            undone = self.tools.undo(self.reading, way.affine)
            seen.append((self._at(way, undone, self.glance.steps).pose.z, way, undone))
            if seen[-1][0] >= self.glance.sure:
                break
        seen.sort(key=lambda one: -one[0])
        kept = [one for i, one in enumerate(seen) if one[0] >= (self.glance.least if i else self.glance.hope)]
        return [(way, undone) for _, way, undone in kept]

    def rounds(self, pose: Candidate, undone: Undone | None = None) -> Iterator[Confirmed]:
        """A pose undone in pixels, and what was left over, until nothing is or nothing is to be hoped for."""
        for _ in range(ROUNDS):
            seen = self._at(pose, undone or self.tools.undo(self.reading, pose.affine), self.steps)
            yield seen
            pose, undone = seen.pose, None
            if np.allclose(pose.within, np.eye(2, 3)) or (self.glance and pose.z < self.glance.least):
                return

    def _at(self, pose: Candidate, undone: Undone, steps: int) -> Confirmed:
        noise = self.tools.undone(self.reading, undone, steps)
        found = confirm(noise, self.template, pose, LEFT_OVER, self.tools.model.offset, self.tools.ratio)
        return Confirmed(found, noise, found.level, pose.affine)

    def climbed(self, best: Confirmed) -> Confirmed:
        """A pose and its neighbours, a quarter of a cell beside it, as long as one of them is better.

        A picture that is undone 2 pixels beside its place has lost a third of z, and its noise does not say where to.
        """
        for _ in range(CLIMBS):
            start = best.pose
            for offset, share in zip(NEAR.offsets(), NEAR.log_shares().ravel(), strict=True):
                moved = chain(start.affine, np.column_stack([np.eye(2), offset]))
                beside = Candidate(moved, np.eye(2, 3), -math.inf, start.log10_weight + share / math.log(10))
                best = _better(best, next(self.rounds(beside)))
            if best.pose is start:
                break
        return best


def _better(first: Confirmed, second: Confirmed) -> Confirmed:
    """The one of higher z, with the least level of both."""
    better = second if second.pose.z > first.pose.z else first
    better.level = min(first.level, second.level)
    return better
