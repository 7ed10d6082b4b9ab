"""Stages of a reading, each one small object: what it does, its share of the error budget, and how it is run.

A share is fixed before a picture is seen.  What a stage looks at may depend on the picture (borders, flat cells) and,
for the class, on the synchronisation part, which is independent of all class values; never on the values under test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from PIL import Image

from ..pictures.borders import trim
from .affine import affine, linear
from .confirm import Confirmer
from .evidence import Evidence, fisher
from .lattice import LEFT_OVER, Lattice, nearest, wide
from .record import Finding, Reading
from .search import Candidate, Frame, confirm, search
from .spectra import Template
from .tools import ENCODER, Noise, Tools


class Stage(Protocol):
    """``name``: what results call it.  ``share``: of the error budget; the shares of a plan add up to at most 1."""

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    @property
    def share(self) -> float:
        """Of the error budget."""
        ...

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Look at a picture; None where there is nothing for this stage to do."""
        ...


@dataclass(frozen=True)
class Given:
    """The picture as given: a decoder inversion (``encoder``, or ``plan`` for the settings' own) and some steps.

    ``steps``: of the noise inversion; 0 for the keyring's.
    """

    name: str
    share: float
    method: str
    steps: int

    def run(self, reading: Reading, tools: Tools) -> Finding:
        """Read it."""
        noise = tools.noise(reading, self.method, self.count(tools))
        return _finding(tools.values.read(noise))

    def count(self, tools: Tools) -> int:
        """Steps of the noise inversion."""
        return self.steps or tools.settings.steps or tools.keyring.steps


@dataclass(frozen=True)
class Trimmed:
    """What is left when borders of one colour go: a page around a picture, a letterbox, a frame.

    The first box gets half of the share, the others what is left; the same for a shift that is left over.
    """

    name: str
    share: float
    steps: int

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Read every box."""
        boxes = trim(reading.picture)
        found = [self._box(reading, tools, box, share) for box, share in zip(boxes, (0.5, 0.25, 0.25), strict=False)]
        if not found:
            return None
        best = min(found, key=lambda one: (one.log10_class, one.log10_keyring))
        return replace(best, log10_keyring=min(one.log10_keyring for one in found), tried=len(found))

    def _box(self, reading: Reading, tools: Tools, box: tuple[int, int, int, int], share: float) -> Finding:
        height, width = tools.size
        top, left, bottom, right = box
        inside = Image.fromarray(reading.picture).resize(
            (width, height), Image.Resampling.LANCZOS, (left, top, right, bottom)
        )
        within = tools.reading(np.asarray(inside))
        noise = tools.noise(within, ENCODER, self.steps)
        reading.failed |= within.failed
        reading.calls += within.calls
        found = replace(_finding(tools.values.read(noise)), box=box)
        if tools.values.synchronised:
            found = min(found, self._shifted(tools, noise, box), key=lambda one: one.log10_class)
            return _weighted(found, share / 2)
        return _weighted(found, share)

    def _shifted(self, tools: Tools, noise: Noise, box: tuple[int, int, int, int]) -> Finding:
        """In the pose that the synchronisation part finds near that of the box."""
        here = Candidate(np.eye(2, 3), np.eye(2, 3), -math.inf, math.log10(2))  # all the weight is the fine points'
        pose = confirm(noise, tools.values.sync_template, here, LEFT_OVER, tools.model.offset, tools.ratio)
        evidence = tools.values.read(noise, pose.within)
        return replace(_posed(evidence, pose.log10_corrected, pose, LEFT_OVER.count), box=box)


@dataclass(frozen=True)
class Posed:
    """The pose searched in the noise, and the best ones undone in pixels.

    ``keep``: how many are undone.  ``most``: classes that are searched one by one where the keyring has no
    synchronisation part.  ``smallest``, ``largest``: see :func:`treering.reading.lattice.wide`.  ``climb``: whether the
    neighbours of the pose are tried in pixels too.
    """

    name: str
    share: float
    steps: int
    keep: int = 2
    most: int = 2
    smallest: float = 0.5
    largest: float = 1.72
    climb: bool = False

    def lattice(self, tools: Tools) -> Lattice:
        """All poses that are tried."""
        return wide(self.smallest, self.largest, tools.ratio)

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Search, undo, read."""
        values, lattice = tools.values, self.lattice(tools)
        noise = tools.noise(reading, ENCODER, self.steps)
        if values.synchronised:
            return _best(
                reading, tools, values.sync_template, self._search(tools, noise, values.sync_template, lattice), self
            )
        if not values.posable or values.classes > self.most:
            return None
        found = [self._mark(reading, tools, noise, mark, lattice) for mark in values.marks()]
        return _weighted_best(found)

    def _search(self, tools: Tools, noise: Noise, template: Template, lattice: Lattice) -> list[Candidate]:
        return search(noise, template, lattice, self.keep, frame=Frame(offset=tools.model.offset))

    def _mark(self, reading: Reading, tools: Tools, noise: Noise, mark: tuple[int, int], lattice: Lattice) -> Finding:
        """One mark with all that it has: the pose is found by the values under test, and paid for."""
        template = tools.values.mark_template(*mark)
        candidates = self._search(tools, noise, template, lattice)
        if not candidates:
            return Finding(tried=lattice.count)
        seen = Confirmer(tools, template, reading, self.steps).best(candidates)
        match = tools.values.read(seen.noise, seen.pose.within).match
        told = replace(match, key=mark[0], nonce=mark[1], z=seen.pose.z, log10_p=min(seen.level, 0.0))
        return Finding(told.log10_p, told.log10_p, told, seen.pose, tried=lattice.count)


