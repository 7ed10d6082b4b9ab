"""Stages of a reading, each one small object: what it does, its share of the error budget, and how it is run.

A share is fixed before a picture is seen.  What a stage looks at may depend on the picture (borders, flat cells) and,
for the class, on the synchronisation part, which is independent of all class values; never on the values under test.
Whether a stage is run at all, and how much of it, may depend on anything: what is not tried keeps its share and has
p = 1, so that leaving it out can only make the least p over its share larger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..pictures.borders import Box, trim
from .affine import Floats, affine, chain, linear
from .confirm import Confirmed, Confirmer, Glance
from .evidence import Evidence, fisher
from .lattice import LEFT_OVER, Lattice, nearest, wide
from .record import Finding, Reading
from .search import Candidate, Frame, search
from .spectra import Template
from .tools import ENCODER, Tools


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

    ``steps``: of the noise inversion; 0 for the keyring's.  ``hope``: log10 p of any mark of the keyring, as given, in
    the stages before; above it this one is left out where all classes have a part in common (None: never).  A decoder
    inversion takes as long as all stages before it, and where even the part that is common to all classes shows
    nothing, it has not yet named anything.
    """

    name: str
    share: float
    method: str
    steps: int
    hope: float | None = None

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Read it."""
        if self.hope is not None and tools.values.synchronised and not _hope(reading, self.hope):
            return None
        noise = tools.noise(reading, self.method, self.count(tools))
        return _finding(tools.values.read(noise))

    def count(self, tools: Tools) -> int:
        """Steps of the noise inversion."""
        return self.steps or tools.settings.steps or tools.keyring.steps


@dataclass(frozen=True)
class Trimmed:
    """What is left when borders of one colour go: a page around a picture, a letterbox, a frame.

    The first box gets half of the share, the others what is left.  Where all classes have a part in common, a box is a
    pose like others: it is undone in pixels, put right by that part, and the class is read in the box that it likes
    best, which costs the class nothing.
    """

    name: str
    share: float
    steps: int
    glance: Glance | None = None
    placed: bool = True

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Read every box."""
        boxes = list(zip(trim(reading.picture), (0.5, 0.25, 0.25), strict=False))
        if not boxes:
            return None
        if tools.values.synchronised:
            return self._common(reading, tools, boxes)
        found = [self._box(reading, tools, box, share) for box, share in boxes]
        best = min(found, key=lambda one: (one.log10_class, one.log10_keyring))
        return replace(best, log10_keyring=min(one.log10_keyring for one in found), tried=len(found))

    def _common(self, reading: Reading, tools: Tools, boxes: Sequence[tuple[Box, float]]) -> Finding:
        """The class in the box that the synchronisation part likes best."""
        confirmer = Confirmer(tools, tools.values.sync_template, reading, self.steps, self.glance)
        best: tuple[Confirmed, Box] | None = None
        level, tried = 0.0, len(boxes) * LEFT_OVER.count
        for box, share in boxes:
            inside = _inside(box, reading.picture.shape)
            seen = confirmer.best([Candidate(inside, np.eye(2, 3), -math.inf, math.log10(share))])
            if seen is not None:
                level = min(level, seen.level)
                best = (seen, box) if best is None or seen.pose.z > best[0].pose.z else best
        if best is None:
            return Finding(tried=tried)
        return replace(_class(reading, tools, replace(best[0], level=level), self, tried), box=best[1])

    def _box(self, reading: Reading, tools: Tools, box: Box, share: float) -> Finding:
        undone = tools.undo(reading, _inside(box, reading.picture.shape))
        found = _finding(tools.values.read(tools.undone(reading, undone, self.steps)))
        return _weighted(replace(found, box=box), share)


