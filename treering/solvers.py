"""Gradient-free root finders: torch only; they know no image, no time and no model.

A root ``r(x) = 0`` is sought for a residual whose Jacobian is near the identity, so that a step of
size 1 is natural.  A *method* is a frozen dataclass of numbers; its *state* is a dictionary of
tensors whose first axis is the sample, private to the method; :func:`solve` is the one driver that
owns the budget, the stopping tests, non-finite values and the choice of the iterate.  No sample's
result depends on its neighbours in the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from .types import Residual, Solution, Status

State = dict[str, Tensor]
Rates = Literal["cosine", "fixed"]


class Method(Protocol):
    """From an iterate and its residual to the next iterate."""

    def begin(self, x: Tensor) -> State:
        """State before the first step."""
        ...

    def step(self, state: State, x: Tensor, r: Tensor, progress: tuple[int, int]) -> Tensor:
        """Next iterate ``[A, ...]``; updates ``state``.  ``progress`` is (step from 0, budget)."""
        ...


def factor(schedule: Rates, step: int, budget: int) -> float:
    """Multiple of the step size at a step.

    ``cosine`` is the schedule of Hong et al. 2024: linear warm-up over the first 10 % of the budget, then
    a half cosine over the budget, held from 80 % on.  ``fixed``: 1.
    """
    if schedule == "fixed":
        return 1.0
    warm = max(round(0.1 * budget), 1)
    return min((step + 1) / warm, 1.0) * 0.5 * (1 + math.cos(math.pi * min(step / budget, 0.8)))


@dataclass(frozen=True)
class ForwardStep:
    """x <- x - rho r(x): Hong et al. 2024, eq. (4), "vanilla forward step method"."""

    rho: float = 1.0
    schedule: Rates = "fixed"

    def begin(self, x: Tensor) -> State:
        """No state."""
        return {}

    def step(self, state: State, x: Tensor, r: Tensor, progress: tuple[int, int]) -> Tensor:
        """One forward step."""
        return x - self.rho * factor(self.schedule, *progress) * r


@dataclass(frozen=True)
class InertialKM:
    """y = x + alpha (x - x_before), x <- y - rho r(y): inertial Krasnoselskii-Mann (Hong et al. 2024, eq. (5)).

    The iterates that the driver sees are the extrapolated points ``y``, where the residual is needed; the last
    step of the budget is not extrapolated, so that what is returned then is ``x``.
    """

    rho: float = 1.0
    alpha: float = 0.5
    schedule: Rates = "fixed"

    def begin(self, x: Tensor) -> State:
        """The point before the extrapolation."""
        return {"x": x}

    def step(self, state: State, x: Tensor, r: Tensor, progress: tuple[int, int]) -> Tensor:
        """One forward step from the extrapolated point, then the next extrapolation if there is one."""
        (k, budget), new = progress, x - self.rho * factor(self.schedule, *progress) * r
        before, state["x"] = state["x"], new
        return new if k + 1 == budget else new + self.alpha * (new - before)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015) with the residual in place of a gradient: Hong et al. 2024, section 4.

    ``schedule``: see :func:`factor`.
    """

    rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    schedule: Rates = "cosine"
    epsilon: float = 1e-8

    def begin(self, x: Tensor) -> State:
        """First and second moment."""
        return {"m": torch.zeros_like(x), "v": torch.zeros_like(x)}

    def step(self, state: State, x: Tensor, r: Tensor, progress: tuple[int, int]) -> Tensor:
        """One step with bias-corrected moments."""
        k = progress[0] + 1
        m = state["m"] = self.beta1 * state["m"] + (1 - self.beta1) * r
        v = state["v"] = self.beta2 * state["v"] + (1 - self.beta2) * r * r
        mean, power = m / (1 - self.beta1**k), v / (1 - self.beta2**k)
        return x - self.rate * factor(self.schedule, *progress) * mean / (power.sqrt() + self.epsilon)


@dataclass(frozen=True)
class Anderson:
    """Anderson acceleration of the forward step (Anderson 1965; type II of Walker and Ni 2011, eq. 2.1).

    The next iterate is a forward step from that affine combination of the last ``window`` + 1
    iterates whose combined residual is least; ``ridge`` regularises the least squares.
    """

    window: int = 5
    rho: float = 1.0
    ridge: float = 1e-8

    def begin(self, x: Tensor) -> State:
        """Iterates and residuals, ``[A, 0, n]``."""
        empty = x.new_zeros((len(x), 0, x[0].numel()))
        return {"x": empty, "r": empty}

    def step(self, state: State, x: Tensor, r: Tensor, progress: tuple[int, int]) -> Tensor:
        """Combine the history, then step."""
        flat_x, flat_r = x.flatten(1)[:, None], r.flatten(1)[:, None]  # [A, 1, n]
        xs = state["x"] = torch.cat([state["x"], flat_x], 1)[:, -self.window - 1 :]
        rs = state["r"] = torch.cat([state["r"], flat_r], 1)[:, -self.window - 1 :]
        if xs.shape[1] == 1:
            return x - self.rho * r
        dx, dr = flat_x - xs[:, :-1], flat_r - rs[:, :-1]  # [A, m, n]
        gamma = torch.stack([self._combine(d, f) for d, f in zip(dr, flat_r[:, 0], strict=True)])
        correction = (gamma[:, :, None] * (dx - self.rho * dr)).sum(1)  # [A, n]
        return (flat_x[:, 0] - self.rho * flat_r[:, 0] - correction).view_as(x)

    def _combine(self, dr: Tensor, r: Tensor) -> Tensor:
        """Least squares ``min |r - gamma dr|`` of one sample: ``[m]``."""
        d = dr.cpu().double()  # a few rows; not every device has float64
        gram = d @ d.T
        gram = gram + (self.ridge * gram.diagonal().mean() + 1e-30) * torch.eye(len(d), dtype=d.dtype)
        if not torch.isfinite(gram).all():
            return r.new_full((len(d),), math.nan)
        gamma: Tensor = torch.linalg.lstsq(gram, d @ r.cpu().double()).solution
        return gamma.to(r.dtype).to(r.device)


