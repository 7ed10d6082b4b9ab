"""Null distributions: what a score is worth if the picture was made without this secret.

**Exact.**  If a picture was made without this secret, the values of a key are random *given the picture*,
whatever the picture, the model or the quality of the inversion.  For complex values CN(0, 1) the score
S = Re sum w conj(m) key is then N(0, 1/2 sum w^2 |m|^2), and for real values N(0, sum w^2 (Re m)^2).  So z = S / sd
is standard normal and p = 1 - Phi(z).

**Many hypotheses.**  The least of n independent p-values is corrected by 1 - (1 - p)^n (Sidak 1967).  Hypotheses of
unequal weight w_h, sum w_h <= 1, whatever their dependence: min p_h / w_h (weighted Bonferroni; Genovese, Roeder and
Wasserman 2006).  Weights must not depend on the values under test.

**Classical** (Wen et al. 2023, section 3.3): the key is fixed and the noise is random.  2 sum |F - key|^2 over the half
plane is noncentral chi-squared with two degrees of freedom a point and noncentrality 2 sum |key|^2.  It holds only as
far as inverted noise is white and of variance 1, so it is reported for comparison alone.

All logarithms are natural and go far below the smallest double.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from ..errors import InputError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_ROUNDING = 1e-9
"""By how much a sum of weights may exceed 1 through rounding; it is divided by its sum then."""


def null_deviation(means: Complexes, weights: Floats, real: bool) -> Floats:
    """Standard deviation of the score of a random key: means ``[B, D]`` to ``[B]``."""
    power = weights**2 * (means.real**2 if real else 0.5 * np.abs(means) ** 2)
    deviation: Floats = np.sqrt(power.sum(1))
    return deviation


def log_p(z: Floats | float, tests: int = 1) -> Floats:
    """ln of the p-value of the largest z of ``tests`` searched; accurate far into the tail."""
    single = special.log_ndtr(-np.asarray(z, np.float64))
    return sidak(single, tests)


def sidak(log_single: Floats | float, tests: int) -> Floats:
    """ln of 1 - (1 - p)^tests, from ln p."""
    single = np.asarray(log_single, np.float64)
    with np.errstate(divide="ignore", under="ignore"):
        none = tests * np.log1p(-np.exp(single))  # ln of no success in all tests
        exact = np.log(-np.expm1(none))
    corrected: Floats = np.where(single < -30, np.minimum(single + math.log(tests), 0), exact)
    return corrected


def bonferroni(log_single: Floats, log_weight: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Weighted Bonferroni: ln of min p_h / w_h, at most 0, and the hypothesis it comes from.

    ``log_single`` ``[..., H]`` are ln p, ``log_weight`` ``[H]`` ln w, minus infinity for a hypothesis that cannot win.
    Returns ``[...]`` twice.  Raises ``InputError`` where the weights sum to more than 1: the result would be too small.
    """
    total = max(0.0, float(special.logsumexp(log_weight)))
    if total > _ROUNDING:
        raise InputError("The weights of all hypotheses together must not exceed 1.")
    with np.errstate(invalid="ignore"):
        shares = np.where(np.isneginf(log_weight), np.inf, np.asarray(log_single, np.float64) - log_weight + total)
    best = np.where(np.isnan(shares), np.inf, shares)  # what is not a number is no evidence
    return np.minimum(best.min(-1), 0.0), best.argmin(-1)


def classical_log_p(coefficients: Complexes, values: Complexes, cell: NDArray[np.int64]) -> Floats:
    """ln of the classical p-value: coefficients ``[N]``, values of one key ``[D]``; down to ln 1e-300."""
    key = values[cell]
    distance = 2 * float((np.abs(coefficients - key) ** 2).sum())
    p = _noncentral(distance, 2 * len(key), 2 * float((np.abs(key) ** 2).sum()))
    return np.log(np.clip(np.nan_to_num(p, nan=1.0), 1e-300, 1.0))


def _noncentral(x: float, degrees: int, noncentrality: float) -> float:
    """Distribution function of the noncentral chi-squared; by another algorithm where scipy's first overflows."""
    try:
        return float(stats.ncx2.cdf(x, degrees, noncentrality))
    except OverflowError:  # of scipy before 1.16, for many degrees of freedom
        return float(special.chndtr(x, degrees, noncentrality))