@dataclass(frozen=True)
class Again:
    """Read again turned and at other sizes, and the poses near each searched: all parts of one lattice, once."""

    name: str
    share: float
    steps: int
    keep: int = 3
    smallest: float = 0.25
    largest: float = 2.0
    climb: bool = True
    frames: tuple[tuple[float, float], ...] = (*((15.0 * i, 1.0) for i in range(24)), (0.0, 0.75), (0.0, 1.5))

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Search every part."""
        if not tools.values.synchronised:
            return None
        template, lattice = tools.values.sync_template, wide(self.smallest, self.largest, tools.ratio)
        owners = nearest(lattice, list(self.frames))
        found: list[Candidate] = []
        for (turn, span), chosen in zip(self.frames, owners, strict=True):
            frame = linear(False, turn, 1.0, 1.0, tools.ratio)
            still = affine(frame, np.zeros(2))
            noise = tools.undone(reading, still, self.steps, span)
            found += search(noise, template, lattice.part(chosen, frame), 2, frame=Frame(still, tools.model.offset))
        return _best(reading, tools, template, sorted(found, key=lambda one: one.level)[: self.keep], self)


# ------------------------------------------------------------------------------------ the class, in a pose


def _best(
    reading: Reading, tools: Tools, template: Template, found: Sequence[Candidate], stage: Posed | Again
) -> Finding:
    """The class in the pose that the synchronisation part likes best, after the best were undone in pixels."""
    tried = wide(stage.smallest, stage.largest, tools.ratio).count
    if not found:
        return Finding(tried=tried)
    confirmer = Confirmer(tools, template, reading, stage.steps)
    seen = confirmer.best(found)
    if stage.climb:
        seen = confirmer.climbed(seen)
    return _posed(tools.values.read(seen.noise, seen.pose.within), min(seen.level, 0.0), seen.pose, tried)


# ------------------------------------------------------------------------------------ findings


def _finding(evidence: Evidence) -> Finding:
    return Finding(evidence.match.log10_p, evidence.log10_keyring, evidence.match)


def _posed(evidence: Evidence, log10_sync: float, pose: Candidate, tried: int) -> Finding:
    """The class as it is, as the pose was chosen without it; the synchronisation part corrected for all poses."""
    match = evidence.match
    return Finding(match.log10_p, fisher(log10_sync, match.log10_p), match, pose, tried=tried)


def _weighted(finding: Finding, share: float) -> Finding:
    """A finding that had a share of its stage."""
    less = math.log10(share)
    return replace(
        finding,
        log10_class=min(0.0, finding.log10_class - less),
        log10_keyring=min(0.0, finding.log10_keyring - less),
    )


def _weighted_best(found: Sequence[Finding]) -> Finding:
    """The best of findings that had equal shares."""
    best = min(found, key=lambda one: one.log10_class)
    return replace(_weighted(best, 1 / len(found)), tried=sum(one.tried for one in found))
