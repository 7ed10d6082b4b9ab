"""Stages of a reading, each one small object: what it does, its share of the error budget, and how it is run.

A share is fixed before a picture is seen.  What a stage looks at may depend on the picture (borders, flat cells) and,
for the class, on the synchronisation part, which is independent of all class values; never on the values under test.
Whether a stage is run at all, and how much of it, may depend on anything: what is not tried keeps its share and has
p = 1, so that leaving it out can only make the least p over its share larger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..pictures.borders import Box, trim
from .affine import Floats, affine, chain, linear
from .confirm import Confirmed, Confirmer, Glance
from .evidence import Evidence, fisher
from .lattice import LEFT_OVER, Lattice, nearest, wide
from .record import Finding, Reading, Way
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
        steps = self.count(tools)
        return _finding(tools.values.read(tools.noise(reading, self.method, steps)), Way(self.method, steps))

    def count(self, tools: Tools) -> int:
        """Steps of the noise inversion."""
        return self.steps or tools.settings.steps or tools.keyring.steps


@dataclass(frozen=True)
class Care:
    """What is done for the class in a pose, by log10 of the synchronisation part's corrected p there.

    Up to ``likely`` it is read with more steps.  Up to ``sure`` it is looked for beside the pose, as it is where the
    class itself shows with a log10 p of ``shows``.  Without a mark a tenth of the pictures is below -1.
    """

    likely: float = -0.05
    sure: float = -1.0
    shows: float = -1.3


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
    last: int = 0
    care: Care = Care()

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
        inside = _inside(box, reading.picture.shape)
        noise = tools.undone(reading, tools.undo(reading, inside), self.steps)
        found = _finding(tools.values.read(noise), Way(ENCODER, self.steps, inside))
        return _weighted(replace(found, box=box), share)


@dataclass(frozen=True)
class Posed:
    """The pose searched in the noise, and the best ones undone in pixels.

    ``keep``: how many are undone.  ``most``: classes that are searched one by one where the keyring has no
    synchronisation part.  ``smallest``, ``largest``: see :func:`treering.reading.lattice.wide`.  ``climb``: whether the
    neighbours of the pose are tried in pixels too.  ``small``: windows of less than this share of a side are searched
    in the picture read at half its size, nearer to what it was when it was made, and in four places (:data:`PHASES`);
    every warp belongs to one of the two sizes.  ``glance``: see :class:`treering.reading.confirm.Glance`.  ``placed``:
    whether the class is looked for in places beside the pose too.  ``last``: steps of the noise inversion in the pose
    that the class is read in (0: as many as before).
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
    last: int = 0
    care: Care = Care()

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
        near = lattice.span >= self.small
        found = search(noise, template, lattice.part(np.flatnonzero(near)), self.keep, frame=frame)
        far = lattice.part(np.flatnonzero(~near), share=1 / len(PHASES))
        for phase in PHASES:
            frame = Frame(affine(np.eye(2), np.asarray(phase)), tools.model.offset)
            found += search(tools.half(reading, self.steps, phase), template, far, self.keep, frame=frame)
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
        way = Way(ENCODER, self.steps, seen.undone, seen.pose.within)
        return Finding(told.log10_p, told.log10_p, told, seen.pose, tried=tried, values=read.values, way=way)


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
    last: int = 0
    care: Care = Care()
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
    reading.tell(f"{stage.name}, {CONFIRM}")
    confirmer = Confirmer(tools, template, reading, stage.steps, stage.glance)
    seen = confirmer.ranked(found)
    if not seen:
        return Finding(tried=tried)
    if stage.climb and seen[0].pose.z >= SEEN:
        better = confirmer.climbed(seen[0])
        seen = seen if better is seen[0] else [better, *seen]  # the same pose would be read twice
    return _ranked(reading, tools, seen, stage, tried)


CONFIRM = "confirm"
"""What who watches is told beside a stage's name, where it has searched and undoes what it found in pixels."""

RANKS = (0.7, 0.15, 0.15)
"""Shares of the class in the poses that the synchronisation part likes best, in that order."""

SEEN = 3.5
"""z of the synchronisation part from which a pose may be the right one.  Without a mark z is about 3 in pixels."""

ENOUGH = -9.0
"""log10 p of a class, corrected for what a stage tried, that no further place need be tried."""

CENTRE = 0.8
"""Share of the pose itself, as the synchronisation part put it."""

