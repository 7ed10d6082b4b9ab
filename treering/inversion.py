"""Running a picture backwards: pixels to latent, latent to noise.

Both halves are root finding by :mod:`treering.solvers`:

- decoder: r(z) = E(clip D(z)) - E(x), after Hong et al. 2024, eq. (3).  The decoder's output is
  clipped as the picture was, so that the residual at the true latent is rounding alone;
- one sampler step y = a x + b f(x, t): r(x) = (a x + b f(x, t) - y) / a.

A small residual is not the goal by itself: E(D(z)) = E(x) does not make D(z) = x where x was rounded
or compressed, and a method that fits the rounding amplifies it.  The stopping rule is the discrepancy
principle (Morozov 1966): stop where the residual is as small as rounding makes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from .errors import InputError
from .models import Denoiser, LatentModel
from .schedule import Schedule
from .solvers import Adam, Anderson, ForwardStep, InertialKM, Method, Rates, factor, rms, solve
from .types import Solution, Status, Step

ROUNDING = 2 / 255
"""One level of an 8-bit picture, in pixels of [-1, 1]."""


@dataclass(frozen=True)
class Gradient:
    """The baseline of Hong et al. 2024: Adam on ||D(z) - x||^2, by differentiating the decoder."""

    rate: float = 0.1
    schedule: Rates = "cosine"


@dataclass(frozen=True)
class DecoderInversion:
    """How to invert a decoder.

    ``name``: what results call it.  ``method``: a solver's method, :class:`Gradient`, or None for the
    encoder alone.  ``budget``: evaluations of the residual.
    ``floor``: stop at this multiple of the rounding floor (0: never).  ``keep``: see :func:`treering.solvers.solve`.
    """

    method: Method | Gradient | None
    budget: int = 0
    floor: float = 0.0
    keep: Literal["best", "last"] = "last"
    patience: int | None = None
    name: str = "custom"

    def with_budget(self, budget: int | None) -> DecoderInversion:
        """The same method with another budget."""
        if budget is not None and budget < 1:
            raise InputError("A decoder inversion needs at least one iteration.")
        return self if budget is None or self.method is None else replace(self, budget=budget)


_METHODS = {
    "encoder": DecoderInversion(None),
    "gradient": DecoderInversion(Gradient(), 100),
    "forward-step": DecoderInversion(ForwardStep(1.0), 3, floor=1.0, patience=1),
    "inertial-km": DecoderInversion(InertialKM(1.0, 0.3), 3, floor=1.0, patience=1),
    "adam": DecoderInversion(Adam(0.01), 100),
    "adam-fixed": DecoderInversion(Adam(0.01, schedule="fixed"), 100),
    "anderson": DecoderInversion(Anderson(3), 4, floor=1.0, keep="best", patience=2),
}
METHODS: dict[str, DecoderInversion] = {name: replace(plan, name=name) for name, plan in _METHODS.items()}
"""Methods by name.  ``adam`` is the paper's; the budgets of the others were chosen by measurement.  With a patience
of 1, a step that made the residual larger is taken back (but for the last one, which is not evaluated): where the
decoder is not near the encoder's inverse, the plain methods run away from the root."""

DEFAULT = "forward-step"


def method(name: str) -> DecoderInversion:
    """A method by its name; raises ``InputError`` for an unknown one."""
    if name not in METHODS:
        raise InputError(f"There is no method {name!r}: use one of {', '.join(METHODS)}.")
    return METHODS[name]


def invert_decoder(model: LatentModel, pixels: Tensor, plan: DecoderInversion) -> Solution:
    """Latent whose picture is ``pixels``: ``[B, 3, H, W]`` in [-1, 1] to ``[B, C, h, w]``.

    ``evaluations`` counts pairs of decoder and encoder (or decoder and its gradient).
    """
    target = model.encode(pixels)
    if plan.method is None:
        return _untouched(target)
    if isinstance(plan.method, Gradient):
        return _gradient(model, pixels, target, plan.method, plan.budget)
    tolerance = plan.floor * rounding_floor(model, pixels, target) if plan.floor else 0.0

    def residual(z: Tensor, rows: Tensor) -> Tensor:
        return decoder_residual(model, z, target[rows])

    return solve(residual, target, plan.method, tolerance, plan.budget, plan.patience, plan.keep)


def decoder_residual(model: LatentModel, z: Tensor, target: Tensor) -> Tensor:
    """r(z) = E(clip D(z)) - E(x), with ``target`` E(x); all ``[B, C, h, w]``."""
    return model.encode(model.decode(z).clamp(-1, 1)) - target


def rounding_floor(model: LatentModel, pixels: Tensor, target: Tensor) -> Tensor:
    """Root mean square change of E under rounding-sized noise, ``[B]``; one more evaluation of E."""
    generator = torch.Generator().manual_seed(0)
    noise = (torch.rand(pixels.shape[1:], generator=generator) - 0.5) * ROUNDING
    return rms(model.encode(pixels + noise.to(pixels)) - target)


def _untouched(latent: Tensor) -> Solution:
    count = len(latent)
    nothing = torch.full((count,), math.nan)
    evaluations = torch.zeros(count, dtype=torch.int64)
    return Solution(latent, nothing, evaluations, (Status.BUDGET,) * count, torch.zeros(0, count))


def _gradient(model: LatentModel, pixels: Tensor, start: Tensor, method: Gradient, budget: int) -> Solution:
    values, traces = [], []
    for i in range(len(pixels)):
        x, z0 = pixels[i : i + 1].to(start.device), start[i : i + 1]
        z = z0.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([z], lr=method.rate)
        errors = []
        for k in range(budget):
            optimizer.param_groups[0]["lr"] = method.rate * factor(method.schedule, k, budget)
            optimizer.zero_grad()
            loss: Tensor = ((model.decode_with_gradient(z) - x) ** 2).sum()  # the mean's gradient underflows in float16
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            errors.append((float(loss.detach()) / x.numel()) ** 0.5)
        values.append(z.detach())
        traces.append(torch.tensor(errors))
    trace = torch.stack(traces, 1)
    count = len(pixels)
    last = trace[-1] if budget else torch.full((count,), math.nan)
    status = tuple(Status.BUDGET if math.isfinite(value) else Status.NONFINITE for value in last.tolist())
    return Solution(torch.cat(values), last, torch.full((count,), budget), status, trace)


# ------------------------------------------------------------------------------------- noise


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
