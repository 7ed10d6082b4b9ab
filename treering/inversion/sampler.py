"""Latent to noise: every step of the sampler undone, last one first.

One step is y = a x + b f(x, t); its root finding problem is r(x) = (a x + b f(x, t) - y) / a.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..models import Denoiser
from ..models.schedule import Schedule
from ..solvers import ForwardStep, solve
from ..types import Step


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
    scheme: Literal["naive", "fixed-point"] = "naive",
    tolerance: float = 1e-3,
    max_evaluations: int = 20,
) -> Tensor:
    """Latent ``[B, C, h, w]`` back to noise: the first of :func:`levels`, of unit variance."""
    return levels(schedule, f, latent, scheme, tolerance, max_evaluations)[0] / schedule.init


def levels(
    schedule: Schedule,
    f: Denoiser,
    latent: Tensor,
    scheme: Literal["naive", "fixed-point"] = "naive",
    tolerance: float = 1e-3,
    max_evaluations: int = 20,
) -> list[Tensor]:
    """A latent at every noise level: ``steps + 1`` tensors ``[B, C, h, w]``, noisiest first, itself last.

    ``naive``: f is evaluated at the known end of each step, scaled as that end is (DDIM inversion,
    Song et al. 2021): one evaluation a step.  ``fixed-point``: each step is solved, from there, to a
    root mean square residual of ``tolerance``; needed where steps are few (Hong et al. 2024 use it for
    InstaFlow).
    """
    found, rows = [latent], torch.arange(len(latent))
    scales = [step.scale for step in schedule.steps[1:]] + [1.0]  # of the cleaner end of each step
    for step, scale in zip(reversed(schedule.steps), reversed(scales), strict=True):
        y = found[-1]
        x = (y - step.b * f(scale * y, step.time, rows)) / step.a
        found.append(x if scheme == "naive" else _solve_step(step, f, y, x, tolerance, max_evaluations))
    return found[::-1]


def _solve_step(step: Step, f: Denoiser, y: Tensor, start: Tensor, tolerance: float, budget: int) -> Tensor:
    def residual(x: Tensor, rows: Tensor) -> Tensor:
        return (apply_step(step, f, x, rows) - y[rows]) / step.a

    return solve(residual, start, ForwardStep(1.0), tolerance, budget).value
