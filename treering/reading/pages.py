"""Pages, collages, grids: a picture file that may hold several marked pictures, each found with its box.

Where parts may lie is a function of the picture (:mod:`treering.pictures.boxes`), in an order of its own, never of what
is read in them.  The picture as a whole has half of the error budget, the box of rank r of n the share 1 / (r H_n) of
the other half.  A part is named if its p over its share is at most fpr; so the probability that *any* part of a page
is named falsely is at most fpr, however many marks the page holds and whichever they are: for every box and class whose
values are random given the page, and whatever the others carry (Bonferroni holds in the strong sense).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..pictures.borders import Box, trim
from ..pictures.boxes import boxes
from ..pictures.edges import area, common, shared
from ..pictures.fit import fit
from ..pictures.placed import Window
from ..settings import EFFORT
from ..types import PARTS, Answer, Detection
from .assessable import FLAT
from .detector import Detector, bounded
from .near import Near, Sought
from .stages import Given, Stage
from .tools import ENCODER

LOOKS: dict[str, tuple[int, int, int]] = {"fast": (12, 12, 0), "normal": (40, 16, 8), "max": (64, 64, 32)}
"""How many boxes are looked into by effort: at most; without a sign of a mark in any of them; and in how many of them,
the first ones, any pose is searched.

Edges that can be seen come first: of 165 parts of made-up pages 133 were among the first 12 boxes, and the others on
pages of many parts, of which some were.  What is not looked into keeps its share of the error budget.
"""

SIGN = -2.0
"""log10 p of any mark of the keyring in a box, corrected within the box, that makes the rest worth looking into."""

_GIVEN, _NEAR = Given("encoder, 2 steps", 1 / 4, ENCODER, 2), Near("near the box", 1 / 4, 2)
_SOUGHT = Sought("pose", 1 / 2, 2)

WHOLE = 0.9
"""Share of a picture without its borders from which one mark is that of the whole picture."""

_SAME, _REST = 0.5, 0.3  # boxes from which one is not read again, and marks of one key from which one is left out


@dataclass(frozen=True)
class Mark:
    """A mark on a page.

    ``answer``: key, or keyring if the class cannot be read.  ``box``: (top, left, bottom, right) in pixels of the
    file, of the part of the marked picture that can be seen; ``share``: of the page's area.  p-values are corrected for
    the whole page and valid for all its marks together.  ``stage`` and ``pose``: as of a :class:`Detection`, the pose
    within the box that was read.
    """

    answer: Answer
    key: int | None
    nonce: int | None
    p_value: float
    log10_p: float
    log10_p_keyring: float
    box: Box
    share: float
    stage: str
    pose: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "answer": self.answer.value, "box": list(self.box)}


@dataclass(frozen=True)
class Page:
    """What is known of a picture that may hold several.

    ``whole``: the reading of the picture as a whole, with its half of the error budget.  ``marks``: the clearest first.
    ``share``: of the area that some mark covers; ``entire``: whether one mark covers all that is not border.
    ``looked``: boxes that were looked into.
    """

    whole: Detection
    marks: tuple[Mark, ...]
    share: float
    entire: bool
    looked: int
    seconds: float

    @property
    def answer(self) -> str:
        """Key or keyring if one mark covers all of it, parts if there are marks and they do not, else as the whole."""
        if not self.marks:
            return self.whole.answer.value
        return self.marks[0].answer.value if self.entire else PARTS

    @property
    def key(self) -> int | None:
        """The class of a picture that one mark covers."""
        return self.marks[0].key if self.marks and self.entire else None

    @property
    def told(self) -> Detection:
        """The reading of the whole, with what is known of it from its marks if one of them covers all."""
        if not self.entire:
            return replace(self.whole, seconds=self.seconds)
        mark = self.marks[0]
        return replace(
            self.whole,
            answer=mark.answer,
            key=mark.key,
            nonce=mark.nonce,
            log10_p=mark.log10_p,
            p_value=bounded(mark.log10_p),
            log10_p_keyring=mark.log10_p_keyring,
            p_keyring=bounded(mark.log10_p_keyring),
            stage=mark.stage,
            reason=None,
            seconds=self.seconds,
        )

    def as_dict(self) -> dict[str, Any]:
        """Fields of the JSON line: the whole picture's, the answer for the page, and a list of its marks."""
        marks = [mark.as_dict() for mark in self.marks]
        answer = {"answer": self.answer, "key": self.key}
        return {**self.told.as_dict(), **answer, "marks": marks, "share": self.share, "looked": self.looked}