PHASES = ((0.0, 0.0), (1 / 32, 0.0), (0.0, 1 / 32), (1 / 32, 1 / 32))
"""Places of the picture read at half its size, half a cell of a 16x16 latent apart.

A quarter of the picture that was made larger has its cells again at half of its size, but where they begin is not
known, and half a cell beside its place its noise holds next to nothing.
"""

PLACES = tuple((y / 256, x / 256) for y in (0, -2, 2) for x in (0, -2, 2))[1:]
"""Places beside a pose, in shares of the picture as made: quarters of a cell of a 32x32 latent."""

WARPS = ((0.0, 1.05), (0.0, 1 / 1.05), (2.0, 1.0), (-2.0, 1.0))
"""Turns (degrees) and spans of the frame beside a pose: most of a step of the lattice, which the noise of a
small window cannot tell."""


def _ranked(reading: Reading, tools: Tools, seen: Sequence[Confirmed], stage: Posed | Again, tried: int) -> Finding:
    """The best class of the poses that the synchronisation part likes best.

    Their order follows from the picture and that part alone, so that each rank has a share of the class, fixed before;
    what is not looked at keeps its own.
    """
    best: Finding | None = None
    for one, share in zip(seen, RANKS, strict=False):
        if best is not None and (best.log10_class <= ENOUGH or one.pose.z < SEEN):
            break
        found = _spent(_class(reading, tools, one, stage, tried), min(one.level, 0.0), share)
        best = found if best is None or found.log10_class < best.log10_class else best
    assert best is not None
    return best


def _class(reading: Reading, tools: Tools, seen: Confirmed, stage: Posed | Again | Trimmed, tried: int) -> Finding:
    """The best class in a pose that the synchronisation part chose, and in places beside it.

    A quarter of a cell takes half of the evidence of a class, more than of the synchronisation part, which therefore
    cannot tell the place.  The pose has :data:`CENTRE` of the share of the class, every place beside it an equal part
    of the rest, which is fixed; whether they are looked at may follow from anything.
    """
    evidence, level = tools.values.read(seen.noise, seen.pose.within), min(seen.level, 0.0)
    way = Way(ENCODER, stage.steps, seen.undone, seen.pose.within)
    steps = stage.last if stage.last and level <= stage.care.likely and seen.pose.z >= SEEN else stage.steps
    if steps != stage.steps:
        evidence = tools.values.read(tools.undone(reading, tools.undo(reading, seen.pose.affine), steps))
        way = Way(ENCODER, steps, seen.pose.affine)
    first = _posed(evidence, level, seen.pose, tried, way)
    if not stage.placed:
        return first
    found = [_spent(first, level, CENTRE)]
    moved = not np.allclose(seen.pose.affine, np.eye(2, 3))  # a picture as given lies where it was made
    if moved and seen.pose.z >= SEEN and (level <= stage.care.sure or evidence.match.log10_p <= stage.care.shows):
        for pose in _beside(seen.pose.affine, tools.ratio):
            if found[-1].log10_class <= ENOUGH:
                break
            noise = tools.undone(reading, tools.undo(reading, pose), steps)
            there, way = Candidate(pose, np.eye(2, 3), seen.pose.z, 0.0), Way(ENCODER, steps, pose)
            beside = _posed(tools.values.read(noise), level, there, tried, way)
            found.append(_spent(beside, level, (1 - CENTRE) / (len(WARPS) + len(PLACES))))
    return min(found, key=lambda one: one.log10_class)


def _beside(pose: Floats, ratio: float) -> Iterator[Floats]:
    """The poses ``[2, 3]`` beside one."""
    for turn, span in WARPS:
        yield linear(False, turn, span, 1.0, ratio) @ pose
    for place in PLACES:
        yield chain(pose, np.column_stack([np.eye(2), place]))


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


def _finding(evidence: Evidence, way: Way) -> Finding:
    return Finding(evidence.match.log10_p, evidence.log10_keyring, evidence.match, values=evidence.values, way=way)


def _posed(evidence: Evidence, log10_sync: float, pose: Candidate, tried: int, way: Way) -> Finding:
    """The class as it is, as the pose was chosen without it; the synchronisation part corrected for all poses."""
    match = evidence.match
    level = fisher(log10_sync, match.log10_p)
    return Finding(match.log10_p, level, match, pose, tried=tried, values=evidence.values, way=way)


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