@dataclass(frozen=True)
class BarzilaiBorwein:
    """x <- x - s r with the step of Barzilai and Borwein 1988, s = <dx, dr> / <dr, dr>, kept between two bounds.

    The first step is ``high``.
    """

    low: float = 0.25
    high: float = 1.0

    def begin(self, x: Tensor) -> State:
        """The iterate before, and its residual: NaN, which makes the first step ``high``."""
        nothing = torch.full_like(x, math.nan)
        return {"x": nothing, "r": nothing}

    def step(self, state: State, x: Tensor, r: Tensor, progress: tuple[int, int]) -> Tensor:
        """One step, of a size of its own for every sample."""
        dx, dr = (x - state["x"]).flatten(1).cpu().double(), (r - state["r"]).flatten(1).cpu().double()
        sizes = [float((a * b).sum() / (b * b).sum()) for a, b in zip(dx, dr, strict=True)]
        kept = [min(max(s, self.low), self.high) if math.isfinite(s) else self.high for s in sizes]
        state["x"], state["r"] = x, r
        return x - x.new_tensor(kept).view(-1, *[1] * (x.dim() - 1)) * r


def rms(x: Tensor) -> Tensor:
    """Root mean square of every sample ``[B]``, summed sample by sample so that no neighbour shifts a bit."""
    return torch.stack([sample.float().square().mean().sqrt() for sample in x]) if len(x) else x.new_zeros(0)


def solve(
    residual: Residual,
    start: Tensor,
    method: Method,
    tolerance: float | Tensor,
    max_evaluations: int,
    patience: int | None = None,
    keep: Literal["best", "last"] = "best",
    accept: float = 1.0,
) -> Solution:
    """Find ``x`` with root-mean-square residual of at most ``tolerance``, for every sample by itself.

    ``start``: ``[B, ...]``.  ``tolerance``: one for all or one per sample ``[B]``.  ``patience``: a
    sample is given up (STALLED) after so many evaluations without a new least residual.  ``keep``:
    the evaluated iterate of least residual, or the point after the last step (as published
    implementations have it), which costs one evaluation less and is not itself evaluated.  ``accept``: an iterate
    is better only if its residual is less than this multiple of the least before it.
    """
    if max_evaluations < 0:
        raise ValueError("max_evaluations must not be negative")
    book = _Book(start, tolerance, max_evaluations)
    x, state = start, method.begin(start)
    for k in range(max_evaluations):
        r = residual(x, book.rows)
        going = book.record(k, x, r, patience, keep, accept)
        if not going.all():
            x, r, state = x[going], r[going], {name: value[going] for name, value in state.items()}
        if not len(book.rows):
            break
        if k + 1 == max_evaluations and keep == "best":
            break
        x = method.step(state, x, r, (k, max_evaluations))
        if keep == "last":
            book.advance(x)
    return book.solution()


class _Book:
    """The driver's account of every sample."""

    def __init__(self, start: Tensor, tolerance: float | Tensor, budget: int) -> None:
        count = len(start)
        self.rows = torch.arange(count, device=start.device)
        self.tolerance = torch.as_tensor(tolerance, dtype=torch.float32, device=start.device).expand(count)
        self.value, self.best = start.clone(), start.clone()
        self.residual = torch.full((count,), math.inf, device=start.device)
        self.least = self.residual.clone()
        self.evaluations = torch.zeros(count, dtype=torch.int64, device=start.device)
        self.best_at = torch.zeros_like(self.evaluations)
        self.trace = torch.full((budget, count), math.nan, device=start.device)
        self.status = [Status.BUDGET] * count

    def record(self, k: int, x: Tensor, r: Tensor, patience: int | None, keep: str, accept: float = 1.0) -> Tensor:
        """Enter evaluation ``k``; says which of the active samples go on, bool ``[A]``."""
        rows, size = self.rows, rms(r)
        self.trace[k, rows] = size
        self.evaluations[rows] = k + 1
        better = size < accept * self.least[rows]
        self.best[rows[better]] = x[better]
        self.least[rows[better]] = size[better]
        self.best_at[rows[better]] = k
        finite = torch.isfinite(size)
        done = finite & (size <= self.tolerance[rows])
        stalled = finite & ~done & (patience is not None) & (k - self.best_at[rows] >= (patience or 0))
        for mask, status in ((~finite, Status.NONFINITE), (done, Status.CONVERGED), (stalled, Status.STALLED)):
            for row in rows[mask].tolist():
                self.status[row] = status
        self.value[rows], self.residual[rows] = x, size  # the point just measured, unless ...
        back = rows if keep == "best" else rows[~finite | stalled]
        self.value[back], self.residual[back] = self.best[back], self.least[back]
        going = ~(~finite | done | stalled)
        self.rows = rows[going]
        return going

    def advance(self, x: Tensor) -> None:
        """The step's outcome is what is kept, unless it is not finite."""
        finite = torch.isfinite(x.flatten(1)).all(1)
        self.value[self.rows[finite]] = x[finite]

    def solution(self) -> Solution:
        """What has been found."""
        return Solution(self.value, self.residual, self.evaluations, tuple(self.status), self.trace)