class Pages:
    """Reads pages with a detector: its model, keyring and settings."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.effort = detector.settings.way if detector.settings.way in LOOKS else EFFORT

    def __call__(self, pixels: NDArray[np.uint8], notes: Sequence[str] = (), always: bool = True) -> Page:
        """A picture uint8 ``[H, W, 3]`` of any size, as in its file.

        ``notes``: what to say beside the result.  ``always``: look into its parts also where the whole is marked.
        """
        started = time.perf_counter()
        page = _Search(self, pixels, list(notes))
        page.read_whole()
        if always or not page.entire:
            page.read_parts()
        marks = tuple(page.marks())
        share, entire = _covered(marks, pixels), _entire(marks, pixels)
        return Page(page.outcome(), marks, share, entire, page.looked, round(time.perf_counter() - started, 3))

    def part(self, weight: float, stages: tuple[Stage, ...] | None = None) -> Detector:
        """The detector with a share of the error budget, by its own stages or by others; it shares what it knows."""
        found = copy.copy(self.detector)
        found.settings = replace(found.settings, fpr=found.settings.fpr * weight)
        found.chosen = stages or found.chosen
        return found


def weights(count: int) -> list[float]:
    """Shares of the error budget of so many boxes, by rank; together at most a half."""
    total = sum(1 / rank for rank in range(1, count + 1))
    return [0.5 * (1 - 1e-9) / (rank * total) for rank in range(1, count + 1)]


class _Search:
    """One page on its way."""

    def __init__(self, pages: Pages, pixels: NDArray[np.uint8], notes: list[str]) -> None:
        self.pages, self.pixels, self.notes = pages, pixels, notes
        self.size = pages.detector.keyring.image_size
        self.looked, self.found, self.sign = 0, list[Mark](), False
        self.failed: str | None = None

    def read_whole(self) -> None:
        """The picture as ever."""
        height, width = self.pixels.shape[:2]
        image = fit(Image.fromarray(self.pixels), self.size, (width, height), self.notes)
        found = self.pages.part(0.5)(np.asarray(image)[None], [self.notes])[0]
        self.whole = _lower(found, 0.5)
        self._keep(self.whole, Window.inside((height, width), self.size))

    def outcome(self) -> Detection:
        """The reading of the whole; a part that failed, where nothing was found, must not look like one without."""
        if self.failed and self.whole.answer is Answer.NONE and not self.found:
            return replace(self.whole, answer=Answer.NOT_ASSESSABLE, reason=self.failed)
        return self.whole

    @property
    def entire(self) -> bool:
        """Whether one mark is known that covers the whole picture."""
        return _entire(tuple(self.found), self.pixels)

    def read_parts(self) -> None:
        """Box after box, but for those in which a mark was found already."""
        most, first, posed = LOOKS[self.pages.effort]
        for rank, (box, weight) in enumerate(zip(boxes(self.pixels, most), weights(most), strict=False)):
            if rank >= first and not (self.sign or self.found):
                return
            if all(shared(box, mark.box) < _SAME for mark in self.found):
                self._part(box, weight, (_GIVEN, _NEAR, _SOUGHT) if rank < posed else (_GIVEN, _NEAR))

    def _part(self, box: Box, weight: float, stages: tuple[Stage, ...]) -> None:
        window = Window.around(box, self.size)
        picture = window.cut(self.pixels)
        if np.ptp(picture.reshape(-1, 3), axis=0).max() <= FLAT:
            return
        seen = self.pages.part(weight, stages)(picture[None])[0]
        self.sign = self.sign or min(seen.log10_p, seen.log10_p_keyring) <= SIGN
        found = _lower(seen, weight)
        self.looked += 1
        self.failed = self.failed or found.reason
        self._keep(found, window)

    def _keep(self, found: Detection, window: Window) -> None:
        if found.answer in (Answer.KEY, Answer.KEYRING):
            box = window.of(found.box, found.pose, self.pixels.shape[:2])
            self.found.append(_mark(found, box, self.pixels))

    def marks(self) -> Iterator[Mark]:
        """The clearest first, each once."""
        kept: list[Mark] = []
        for mark in sorted(self.found, key=_strength):
            if not any(_same(mark, other) for other in kept):
                kept.append(mark)
                yield mark


def _strength(mark: Mark) -> tuple[bool, float]:
    """Order of marks: classes before what is only known to be of the keyring."""
    return mark.key is None, mark.log10_p if mark.key is not None else mark.log10_p_keyring


def _same(mark: Mark, clearer: Mark) -> bool:
    """Whether a clearer mark is this one again: the same key, or none read, about the same place."""
    if mark.key is not None and (mark.key, mark.nonce) != (clearer.key, clearer.nonce):
        return False
    return common(mark.box, clearer.box) >= _REST * max(1, min(area(mark.box), area(clearer.box)))


def _lower(found: Detection, weight: float) -> Detection:
    """A reading that had a share of the error budget."""
    less = -math.log10(weight)
    levels = (min(0.0, level + less) for level in (found.log10_p, found.log10_p_keyring))
    by_class, by_keyring = levels
    return replace(
        found, log10_p=by_class, p_value=bounded(by_class), log10_p_keyring=by_keyring, p_keyring=bounded(by_keyring)
    )


def _mark(found: Detection, box: Box, pixels: NDArray[np.uint8]) -> Mark:
    level = found.log10_p if found.answer is Answer.KEY else found.log10_p_keyring
    share = round(area(box) / (pixels.shape[0] * pixels.shape[1]), 4)
    return Mark(
        found.answer, found.key, found.nonce, bounded(level), found.log10_p, found.log10_p_keyring, box, share,
        found.stage, found.pose,
    )  # fmt: skip


def _entire(marks: Sequence[Mark], pixels: NDArray[np.uint8]) -> bool:
    """Whether the one mark covers what is left of a picture without borders of one colour."""
    if len(marks) != 1:
        return False
    content = (0, 0, *pixels.shape[:2])
    inner = trim(pixels)
    return any(common(box, marks[0].box) >= WHOLE * area(box) for box in (content, *inner))


def _covered(marks: Sequence[Mark], pixels: NDArray[np.uint8], cells: int = 1000) -> float:
    """Share of the area that the boxes of all marks cover."""
    mask = np.zeros((cells, cells), np.bool_)
    scale = np.array([*pixels.shape[:2]] * 2) / cells
    for mark in marks:
        top, left, bottom, right = (round(side) for side in np.array(mark.box) / scale)
        mask[top:bottom, left:right] = True
    return round(float(mask.mean()), 4)
