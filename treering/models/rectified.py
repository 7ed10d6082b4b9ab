"""Rectified flow (Liu et al. 2023; InstaFlow, Liu et al. 2024): a velocity that carries noise to data, in Euler steps.

x_s = (1 - s) x1 + s x0 between noise x0 (s = 1) and data x1 (s = 0).  The denoiser is told the time 1000 s and predicts
x1 - x0, so that a step of 1 / n is y = x + v / n.  (diffusers' flow matching has the other sign and another grid.)
A flow that was distilled to one step has the whole way to undo at once: x0 + v(x0) = x1.  That is no small
correction of a naive step but an equation, and :func:`solved` solves it, or says that it did not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .. import solvers
from ..types import Solution
from .pipeline import LatentModel
from .schedule import Schedule, rectified_flow
from .walk import Denoiser, apply_step

PIPELINE = "RectifiedFlowPipeline"
"""What the index of such a folder calls its pipeline; the name is that of the authors' own code."""

TOLERANCE = 1e-3
"""Root mean square residual of a solved step, in units of the noise."""


@dataclass(frozen=True)
class _Stepped:
    """What a scheduler's ``step`` answers."""

    prev_sample: Tensor


@dataclass
class RectifiedFlow:
    """The Euler sampler behind the few names that a scheduler of diffusers has; see :func:`.schedule.rectified_flow`.

    ``config``: empty, as there is nothing to set.  Whatever scheduler such a folder names is not used.
    """

    config: dict[str, Any] = field(default_factory=lambda: {"prediction_type": "velocity"})
    init_noise_sigma: float = 1.0
    timesteps: Tensor = field(default_factory=lambda: torch.zeros(0))

    def set_timesteps(self, count: int, device: Any = None) -> None:
        """1000, and down in ``count`` equal steps."""
        self.timesteps = torch.tensor([step.time for step in rectified_flow(count).steps], device=device)

    def step(self, velocity: Tensor, time: Any, sample: Tensor) -> _Stepped:
        """One Euler step."""
        return _Stepped(sample + velocity / len(self.timesteps))

    def scale_noise(self, latent: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        """The point of the straight line from noise to latent at a time."""
        return torch.lerp(latent, noise, float(time[0]) / 1000)


class RectifiedFlowModel(LatentModel):
    """As :class:`LatentModel`, of a rectified flow.

    ``few_steps``: what it was distilled to, which is also how its pictures are made unless told otherwise.
    """

    steps, guidance, few_steps = 1, 1.0, 1
    _kind = PIPELINE

    def scheduler(self) -> RectifiedFlow:
        """The flow's own sampler, whatever the folder names."""
        return RectifiedFlow()

    def _undone(self, schedule: Schedule, f: Denoiser, latent: Tensor, evaluations: int) -> Solution:
        """A single step is solved by :func:`solved` where more than one evaluation is given."""
        if len(schedule.steps) > 1 or evaluations == 1:
            return super()._undone(schedule, f, latent, evaluations)
        return solved(schedule, f, latent, evaluations)


def solved(schedule: Schedule, f: Denoiser, latent: Tensor, evaluations: int) -> Solution:
    """A flow's single step undone by Anderson acceleration, from the naive guess; BUDGET where it was not solved."""
    (step,) = schedule.steps
    everything = torch.arange(len(latent))
    guess = (latent - step.b * f(latent, step.time, everything)) / step.a

    def residual(x: Tensor, rows: Tensor) -> Tensor:
        return (apply_step(step, f, x, rows) - latent[rows]) / step.a

    found = solvers.solve(residual, guess, solvers.Anderson(), TOLERANCE, evaluations - 1)
    return replace(found, evaluations=found.evaluations + 1)
