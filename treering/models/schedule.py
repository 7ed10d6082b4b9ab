"""A sampler as a list of affine steps y = a x + b f(scale x, t), probed from the scheduler object itself.

No time grid is derived here again and no inverse scheduler is written: the coefficients are what the
scheduler's own ``step`` answers to unit inputs.  What is not an affine, history-free, deterministic
step cannot be inverted this way and is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import SamplerError
from ..types import Step
from .sentences import first_line

_SETTINGS = ("clip_sample", "thresholding", "use_dynamic_thresholding", "stochastic_sampling")
"""Scheduler settings that break affinity or determinism."""


@dataclass(frozen=True)
class Schedule:
    """Steps from noise to latent; ``init`` is the factor that turns unit noise into the first sample."""

    steps: tuple[Step, ...]
    init: float = 1.0


def rectified_flow(count: int) -> Schedule:
    """``count`` Euler steps of a rectified flow that predicts x0 - x1 (Liu et al. 2024, InstaFlow).

    >>> rectified_flow(1).steps
    (Step(time=1000.0, a=1.0, b=1.0, scale=1.0),)
    """
    return Schedule(tuple(Step(1000.0 * (1 - i / count), 1.0, 1.0 / count) for i in range(count)))


def probe(scheduler: Any, count: int) -> Schedule:
    """The affine steps of a diffusers scheduler at ``count`` steps.

    Raises ``SamplerError``, naming the setting where there is one, for a sampler that clips, adds
    noise or remembers earlier steps.
    """
    name = type(scheduler).__name__
    if count < 1:
        raise SamplerError("A sampler needs at least one step.")
    for setting in _SETTINGS:
        if getattr(scheduler.config, setting, False):
            raise SamplerError(f"{name} cannot be inverted with the setting {setting}=True; set it to False.")
    run = _Runs(scheduler, count)
    zero, a, b = run(lambda i: (0.0, 0.0)), run(lambda i: (1.0, 0.0)), run(lambda i: (0.0, 1.0))
    for inputs in (lambda i: (1000.0, -700.0), lambda i: (3.0 - 5 * i % 7, 2.0 + 3 * i % 5), lambda i: (-i % 3, i % 4)):
        for i, answer in enumerate(run(inputs)):
            x, f = inputs(i)
            expected = a[i] * x + b[i] * f
            if abs(zero[i]) > 1e-6 or not abs(answer - expected) <= 1e-4 * (1 + abs(a[i] * x) + abs(b[i] * f)):
                raise SamplerError(
                    f"{name} is not an affine, history-free, deterministic sampler, so it cannot be inverted; "
                    "use DDIM, Euler or flow matching."
                )
    if any(abs(value) < 1e-6 for value in a):
        raise SamplerError(f"{name} forgets its sample in a step (a = 0), so it cannot be inverted.")
    steps = zip(run.times, a, b, run.scales, strict=True)
    return Schedule(tuple(Step(*step) for step in steps), run.init)


class _Runs:
    """Runs a fresh copy of the scheduler through all its steps with chosen inputs."""

    def __init__(self, scheduler: Any, count: int) -> None:
        self.scheduler, self.count = scheduler, count
        fresh = self._fresh()
        self.times = [float(t) for t in fresh.timesteps]
        self.init = float(getattr(fresh, "init_noise_sigma", 1.0))
        self.scales = self._scales()

    def _fresh(self) -> Any:
        scheduler = copy.deepcopy(self.scheduler)
        try:
            scheduler.set_timesteps(self.count)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            name = type(scheduler).__name__
            raise SamplerError(f"{name} cannot be set to {self.count} steps: {first_line(error)}") from error
        if min(float(t) for t in scheduler.timesteps) < 0:
            raise SamplerError(
                f"{type(scheduler).__name__} makes no valid grid of {self.count} steps; try another number."
            )
        return scheduler

    def _scales(self) -> list[float]:
        """What ``scale_model_input`` does before each step, as a factor."""
        scheduler, scales = self._fresh(), []
        for t in scheduler.timesteps:
            scale = 1.0
            if hasattr(scheduler, "scale_model_input"):
                scale = float(scheduler.scale_model_input(torch.ones(1, 1, 1, 1, dtype=torch.float64), t))
            scales.append(scale)
            zero = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
            self._step(scheduler, zero, t, zero)
        return scales

    def __call__(self, inputs: Callable[[int], tuple[float, float]]) -> list[float]:
        """Answer of every step to ``inputs(i) = (sample, model output)``."""
        scheduler, answers = self._fresh(), []
        for i, t in enumerate(scheduler.timesteps):
            x, f = (torch.full((1, 1, 1, 1), float(value), dtype=torch.float64) for value in inputs(i))
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(x, t)  # some warn if it was not called
            answers.append(float(self._step(scheduler, f, t, x)))
        return answers

    @staticmethod
    def _step(scheduler: Any, f: torch.Tensor, t: Any, x: torch.Tensor) -> torch.Tensor:
        try:
            answer: torch.Tensor = scheduler.step(f, t, x).prev_sample
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise SamplerError(f"{type(scheduler).__name__} cannot be probed: {first_line(error)}") from error
        return answer
