"""Intervals and paired tests of the experiments; thin over scipy."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05
"""Below which a p-value is called significant."""
Setting = TypeVar("Setting", bound=Hashable)


@dataclass(frozen=True)
class Mean:
    """A mean and the 95 % interval of Student's t; the ends are NaN for a single value."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    def text(self, digits: int = 2) -> str:
        """``-21.70 ± 0.35``, or the mean alone where no interval is known."""
        if not math.isfinite(self.half_width):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ± {self.half_width:.{digits}f}"


def mean(values: Sequence[float]) -> Mean:
    """Mean of at least one value, with its 95 % interval over pictures."""
    data = np.asarray(values, np.float64)
    centre = float(data.mean())
    if len(data) < 2:
        return Mean(centre, math.nan, math.nan)
    reach = float(stats.t.ppf(0.975, len(data) - 1) * data.std(ddof=1) / math.sqrt(len(data)))
    return Mean(centre, centre - reach, centre + reach)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Exact two-sided p-value that two methods are right equally often, on the same pictures (McNemar 1947)."""
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests corrected so that any of them errs with the level's probability (Holm 1979).

    NaN stays NaN and counts as no test.
    """
    known = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    corrected, highest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def paired(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p-value that paired values have the same mean (Student's t).

    NaN where it cannot be told: fewer than two pairs, or differences without any spread.
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if len(difference) < 2 or np.ptp(difference) == 0:
        return math.nan
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def p_text(p: float) -> str:
    """``p = 0.012``, or that it cannot be told."""
    return "too few pictures to tell" if math.isnan(p) else f"p = {p:.2g}"


def chosen_elsewhere(values: Mapping[Setting, Sequence[float]]) -> list[float]:
    """For every picture its value under the setting that is best (least) on the mean of the *other* pictures.

    ``values``: of one family's settings, by picture, in one order.  A choice made on the pictures that it is judged
    by looks better than it is; this one does not.  With a single picture there are no others, and its least is taken.
    """
    settings = list(values)
    table = np.nan_to_num(np.asarray([values[setting] for setting in settings], np.float64), nan=1e9, posinf=1e9)
    count = table.shape[1]
    if count < 2:
        return table.min(0).tolist()
    others = (table.sum(1, keepdims=True) - table) / (count - 1)  # [settings, pictures]
    return [float(table[row, i]) for i, row in enumerate(others.argmin(0))]


@dataclass(frozen=True)
class Line:
    """Least squares y = intercept + slope x, with the slope's 95 % interval and Pearson's r."""

    slope: float
    intercept: float
    low: float
    high: float
    r: float
    p_value: float


def line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Fit a line through at least three points that do not all have one x."""
    fit = stats.linregress(x, y)
    reach = float(stats.t.ppf(0.975, len(x) - 2) * fit.stderr)
    slope = float(fit.slope)
    return Line(slope, float(fit.intercept), slope - reach, slope + reach, float(fit.rvalue), float(fit.pvalue))


def band(x: Sequence[float], y: Sequence[float], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Low, middle and high of the fitted mean at ``at``, with its 95 % interval: ``[3, len(at)]``."""
    data, fit = np.asarray(x), line(x, y)
    left = np.asarray(y) - fit.intercept - fit.slope * data
    deviation = math.sqrt(float((left**2).sum()) / (len(data) - 2))
    spread = np.sqrt(1 / len(data) + (at - data.mean()) ** 2 / ((data - data.mean()) ** 2).sum())
    reach = float(stats.t.ppf(0.975, len(data) - 2)) * deviation * spread
    middle = fit.intercept + fit.slope * at
    return np.stack([middle - reach, middle, middle + reach])


@dataclass(frozen=True)
class Ranks:
    """Spearman's rank correlation, its p-value, and its 95 % interval; the ends are NaN for fewer than four points."""

    value: float
    low: float
    high: float
    p_value: float


def ranks(x: Sequence[float], y: Sequence[float]) -> Ranks:
    """Rank correlation of at least three points that do not all have one x or one y.

    No single point can carry it, as one can a line's r.  Interval: Fisher's z with the variance
    (1 + value^2 / 2) / (n - 3) of Bonett and Wright, Psychometrika 2000.
    """
    found = stats.spearmanr(x, y)
    value, n = float(found.statistic), len(x)
    if n < 4 or abs(value) >= 1:
        return Ranks(value, math.nan, math.nan, float(found.pvalue))
    reach = float(stats.norm.ppf(0.975)) * math.sqrt((1 + value**2 / 2) / (n - 3))
    low, high = math.tanh(math.atanh(value) - reach), math.tanh(math.atanh(value) + reach)
    return Ranks(value, low, high, float(found.pvalue))
