"""Spectrum against keys: scores, p-values and the best class; knows no model and no picture.

The exact test holds for every picture.  If a picture was made without this secret, the values of a
key are random *given the picture*, whatever the picture, the model or the quality of the inversion.
For complex values CN(0, 1) the score S = Re sum w conj(m) key is then N(0, 1/2 sum w^2 |m|^2), and
for real values N(0, sum w^2 (Re m)^2).  So z = S / sd is standard normal, p = 1 - Phi(z), and the
least of n independent p-values is corrected by p = 1 - (1 - p_min)^n (Sidak 1967).

The classical test (Wen et al. 2023, section 3.3) takes the key as fixed and the noise as random:
2 sum |F - key|^2 over the half plane is noncentral chi-squared with two degrees of freedom a point
and noncentrality 2 sum |key|^2.  It holds only as far as inverted noise is white and of variance 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from ..types import Match

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Blocks = Iterable[tuple[Sequence[int], Complexes]]
"""Classes and their values ``[K, D]``, a block at a time."""

_LN10 = math.log(10)


def null_deviation(means: Complexes, weights: Floats, real: bool) -> Floats:
    """Standard deviation of the score of a random key: means ``[B, D]`` to ``[B]``."""
    power = weights**2 * (means.real**2 if real else 0.5 * np.abs(means) ** 2)
    deviation: Floats = np.sqrt(power.sum(1))
    return deviation


def scores(means: Complexes, values: Complexes, weights: Floats, real: bool) -> Floats:
    """Standardised scores z ``[B, K]`` of means ``[B, D]`` against key values ``[K, D]``."""
    deviation = null_deviation(means, weights, real)
    weighted: NDArray[Any] = means * weights
    if real:
        weighted = weighted.real + 0j
    unit = weighted / np.where(deviation > 0, deviation, np.inf)[:, None]
    left = np.concatenate([unit.real, unit.imag], 1)  # one real matrix product
    right = np.concatenate([values.real, values.imag], 1)
    z: Floats = left @ right.T
    return z


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


def classical_log_p(coefficients: Complexes, values: Complexes, cell: NDArray[np.int64]) -> Floats:
    """ln of the classical p-value: coefficients ``[N]``, values of one key ``[D]``; down to ln 1e-300."""
    key = values[cell]
    distance = 2 * float((np.abs(coefficients - key) ** 2).sum())
    p = stats.ncx2.cdf(distance, 2 * len(key), 2 * float((np.abs(key) ** 2).sum()))
    return np.log(np.clip(np.nan_to_num(p, nan=1.0), 1e-300, 1.0))


def closed_set(coefficients: Complexes, values: Complexes, cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """The paper's rule, for reproduction only: argmin of mean |F - key|; ``[B, N]``, ``[K, D]`` to ``[B]``.

    Where inversion shrinks amplitudes it favours the key of least energy; :func:`closed_set_fitted` does not.
    """
    distance = np.stack([np.abs(coefficients - value[cell]).mean(1) for value in values], 1)
    return distance.argmin(1)


def closed_set_fitted(coefficients: Complexes, values: Complexes, cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """The paper's rule after a gain: argmin of mean |F - g key|; ``[B, N]``, ``[K, D]`` to ``[B]``.

    For every key, g is the real gain of least squares, Re <key, F> / <key, key>.  Only keys of positive gain are
    compared, as inversion shrinks a mark but does not turn it over; -1, which is no key, where there are none.
    The answer does not depend on the scale of F.
    """
    distance = np.stack([_fitted_distance(coefficients, value[cell]) for value in values], 1)
    return np.where(np.isfinite(distance).any(1), distance.argmin(1), -1)


def _fitted_distance(coefficients: Complexes, key: Complexes) -> Floats:
    """Mean |F - g key| with the best gain, infinite where that is not positive: ``[B, N]``, ``[N]`` to ``[B]``."""
    energy = max(float((np.abs(key) ** 2).sum()), np.finfo(np.float64).tiny)
    gain = (coefficients @ key.conj()).real / energy
    distance: Floats = np.abs(coefficients - gain[:, None] * key).mean(1)
    return np.where(gain > 0, distance, np.inf)


def match(
    coefficients: Complexes,
    means: Complexes,
    blocks: Blocks,
    weights: Floats,
    cell: NDArray[np.int64],
    real: bool = False,
    transforms: int = 1,
) -> list[Match]:
    """Best class of every reading, by the exact test.

    ``coefficients`` ``[B, N]`` and their ``means`` over cells ``[B, D]``; ``cell``: cell of every
    coefficient, int64 ``[N]``.  ``transforms``: how many flips or rotations were tried, this one included.
    """
    best, z = np.zeros(len(means), np.int64), np.full(len(means), -np.inf)
    chosen, searched = np.zeros_like(means), 0
    for keys, values in blocks:
        block = scores(means, values, weights, real)
        top = block.argmax(1)
        height = block[np.arange(len(block)), top]
        better = height > z
        z = np.where(better, height, z)
        best = np.where(better, np.asarray(keys, np.int64)[top], best)
        chosen[better] = values[top[better]]
        searched += len(keys)
    tests = searched * transforms
    exact = log_p(z, tests) / _LN10
    fixed = [sidak(classical_log_p(c, v, cell), tests) / _LN10 for c, v in zip(coefficients, chosen, strict=True)]
    return [Match(int(k), float(s), float(e), float(f)) for k, s, e, f in zip(best, z, exact, fixed, strict=True)]


def match_public(
    coefficients: Complexes, keys: Sequence[int], values: Complexes, cell: NDArray[np.int64], transforms: int = 1
) -> list[Match]:
    """Best of ``keys``, with ``values`` ``[K, D]``, where they are public (``paper``): by the classical test.

    The exact test has no meaning there, so the classical p-value stands in both places and z is 0.
    """
    results = []
    for reading in coefficients:
        logs = np.asarray([classical_log_p(reading, value, cell) for value in values])
        best = int(logs.argmin())
        corrected = float(sidak(logs[best], len(values) * transforms)) / _LN10
        results.append(Match(int(keys[best]), 0.0, corrected, corrected))
    return results
