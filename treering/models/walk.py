"""A sampler's way from noise to latent and back: every step undone, last one first.

One step is y = a x + b f(x, t); its root finding problem is r(x) = (a x + b f(x, t) - y) / a.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ..solvers import ForwardStep, solve
from ..types import Solution, Status, Step
from .schedule import Schedule

Denoiser = Callable[[Tensor, float, Tensor], Tensor]
"""``f(x, time, rows)``: model output ``[A, C, h, w]`` for the samples ``rows`` of the batch."""

Scheme = Literal["naive", "fixed-point"]
_WORST = (Status.CONVERGED, Status.BUDGET, Status.STALLED, Status.NONFINITE)
"""Statuses from good to bad; a walk is as good as its worst step."""


def apply_step(step: Step, f: Denoiser, x: Tensor, rows: Tensor) -> Tensor:
    """y = a x + b f(scale x, t)."""
    return step.a * x + step.b * f(step.scale * x, step.time, rows)


def sample(schedule: Schedule, f: Denoiser, noise: Tensor) -> Tensor:
    """Noise ``[B, C, h, w]`` to a latent, through all steps."""
    x, rows = schedule.init * noise, torch.arange(len(noise))
    for step in schedule.steps:
        x = apply_step(step, f, x, rows)
    return x


def invert_sampler(
    schedule: Schedule,
    f: Denoiser,
    latent: Tensor,
    scheme: Scheme = "naive",
    tolerance: float = 1e-3,
    max_evaluations: int = 20,
) -> Tensor:
    """Latent ``[B, C, h, w]`` back to noise: the first of :func:`levels`, of unit variance."""
    return invert(schedule, f, latent, scheme, tolerance, max_evaluations).value


def invert(
    schedule: Schedule,
    f: Denoiser,
    latent: Tensor,
    scheme: Scheme = "naive",
    tolerance: float = 1e-3,
    max_evaluations: int = 20,
) -> Solution:
    """As :func:`invert_sampler`, with what became of every sample.

    ``status``: the worst of all steps; of naive steps, which nothing checks, BUDGET or NONFINITE.  ``residual``: the
    largest of all steps, NaN where steps are naive.  ``evaluations``: calls of f.  ``trace``: the residual of every
    step, ``[steps, B]``, last step of the sampler first.
    """
    undo = _naive if scheme == "naive" else _solver(f, tolerance, max_evaluations, "best")
    return _joined(list(_back(schedule, f, latent, undo)), schedule.init)


def recover(schedule: Schedule, f: Denoiser, latent: Tensor, evaluations: int = 1, tolerance: float = 1e-5) -> Solution:
    """As :func:`invert`, by so many evaluations of f a step: one is naive, more are a fixed-point iteration."""
    undo = _naive if evaluations == 1 else _solver(f, tolerance, evaluations - 1, "last")
    return _joined(list(_back(schedule, f, latent, undo)), schedule.init)


def levels(
    schedule: Schedule,
    f: Denoiser,
    latent: Tensor,
    scheme: Scheme = "naive",
    tolerance: float = 1e-3,
    max_evaluations: int = 20,
) -> list[Tensor]:
    """A latent at every noise level: ``steps + 1`` tensors ``[B, C, h, w]``, noisiest first, itself last.

    ``naive``: f is evaluated at the known end of each step, scaled as that end is (DDIM inversion,
    Song et al. 2021): one evaluation a step.  ``fixed-point``: each step is solved, from there, to a
    root mean square residual of ``tolerance``; needed where steps are few (Hong et al. 2024 use it for
    InstaFlow).
    """
    undo = _naive if scheme == "naive" else _solver(f, tolerance, max_evaluations, "best")
    back = [step.value for step in _back(schedule, f, latent, undo)]
    return [*reversed(back), latent]


def resample(schedule: Schedule, f: Denoiser, known: Sequence[Tensor], free: Tensor, noise: Tensor) -> Tensor:
    """Sample the free cells from noise ``[B, C, h, w]``, with the others as in ``known`` at every noise level.

    ``free``: bool ``[h, w]``.  The result is ``known[-1]`` in all other cells, to the last bit.
    """
    rows = torch.arange(len(noise))
    x = torch.where(free, schedule.init * noise, known[0])
    for step, outside in zip(schedule.steps, known[1:], strict=True):
        x = torch.where(free, apply_step(step, f, x, rows), outside)
    return x


Undo = Callable[[Step, Tensor, Tensor], Solution]
"""One step undone: from the step, its outcome y and a first guess of its beginning, that cost one evaluation."""


def _back(schedule: Schedule, f: Denoiser, latent: Tensor, undo: Undo) -> Iterator[Solution]:
    """Every step undone, last one first."""
    y, rows = latent, torch.arange(len(latent))
    scales = [step.scale for step in schedule.steps[1:]] + [1.0]  # of the cleaner end of each step
    for step, scale in zip(reversed(schedule.steps), reversed(scales), strict=True):
        found = undo(step, y, (y - step.b * f(scale * y, step.time, rows)) / step.a)
        y = found.value
        yield found


def _naive(step: Step, y: Tensor, guess: Tensor) -> Solution:
    """The guess, unchecked."""
    finite = torch.isfinite(guess.flatten(1)).all(1).tolist()
    status = tuple(Status.BUDGET if good else Status.NONFINITE for good in finite)
    nothing = guess.new_full((len(guess),), torch.nan)
    evaluations = torch.ones(len(guess), dtype=torch.int64, device=guess.device)
    return Solution(guess, nothing, evaluations, status, nothing[None])


def _solver(f: Denoiser, tolerance: float, budget: int, keep: Literal["best", "last"]) -> Undo:
    """A fixed-point iteration from the guess."""

    def undo(step: Step, y: Tensor, guess: Tensor) -> Solution:
        def residual(x: Tensor, rows: Tensor) -> Tensor:
            return (apply_step(step, f, x, rows) - y[rows]) / step.a

        found = solve(residual, guess, ForwardStep(1.0), tolerance, budget, keep=keep)
        return replace(found, evaluations=found.evaluations + 1)

    return undo


def _joined(steps: Sequence[Solution], init: float) -> Solution:
    """The account of a whole walk from those of its steps."""
    trace = torch.stack([step.residual for step in steps])  # [steps, B]
    evaluations = torch.stack([step.evaluations for step in steps]).sum(0)
    status = tuple(max(each, key=_WORST.index) for each in zip(*(step.status for step in steps), strict=True))
    return Solution(steps[-1].value / init, trace.amax(0), evaluations, status, trace)
