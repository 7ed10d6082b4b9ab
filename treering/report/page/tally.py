"""Counts of a run, taken picture by picture, so that their number does not matter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from scipy import stats

BIN = 0.25
"""Width of the finest bins of log10 p."""

MOST = 400.0
"""log10 p below minus this is counted there."""


@dataclass
class Tally:
    """Counts of answers and of p-values.

    ``threshold``: log10 of the p-value up to which a mark is named; bins are counted from there, bin 0 the first that
    is named.  ``bins``: pictures by (answer, bin).  ``unmarked``: how often p of a picture that is taken for unmarked
    fell to each of ``levels`` (log10), copies of one file counted once; ``tested``: of how many.
    """

    threshold: float
    answers: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    bins: Counter[tuple[str, int]] = field(default_factory=Counter)
    unmarked: Counter[float] = field(default_factory=Counter)
    tested: int = 0

    @property
    def total(self) -> int:
        """Pictures counted."""
        return self.answers.total()

    @property
    def levels(self) -> tuple[float, ...]:
        """log10 of the p-values at which what was found is held against what was to be expected."""
        whole = [float(-power) for power in range(1, 13) if -power > self.threshold + 0.01]
        return (*whole, self.threshold)

    def add(self, answer: str, key: str, log10_p: float | None, unmarked: bool) -> None:
        """Count one picture; ``unmarked``: it is taken for one without a mark, and no copy of an earlier one."""
        self.answers[answer] += 1
        if key:
            self.keys[key] += 1
        if log10_p is None:
            return
        self.bins[answer, math.floor((self.threshold - max(log10_p, -MOST)) / BIN)] += 1
        if unmarked:
            self.tested += 1
            self.unmarked.update(level for level in self.levels if log10_p <= level)

    def expectations(self) -> Iterator[Expectation]:
        """What was to be expected of pictures without a mark, and what was found, level by level."""
        for level in self.levels:
            yield Expectation(level, self.tested * 10**level, self.unmarked[level])


@dataclass(frozen=True)
class Expectation:
    """``expected``: pictures without a mark whose p falls to ``level`` (log10), on average, at most; and ``found``."""

    level: float
    expected: float
    found: int

    @property
    def chance(self) -> float:
        """Probability of so many or more, of independent pictures (Poisson)."""
        return float(stats.poisson.sf(self.found - 1, self.expected)) if self.found else 1.0

    @property
    def words(self) -> str:
        """Whether that is as expected."""
        if self.found <= self.expected or self.chance > 0.05:
            return "as expected"
        return "a little more than expected" if self.chance > 0.001 else "more than expected"