@dataclass(frozen=True)
class Posed:
    """The pose searched in the noise, and the best ones undone in pixels.

    ``keep``: how many are undone.  ``most``: classes that are searched one by one where the keyring has no
    synchronisation part.  ``smallest``, ``largest``: see :func:`treering.reading.lattice.wide`.  ``climb``: whether the
    neighbours of the pose are tried in pixels too.  ``small``: windows of less than this share of a side are searched
    in the picture read at half its size, nearer to what it was when it was made; every warp belongs to one of the two.
    ``glance``: see :class:`treering.reading.confirm.Glance`.  ``placed``: whether the class is looked for in places
    beside the pose too.
    """

    name: str
    share: float
    steps: int
    keep: int = 2
    most: int = 2
    smallest: float = 0.5
    largest: float = 1.72
    climb: bool = False
    small: float = 0.0
    glance: Glance | None = None
    placed: bool = False

    def lattice(self, tools: Tools) -> Lattice:
        """All poses that are tried."""
        return wide(self.smallest, self.largest, tools.ratio)

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Search, undo, read."""
        values = tools.values
        if values.synchronised:
            template = values.sync_template
            return best_in_pose(reading, tools, template, self._search(reading, tools, template), self)
        if not values.posable or values.classes > self.most:
            return None
        return _weighted_best([self._mark(reading, tools, mark) for mark in values.marks()])

    def _search(self, reading: Reading, tools: Tools, template: Template) -> list[Candidate]:
        """The best poses of the lattice, whose parts are searched each in its own noise."""
        lattice, frame = self.lattice(tools), Frame(offset=tools.model.offset)
        noise = tools.noise(reading, ENCODER, self.steps)
        if not self.small:
            return search(noise, template, lattice, self.keep, frame=frame)
        near, far = lattice.span >= self.small, tools.half(reading, self.steps)
        found = search(noise, template, lattice.part(np.flatnonzero(near)), self.keep, frame=frame)
        found += search(far, template, lattice.part(np.flatnonzero(~near)), self.keep, frame=frame)
        return sorted(found, key=lambda one: one.level)[: self.keep]

    def _mark(self, reading: Reading, tools: Tools, mark: tuple[int, int]) -> Finding:
        """One mark with all that it has: the pose is found by the values under test, and paid for."""
        template, tried = tools.values.mark_template(*mark), self.lattice(tools).count
        candidates = self._search(reading, tools, template)
        seen = Confirmer(tools, template, reading, self.steps).best(candidates) if candidates else None
        if seen is None:
            return Finding(tried=tried)
        read = tools.values.read(seen.noise, seen.pose.within)
        told = replace(read.match, key=mark[0], nonce=mark[1], z=seen.pose.z, log10_p=min(seen.level, 0.0))
        return Finding(told.log10_p, told.log10_p, told, seen.pose, tried=tried, values=read.values)


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
    glance: Glance | None = None
    placed: bool = False
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
            noise = tools.undone(reading, tools.undo(reading, still, span), self.steps)
            found += search(noise, template, lattice.part(chosen, frame), 2, frame=Frame(still, tools.model.offset))
        return best_in_pose(reading, tools, template, sorted(found, key=lambda one: one.level)[: self.keep], self)


# ------------------------------------------------------------------------------------ the class, in a pose


def best_in_pose(
    reading: Reading, tools: Tools, template: Template, found: Sequence[Candidate], stage: Posed | Again
) -> Finding:
    """The class in the pose that the synchronisation part likes best, after the best were undone in pixels."""
    tried = wide(stage.smallest, stage.largest, tools.ratio).count
    if not found:
        return Finding(tried=tried)
    confirmer = Confirmer(tools, template, reading, stage.steps, stage.glance)
    seen = confirmer.best(found)
    if seen is None:
        return Finding(tried=tried)
    if stage.climb and seen.pose.z >= SEEN:
        seen = confirmer.climbed(seen)
    return _class(reading, tools, seen, stage, tried)


SURE, SEEN = 5.0, 3.5
"""z of the synchronisation part from which the class is worth looking for beside the pose; and where the class shows
too, at a p of 0.1.  Without a mark z is about 3."""

ENOUGH = -9.0
"""log10 p of a class, corrected for what a stage tried, that no further place need be tried."""

CENTRE = 0.8
"""Share of the pose itself, as the synchronisation part put it."""

BESIDE = tuple((y / 256, x / 256) for y in (0, -2, 2) for x in (0, -2, 2))
"""Places beside a pose, in shares of the picture as made: quarters of a cell of a 32x32 latent."""


def _class(reading: Reading, tools: Tools, seen: Confirmed, stage: Posed | Again | Trimmed, tried: int) -> Finding:
    """The best class in a pose that the synchronisation part chose, and in places beside it.

    A quarter of a cell takes half of the evidence of a class, more than of the synchronisation part, which therefore
    cannot tell the place.  The pose has :data:`CENTRE` of the share of the class, every place beside it an equal part
    of the rest, which is fixed; whether they are looked at may follow from anything.
    """
    evidence = tools.values.read(seen.noise, seen.pose.within)
    first, level = _posed(evidence, min(seen.level, 0.0), seen.pose, tried), min(seen.level, 0.0)
    if not stage.placed:
        return first
    found = [_spent(first, level, CENTRE)]
    moved = not np.allclose(seen.pose.affine, np.eye(2, 3))  # a picture as given lies where it was made
    if moved and seen.pose.z >= (SEEN if evidence.match.log10_p <= -1 else SURE):
        for place in BESIDE:
            if found[-1].log10_class <= ENOUGH:
                break
            pose = chain(seen.pose.affine, np.column_stack([np.eye(2), place]))
            noise = tools.undone(reading, tools.undo(reading, pose), stage.steps)
            beside = _posed(tools.values.read(noise), level, Candidate(pose, np.eye(2, 3), seen.pose.z, 0.0), tried)
            found.append(_spent(beside, level, (1 - CENTRE) / len(BESIDE)))
    return min(found, key=lambda one: one.log10_class)


def _spent(finding: Finding, log10_sync: float, share: float) -> Finding:
    """A finding whose class had a share of its stage; the synchronisation part had all of it."""
    log10_class = min(0.0, finding.log10_class - math.log10(share))
    return replace(finding, log10_class=log10_class, log10_keyring=fisher(log10_sync, log10_class))


def _inside(box: Box, shape: Sequence[int]) -> Floats:
    """The pose ``[2, 3]`` of a picture that fills a box (top, left, bottom, right) of pixels ``[H, W, 3]``."""
    start, end, size = (np.asarray(part, np.float64) for part in (box[:2], box[2:], shape[:2]))
    return np.column_stack([np.diag((end - start) / size), (start + end) / 2 / size - 0.5])


# ------------------------------------------------------------------------------------ findings


def _hope(reading: Reading, most: float) -> bool:
    """Whether a stage that read the picture as given saw a mark of the keyring at this log10 p, or none was run."""
    seen = [one.finding.log10_keyring for one in reading.done if one.finding.pose is None and one.finding.box is None]
    return not seen or min(seen) <= most


def _finding(evidence: Evidence) -> Finding:
    return Finding(evidence.match.log10_p, evidence.log10_keyring, evidence.match, values=evidence.values)


def _posed(evidence: Evidence, log10_sync: float, pose: Candidate, tried: int) -> Finding:
    """The class as it is, as the pose was chosen without it; the synchronisation part corrected for all poses."""
    match = evidence.match
    return Finding(match.log10_p, fisher(log10_sync, match.log10_p), match, pose, tried=tried, values=evidence.values)


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
