"""Which pictures are worth looking at: one of every key, and the strangest."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from ..batch import UNKNOWN
from ..types import Answer
from .rows import Seen

EACH = 6
"""Pictures of every kind of strangeness."""

KEYS = 24
"""Keys of which a picture is shown."""

_NEAR = 3.0  # powers of ten from the threshold


@dataclass
class Best:
    """The ``most`` pictures of the highest score."""

    most: int
    heap: list[tuple[float, int, Seen]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    def offer(self, score: float, one: Seen) -> None:
        """Take it, if it is among the best; of equal ones the first."""
        entry = (score, -next(self.numbers), one)
        if len(self.heap) < self.most:
            heapq.heappush(self.heap, entry)
        else:
            heapq.heappushpop(self.heap, entry)

    def sorted(self) -> list[Seen]:
        """Best first."""
        return [one for _, _, one in sorted(self.heap, key=lambda entry: entry[:2], reverse=True)]


Score = Callable[[Seen, float], float | None]
"""How strange a picture is, at a threshold (log10); None: not at all."""


def _false_positive(one: Seen, _: float) -> float | None:
    return -(one.row.log10_p or 0) if one.label is None and one.row.answer in _NAMED else None


def _is_marked(one: Seen) -> bool:
    return one.label is not None and one.label is not UNKNOWN


def _wrong_key(one: Seen, _: float) -> float | None:
    return -(one.row.log10_p or 0) if _is_marked(one) and one.row.key and one.row.wrong else None


def _missed(one: Seen, _: float) -> float | None:
    return one.row.log10_p if _is_marked(one) and one.row.answer == Answer.NONE.value else None


def _keyring(one: Seen, _: float) -> float | None:
    return -(one.row.log10_p or 0) if one.row.answer == Answer.KEYRING.value else None


def _nearly(one: Seen, threshold: float) -> float | None:
    p = one.row.log10_p
    near = p is not None and threshold < p < threshold + _NEAR and one.row.answer == Answer.NONE.value
    return -p if near and p is not None else None


def _narrowly(one: Seen, threshold: float) -> float | None:
    p = one.row.log10_p
    return p if p is not None and one.row.answer in _NAMED and p > threshold - _NEAR else None


def _posed(one: Seen, _: float) -> float | None:
    if one.box is not None:
        return 1.0
    if one.pose is None or one.row.answer not in _NAMED:
        return None
    turn = abs((one.pose["angle"] + 45) % 90 - 45)
    return 3 * one.pose["mirror"] + turn + 20 * abs(one.pose["scale"] - 1) + abs(one.pose["angle"]) / 90


def _damaged(one: Seen, _: float) -> float | None:
    return 1.0 if "Damaged" in one.row.notes else None


_NAMED = (Answer.KEY.value, Answer.KEYRING.value)

KINDS: tuple[tuple[str, Score], ...] = (
    ("Labelled unmarked, but a mark was found: a false positive, or a wrong label.", _false_positive),
    ("Another key than its label says.", _wrong_key),
    ("Labelled as marked, but nothing was found.", _missed),
    ("A mark of this keyring, but no key.", _keyring),
    ("Nearly named: p is not far above the threshold.", _nearly),
    ("Named, but narrowly.", _narrowly),
    ("", _posed),
    ("The file is damaged.", _damaged),
)
"""What makes a picture strange, strangest first, and how much of it; a pose speaks for itself."""


class Picker:
    """Takes every picture and keeps those worth showing; copies are passed over."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.named: dict[str, Seen] = {}  # the surest of every key
        self._kinds = [Best(EACH) for _ in KINDS]

    def offer(self, one: Seen) -> None:
        """Take one picture."""
        if one.row.copy:
            return
        self._offer_key(one)
        for best, (_, score) in zip(self._kinds, KINDS, strict=True):
            if (height := score(one, self.threshold)) is not None:
                best.offer(height, one)

    def _offer_key(self, one: Seen) -> None:
        key, p = one.row.key, one.row.log10_p
        if not key or p is None:
            return
        best = self.named.get(key)
        if best is None and len(self.named) >= KEYS:
            return
        if best is None or p < (best.row.log10_p or 0):
            self.named[key] = one

    def strange(self) -> list[tuple[str, Seen]]:
        """Pictures and what is strange about them, each once."""
        told: dict[str, tuple[str, Seen]] = {}
        for best, (remark, _) in zip(self._kinds, KINDS, strict=True):
            for one in best.sorted():
                told.setdefault(one.row.file, (remark, one))
        return list(told.values())


def is_unmarked(one: Seen, labelled: bool) -> bool:
    """Whether a picture is taken for one without a mark: by its label; without labels, where it is not named."""
    if one.row.log10_p is None or one.row.copy:
        return False
    return one.label is None if labelled else one.label is UNKNOWN and one.row.answer == Answer.NONE.value
