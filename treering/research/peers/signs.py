"""The exact tail of a weighted sum of random signs, far below the smallest double.

``S = sum w_i s_i`` with whole weights and independent fair signs: the distribution is a product of two-point ones, so
its transform is known, and one FFT gives it.  To be exact in the tail, it is tilted until the tail is its middle
(exponential change of measure: Cramer 1938) and tilted back.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

LEVELS, LARGEST = 4, 16
"""Whole weights: so many steps to the root mean square, up to the largest."""

_STEEPEST = 60.0


def whole(weights: Floats) -> Integers:
    """Weights as whole numbers of quarters of their root mean square; zero if they hold nothing."""
    size = math.sqrt(float((weights**2).mean())) if weights.size else 0.0
    if not (math.isfinite(size) and size > 0):
        return np.zeros(weights.shape, np.int64)
    return np.clip(np.rint(weights / size * LEVELS), -LARGEST, LARGEST).astype(np.int64)


def log10_tail(weights: Integers, score: int) -> float:
    """log10 P(S >= score) for whole weights ``[N]``; minus infinity beyond their sum."""
    count = np.bincount(np.abs(weights).ravel())
    size = np.flatnonzero(count[1:]) + 1
    return _tail(size, count[size], score)


def _tail(size: Integers, count: Integers, score: int) -> float:
    """For ``count`` weights of every ``size``: with T the sum of those whose sign is wrong, S = total - 2 T."""
    total = int((size * count).sum())
    most = (total - score) // 2  # T <= most
    if most < 0 or most >= total:
        return -math.inf if most < 0 else 0.0
    slope = _slope(size, count, most)
    scale = float((count * (np.logaddexp(0, -slope * size) - math.log(2))).sum())  # ln E exp(-slope T)
    places = np.arange(most + 1)
    inside = float((_masses(size, count, slope, total)[: most + 1] * np.exp(slope * (places - most))).sum())
    return min(0.0, (scale + slope * most + math.log(inside)) / math.log(10))


def _slope(size: Integers, count: Integers, most: int) -> float:
    """The tilt that brings the mean of T to ``most``; 0 where it is below that already."""

    def above(slope: float) -> float:
        return float((count * size * special.expit(-slope * size)).sum()) - most

    if above(0.0) <= 0:
        return 0.0
    return _STEEPEST if above(_STEEPEST) > 0 else float(optimize.brentq(above, 0.0, _STEEPEST))


def _masses(size: Integers, count: Integers, slope: float, total: int) -> Floats:
    """Probabilities of T = 0, 1, ... under the tilt."""
    length = 1 << total.bit_length()
    turn = -2j * np.pi / length * np.arange(length // 2 + 1)
    logs = np.zeros(len(turn), np.complex128)
    with np.errstate(divide="ignore"):
        for s, n in zip(size.tolist(), count.tolist(), strict=True):
            wrong = float(special.expit(-slope * s))
            logs += n * np.log(1 - wrong + wrong * np.exp(turn * s))
    masses: Floats = np.maximum(np.fft.irfft(np.exp(logs), length), 0.0)
    return masses
