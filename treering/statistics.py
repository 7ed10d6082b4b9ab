"""Which class was found for pictures of which class, and how sure the rates are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

from .errors import InputError
from .types import Answer, Class, Found, Key, order

CONFIDENCE = 0.95
"""Confidence of the intervals, unless another is asked for."""


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval (low, high) of a probability, both in [0, 1]; (0, 1) for no trials.

    Wilson, J. Am. Stat. Assoc. 22 (1927) 209; equation (4) of Brown, Cai and DasGupta, Statist. Sci. 16
    (2001) 101.  Raises ``InputError`` for counts or a confidence that cannot be.
    """
    if not 0 <= successes <= trials:
        raise InputError(f"There cannot be {successes} successes in {trials} trials.")
    if not 0 < confidence < 1:
        raise InputError("A confidence must lie between 0 and 1.")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (successes + z**2 / 2) / (trials + z**2)
    half = z / (trials + z**2) * math.sqrt(successes * (trials - successes) / trials + z**2 / 4)
    # At the ends the formula gives exactly 0 and 1, but for rounding.
    low = max(0.0, centre - half) if successes else 0.0
    high = min(1.0, centre + half) if successes < trials else 1.0
    return low, high


@dataclass(frozen=True)
class Rate:
    """``count`` of ``total`` pictures, with Wilson's interval."""

    count: int
    total: int
    confidence: float = CONFIDENCE

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None of no pictures."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high end, 0 to 1."""
        return wilson(self.count, self.total, self.confidence)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        low, high = self.interval
        head = {"count": self.count, "total": self.total, "rate": self.value}
        return {**head, "low": low, "high": high, "confidence": self.confidence}


OTHERS = (Answer.KEYRING, Answer.NOT_ASSESSABLE)
"""Answers that are no label: each has a column of its own."""


@dataclass(frozen=True)
class Confusion:
    """Counts of pictures by true and by found class.

    ``labels``: the classes, rising (of several keyrings, keyring by keyring), then None for unmarked.
    ``counts``: ``[L][L]``, rows are true, columns found classes.  ``keyring`` and ``not_assessable``: ``[L]``, pictures
    of every row in which a mark was found whose class cannot be read, and those of which nothing can be said; ``()``
    where there are none.  Raises ``InputError`` for any other form.
    """

    labels: tuple[Class | None, ...]
    counts: tuple[tuple[int, ...], ...]
    keyring: tuple[int, ...] = ()
    not_assessable: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        classes = [label for label in self.labels if label is not None]
        if self.labels != (*sorted(set(classes), key=order), None):
            raise InputError("The labels of a confusion matrix are rising classes, then none.")
        if [len(row) for row in self.counts] != [len(self.labels)] * len(self.labels):
            raise InputError("A confusion matrix has a row and a column for every label.")
        if any(column and len(column) != len(self.labels) for column in (self.keyring, self.not_assessable)):
            raise InputError("A column of a confusion matrix has a count for every label.")
        if any(count < 0 for row in (*self.counts, self.keyring, self.not_assessable) for count in row):
            raise InputError("A confusion matrix holds counts, which are not negative.")

    @classmethod
    def of(cls, pairs: Iterable[tuple[Class | None, Found]], classes: Iterable[Class] = ()) -> Confusion:
        """Count (true, found) pairs; ``classes`` get a row and a column even if they do not occur."""
        cells = Counter(pairs)
        known = {label for pair in cells for label in pair if isinstance(label, int | Key)}.union(classes)
        labels = (*sorted(known, key=order), None)
        keyring, not_assessable = (_column(cells, labels, answer) for answer in OTHERS)
        return cls(
            labels, tuple(tuple(cells[true, found] for found in labels) for true in labels), keyring, not_assessable
        )

    @cached_property
    def total(self) -> int:
        """Pictures counted."""
        return sum(self.totals)

    @cached_property
    def totals(self) -> tuple[int, ...]:
        """Pictures of every row, ``[L]``."""
        return tuple(sum(row) + self.others(i) for i, row in enumerate(self.counts))

    def others(self, row: int) -> int:
        """Pictures of a row that are in none of the columns of ``counts``."""
        return sum(column[row] for column in (self.keyring, self.not_assessable) if column)

    @property
    def accuracy(self) -> Rate:
        """Pictures found to be what they are, marked or not, of all."""
        return Rate(sum(row[i] for i, row in enumerate(self.counts)), self.total)

    @property
    def false_positives(self) -> Rate:
        """Unmarked pictures in which a mark was found, of all unmarked ones."""
        keyring = self.keyring[-1] if self.keyring else 0
        return Rate(sum(self.counts[-1][:-1]) + keyring, self.totals[-1])

    @property
    def wrong_class(self) -> Rate:
        """Marked pictures in which another class was found, of all marked ones."""
        wrong = sum(sum(row[:-1]) - row[i] for i, row in enumerate(self.counts[:-1]))
        return Rate(wrong, self._marked)

    @property
    def missed(self) -> Rate:
        """Marked pictures in which nothing was found, or of which nothing can be said, of all marked ones."""
        unsaid = sum(self.not_assessable[:-1]) if self.not_assessable else 0
        return Rate(sum(row[-1] for row in self.counts[:-1]) + unsaid, self._marked)

    @property
    def unread(self) -> Rate:
        """Marked pictures in which a mark was found whose class cannot be read, of all marked ones."""
        return Rate(sum(self.keyring[:-1]) if self.keyring else 0, self._marked)

    @property
    def unassessed(self) -> Rate:
        """Pictures of which nothing can be said, of all."""
        return Rate(sum(self.not_assessable), self.total)

    @property
    def _marked(self) -> int:
        return self.total - self.totals[-1]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; null among the labels is none."""
        names = ("accuracy", "false_positives", "wrong_class", "missed", "unread", "unassessed")
        rates = {name: getattr(self, name).as_dict() for name in names}
        columns = {"keyring": list(self.keyring), "not_assessable": list(self.not_assessable)}
        labels = [f"{one.keyring} {one.key}" if isinstance(one, Key) else one for one in self.labels]
        head = {"labels": labels, "counts": [list(row) for row in self.counts], "total": self.total}
        return head | columns | rates


def _column(
    cells: Counter[tuple[Class | None, Found]], labels: tuple[Class | None, ...], answer: Answer
) -> tuple[int, ...]:
    column = tuple(cells[true, answer] for true in labels)
    return column if any(column) else ()
