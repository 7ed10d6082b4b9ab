"""Spectrum against keys: scores and the best class; knows no model and no picture.

What a score is worth stands in :mod:`treering.marks.nulls`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Match
from .nulls import classical_log_p, log_p, null_deviation, sidak

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Block = tuple[Sequence[int], Sequence[int], Complexes]
"""Marks: their classes ``[R]``, their nonces ``[R]``, and their values ``[R, D]``."""
Blocks = Iterable[Block]
"""Marks to search, a block at a time."""

_LN10 = math.log(10)


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
    searched: int | None = None,
) -> list[Match]:
    """Best mark of every reading, by the exact test.

    ``coefficients`` ``[B, N]`` and their ``means`` over cells ``[B, D]``; ``cell``: cell of every
    coefficient, int64 ``[N]``.  ``transforms``: how many flips or rotations were tried, this one included.
    ``searched``: marks to correct for, where a screen left only some of them in the blocks.
    """
    best, z = np.zeros((len(means), 2), np.int64), np.full(len(means), -np.inf)
    chosen, seen = np.zeros_like(means), 0
    for keys, nonces, values in blocks:
        block = scores(means, values, weights, real)
        top = block.argmax(1)
        height = block[np.arange(len(block)), top]
        better = height > z
        z = np.where(better, height, z)
        best = np.where(better[:, None], np.asarray([keys, nonces], np.int64).T[top], best)
        chosen[better] = values[top[better]]
        seen += len(keys)
    tests = max(seen, searched or 0) * transforms
    empty = ~(null_deviation(means, weights, real) > 0)  # nothing was read, so nothing is known: p = 1
    exact = np.where(empty, 0.0, log_p(z, tests) / _LN10)
    fixed = [sidak(classical_log_p(c, v, cell), tests) / _LN10 for c, v in zip(coefficients, chosen, strict=True)]
    rows = zip(best.tolist(), z.tolist(), exact.tolist(), fixed, strict=True)
    return [Match(key, s, e, float(f), nonce) for (key, nonce), s, e, f in rows]


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
