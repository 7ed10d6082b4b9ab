"""Intervals and paired tests of the experiments; thin over scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


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
