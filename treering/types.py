"""The plain data that rooms hand to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Status(Enum):
    """Why a solver stopped, for one sample; the value is a sentence for the user."""

    CONVERGED = "The residual reached the tolerance."
    BUDGET = "The budget of evaluations was spent before the tolerance was reached."
    STALLED = "The residual stopped falling, so the best iterate was kept."
    GUARDED = "A further step would hardly have lowered the error, so it was not taken."
    NONFINITE = "The residual became infinite or not a number; the best iterate before that was kept."


@dataclass(frozen=True)
class Solution:
    """What a solver returns, each *per sample*.

    ``value``: the iterate that was kept ``[B, ...]``.  ``residual``: root mean square of the residual
    there (or at the iterate before it, if that was the last to be evaluated), ``[B]``.
    ``evaluations``: calls of the residual, int64 ``[B]``.  ``trace``: root mean square of the residual
    at every evaluation, ``[max_evaluations, B]``, NaN once a sample has stopped.
    """

    value: Tensor
    residual: Tensor
    evaluations: Tensor
    status: tuple[Status, ...]
    trace: Tensor


@dataclass(frozen=True)
class Step:
    """One step of a sampler: ``y = a * x + b * f(scale * x, time)``, from noisy ``x`` to cleaner ``y``."""

    time: float
    a: float
    b: float
    scale: float = 1.0


@dataclass(frozen=True)
class Match:
    """One reading against the keys of one keyring.

    ``key``: the best class.  ``z``: its score in standard deviations of the null.  ``log10_p``: of
    the best class after correction for all classes and transforms tried.  ``classical_log10_p``:
    log10 of the p-value with the key fixed and the noise random (Tree-Ring, section 3.3, over the
    half plane), with the same correction.
    """

    key: int
    z: float
    log10_p: float
    classical_log10_p: float


@dataclass(frozen=True)
class Detection:
    """What is known of one picture; one line of JSON."""

    key: int | None
    p_value: float
    log10_p: float
    best_key: int
    z: float
    classical_log10_p: float
    model: str
    keyring: str
    method: str
    evaluations: int
    status: str
    seconds: float
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Fields in the order of the JSON line."""
        return {**asdict(self), "notes": list(self.notes)}


Residual = Callable[["Tensor", "Tensor"], "Tensor"]
"""``residual(x, rows)``: ``x`` is ``[A, ...]``, ``rows`` (int64 ``[A]``) says which samples of the batch
these are; returns the residual ``[A, ...]``, each sample by itself."""
